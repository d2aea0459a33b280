"""What the ledger tells of a rollout: its status, its figures and the evidence of its report. Reads, never writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from watchdog.bound import judge
from watchdog.control import Control, Timeline
from watchdog.evaluate import sentence
from watchdog.figures import Tally, figures, window_figures
from watchdog.ledger import Ledger, StoredRollout
from watchdog.model import Deed, Evaluation, Exposure, Kind, Mode, Phase, Rollback, Rollout
from watchdog.quantities import rfc3339
from watchdog.rolloutfile import rollout_from_resolved
from watchdog.watch import Watch
from watchdog.window import Windows

if TYPE_CHECKING:
    from watchdog.report import Evidence


class Account:
    """One rollout as its ledger has it at one moment. Raises LedgerError when that cannot be read."""

    def __init__(self, ledger: Ledger, stored: StoredRollout) -> None:
        self.ledger = ledger
        self.stored = stored
        self.rollout: Rollout = rollout_from_resolved(stored.resolved, stored.text)
        self.control = Control.from_dict(dict(stored.control)) if stored.control else Control(phase=stored.phase)
        self.breaches = ledger.breaches(stored.id)
        self.watch = Watch(self.rollout, self.control.started_at or 0)
        cause = self.control.cause
        known = [(f.breach, (f.breach.objective, f.breach.at) == cause) for f in self.breaches if not f.unconfirmed]
        self.slices = ledger.slices(stored.id)
        self.watch.load_slices(self.slices, known)

    def status(self) -> dict[str, Any]:
        """The rollout's object of `status --json` (interface.md)."""
        stored, control = self.stored, self.control
        reading = self.ledger.latest_reading(stored.id)
        actual = reading.exposure.percent if reading is not None and reading.exposure is not None else None
        if self.rollout.mode is Mode.OBSERVE:
            actual = control.desired.percent
        last = self.ledger.last_evaluations(stored.id)
        return {
            "rollout": stored.name,
            "service": stored.service,
            "version": stored.version,
            "mode": stored.mode.value,
            "flag": stored.flag,
            "phase": control.phase.value,
            "started_at": _time(control.started_at),
            "hold": _hold(control),
            "waiting": list(control.waiting),
            "exposure": {
                "desired": control.desired.percent,
                "actual": actual,
                "cohort": control.desired.cohort,
                "audiences": list(control.desired.audiences),
                "confirmed": control.confirmed,
                "error": reading.error if reading is not None and reading.exposure is None else None,
            },
            "window": self.window(),
            "objectives": [self._objective(o.name, last.get(o.name)) for o in self.rollout.objectives],
            "rollback": stamps(control.rollback),
            "also": [deed_stamps(deed) for deed in control.deeds],
            "interim_at": _time(control.interim_at),
            "last_slot": _time(stored.last_slot),
            "next_slot": self._next_slot(),
        }

    def window(self) -> dict[str, object]:
        """The `window` object: progress, resets, and the final window."""
        windows = self.watch.windows
        return window_figures(self.rollout, windows.interim.window, windows.final.window, self.control.final_at)

    def _objective(self, name: str, evaluation: Evaluation | None) -> dict[str, Any]:
        if evaluation is None:
            blank = {"value": None, "bad": None, "total": None, "at": None, "why": f"{name} has not been judged yet"}
            return {"name": name, "verdict": None, "reason": None, **blank}
        share = None
        if evaluation.bad is not None and evaluation.total:
            share = evaluation.bad / evaluation.total
        return {
            "name": name,
            "verdict": evaluation.verdict.value,
            "reason": evaluation.reason.value if evaluation.reason is not None else None,
            "value": evaluation.value if evaluation.value is not None else share,
            "bad": evaluation.bad,
            "total": evaluation.total,
            "at": rfc3339(evaluation.at),
            "why": sentence(self.rollout.objective(name), evaluation),
        }

    def _next_slot(self) -> str | None:
        if not self.control.phase.active:
            return None
        last = self.stored.last_slot or self.control.started_at or 0
        return rfc3339((last // self.rollout.interval + 1) * self.rollout.interval)

    def timeline(self) -> Timeline:
        """Which exposure was asked for and confirmed when."""
        timeline = Timeline()
        for fact in self.ledger.exposures(self.stored.id):
            timeline.add(int(fact.at), fact.kind, fact.exposure)
        return timeline

    def evaluations(self) -> dict[str, list[Evaluation]]:
        """Every evaluation, dense and in time order, by objective."""
        found: dict[str, list[Evaluation]] = {o.name: [] for o in self.rollout.objectives}
        for name, evaluation in self.ledger.evaluations(self.stored.id, None, 0, self._last()):
            found[name].append(evaluation)
        return found

    def _last(self) -> int:
        return self.stored.last_slot if self.stored.last_slot is not None else 0

    def figures(self, evaluations: Mapping[str, list[Evaluation]]) -> dict[str, object]:
        """The object of `replay --json`, of what ran live."""
        tally = Tally(self.rollout)
        by_slot: dict[int, dict[str, Evaluation]] = {}
        for name, column in evaluations.items():
            for evaluation in column:
                by_slot.setdefault(evaluation.at, {})[name] = evaluation
        for at in sorted(by_slot):
            tally.add(at, by_slot[at])
        start = self.control.started_at or self.stored.created_at
        return figures(
            self.rollout,
            (start, self._last() or start),
            self.control.phase,
            tally,
            self.window(),
            breaches=[fact.breach for fact in self.breaches],
            exposure=self.timeline().confirmed(),
            transitions=self.ledger.transitions(self.stored.id),
        )

    def evidence(self, as_of: float, prometheus: Mapping[str, Any] | None = None) -> Evidence:
        """Everything behind the report, as of a wall time."""
        from watchdog.report import BreachFact as ReportedBreach  # noqa: PLC0415 - heavy, and the daemon starts without it
        from watchdog.report import Evidence  # noqa: PLC0415

        evaluations = self.evaluations()
        control = self.control
        return Evidence(
            rollout=self.rollout,
            phase=control.phase,
            started_at=control.started_at,
            as_of=as_of,
            engine=self.stored.engine,
            status=self.status(),
            figures=self.figures(evaluations),
            evaluations=evaluations,
            slices=self.watch.slices,
            breaches=[
                ReportedBreach(
                    f.breach,
                    f.detected_at if f.detected_at is not None else float(f.breach.at),
                    f.late,
                    f.unconfirmed,
                    control.rollback if (f.breach.objective, f.breach.at) == control.cause else None,
                )
                for f in self.breaches
            ],
            transitions=self.ledger.transitions(self.stored.id),
            exposures=self._exposures(),
            notifications=[item.notification for item in self.ledger.notifications_of(self.stored.id)],
            bad_never_observed=self._bad_never_observed(evaluations),
            controls=self._controls(),
            prometheus=prometheus or {},
            rollback=control.rollback,
            not_controlled=judge(self.rollout).not_controlled,
        )

    def _exposures(self) -> list[tuple[float, str, Any]]:
        kinds = {"desired": "desired", "confirmed": "actual", "simulated": "actual"}
        found = [(f.at, kinds[f.kind], f.exposure) for f in self.ledger.exposures(self.stored.id)]
        if self.rollout.mode is Mode.OBSERVE:
            readings = self.ledger.readings(self.stored.id)
            found += [(r.at, "real", r.exposure) for r in readings if r.exposure is not None]
        return sorted(found, key=lambda item: item[0])

    def _bad_never_observed(self, evaluations: Mapping[str, list[Evaluation]]) -> frozenset[str]:
        """Event objectives whose bad events were not seen even once: that shows nothing."""
        return frozenset(
            o.name
            for o in self.rollout.objectives
            if o.kind is Kind.EVENT
            and not any(e.bad for e in evaluations[o.name])
            and not any(b.breach.objective == o.name for b in self.breaches)
        )

    def _controls(self) -> dict[str, list[Evaluation]]:
        found: dict[str, list[Evaluation]] = {}
        for name, evaluation in self.ledger.controls(self.stored.id, None, 0, self._last()):
            found.setdefault(name, []).append(evaluation)
        return found


def state(rollout: Rollout, control: Control, watch: Watch | None, reading: Exposure | None) -> dict[str, Any]:
    """The part of the status object that metrics show, from what a tick has in memory: nothing is read for it.

    `reading` is the exposure that the flag last read, None while unknown.
    """
    windows = watch.windows if watch is not None else Windows(rollout)
    if rollout.mode is Mode.OBSERVE:
        reading = control.desired
    return {
        "rollout": rollout.name,
        "phase": control.phase.value,
        "hold": _hold(control),
        "exposure": {
            "desired": control.desired.percent,
            "actual": reading.percent if reading is not None else None,
        },
        "window": window_figures(rollout, windows.interim.window, windows.final.window, control.final_at),
        "objectives": [{"name": objective.name} for objective in rollout.objectives],
        "rollback": stamps(control.rollback),
    }


def accounts(ledger: Ledger) -> list[Account]:
    """Every rollout of the ledger, oldest first."""
    return [Account(ledger, stored) for stored in ledger.rollouts()]


def stamps(rollback: Rollback | None) -> dict[str, Any] | None:
    """The rollback's stamps as plain data; None when there was none."""
    if rollback is None:
        return None
    return {
        "cause": rollback.cause,
        "detected_at": _time(rollback.detected_at),
        "decided_at": _time(rollback.decided_at),
        "acted_at": _time(rollback.acted_at),
        "confirmed_at": _time(rollback.confirmed_at),
        "recovered_at": _time(rollback.recovered_at),
    }


def deed_stamps(deed: Deed) -> dict[str, Any]:
    """What else was done for safety, as plain data."""
    return {
        "kind": deed.kind,
        "service": deed.service,
        "flag": deed.flag,
        "why": deed.why,
        "decided_at": _time(deed.decided_at),
        "acted_at": _time(deed.acted_at),
        "confirmed_at": _time(deed.confirmed_at),
        "error": deed.error or None,
    }


def exit_of(phase: Phase) -> int:
    """`gate`'s exit status of a phase: 0 signed off, 1 taken back or stopped, 3 undecided."""
    if phase is Phase.SIGNED_OFF:
        return 0
    return 1 if phase in (Phase.ROLLED_BACK, Phase.ROLLING_BACK, Phase.STOPPED) else 3


def _hold(control: Control) -> dict[str, Any] | None:
    hold = control.hold
    if hold is None:
        return None
    return {"cause": hold.cause, "by": hold.by, "since": rfc3339(hold.since), "why": hold.why}


def _time(at: float | None) -> str | None:
    return rfc3339(at) if at is not None else None
