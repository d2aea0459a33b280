"""Whether an installation of slo-watchdog works, seen from outside; see docs/tests-as-a-metric.md.

pytest tests/smoke --target http://127.0.0.1:8799

The directory needs nothing of the rest of the repository: copied away, it runs with pytest and requests alone.
"""
