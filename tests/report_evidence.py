"""Made-up but plausible evidence for reports: a small simulation of a watch, the same on every run.

    evidence = scene("signed_off")

Traffic follows the day; incidents are given as (start hour, end hour, rate). Steps wait for failing slots and holds.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from tests.report_rule import HOUR, SLOT, START, iso, rollout
from watchdog.evaluate import evaluate
from watchdog.figures import Tally, figures, window_figures
from watchdog.model import (
    Breach,
    Evaluation,
    Exposure,
    Kind,
    Measurement,
    Mode,
    Notification,
    Objective,
    ObjectiveSlice,
    OnBreach,
    Phase,
    Reason,
    Rollback,
    Severity,
    Slice,
    Transition,
    Verdict,
)
from watchdog.report import ACTUAL, DESIRED, REAL, BreachFact, Evidence
from watchdog.window import Looked, Windows, combine, judge


@dataclass
class Scene:
    """One simulated watch of `hours` hours. Incidents raise a rate in [from, to) hours after the start."""

    hours: float = 9.6 * 24
    incidents: dict[str, list[tuple[float, float, float]]] = field(default_factory=dict)
    gaps: list[tuple[float, float, Reason, str]] = field(default_factory=list)
    holds: list[tuple[float, float, str, str, str]] = field(default_factory=list)
    mode: Mode = Mode.ACT
    seed: int = 7

    def __post_init__(self) -> None:
        self.rollout = rollout(self.mode)
        self.random = random.Random(self.seed)
        self.transitions: list[Transition] = []
        self.exposures: list[tuple[float, str, Exposure]] = []
        self.evaluations: dict[str, list[Evaluation]] = {o.name: [] for o in self.rollout.objectives}
        self.controls: dict[str, list[Evaluation]] = {"checkout_errors_exposed": []}
        self.breaches: list[BreachFact] = []
        self.slices: list[Slice] = []
        self.percent, self.step_at, self.step = 0.0, float(START), 0
        self.rolled_back: Rollback | None = None
        self.completed: dict[str, int | None] = {"interim": None, "final": None}
        self.open_hold, self.waiting = False, False
        self.windows = Windows(self.rollout)
        self._note(
            START + 0.4, "start", "started by release-bot: deploy 2.14.0 is live at 0 %", Phase.PENDING, Phase.RAMPING
        )
        self._expose(START + 0.4, 0.0)
        for slot in range(1, int(self.hours * 3600 / SLOT) + 1):
            self._slot(START + slot * SLOT)
            took_back: Rollback | None = self.rolled_back
            over = took_back is not None and START + slot * SLOT > took_back.detected_at + 2400
            if over or self.completed["final"]:
                break

    def _note(
        self, at: float, kind: str, why: str, source: Phase, target: Phase | None = None, by: str = "watchdog"
    ) -> None:
        self.transitions.append(Transition(at, kind, source, target or source, why, by))

    @property
    def phase(self) -> Phase:
        return self.transitions[-1].target if self.transitions else Phase.PENDING

    def _expose(self, at: float, percent: float) -> None:
        self.percent = percent
        self.exposures += [(at, DESIRED, Exposure(percent)), (at + 0.3, ACTUAL, Exposure(percent))]

    def _rate(self, name: str, hour: float, usual: float) -> float:
        return sum(rate for start, end, rate in self.incidents.get(name, ()) if start <= hour < end) or usual

    def _events(self, at: int, seconds: float) -> float:
        day = (at % 86400) / 86400
        return seconds * (28 + 22 * math.sin(2 * math.pi * (day - 0.35)))

    def _measure(self, objective: Objective, at: int, seconds: float, *, control: bool = False) -> Measurement:
        hour = (at - START) / 3600
        for start, end, reason, detail in self.gaps:
            if start < hour <= end:
                return Measurement(at, reason=reason, detail=detail)
        if objective.kind is Kind.INTERNAL:
            return Measurement(at, value=0.0)
        if objective.kind is Kind.VALUE:
            return Measurement(at, value=self._rate(objective.name, hour, 4 + 3 * self.random.random()))
        total = self._events(at, seconds)
        usual = {"error_rate": 0.0004, "latency_p95": 0.021, "checkout_errors_exposed": 0.0005}.get(objective.name, 0.0)
        if objective.name in ("test_pass_rate", "availability"):
            total, usual = seconds / 15, 0.003 if objective.name == "test_pass_rate" else 0.0
        if objective.uses_cohort:
            total *= (100 - self.percent if control else self.percent) / 100
        mean = self._rate(objective.name, hour, usual) * total
        bad = max(0.0, min(total, mean + self.random.gauss(0, 1) * math.sqrt(mean) * 0.9))
        if total < 50:
            bad = float(round(mean + 0.5 * self.random.random())) if mean else 0.0
        return Measurement(at, bad=min(bad, total), total=total)

    def _slot(self, at: int) -> None:
        for objective in self.rollout.objectives:
            self.evaluations[objective.name].append(evaluate(objective, self._measure(objective, at, objective.range)))
            if objective.uses_cohort:
                found = evaluate(objective, self._measure(objective, at, objective.range, control=True))
                self.controls[objective.name].append(found)
        if at % HOUR == 0:
            self._slice(at)
        self._detect(at)
        if self.rolled_back is None:
            self._hold(at)
            self._ramp(at)

    def _detect(self, at: int) -> None:
        for objective in self.rollout.objectives:
            newest = self.evaluations[objective.name][-10:]
            bad_run = len(newest) == 10 and all(item.verdict is Verdict.FAIL for item in newest)
            known = any(f.breach.objective == objective.name and f.breach.closed_at is None for f in self.breaches)
            if not bad_run or known or self.rolled_back:
                if known and newest[-1].verdict is Verdict.PASS:
                    self.breaches[-1] = replace(
                        self.breaches[-1], breach=replace(self.breaches[-1].breach, closed_at=at + 300)
                    )
                continue
            last = newest[-1]
            share = 100 * (last.bad or 0) / (last.total or 1)
            why = f"{objective.name} {share:.3g}% bad ({last.bad or 0:.0f} of {last.total or 0:.0f})"
            threshold = 1 / self.rollout.alpha
            breach = Breach(
                objective.name, at, objective.detector.name, 2.3 * threshold, threshold, last.bad, last.total, None, why
            )
            stamps = None
            self._note(at + 30.9, "breach", f"breach: {why}", self.phase)
            if objective.on_breach is OnBreach.ROLLBACK:
                stamps = Rollback(
                    f"breach of {objective.name}", at + 30.6, at + 30.9, at + 31.2, at + 32.1, at + 1110.0
                )
                self.rolled_back = stamps
                self._note(at + 30.9, "rollback", f"rollback: {why}", self.phase, Phase.ROLLING_BACK)
                self._expose(at + 31.2, 0.0)
                self._note(at + 32.1, "rolled_back", "the flag reads 0%", Phase.ROLLING_BACK, Phase.ROLLED_BACK)
                self._note(at + 1110.0, "recovered", "errors are back to normal; nobody is exposed", Phase.ROLLED_BACK)
            elif objective.on_breach is OnBreach.HOLD:
                until = (at - START) / 3600 + 2.4
                self.holds.append(((at - START) / 3600, until, "breach", "watchdog", f"breach of {objective.name}"))
            self.breaches.append(BreachFact(breach, at + 30.6, stamps=stamps))
            self.windows.break_at(breach, rolled_back=stamps is not None)

    def _hold(self, at: int) -> None:
        hour = (at - START) / 3600
        held = next((h for h in self.holds if h[0] <= hour < h[1]), None)
        if held and not self.open_hold:
            self._note(at + 31.0, "hold", f"held (operator) by {held[3]}: {held[4]}", self.phase, by=held[3])
        elif self.open_hold and not held:
            self._note(
                at + 12.5,
                "resume",
                "looked at with the payments team, provider incident is over",
                self.phase,
                by="m.ruiz",
            )
        self.open_hold = held is not None

    def _ramp(self, at: int) -> None:
        if self.step >= 168 or at - self.step_at < HOUR or self.open_hold:
            return
        failing = [o.name for o in self.rollout.objectives if o.gates and not self._passing(o)]
        if failing:
            if not self.waiting:
                last = self.evaluations[failing[0]][-1]
                what = last.reason.value if last.reason else "fail"
                self._note(at + 30.2, "waiting", f"waiting: {failing[0]} is {what}", self.phase)
            self.waiting = True
            return
        self.waiting, self.step, self.step_at = False, self.step + 1, at
        percent = 100 * self.step / 168
        target = Phase.SOAKING if self.step == 168 else Phase.RAMPING
        self._note(
            at + 30.3, "step", f"step {self.step} of 168: {self.percent:.3g}% -> {percent:.3g}%", Phase.RAMPING, target
        )
        self._expose(at + 30.5, percent)

    def _passing(self, objective: Objective) -> bool:
        last = self.evaluations[objective.name][-1]
        return last.verdict is Verdict.PASS or (objective.uses_cohort and last.reason is Reason.LOW_TRAFFIC)

    def _slice(self, end: int) -> None:
        found: list[ObjectiveSlice] = []
        runs: list[tuple[int, int]] = []
        for objective in self.rollout.objectives:
            own = self.evaluations[objective.name][-120:]
            missing = [item.at for item in own if not item.measured]
            if missing:
                runs = [(missing[0], missing[-1])]
            looked = Looked(
                len(own),
                sum(item.measured for item in own),
                sum(item.verdict is Verdict.FAIL for item in own),
                sum(item.verdict is Verdict.PASS for item in own),
            )
            pooled = None
            if objective.kind is Kind.EVENT:
                known = [item for item in own if item.total is not None]
                scale = 1 / 10
                pooled = Measurement(
                    end, bad=sum(i.bad or 0 for i in known) * scale, total=sum(i.total or 0 for i in known) * scale
                )
            breach = next(
                (
                    f.breach
                    for f in self.breaches
                    if f.breach.objective == objective.name and end - HOUR < f.breach.at <= end
                ),
                None,
            )
            found.append(judge(objective, looked, pooled, breach))
        inside = [e for at, kind, e in self.exposures if kind == ACTUAL and end - HOUR < at <= end]
        exposure = None if inside else Exposure(self.percent)
        verdict = combine(o.verdict for o in found)
        item = self.windows.add(Slice(end, verdict, tuple(found), tuple(runs), exposure))
        self.slices.append(item)
        for name, fold in (("interim", self.windows.interim), ("final", self.windows.final)):
            done = fold.window.completed_at
            if done is not None and self.completed[name] is None:
                self.completed[name] = done
                if name == "interim":
                    self._note(done + 901, "interim", "interim sign-off: 48 good slices in a row", self.phase)
                else:
                    self._note(
                        done + 901,
                        "signed_off",
                        "final sign-off: 48 good slices at 100 %",
                        self.phase,
                        Phase.SIGNED_OFF,
                    )

    def evidence(self) -> Evidence:
        last = self.evaluations["error_rate"][-1].at
        exposures = list(self.exposures)
        if self.mode is Mode.OBSERVE:
            exposures.append((START + 1.0, REAL, Exposure(0.0)))
            exposures.append((START + 20 * 3600.0, REAL, Exposure(10.0)))
        exposures.sort(key=lambda item: item[0])
        status, figures = self._status(last), self._figures(last)
        pages = [
            Notification(
                t.kind,
                f"checkout-2.14.0/{t.kind}/{t.at:.0f}",
                Severity.CRITICAL if t.kind == "rollback" else Severity.WARNING,
                t.why,
                t.at,
            )
            for t in self.transitions
            if t.kind in ("rollback", "hold", "breach", "interim", "signed_off", "recovered")
        ]
        return Evidence(
            rollout=self.rollout,
            phase=self.phase,
            started_at=START + 0.4,
            as_of=max(self.transitions[-1].at, last) + 30.0,
            engine="slo-watchdog 0.1.0",
            status=status,
            figures=figures,
            evaluations=self.evaluations,
            slices=self.slices,
            breaches=self.breaches,
            transitions=sorted(self.transitions, key=lambda t: t.at),
            exposures=exposures,
            notifications=pages,
            bad_never_observed=frozenset({"availability"} if not self.incidents.get("availability") else ()),
            controls=self.controls,
            prometheus={"url": "https://prometheus.example:9090", "version": "2.42.0"},
            rollback=self.rolled_back,
            not_controlled=("queue_age",),
        )

    def _window(self) -> dict[str, Any]:
        windows = self.windows
        return window_figures(self.rollout, windows.interim.window, windows.final.window, None)

    def _status(self, last: int) -> dict[str, Any]:
        hold = next((t for t in reversed(self.transitions) if t.kind in ("hold", "resume")), None)
        holding = self.open_hold and hold is not None
        return {
            "rollout": "checkout-2.14.0",
            "service": "checkout",
            "version": "2.14.0",
            "mode": self.mode.value,
            "phase": self.phase.value,
            "hold": {"cause": "operator", "by": hold.by, "since": iso(hold.at), "why": hold.why}
            if holding and hold
            else None,
            "waiting": ["error_rate is fail"] if self.waiting else [],
            "exposure": {"desired": self.percent, "actual": self.percent},
            "window": self._window(),
            "objectives": [
                {
                    "name": name,
                    "verdict": e[-1].verdict.value,
                    "reason": e[-1].reason,
                    "value": e[-1].value,
                    "bad": e[-1].bad,
                    "total": e[-1].total,
                    "at": iso(e[-1].at),
                    "why": e[-1].detail,
                }
                for name, e in self.evaluations.items()
            ],
            "rollback": None,
            "next_slot": iso(last + SLOT),
        }

    def _figures(self, last: int) -> dict[str, Any]:
        tally = Tally(self.rollout)
        for column in zip(*self.evaluations.values(), strict=True):
            tally.add(column[0].at, dict(zip(self.evaluations, column, strict=True)))
        return figures(
            self.rollout,
            (START, last),
            self.phase,
            tally,
            self._window(),
            breaches=[fact.breach for fact in self.breaches],
            exposure=[(int(at), exposure) for at, kind, exposure in self.exposures if kind == ACTUAL],
            transitions=self.transitions,
        )


REFUSED = "connection refused by prometheus.example:9090"
GAPS = [
    (30.2, 30.31, Reason.UNREACHABLE, REFUSED),
    (77.55, 78.2, Reason.UNREACHABLE, REFUSED),
    (150.5, 150.6, Reason.PARTIAL, "warning: store gateway eu-2 timed out"),
    (210.1, 210.14, Reason.CLOCK_SKEW, "two answers were dated 7.4 s ahead of this host"),
]


def signed_off() -> Evidence:
    """Nine days and a half: a failing hour, an outage, a breach that held the ramp, then a final sign-off."""
    return Scene(
        hours=14 * 24,
        incidents={"error_rate": [(51.0, 51.06, 0.004), (99.9, 99.97, 0.03)], "latency_p95": [(120.3, 121.1, 0.09)]},
        gaps=GAPS,
        holds=[(12.0, 14.5, "operator", "j.lindqvist", "load test of the payments provider, CHG-4420")],
    ).evidence()


def rolled_back(mode: Mode = Mode.ACT) -> Evidence:
    """A day and a half, then one request in fourteen of the exposed fails."""
    return Scene(
        hours=60,
        mode=mode,
        incidents={"checkout_errors_exposed": [(37.4, 99.0, 0.07)], "error_rate": [(20.0, 20.05, 0.003)]},
        gaps=GAPS[:1],
    ).evidence()


def undecided() -> Evidence:
    """Thirty-one good hours, held by a person."""
    return Scene(
        hours=33.2,
        holds=[(31.0, 99.0, "operator", "j.lindqvist", "waiting for the fraud team, CHG-4431")],
    ).evidence()


def interim() -> Evidence:
    """Sixty hours: the first complete window, at a quarter of the users."""
    return Scene(hours=60).evidence()


def observed() -> Evidence:
    """The rolled-back scene in an observation: nothing was written."""
    return rolled_back(Mode.OBSERVE)


@cache
def scene(name: str) -> Evidence:
    """One of SCENES, made once."""
    return SCENES[name]()


SCENES: dict[str, Callable[[], Evidence]] = {
    "signed_off": signed_off,
    "rolled_back": rolled_back,
    "observed": observed,
    "undecided": undecided,
    "interim": interim,
}
