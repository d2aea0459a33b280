"""The live engine over the past: the same questions, fold and decisions; a simulated flag, and no effects."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from watchdog import cohorts
from watchdog.cohorts import Compared
from watchdog.contributors import described
from watchdog.control import Control, Timeline
from watchdog.decide import Decision, Seen, asleep_until, decide, settle
from watchdog.figures import Tally, figures, window_figures
from watchdog.ledger import Drilled
from watchdog.model import (
    Attribution,
    Breach,
    Command,
    Evaluation,
    Exposure,
    FlagReading,
    Kind,
    Objective,
    OnBreach,
    Rollout,
    Slice,
    Transition,
    Verdict,
)
from watchdog.noise.classify import Known
from watchdog.noise.objective import AlertNoise
from watchdog.observe import Facts, Source, asks, observe, rollback_capability, slots
from watchdog.quantities import rfc3339
from watchdog.watch import Found, Slot, Watch

CHUNK = 5_040
"""Slots asked for at once: a range query of Prometheus has at most 11,000 points."""

OnSlots = Callable[[int, int], None]


@dataclass(slots=True)
class Replay:
    """A rollout run over (start, end] of stored data. Fold chunk by chunk, then read `result`."""

    rollout: Rollout
    start: int
    end: int
    keep_going: bool = False
    keep_evaluations: bool = False
    drilled: Sequence[Drilled] = ()
    """How the drills before the end ended, for `rollback_capability`."""
    alerts: Known | None = None
    """What was heard of alerts, for `alert_noise`; None where no ledger can tell."""
    left_out: list[dict[str, str]] = field(default_factory=list)
    """Objectives of which nothing is known for that time, and why."""
    skips_quiet_slots: bool = True
    """Ask for no decision where none can come of it; a test shows that it makes no difference."""
    control: Control = field(init=False)
    watch: Watch = field(init=False)
    timeline: Timeline = field(init=False)
    tally: Tally = field(init=False)
    at: int = field(init=False)
    breaches: list[Breach] = field(default_factory=list)
    transitions: list[Transition] = field(default_factory=list)
    slices: list[Slice] = field(default_factory=list)
    attributions: list[Attribution] = field(default_factory=list)
    """What the cohorts said of breaches, in the order in which they were asked."""
    source: Source | None = None
    """What `run` asks; None before it."""
    evaluations: dict[str, list[Evaluation]] = field(default_factory=dict)
    _asleep_until: float = -math.inf
    _alarms: dict[str, AlertNoise] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._leave_out()
        self.watch = Watch(self.rollout, self.start)
        self.timeline = Timeline()
        self.tally = Tally(self.rollout)
        self.at = self.start
        self.control = Control(desired=Exposure(self.rollout.ramp.start))
        command = Command(0, "start", "replay", "", self.start)
        self._apply(decide(self.rollout, self.control, self._seen(float(self.start), commands=(command,))))

    def _leave_out(self) -> None:
        """Drop the objectives of which the ledger knows nothing from before the start: they were not measured."""
        rollout, alpha = self.rollout, self.rollout.alpha
        whys = self._unmeasured()
        kept = tuple(o for o in rollout.objectives if o.internal not in whys)
        if len(kept) == len(rollout.objectives):
            return
        gone = (o for o in rollout.objectives if o not in kept)
        self.left_out.extend({"objective": o.name, "why": whys[o.internal or ""]} for o in gone)
        self.rollout = replace(rollout, objectives=kept)
        if self.rollout.alpha != alpha:  # the others share the chance of a false rollback as they do live
            sharing = sum(o.on_breach is OnBreach.ROLLBACK for o in kept)
            self.rollout = replace(self.rollout, false_rollback=alpha * sharing)

    def _unmeasured(self) -> dict[str, str]:
        """The internal objectives that cannot be judged for that time, and why."""
        whys = {}
        if not any(drill.finished_at <= self.start for drill in self.drilled):
            whys["rollback_capability"] = f"the ledger has no drill from before {rfc3339(self.start)}"
        if self.alerts is None or not any(at <= self.start for at in self.alerts.heard):
            whys["alert_noise"] = f"the ledger has heard of no alerts before {rfc3339(self.start)}"
        return whys

    def run(self, source: Source, on_slots: OnSlots | None = None) -> None:
        """Ask chunk by chunk, the next one while this one is folded, until the end or a terminal phase."""
        self.source = source
        with ThreadPoolExecutor(1, thread_name_prefix="replay") as ahead:
            for facts, after, until in self._chunks(source, ahead):
                for slot in slots(self.rollout, facts, after, until, self._internal):
                    self.fold(slot)
                    if self.control.phase.terminal and not self.keep_going:
                        return
                if on_slots is not None:
                    on_slots(until - self.start, self.end - self.start)

    def _chunks(self, source: Source, ahead: ThreadPoolExecutor) -> Iterator[tuple[Facts, int, int]]:
        length = CHUNK * self.rollout.interval
        spans = [(a, min(a + length, self.end)) for a in range(self.start, self.end, length)]

        def ask(span: tuple[int, int]) -> Future[Facts]:
            return ahead.submit(observe, self.rollout, source, asks(self.rollout, *span))

        coming = ask(spans[0]) if spans else None
        for index, (after, until) in enumerate(spans):
            if coming is None:
                return
            facts = coming.result()
            coming = ask(spans[index + 1]) if index + 1 < len(spans) else None
            yield facts, after, until

    def fold(self, slot: Slot) -> Found:
        """One slot: fold it, decide on it, and let the flag follow at once."""
        found = self.watch.fold(slot, self.timeline.over)
        self.at = slot.at
        self.tally.add(slot.at, found.evaluations)
        if self.keep_evaluations:
            for name, evaluation in found.evaluations.items():
                self.evaluations.setdefault(name, []).append(evaluation)
        if found.closed_slice is not None:
            self.slices.append(found.closed_slice)
        news = bool(found.opened or found.closed or found.closed_slice is not None or self.watch.unknown)
        if self.skips_quiet_slots and not news and slot.at < self._asleep_until:
            return found
        self.breaches.extend(found.opened)
        for breach in found.opened:
            self.watch.windows.break_at(breach, rolled_back=False)
        opened = tuple((breach, False) for breach in found.opened)
        seen = self._seen(float(slot.at), found=found, opened=opened, compared=self._compare(found))
        decision = decide(self.rollout, self.control, seen)
        if decision.took_back is not None:
            self.watch.windows.break_at(decision.took_back, rolled_back=True)
        self._apply(decision)
        if not self.control.confirmed:
            self._apply(settle(self.rollout, self.control, self._seen(float(slot.at), found=found)))
        # News of this slot (a reset, say) is told at the next one, as it is live.
        self._asleep_until = -math.inf if news else asleep_until(self.rollout, self.control)
        return found

    def _compare(self, found: Found) -> Compared:
        """What the cohorts say of the breaches of this slot, asked at the same instants as a live tick asks."""
        if self.source is None or not (found.opened or self.control.shared):
            return {}
        questions = cohorts.fresh(self.rollout, self.watch, self.timeline, found.opened)
        before = found.at - self.rollout.interval
        questions += cohorts.going_on(self.rollout, self.watch, self.timeline, self.control.shared, before)
        compared = cohorts.compare(self.rollout, self.source, questions, None) if questions else {}
        self.attributions.extend(compared.values())
        return compared

    def _apply(self, decision: Decision) -> None:
        self.control = decision.control
        self.transitions.extend(decision.transitions)
        for entry in decision.exposures:
            self.timeline.add(*entry)

    def _seen(
        self,
        now: float,
        *,
        found: Found | None = None,
        opened: tuple[tuple[Breach, bool], ...] = (),
        commands: tuple[Command, ...] = (),
        compared: Compared | None = None,
    ) -> Seen:
        watch = self.watch
        return Seen(
            now=now,
            interim=watch.windows.interim.window,
            final=watch.windows.final.window,
            slot=found.at if found is not None else None,
            live=True,
            verdicts=found.evaluations if found is not None else {},
            opened=opened,
            open_objectives=watch.open_objectives(),
            open_breaches=watch.open_breaches() if self.control.shared else {},
            compared=compared or {},
            unknown_since=watch.unknown_since(),
            reading=FlagReading(self.control.desired),
            commands=commands,
        )

    def _internal(self, at: int) -> dict[str, Evaluation]:
        """The simulated flag reads what is desired; drills and alerts are those that there were at that time."""
        return {o.name: self._judged(o, at) for o in self.rollout.objectives if o.kind is Kind.INTERNAL}

    def _judged(self, objective: Objective, at: int) -> Evaluation:
        if objective.internal == "rollback_capability":
            return rollback_capability(objective, self.drilled, at)
        if objective.internal == "alert_noise" and self.alerts is not None:
            if objective.name not in self._alarms:
                self._alarms[objective.name] = AlertNoise(objective, self.rollout.service, self.alerts)
            return self._alarms[objective.name].at(at)
        return Evaluation(at, Verdict.PASS, value=0.0)

    def figures(self) -> dict[str, object]:
        """The object of `replay --json`: what was run, up to the first terminal phase."""
        windows = self.watch.windows
        window = window_figures(self.rollout, windows.interim.window, windows.final.window, self.control.final_at)
        found = figures(
            self.rollout,
            (self.start, self.at if self.control.phase.terminal and not self.keep_going else self.end),
            self.control.phase,
            self.tally,
            window,
            breaches=self.breaches,
            exposure=self.timeline.confirmed(),
            transitions=self.transitions,
        )
        causes = {"causes": described(self.attributions, [])} if self.attributions else {}
        return found | {"left_out": self.left_out} | causes
