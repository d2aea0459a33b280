"""The promised figures, measured: `make bench`."""
