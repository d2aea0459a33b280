"""What the API takes and gives, written by `python scripts/client_shapes.py`."""
