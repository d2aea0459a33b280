"""The watchdog's own metrics as Prometheus sees them: names, help and labels. `metrics` moves them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

PREFIX = "slo_watchdog"
Kind = TypeVar("Kind", Gauge, Counter, Histogram)
_QUERY_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_STAGE_SECONDS = (0.01, 0.05, 0.25, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0)


class Instruments:
    """The gauges, counters and histograms, by what they are about, and the registry that holds them."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for each counter: nobody asks
        self.registry = CollectorRegistry()
        self._lock = threading.Lock()
        self._seen: set[tuple[str, ...]] = set()
        self._of_rollouts: list[Gauge | Counter | Histogram] = []
        ProcessCollector(registry=self.registry)
        self._rollouts()
        self._source()
        self._decisions()
        self._flag_audit()
        self._people()

    def _gauge(self, name: str, help_text: str, *labels: str) -> Gauge:
        return self._kept(Gauge(f"{PREFIX}_{name}", help_text, labels, registry=self.registry), labels)

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return self._kept(Counter(f"{PREFIX}_{name}", help_text, labels, registry=self.registry), labels)

    def _histogram(self, name: str, help_text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        made = Histogram(f"{PREFIX}_{name}", help_text, labels, registry=self.registry, buckets=buckets)
        return self._kept(made, labels)

    def _kept(self, made: Kind, labels: Sequence[str]) -> Kind:
        if "rollout" in labels:
            self._of_rollouts.append(made)
        return made

    def _rollouts(self) -> None:
        gauge = self._gauge
        self._build = gauge("build_info", "Always 1; the version that runs is in the label.", "version")
        self._leader = gauge("leader", "1 while this process acts on the ledger, 0 while it only stands by.")
        self._slot = gauge(
            "last_slot_timestamp_seconds", "Grid instant of the newest slot that was evaluated.", "rollout"
        )
        self._phase = gauge(
            "rollout_phase", "1 for the phase that the rollout is in, 0 for all others.", "rollout", "phase"
        )
        self._held = gauge("rollout_on_hold", "1 while the ramp stands still until a person resumes it.", "rollout")
        self._passed = gauge("window_slices_passed", "Consecutive good slices of the current window.", "rollout")
        self._required = gauge("window_slices_required", "Good slices that complete the window.", "rollout")
        self._info = gauge(
            "rollout_info", "Always 1; what the rollout is about.", "rollout", "service", "flag", "version"
        )
        self._waiting = gauge(
            "rollout_waiting_seconds", "How long the next step of the ramp is overdue; 0 while it is not.", "rollout"
        )
        self._desired = gauge("flag_percent_desired", "Exposure that the ledger asks for, in percent.", "rollout")
        self._actual = gauge(
            "flag_percent_actual", "Exposure that the flag last read, in percent; absent while unknown.", "rollout"
        )

    def _source(self) -> None:
        self._evaluations = self._counter(
            "evaluations_total",
            "Verdicts on slots; one that settled data changed counts once more.",
            *("rollout", "objective", "verdict", "reason"),
        )
        self._backfilled = self._counter(
            "slots_backfilled_total", "Slots evaluated too late to be acted on at once.", "rollout"
        )
        self._queries = self._histogram(
            "query_duration_seconds", "Time that Prometheus took to answer.", _QUERY_SECONDS
        )
        self._query_errors = self._counter("query_errors_total", "Queries without a usable answer.", "reason")
        self._age = self._gauge(
            "source_sample_age_seconds", "Age of the newest slot that had samples, at the last tick.", "rollout"
        )

    def _decisions(self) -> None:
        self._resets = self._counter("window_resets_total", "Times that a window began anew.", "rollout", "objective")
        self._breaches = self._counter("breaches_total", "Breaches that opened.", "rollout", "objective")
        self._rollbacks = self._counter("rollbacks_total", "Rollbacks by what became of them.", "rollout", "result")
        self._stages = self._histogram(
            "rollback_seconds", "Time that each stage of a rollback took.", _STAGE_SECONDS, "rollout", "stage"
        )

    def _flag_audit(self) -> None:
        self._percent = self._gauge(
            "flag_percent", "Exposure that a flag last read, in percent, of any service.", "service", "flag"
        )
        self._emergency = self._gauge("emergency_flag", "1 while an emergency flag is on for anybody.", "flag")
        self._changes = self._counter(
            "flag_changes_total", "Changes of flags, tried and found.", "actor_kind", "action", "result"
        )
        self._journal = self._gauge(
            "flag_audit_journal_entries", "Changes of flags that wait for the ledger in its journal."
        )

    def _people(self) -> None:
        self._notifications = self._counter(
            "notifications_total", "Attempts to deliver a message.", "channel", "result"
        )
        self._unsent = self._gauge("notifications_unsent", "Messages that a channel has not taken yet.")
        self._oldest = self._gauge("notification_oldest_age_seconds", "Age of the oldest message not yet taken.")
        self._paused = self._gauge(
            "notification_channel_paused", "1 while a channel wants to be left alone.", "channel"
        )
        self._serving = self._gauge(
            "serving_up",
            "1 while a process for readers of flags is there, 0 while there is none.",
            "address",
        )
        self._deadman = self._counter(
            "deadman_pings_total",
            "Pings of the dead man's switch, by what they said or that nobody took them.",
            "result",
        )
        self._job_errors = self._counter(
            "job_errors_total", "Jobs that failed, were missed or overran.", "rollout", "kind"
        )
        self._http_errors = self._counter("http_errors_total", "HTTP requests that ended in an internal error.")
        self._http_refused = self._counter("http_refused_total", "HTTP requests refused for who sent them.", "why")
        self._tokens_file = self._gauge(
            "tokens_file_good",
            "0 while http.tokens_file cannot be read as it is, and an older state of it counts, else 1.",
        )
        self._tokens_file.set(1)
