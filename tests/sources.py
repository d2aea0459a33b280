"""A Prometheus that remembers a story instead of samples, and tells it late, badly or not at all when a test says so.

    service = Service(clock)
    service.fails(NOON + 600, NOON + 1200, share=0.5)      # half of all requests, for ten minutes of data
    service.unreachable(NOON + 900, NOON + 960)            # by wall time: whoever asks then gets no answer
    service.late(NOON + 1200, NOON + 1500, NOON + 2400)    # data of these five minutes is there only from 2400 on

Data spans are (start, end] in data time; `clock` is the wall time of whoever asks. Objectives are told apart by the
name at the beginning of their queries, as `tests.rollouts` writes them: `error_rate_bad[$range]`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from watchdog.model import Reason, Series
from watchdog.observe import Progress
from watchdog.prometheus import Range

Span = tuple[float, float]
ALL = ""
"""In place of an objective's name: every one of them."""
BEFORE = float("-inf")
FOR_EVER = float("inf")


@dataclass
class Clock:
    """The wall time of a test; moves only when it is told to."""

    now: float

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class _Trouble:
    """Asked at a wall time in `asking` about an instant in `data`, an objective answers `reason` (or nothing)."""

    name: str
    asking: Span
    data: Span
    reason: Reason | None
    over: float | None = None


@dataclass
class Service:
    """The source: a service with a steady stream of requests, and a Prometheus that scrapes it."""

    clock: Clock
    rps: float = 50.0
    values: dict[str, Callable[[float], float]] = field(default_factory=dict)
    """What the value objectives answer, as functions of the instant."""
    asked: list[tuple[float, Range]] = field(default_factory=list)
    """Everything that was asked, each with the wall time."""
    _failing: list[tuple[str, Span, float]] = field(default_factory=list)
    _gone: list[tuple[str, Span]] = field(default_factory=list)
    _lost: list[Span] = field(default_factory=list)
    _troubles: list[_Trouble] = field(default_factory=list)

    def fails(self, start: float, end: float = FOR_EVER, share: float = 0.5, name: str = "error_rate") -> None:
        """This share of its requests fails, between two instants of data time."""
        self._failing.append((name, (start, end), share))

    def vanishes(self, start: float, end: float = FOR_EVER, name: str = ALL) -> None:
        """The service exports nothing; Prometheus goes on."""
        self._gone.append((name, (start, end)))

    def prometheus_stands_still(self, start: float, end: float) -> None:
        """Prometheus scrapes nothing, not even `up`; it answers to everybody who asks later."""
        self._lost.append((start, end))

    def unreachable(
        self, start: float, end: float = FOR_EVER, reason: Reason = Reason.UNREACHABLE, name: str = ALL
    ) -> None:
        """Whoever asks between two wall times gets this reason for whatever was asked."""
        self._troubles.append(_Trouble(name, (start, end), (BEFORE, FOR_EVER), reason))

    def late(
        self,
        start: float,
        end: float,
        until: float,
        reason: Reason | None = None,
        name: str = ALL,
        over: float | None = None,
    ) -> None:
        """The answers for these instants are there only from wall time `until` on; before it: nothing, or a reason.

        `over` names the one `$range` in seconds that this is so for.
        """
        self._troubles.append(_Trouble(name, (BEFORE, until), (start, end), reason, over))

    def instants(self, expressions: Sequence[str], at: int, deadline: float | None = None) -> list[Series]:
        return [self._series(Range(expression, at, at, 1)) for expression in expressions]

    def ranges(
        self, requests: Sequence[Range], deadline: float | None = None, on_progress: Progress | None = None
    ) -> list[Series]:
        return [self._series(request) for request in requests]

    def asked_between(self, start: float, end: float) -> list[Range]:
        """What was asked within (start, end] of wall time."""
        return [asked for at, asked in self.asked if start < at <= end]

    def _series(self, request: Range) -> Series:
        self.asked.append((self.clock.now, request))
        present = re.match(r"count\(count_over_time\(up\[(\d+)s]\)\)", request.expression)
        parts = re.match(r"(\w+?)(?:_(bad|total))?(?:\{[^}]*})?\[([\d.]+)(ms|s)]", request.expression)
        values: dict[int, float] = {}
        problems: dict[int, tuple[Reason, str]] = {}
        name = ALL if present or parts is None else parts[1]
        seconds = _seconds(parts) if parts is not None else 0.0
        for at in request.instants:
            trouble = self._trouble(name, at, seconds)
            if trouble is not None:
                if trouble.reason is not None:
                    problems[at] = (trouble.reason, "made up")
                continue
            if present:
                found: float | None = 1.0 if self._ingested((at - float(present[1]), at)) > 0 else None
            else:
                assert parts is not None, request.expression
                found = self._number(name, parts[2], (at - seconds, at))
            if found is not None:
                values[at] = found
        return Series(values, problems)

    def _trouble(self, name: str, at: int, seconds: float) -> _Trouble | None:
        now = self.clock.now
        for trouble in self._troubles:
            asked = trouble.name in (ALL, name) and trouble.asking[0] <= now < trouble.asking[1]
            asked = asked and trouble.over in (None, seconds)
            if asked and trouble.data[0] < at <= trouble.data[1]:
                return trouble
        return None

    def _number(self, name: str, role: str | None, span: Span) -> float | None:
        gone = [gone for whose, gone in self._gone if whose in (ALL, name)]
        seen = self._ingested(span) - sum(_overlap(span, away) for away in gone)
        if seen <= 0:
            return None
        if role is None:
            return self.values[name](span[1])
        if role == "total":
            return self.rps * seen
        return sum(self.rps * share * _overlap(span, when) for whose, when, share in self._failing if whose == name)

    def _ingested(self, span: Span) -> float:
        return span[1] - span[0] - sum(_overlap(span, lost) for lost in self._lost)


def _seconds(parts: re.Match[str]) -> float:
    return float(parts[3]) / (1000.0 if parts[4] == "ms" else 1.0)


def _overlap(one: Span, other: Span) -> float:
    return max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
