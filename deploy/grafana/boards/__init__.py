"""The dashboards as code. `build.py` writes what is here into `dashboards/*.json`."""
