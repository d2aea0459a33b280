"""Blue-green deployment of one service: put a build on the idle colour, move the traffic, move it back.

`moves.py` decides and records, the back ends (`nginx.py`, `compose.py`, `kubectl.py`) do. Python's standard library
only, so that it runs on any machine that a pipeline reaches. docs/deploying.md tells how to use it.
"""
