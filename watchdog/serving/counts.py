"""What readers ask, counted; every name is in docs/flags/serving.md."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from watchdog.metrics import PREFIX


class Counts:
    """The metrics of serving, in the registry of the process that serves."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._answers = Counter(
            f"{PREFIX}_flag_answers_total",
            "Answers to readers of flags, by protocol (ofrep, ofrep_bulk, sync) and status.",
            ("protocol", "status"),
            registry=registry,
        )
        self._known: dict[tuple[str, int], Counter] = {}
        self._stale = Gauge(
            f"{PREFIX}_flags_stale_seconds",
            "For how long the served document of a flag set could not be read; 0 while it can.",
            ("set",),
            registry=registry,
        )

    def answered(self, protocol: str, status: int) -> None:
        """A reader got an answer."""
        kind = (protocol, status)
        if kind not in self._known:  # to find a series anew costs more than to count
            self._known[kind] = self._answers.labels(protocol, str(status))
        self._known[kind].inc()

    def watch(self, name: str, stale: Callable[[], float | None]) -> None:
        """Ask `stale` for the age of a set whenever the metrics are read."""
        self._stale.labels(name).set_function(lambda: stale() or 0.0)


class ServingMetrics:
    """Everything that the `/metrics` of a process tells which does nothing but serve; names as the daemon has them."""

    def __init__(self, version: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for each counter: nobody asks
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        about = "Always 1; the version that runs is in the label."
        Gauge(f"{PREFIX}_build_info", about, ("version",), registry=self.registry).labels(version).set(1)
        self._errors = Counter(
            f"{PREFIX}_http_errors_total", "HTTP requests that ended in an internal error.", registry=self.registry
        )

    def on_http_error(self) -> None:
        """A request ended in an internal error."""
        self._errors.inc()

    def exposition(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)
