"""slo-watchdog: proves that a release keeps its SLOs, and takes it back when it does not."""

__version__ = "0.1.0"
