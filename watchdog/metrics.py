"""The watchdog's own metrics, in a registry of their own: every name is in docs/metrics.md.

Gauges follow a rollout's `status --json` object. Counters start at 0 with the process, as Prometheus expects. What
the ledger holds once (a reset, a breach, a rollback's stamp) is counted once, however often it is handed over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE

from watchdog.instruments import PREFIX, Instruments

__all__ = ["CONTENT_TYPE", "PREFIX", "ROLLBACK_RESULTS", "ROLLBACK_STAGES", "Metrics"]

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


class Metrics(Instruments):
    """Everything that `/metrics` tells. Threads share it; no method raises or waits for anything."""

    # --- what the daemon tells -------------------------------------------------------------------------------------

    def build(self, version: str) -> None:
        """Which version runs."""
        self._build.labels(version).set(1)

    def set_rollout(self, rollout: str, service: str, flag: str, version: str) -> None:
        """What a rollout is about."""
        self._info.labels(rollout, service, flag, version).set(1)

    def forget(self, rollout: str) -> None:
        """Another process acts for this rollout: what this one has seen of it is shown no more.

        Should it come back here, it is as with a new process: what is past is no increase.
        """
        for instrument in self._of_rollouts:
            instrument.remove_by_labels({"rollout": rollout})
        with self._lock:
            self._seen = {fact for fact in self._seen if fact[1] != rollout}

    def set_waiting(self, rollout: str, seconds: float) -> None:
        """For how long its next step is overdue."""
        self._waiting.labels(rollout).set(seconds)

    def on_deadman(self, result: str) -> None:
        """A ping of the dead man's switch: `ok`, `blind` or `undelivered`."""
        self._deadman.labels(result).inc()

    def set_leader(self, leader: bool) -> None:  # noqa: FBT001
        """Whether this process acts for anything on the ledger."""
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
        for stage, *_ in ROLLBACK_STAGES:
            self._stages.labels(rollout, stage)

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
        """How old the newest slot was, at a tick, that Prometheus had samples for."""
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
            self._paused.labels(name).set(0)

    def on_notification(self, channel: str, result: str) -> None:
        """A channel was given a message: `sent`, `failed` (tried again later) or `refused` (never again)."""
        self._notifications.labels(channel, result).inc()

    def set_paused(self, channel: str, *, paused: bool) -> None:
        """Whether nothing is sent to a channel until its pause ends."""
        self._paused.labels(channel).set(int(paused))

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

    def set_serving(self, address: str, *, up: bool) -> None:
        """Whether the process that answers readers at an address is there."""
        self._serving.labels(address).set(int(up))

    def on_job_error(self, rollout: str, kind: str) -> None:
        """A job failed; `kind` says how."""
        self._job_errors.labels(rollout, kind).inc()

    def on_http_error(self) -> None:
        """A request ended in an internal error."""
        self._http_errors.inc()

    def on_http_refused(self, why: str) -> None:
        """A request was refused for who sent it; `why` is the kind of the problem."""
        self._http_refused.labels(why).inc()

    def set_tokens_file(self, *, ok: bool) -> None:
        """Whether the tokens file could be read when it last changed."""
        self._tokens_file.set(int(ok))

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
