"""Rollouts and stored data for the tests of the pure core, written the way a person would write them.

    checkout = rollout(event("error_rate"), ramp="{strategy: progressive, over: 7d, every: 1h}")
    past = Past(bad=lambda at, seconds: 0.0, total=lambda at, seconds: 50.0 * seconds)

Queries are `name[$range]`; `Past` answers them from functions of (instant, seconds), and counts what it was asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache

from watchdog.model import Evaluation, Measurement, Reason, Rollout, Series, Verdict
from watchdog.observe import Progress
from watchdog.prometheus import Range
from watchdog.rolloutfile import DaemonFacts, parse_rollout
from watchdog.watch import Found, Slot, Watch

NOON = 1_700_049_600
"""A grid instant of every length used here (30 s to 1 h)."""
HOUR = 3600
WAIVED = "{dead_service: a test, pooled_exposure: a test, rollback_bound: a test}"
PROGRESSIVE = "{strategy: progressive, from: 0, to: 100, over: 7d, every: 1h}"


def event(name: str = "error_rate", *more: str, target: str = "at_most: 0.1%") -> str:
    """An event objective; `more` are further lines of YAML."""
    return _objective(name, f"bad: {name}_bad[$range]", f"total: {name}_total[$range]", target, *more)


def value(name: str = "latency_p95", *more: str, target: str = "below: 200ms") -> str:
    """A value objective whose query follows `$range`."""
    return _objective(name, f"value: {name}[$range]", target, *more)


def split(name: str = "exposed_errors", *more: str, target: str = "at_most: 0.1%") -> str:
    """An event objective split by cohort."""
    queries = f"bad: {name}_bad{{$cohort}}[$range]", f"total: {name}_total{{$cohort}}[$range]"
    return _objective(name, *queries, target, *more)


def internal(*more: str) -> str:
    """The objective that the flag reads what was asked for."""
    return _objective("flag_ramp", "internal: flag_ramp", *more)


def _objective(name: str, *lines: str) -> str:
    return "\n    ".join((f"  - name: {name}", *lines))


@cache
def rollout(*objectives: str, daemon: DaemonFacts | None = None, **top: str) -> Rollout:
    """The rollout of these objectives; `top` are keys of the file's top level, as YAML."""
    keys = {"rollout": "checkout-2", "service": "checkout", "version": "2.0.0", "flag": "new-checkout"}
    keys |= {"ramp": PROGRESSIVE, "waive": WAIVED, **top}
    lines = [f"{key}: {text}" for key, text in keys.items()]
    text = "\n".join([*lines, "objectives:", *(objectives or (event(),)), ""])
    return parse_rollout(text, "checkout.yaml", daemon or DaemonFacts())


COHORTS = """{exposed: 'variant="on"', control: 'variant="off"'}"""

Answer = Callable[[int, float], "float | Reason | None"]
"""What a query answers at an instant, for its range in seconds: a number, a reason, or nothing."""


class Past:
    """A source that remembers functions instead of samples."""

    def __init__(self, **answers: Answer) -> None:
        self.answers = answers
        self.asked: list[Range] = []
        self.instant_calls = 0

    def instants(self, expressions: Sequence[str], at: int, deadline: float | None = None) -> list[Series]:
        self.instant_calls += 1
        return [self._series(Range(expression, at, at, 1)) for expression in expressions]

    def ranges(
        self, requests: Sequence[Range], deadline: float | None = None, on_progress: Progress | None = None
    ) -> list[Series]:
        return [self._series(request) for request in requests]

    def _series(self, request: Range) -> Series:
        self.asked.append(request)
        name, _, rest = request.expression.partition("[")
        name = re.sub(r"\W", "_", name.replace('variant="on"', "on").replace('variant="off"', "off")).strip("_")
        seconds = float(rest.partition("s]")[0]) if rest else 0.0
        answer = self.answers[name]
        values: dict[int, float] = {}
        problems: dict[int, tuple[Reason, str]] = {}
        for at in request.instants:
            found = answer(at, seconds)
            if isinstance(found, Reason):
                problems[at] = (found, "made up")
            elif found is not None:
                values[at] = found
        return Series(values, problems)


def traffic(name: str = "error_rate", rps: float = 50.0, share: float = 0.0) -> dict[str, Answer]:
    """The answers of an event objective at a steady rate."""
    return {
        f"{name}_bad": lambda at, seconds: rps * share * seconds,
        f"{name}_total": lambda at, seconds: rps * seconds,
    }


def passed(at: int) -> Evaluation:
    return Evaluation(at, Verdict.PASS, bad=0.0, total=15000.0)


def failed(at: int) -> Evaluation:
    return Evaluation(at, Verdict.FAIL, bad=750.0, total=15000.0)


def unknown(at: int, reason: Reason = Reason.NO_DATA) -> Evaluation:
    return Evaluation(at, Verdict.UNKNOWN, reason, detail="made up")


def step(at: int, bad: float = 0.0, total: float = 3000.0) -> Measurement:
    return Measurement(at, bad=bad, total=total)


def lost(at: int, reason: Reason = Reason.NO_DATA) -> Measurement:
    return Measurement(at, reason=reason, detail="made up")


def fold(watch: Watch, slots: Iterable[Slot]) -> list[Found]:
    """Fold slots while nobody is exposed."""
    return [watch.fold(slot, lambda start, end: None) for slot in slots]
