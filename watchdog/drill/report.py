"""What a drill found: each run with its stamps, each stage with its spread, and one verdict in a sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from watchdog.drill.plan import Plan
from watchdog.ledger import StoredDrill
from watchdog.quantities import format_duration, rfc3339
from watchdog.readers.opening import SERVICE

STAGES = ("recorded", "written", "read_back", "reader")
"""The stamps of a run, in seconds since its decision. `written` is when the service acknowledged the kill."""

PASSED, LATE, BROKEN, BLIND, STOPPED = "passed", "late", "broken", "blind", "stopped"
"""Results. `late`: off, but over the bound, or not seen off at all. `broken`: the kill itself failed. `blind`: there
was nothing to measure with. `stopped`: somebody ended the drill."""


@dataclass(frozen=True, slots=True)
class Run:
    """One kill. `at` is wall time, all else in seconds: `phase` was waited at random, the stages follow the decision.

    A stage that never came is missing. `result` is one of the results above, `why` says more where it is not `passed`.
    """

    number: int
    at: float
    phase: float
    stages: dict[str, float]
    result: str
    why: str = ""
    version: str = ""
    """The version that the service acknowledged."""
    seen_version: str = ""
    """The version that the reader told of when it was off."""

    def as_data(self) -> dict[str, Any]:
        """The run as plain data."""
        stages = {f"{stage}_s": _rounded(self.stages[stage]) for stage in STAGES if stage in self.stages}
        told = {"run": self.number, "at": rfc3339(self.at), "phase_s": _rounded(self.phase), **stages}
        versions = {"version": self.version, "seen_version": self.seen_version}
        return {**told, "result": self.result, "why": self.why, **versions}


@dataclass(frozen=True, slots=True)
class Spread:
    """The least, middle, nearly largest and largest of some seconds."""

    min: float
    p50: float
    p99: float
    max: float

    def as_data(self) -> dict[str, float]:
        """The spread as plain data."""
        return {name: _rounded(getattr(self, name)) for name in ("min", "p50", "p99", "max")}


def spread(seconds: Sequence[float]) -> Spread:
    """Of at least one number; the percentiles are numbers that occurred (nearest rank)."""
    found = sorted(seconds)
    p50, p99 = (found[max(0, math.ceil(share * len(found)) - 1)] for share in (0.5, 0.99))
    return Spread(found[0], p50, p99, found[-1])


@dataclass(frozen=True, slots=True)
class Report:
    """A whole drill. `reader` is the client that was asked; `left_on` says why the flag could not be left off."""

    id: int
    at: float
    service: str
    reader: str
    measured_to: str
    plan: Plan
    poll: float
    runs: tuple[Run, ...]
    stopped: bool = False
    left_on: str = ""

    @property
    def result(self) -> str:
        """The worst of the runs; a drill that was stopped, or left its flag on, has not passed."""
        found = {run.result for run in self.runs}
        if self.left_on:
            return BROKEN
        for result in (BROKEN, LATE, BLIND):
            if result in found:
                return result
        return STOPPED if self.stopped or len(self.runs) < self.plan.runs else PASSED

    @property
    def passed(self) -> bool:
        """Whether every run was off, for the reader, within the bound."""
        return self.result == PASSED

    @property
    def unmeasured(self) -> float:
        """Seconds that nobody measured: the declared propagation, where there was no reader."""
        return self.plan.propagation if self.reader == SERVICE else 0.0

    @property
    def worst(self) -> float | None:
        """The longest from decision to the last stage, with what was not measured; None when no run got there."""
        ends = [run.stages[self.last_stage] for run in self.runs if self.last_stage in run.stages]
        return max(ends) + self.unmeasured if ends else None

    @property
    def last_stage(self) -> str:
        """The stage at which a run ends."""
        return self.measured_to

    @property
    def stages(self) -> dict[str, Spread]:
        """The spread of every stage that was reached."""
        reached = {stage: [run.stages[stage] for run in self.runs if stage in run.stages] for stage in STAGES}
        return {stage: spread(seconds) for stage, seconds in reached.items() if seconds}

    @property
    def why(self) -> str:
        """The drill in a sentence."""
        if self.left_on:
            return f"the flag {self.plan.flag} could not be switched off again: {self.left_on}"
        failed = next((run for run in self.runs if run.result not in (PASSED, STOPPED)), None)
        if failed is not None:
            return f"run {failed.number} of {self.plan.runs}: {failed.why}"
        if not self.passed or self.worst is None:
            return f"stopped after {len(self.runs)} of {self.plan.runs} runs; the flag is off"
        least, most = format_duration(self.plan.within), _seconds(self.worst)
        to = {"reader": f"the reader ({self.reader})", "read_back": "the service's own read-back"}
        said = f"{self.plan.runs} of {self.plan.runs} runs off within {most} of the decision, at "
        said += f"{to.get(self.measured_to, 'the acknowledgement')}; the bound is {least}"
        if self.reader == SERVICE:
            declared = format_duration(self.plan.propagation)
            said += f" (no reader ships for {self.service}: its declared propagation, {declared}, is added unmeasured)"
        return said

    @property
    def notes(self) -> list[str]:
        """What a passed drill still says about the settings."""
        last, written = self.stages.get("reader"), self.stages.get("written")
        gaps = [r.stages["reader"] - r.stages["written"] for r in self.runs if {"reader", "written"} <= r.stages.keys()]
        if last is None or written is None or self.reader == SERVICE or max(gaps) <= self.plan.propagation:
            return []
        declared = format_duration(self.plan.propagation)
        said = f"a reader was told {_seconds(max(gaps))} after the write, later than flags.propagation ({declared}), "
        return [f"{said}on which the worst case of every rollout is reckoned; raise it"]

    def as_data(self) -> dict[str, Any]:
        """The object of `drill --json`, which the ledger keeps."""
        return {
            "drill": self.id,
            "at": rfc3339(self.at),
            "service": self.service,
            "flag": self.plan.flag,
            "reader": self.reader,
            "measured_to": self.measured_to,
            "by": self.plan.by,
            "reason": self.plan.why,
            "runs_wanted": self.plan.runs,
            "within_s": self.plan.within,
            "patience_s": self.plan.patience,
            "poll_s": self.poll,
            "unmeasured_s": self.unmeasured,
            "result": self.result,
            "passed": self.passed,
            "worst_s": None if self.worst is None else _rounded(self.worst),
            "why": self.why,
            "notes": self.notes,
            "stages": {stage: found.as_data() for stage, found in self.stages.items()},
            "runs": [run.as_data() for run in self.runs],
        }


def unfinished(drill: StoredDrill) -> dict[str, Any]:
    """The report of a drill whose process died."""
    why = f"the drill was begun at {rfc3339(drill.at)} and never ended: its process died; its flag may still be on"
    return {"drill": drill.id, "at": rfc3339(drill.at), "flag": drill.flag, "reader": drill.reader} | {
        "result": BROKEN,
        "passed": False,
        "why": why,
        "runs": [],
    }


def _rounded(seconds: float) -> float:
    return round(seconds, 6)


def _seconds(seconds: float) -> str:
    """Seconds as a person reads them, down to a tenth of a millisecond."""
    return f"{seconds * 1000:.4g}ms" if seconds < 1.0 else f"{seconds:.3g}s"
