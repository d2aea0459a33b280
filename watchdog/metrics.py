"""The watchdog's own metrics, in a registry of their own. Knows no other module; every name is in docs/metrics.md.

Gauges follow a rollout's `status --json` object. Counters start at 0 with the process, as Prometheus expects. What
the ledger holds once (a reset, a breach, a rollback's stamp) is counted once, however often it is handed over.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE

__all__ = ["CONTENT_TYPE", "PREFIX", "ROLLBACK_RESULTS", "ROLLBACK_STAGES", "Metrics"]

PREFIX = "slo_watchdog"
PHASES = ("pending", "ramping", "soaking", "rolling_back", "rolled_back", "signed_off", "stopped")
ROLLBACK_RESULTS = ("confirmed", "recovered")
"""Counted when the flag reads what the rollback asked for, and when the breach that caused it has closed."""
ROLLBACK_STAGES = (
    ("decide", "detected_at", "decided_at"),
    ("act", "decided_at", "acted_at"),
    ("confirm", "acted_at", "confirmed_at"),
    ("recover", "confirmed_at", "recovered_at"),
)
"""Each stage of a rollback with the stamps that it lies between."""
NOTIFICATION_RESULTS = ("sent", "failed", "refused")
EMERGENCY = "emergency"
"""The service of the emergency flags."""
_QUERY_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_STAGE_SECONDS = (0.01, 0.05, 0.25, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0)


class Metrics:
    """Everything that `/metrics` tells. Threads share it; no method raises or waits for anything."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for each counter: nobody asks
        self.registry = CollectorRegistry()
        self._lock = threading.Lock()
        self._seen: set[tuple[str, ...]] = set()
        ProcessCollector(registry=self.registry)
        self._rollouts()
        self._source()
        self._decisions()
        self._flag_audit()
        self._people()

    def _gauge(self, name: str, help_text: str, *labels: str) -> Gauge:
        return Gauge(f"{PREFIX}_{name}", help_text, labels, registry=self.registry)

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", help_text, labels, registry=self.registry)

    def _histogram(self, name: str, help_text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(f"{PREFIX}_{name}", help_text, labels, registry=self.registry, buckets=buckets)

    def _rollouts(self) -> None:
        gauge = self._gauge
        self._build = gauge("build_info", "Always 1; the version that runs is in the label.", "version")
        self._leader = gauge("leader", "1 while this process acts on the ledger, 0 while another one does.")
        self._slot = gauge(
            "last_slot_timestamp_seconds", "Grid instant of the newest slot that was evaluated.", "rollout"
        )
        self._phase = gauge(
            "rollout_phase", "1 for the phase that the rollout is in, 0 for all others.", "rollout", "phase"
        )
        self._held = gauge("rollout_on_hold", "1 while the ramp stands still until a person resumes it.", "rollout")
        self._passed = gauge("window_slices_passed", "Consecutive good slices of the current window.", "rollout")
        self._required = gauge("window_slices_required", "Good slices that complete the window.", "rollout")
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
            "source_sample_age_seconds", "Age of the newest sample at the last tick, where it is known.", "rollout"
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
        self._job_errors = self._counter(
            "job_errors_total", "Jobs that failed, were missed or overran.", "rollout", "kind"
        )
        self._http_errors = self._counter("http_errors_total", "HTTP requests that ended in an internal error.")

    # --- what the daemon tells -------------------------------------------------------------------------------------

    def build(self, version: str) -> None:
        """Which version runs."""
        self._build.labels(version).set(1)

    def set_leader(self, leader: bool) -> None:  # noqa: FBT001
        """Whether this process acts on the ledger."""
        self._leader.set(int(leader))

    def on_tick(
        self,
        rollout: str,
        status: Mapping[str, Any],
        evaluated: Sequence[tuple[str, str, str | None]],
        backfilled: int,
        slot: int | None,
        breaches: Sequence[tuple[str, int]] = (),
    ) -> None:
        """One tick: the rollout's `status --json` object, its (objective, verdict, reason) and its newest slot.

        `breaches` are all that the ledger has, as (objective, step). They, the resets and the stages of a rollback
        are counted once each. A new process counts those of the past before it first shows their series: they are
        no increase over what its predecessor showed.
        """
        self._set_state(rollout, status)
        if slot is not None:
            self._slot.labels(rollout).set(slot)
        for objective, verdict, reason in evaluated:
            self._evaluations.labels(rollout, objective, verdict, reason or "").inc()
        self._backfilled.labels(rollout).inc(backfilled)
        for name, at in breaches:
            self.on_breach(rollout, name, at)
        for reset in status["window"]["resets"]:
            self.on_reset(rollout, reset["objective"], reset["at"])
        self._rollback(rollout, status["rollback"] or {})
        for objective in status["objectives"]:
            self._breaches.labels(rollout, objective["name"])
            self._resets.labels(rollout, objective["name"])
        for result in ROLLBACK_RESULTS:
            self._rollbacks.labels(rollout, result)

    def _set_state(self, rollout: str, status: Mapping[str, Any]) -> None:
        for phase in PHASES:
            self._phase.labels(rollout, phase).set(int(phase == status["phase"]))
        self._held.labels(rollout).set(int(status["hold"] is not None))
        self._passed.labels(rollout).set(status["window"]["current"])
        self._required.labels(rollout).set(status["window"]["required"])
        self._desired.labels(rollout).set(status["exposure"]["desired"])
        actual = status["exposure"]["actual"]
        child = self._actual.labels(rollout)
        if actual is None:
            self._actual.remove(rollout)
        else:
            child.set(actual)

    def _rollback(self, rollout: str, stamps: Mapping[str, Any]) -> None:
        at = stamps.get("decided_at")
        for result in ROLLBACK_RESULTS:
            if stamps.get(f"{result}_at") is not None and self._first("rollback", rollout, result, str(at)):
                self.on_rollback(rollout, result)
        for stage, begun, ended in ROLLBACK_STAGES:
            start, end = stamps.get(begun), stamps.get(ended)
            if start is not None and end is not None and self._first("stage", rollout, stage, str(at)):
                self.on_rollback_stage(rollout, stage, _instant(end) - _instant(start))

    def on_query(self, seconds: float, reason: str | None = None) -> None:
        """Prometheus took `seconds` to answer; `reason` when the answer could not be used."""
        self._queries.observe(seconds)
        if reason is not None:
            self._query_errors.labels(reason).inc()

    def on_sample_age(self, rollout: str, seconds: float) -> None:
        """How old the newest sample was that a tick saw."""
        self._age.labels(rollout).set(max(0.0, seconds))

    def on_breach(self, rollout: str, objective: str, at: object = None) -> None:
        """A breach opened at step `at`; the same one handed over again is not counted (`on_tick` does that)."""
        if at is None or self._first("breach", rollout, objective, str(at)):
            self._breaches.labels(rollout, objective).inc()

    def on_reset(self, rollout: str, objective: str, at: object = None) -> None:
        """A window began anew at `at`; `on_tick` says so itself, with the resets of its status."""
        if at is None or self._first("reset", rollout, objective, str(at)):
            self._resets.labels(rollout, objective).inc()

    def on_rollback(self, rollout: str, result: str) -> None:
        """A rollback came to a result, one of `ROLLBACK_RESULTS`."""
        self._rollbacks.labels(rollout, result).inc()

    def on_rollback_stage(self, rollout: str, stage: str, seconds: float) -> None:
        """A stage of a rollback, one of `ROLLBACK_STAGES`, took so long."""
        self._stages.labels(rollout, stage).observe(max(0.0, seconds))

    def channels(self, names: Sequence[str]) -> None:
        """Which channels there are: their counters begin at 0, so that a first failure is seen as one."""
        for name in names:
            for result in NOTIFICATION_RESULTS:
                self._notifications.labels(name, result)

    def on_notification(self, channel: str, result: str) -> None:
        """A channel was given a message: `sent`, `failed` (tried again later) or `refused` (never again)."""
        self._notifications.labels(channel, result).inc()

    def set_unsent(self, count: int, oldest_age: float) -> None:
        """How many messages wait, and the age of the oldest in seconds."""
        self._unsent.set(count)
        self._oldest.set(oldest_age)

    def on_flag(self, service: str, flag: str, percent: float) -> None:
        """A flag was read or written and serves this percentage."""
        if service == EMERGENCY:
            self._emergency.labels(flag).set(int(percent > 0))
        self._percent.labels(service, flag).set(percent)

    def on_flag_change(self, actor_kind: str, action: str, result: str) -> None:
        """Somebody changed a flag, or tried to: `watchdog`, `operator` or `external`."""
        self._changes.labels(actor_kind, action, result).inc()

    def set_flag_journal(self, entries: int) -> None:
        """How many changes of flags wait for the ledger."""
        self._journal.set(entries)

    def on_job_error(self, rollout: str, kind: str) -> None:
        """A job failed; `kind` says how."""
        self._job_errors.labels(rollout, kind).inc()

    def on_http_error(self) -> None:
        """A request ended in an internal error."""
        self._http_errors.inc()

    def exposition(self) -> bytes:
        """All of it in Prometheus' text format (`CONTENT_TYPE`)."""
        return generate_latest(self.registry)

    def _first(self, *fact: str) -> bool:
        """Whether this fact was not handed over before."""
        with self._lock:
            if fact in self._seen:
                return False
            self._seen.add(fact)
            return True


def _instant(written: str) -> float:
    """Epoch seconds of one of our own RFC 3339 stamps."""
    return datetime.fromisoformat(written).timestamp()
