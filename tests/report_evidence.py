"""Made-up but plausible evidence for reports: a small simulation of a watch, the same on every run.

    evidence = Scene(days=9).signed_off()

Traffic follows the day; incidents are given as (start hour, hours, what). Steps wait for failing slots and holds.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from watchdog.model import (
    Breach,
    Cohorts,
    Comparison,
    Confirm,
    Detector,
    Evaluation,
    Exposure,
    Kind,
    Mode,
    Notification,
    Objective,
    OnBreach,
    Phase,
    PlanStep,
    Ramp,
    Reason,
    Rollback,
    RollbackRule,
    Rollout,
    Sequential,
    Severity,
    Slice,
    SliceVerdict,
    Target,
    Transition,
    Verdict,
    WindowRule,
)
from watchdog.evaluate import evaluate, share_met
from watchdog.model import Measurement, ObjectiveSlice
from watchdog.report import ACTUAL, DESIRED, REAL, BreachFact, Evidence
from watchdog.window import Looked, Window, Windows, combine, judge

START = int(datetime(2026, 11, 22, 9, tzinfo=UTC).timestamp())
HOUR = 3600
SLOT = 30
RULE = """\
rollout: checkout-2.14.0
service: checkout
version: 2.14.0
flag: new-checkout
mode: act
interval: 30s
delay: 30s
window: {slices: 48, slice: 1h, max_gap: 30m, max_idle: 24}
ramp: {strategy: progressive, from: 0, to: 100, over: 7d, every: 1h}
rollback: {to: 0, within: 15m, verify: 30m}
false_rollback: 1%
waive: {pooled_exposure: "error_rate has no variant label on the edge proxy; agreed with A. Okafor, CHG-4411"}
cohorts: {exposed: 'variant="on"', control: 'variant="off"'}
objectives:
"""


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def event(name: str, bad: str, total: str, target: Target, **more: Any) -> Objective:
    allowed = round(1 - target.limit, 12) if target.of_good else target.limit
    settings: dict[str, Any] = {"detector": Sequential(60), "on_breach": OnBreach.ROLLBACK, "min_events": 100.0}
    settings |= {"min_slice_events": 3 / allowed, "allowed": allowed, "bad": bad, "total": total} | more
    return Objective(name, Kind.EVENT, target, **settings)


def objectives() -> tuple[Objective, ...]:
    requests, slow = 'http_requests_total{job="checkout"', "http_request_duration_seconds_bucket"
    return (
        event(
            "test_pass_rate",
            'sum(increase(synthetic_test_runs_total{suite="checkout",outcome!="pass"}[$range]))',
            'sum(increase(synthetic_test_runs_total{suite="checkout"}[$range]))',
            Target(Comparison.AT_LEAST, 0.98),
            min_events=1.0,
            pool_window=True,
        ),
        event(
            "error_rate",
            f'sum(increase({requests},code=~"5.."}}[$range]))',
            f"sum(increase({requests}}}[$range]))",
            Target(Comparison.BELOW, 0.001),
        ),
        event(
            "latency_p95",
            f'sum(increase(http_request_duration_seconds_count{{job="checkout"}}[$range])) - '
            f'sum(increase({slow}{{job="checkout",le="0.2"}}[$range]))',
            'sum(increase(http_request_duration_seconds_count{job="checkout"}[$range]))',
            Target(Comparison.AT_LEAST, 0.95),
            on_breach=OnBreach.HOLD,
        ),
        event(
            "availability",
            'sum(increase(probe_runs_total{instance="https://shop.example/checkout"}[$range])) - '
            'sum(increase(probe_success_total{instance="https://shop.example/checkout"}[$range]))',
            'sum(increase(probe_runs_total{instance="https://shop.example/checkout"}[$range]))',
            Target(Comparison.AT_LEAST, 0.999),
            min_events=1.0,
            pool_window=True,
            outside=True,
            silence_fails=True,
        ),
        event(
            "checkout_errors_exposed",
            f'sum(increase({requests},code=~"5..",$cohort}}[$range]))',
            f"sum(increase({requests},$cohort}}[$range]))",
            Target(Comparison.AT_MOST, 0.002),
        ),
        Objective(
            "queue_age",
            Kind.VALUE,
            Target(Comparison.BELOW, 30.0),
            Confirm(60),
            OnBreach.ROLLBACK,
            value='max(checkout_queue_oldest_age_seconds{job="checkout-worker"})',
        ),
        Objective(
            "flag_ramp",
            Kind.INTERNAL,
            Target(Comparison.AT_MOST, 0.0),
            Confirm(60),
            OnBreach.PAGE,
            internal="flag_ramp",
        ),
    )


def rule_text(own: tuple[Objective, ...]) -> str:
    lines = []
    for o in own:
        lines.append(f"  - name: {o.name}")
        lines += [
            f"    {key}: {value}" for key, value in (("bad", o.bad), ("total", o.total), ("value", o.value)) if value
        ]
        if o.internal:
            lines.append(f"    internal: {o.internal}")
        else:
            lines += [f"    {o.target.comparison.value}: {o.target.limit:g}", f"    on_breach: {o.on_breach.value}"]
            lines += ["    no_data: fail", "    outside: true"] if o.outside else []
            lines += ["    pool: window"] if o.pool_window else []
    return RULE + "\n".join(lines) + "\n"


def rollout(mode: Mode = Mode.ACT) -> Rollout:
    own = objectives()
    return Rollout(
        name="checkout-2.14.0",
        service="checkout",
        version="2.14.0",
        flag="new-checkout",
        objectives=own,
        window=WindowRule(),
        ramp=Ramp(
            "progressive", 0.0, 100.0, tuple(PlanStep(Exposure(100 * k / 168), HOUR) for k in range(1, 169)), 604800
        ),
        rollback=RollbackRule(),
        mode=mode,
        waive={"pooled_exposure": "error_rate has no variant label on the edge proxy; agreed with A. Okafor, CHG-4411"},
        cohorts=Cohorts('variant="on"', 'variant="off"'),
        text=rule_text(own),
        sha256="5f0c6d1ab5f4c1b7d0c1f4b4f3c51b6c8f4e0f6b1a3b4e86c0c1e1d9a2b7c3d4",
        resolved="{}",
    )


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
            over = self.rolled_back is not None and START + slot * SLOT > self.rolled_back.detected_at + 2400
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
            why = f"{objective.name} {100 * (last.bad or 0) / (last.total or 1):.3g}% bad ({last.bad or 0:.0f} of {last.total or 0:.0f})"
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

    def _window(self, window: Window, final: Window) -> dict[str, Any]:
        return {
            "required": window.required,
            "current": window.current,
            "longest": window.longest,
            "completed_at": None if window.completed_at is None else iso(window.completed_at),
            "idle": window.idle,
            "unknown_s": window.gap * SLOT,
            "resets": [{"at": iso(r.at), "objective": r.objective, "why": r.why} for r in window.resets],
            "final": {
                "current": final.current,
                "completed_at": None if final.completed_at is None else iso(final.completed_at),
            },
        }

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
            "window": self._window(self.windows.interim.window, self.windows.final.window),
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
        counts: dict[str, Any] = {}
        gaps: set[tuple[int, int, str]] = set()
        for name, own in self.evaluations.items():
            reasons: dict[str, int] = {}
            start = before = None
            for item in [*own, Evaluation(last + SLOT, Verdict.PASS)]:
                reason = item.reason.value if item.reason else None
                if reason:
                    reasons[reason] = reasons.get(reason, 0) + 1
                if reason != before:
                    if before and start is not None:
                        gaps.add((start, item.at - SLOT, before))
                    start, before = item.at, reason
            counts[name] = {v.value: sum(e.verdict is v for e in own) for v in Verdict} | {"reasons": reasons}
        return {
            "rollout": "checkout-2.14.0",
            "from": iso(START),
            "to": iso(last),
            "interval_s": SLOT,
            "phase": self.phase.value,
            "slots": (last - START) // SLOT,
            "evaluations": counts,
            "breaches": [
                {"objective": f.breach.objective, "at": iso(f.breach.at), "why": f.breach.why} for f in self.breaches
            ],
            "window": self._window(self.windows.interim.window, self.windows.final.window),
            "gaps": [{"from": iso(a), "to": iso(b), "reason": r} for a, b, r in sorted(gaps)],
            "exposure": [{"at": iso(at), "percent": e.percent} for at, kind, e in self.exposures if kind == ACTUAL],
            "transitions": [
                {"at": iso(t.at), "from": t.source.value, "to": t.target.value, "why": t.why}
                for t in self.transitions
                if t.source is not t.target
            ],
        }


REFUSED = "connection refused by prometheus.example:9090"
GAPS = [
    (30.2, 30.31, Reason.UNREACHABLE, REFUSED),
    (77.55, 78.2, Reason.UNREACHABLE, REFUSED),
    (150.5, 150.6, Reason.PARTIAL, "warning: store gateway eu-2 timed out"),
    (210.1, 210.14, Reason.CLOCK_SKEW, "two answers were dated 7.4 s ahead of this host"),
]


def signed_off() -> Evidence:
    """Nine and a half days: a reset by a failing hour, an outage, a breach that held the ramp, then a final sign-off."""
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


SCENES: dict[str, Callable[[], Evidence]] = {
    "signed_off": signed_off,
    "rolled_back": rolled_back,
    "observed": observed,
    "undecided": undecided,
    "interim": interim,
}
