"""Tests as a metric: results of test runs as counters and gauges of Prometheus, see docs/tests-as-a-metric.md.

Nothing is imported here: pytest loads `watchdog.testresults.plugin` in every run of every project, mostly for nothing.
"""
