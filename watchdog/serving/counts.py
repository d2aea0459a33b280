"""What readers ask, counted; every name is in docs/flags/serving.md."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge

from watchdog.metrics import PREFIX


class Counts:
    """The metrics of serving, in the daemon's registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._answers = Counter(
            f"{PREFIX}_flag_answers_total",
            "Answers to readers of flags, by protocol (ofrep, ofrep_bulk, sync) and status.",
            ("protocol", "status"),
            registry=registry,
        )
        self._stale = Gauge(
            f"{PREFIX}_flags_stale_seconds",
            "For how long the served document of a flag set could not be read; 0 while it can.",
            ("set",),
            registry=registry,
        )

    def answered(self, protocol: str, status: int) -> None:
        """A reader got an answer."""
        self._answers.labels(protocol, str(status)).inc()

    def watch(self, name: str, stale: Callable[[], float | None]) -> None:
        """Ask `stale` for the age of a set whenever the metrics are read."""
        self._stale.labels(name).set_function(lambda: stale() or 0.0)
