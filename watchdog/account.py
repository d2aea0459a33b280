"""What the ledger tells of a rollout: its status, its figures and the evidence of its report. Reads, never writes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from watchdog.alarms import Alarms
from watchdog.bound import judge
from watchdog.contributors import described
from watchdog.control import Control, Timeline
from watchdog.errors import ConfigError
from watchdog.evaluate import sentence
from watchdog.figures import Tally, figures, window_figures
from watchdog.ledger import Ledger, StoredRollout
from watchdog.model import Evaluation, Exposure, Kind, Mode, NoiseRule, Phase, Rollout
from watchdog.noise.classify import Class
from watchdog.noise.summary import Asked, pages_of, rows, summary
from watchdog.quantities import rfc3339
from watchdog.rolloutfile import rollout_from_resolved
from watchdog.stamps import deed_stamps, proved, stamps, time_of, told_engines, waived
from watchdog.watch import Watch
from watchdog.window import Windows

if TYPE_CHECKING:
    from watchdog.report import Evidence


class Account:
    """One rollout as its ledger has it at one moment. Raises LedgerError when that cannot be read."""

    def __init__(self, ledger: Ledger, stored: StoredRollout) -> None:
        self.ledger = ledger
        self.stored = stored
        self.rollout: Rollout = rollout_from_resolved(stored.resolved, stored.text, stored.name)
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
            "started_at": time_of(control.started_at),
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
            "preflight": proved(control.proof),
            "waiver": waived(control.waiver),
            "interim_at": time_of(control.interim_at),
            "last_slot": time_of(stored.last_slot),
            "next_slot": self._next_slot(),
            "leader": self.ledger.leader(stored.id),
            **self._causes(),
        }

    def _causes(self) -> dict[str, Any]:
        """The key `causes`, where anything was found about any."""
        id_ = self.stored.id
        found = described(self.ledger.attributions(id_), self.ledger.contributors(id_)) if self.breaches else []
        return {"causes": found} if found else {}

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
            engine=told_engines(self.stored.engine, self.ledger.transitions(self.stored.id)),
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
            preflight=self._preflight(),
            deployment=self._deployment(),
            waivers=[said for one in self.ledger.waivers(self.stored.id) if (said := waived(one)) is not None],
            noise=noise(self.ledger, self.rollout, control.started_at, self._watched_until(as_of), as_of),
        )

    def _deployment(self) -> dict[str, Any] | None:
        """The build that is watched, with the sha256 of the file that told of it; None where nobody handed one in."""
        found = self.ledger.deployment(self.stored.id)
        return None if found is None else {**found.facts, "sha256": found.sha256, "recorded_by": found.by}

    def _preflight(self) -> dict[str, Any] | None:
        """The preflight that the rollout started on, else the newest of its rule, with what it recorded of builds."""
        proof = self.control.proof
        if proof is None and self.control.started_at is None:
            proof = self.ledger.proof(self.stored.name, self.stored.sha256)
        if proof is None:
            return None
        made = self.ledger.preflight(proof.id)
        builds = made.result.get("builds", []) if made is not None else []
        return {**(proved(proof) or {}), "builds": builds}

    def _watched_until(self, as_of: float) -> float:
        return float(self._last()) if self.control.phase.terminal else as_of

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
    found = []
    for stored in ledger.rollouts():
        with suppress(ConfigError):  # a damaged row: `status` and the daemon's log say so
            found.append(Account(ledger, stored))
    return found


def noise(ledger: Ledger, rollout: Rollout, first: float | None, last: float, at: float) -> dict[str, Any] | None:
    """The alerts of the watch (first, last], as they are classified at `at`; None where there is nothing to tell."""
    if first is None:
        return None
    known = Alarms().known(ledger, first, at)
    judges = [objective for objective in rollout.objectives if objective.internal == "alert_noise"]
    if not (judges or known.heard):
        return None
    rule = next((objective.noise for objective in judges if objective.noise is not None), NoiseRule())
    asked = Asked(rule, first, last, at, rollout.service)
    doubtful = [one for one in pages_of(known, asked) if one.page.wakes and one.found is not Class.TRUE_POSITIVE]
    return {**summary(known, asked), "judged": bool(judges), "episodes": rows(doubtful, known.said, at)}


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
