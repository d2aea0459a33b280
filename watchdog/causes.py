"""Asks who contributed most to a breach: after everything that is done about it, beside the ticks, and once.

Best effort: it has a thread and a deadline of its own, and whatever goes wrong becomes a sentence in the answer. The
tick after it has come records it. A restart asks again for what is not recorded yet.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread
from typing import Protocol, runtime_checkable

from watchdog import cohorts
from watchdog.contributors import MOST, Row, nameless, of_events, of_numbers
from watchdog.errors import LedgerError, SourceError
from watchdog.ledger import Ledger
from watchdog.model import Breach, Contributor, Contributors, Kind, Objective, Rollout
from watchdog.observe import Source
from watchdog.queries import expressions
from watchdog.recall import Recalled

DEADLINE = 20.0
"""Seconds for everything that is asked about one breach; a question that has begun may take its own time beyond it."""
YOUNG = 3600.0
"""Seconds for which a breach is asked about after a restart."""


@runtime_checkable
class Dividing(Protocol):
    """A source that also answers with many series at once."""

    def rows(self, expression: str, at: int) -> list[tuple[dict[str, str], float]]:
        """The series of an expression at an instant. Raises SourceError."""
        ...


@dataclass(frozen=True, slots=True)
class _Job:
    """One breach to ask about, at the wall time `now`; its detector began empty at `since`."""

    rollout: Rollout
    source: Source
    breach: Breach
    since: int
    now: float


class Causes:
    """The questions of one rollout, each breach's in a thread of its own."""

    def __init__(self, ledger: Ledger, source: Source) -> None:
        self.ledger = ledger
        self.source = source
        self._asked: dict[cohorts.Key, Future[Contributors]] = {}
        self._memory: Recalled | None = None

    @property
    def waiting(self) -> bool:
        """Whether an answer is still to be recorded."""
        return bool(self._asked)

    def take(self) -> list[Contributors]:
        """The answers that have come by now, to be recorded; each is given once."""
        done = [key for key, future in self._asked.items() if future.done()]
        return [self._asked.pop(key).result() for key in done]

    def ask(self, memory: Recalled, opened: Iterable[Breach], now: float) -> None:
        """Begin to ask about these breaches, and after a restart about those that were left unexplained."""
        watch, rollout = memory.watch, memory.rollout
        if watch is None or not any(objective.explain_by for objective in rollout.objectives):
            return
        wanted = list(opened)
        if memory is not self._memory:
            wanted += self._left(memory, now)
            self._memory = memory
        for breach in wanted:
            key = (breach.objective, breach.at)
            if key not in self._asked and rollout.objective(breach.objective).explain_by:
                answer: Future[Contributors] = Future()
                self._asked[key] = answer
                job = _Job(rollout, self.source, breach, cohorts.began(watch, breach), now)
                # Not a pool's thread: the end of the program must not wait for it.
                Thread(target=_answer, args=(answer, job), name="causes", daemon=True).start()

    def settle(self, seconds: float) -> None:
        """Wait until everything is answered, but no longer than that."""
        until = time.monotonic() + seconds
        for future in self._asked.values():
            future.exception(max(0.0, until - time.monotonic()))

    def _left(self, memory: Recalled, now: float) -> list[Breach]:
        """Young breaches that nobody recorded an explanation of."""
        young = {
            key: fact.breach
            for key, fact in memory.known_breaches.items()
            if not fact.unconfirmed and fact.detected_at is not None and now - fact.detected_at < YOUNG
        }
        if not young:
            return []
        try:
            known = {(one.objective, one.breach_at) for one in self.ledger.contributors(memory.stored.id)}
        except LedgerError:
            return []
        return [breach for key, breach in young.items() if key not in known]


def _answer(answer: Future[Contributors], job: _Job) -> None:
    breach = job.breach
    found = Contributors(breach.objective, breach.at, job.now, 0.0, problem="asking failed inside the watchdog")
    try:
        found = explain(job.rollout, job.source, breach, job.since, job.now)
    finally:
        answer.set_result(found)  # else it would be waited for without end


def explain(rollout: Rollout, source: Source, breach: Breach, since: int, now: float) -> Contributors:
    """Who contributed most to a breach, by each label of its objective; `now` is wall time. Never raises."""
    objective, until = rollout.objective(breach.objective), time.monotonic() + DEADLINE
    if not isinstance(source, Dividing):
        return Contributors(objective.name, breach.at, now, 0.0, problem="this source cannot be asked for many series")
    seconds = cohorts.rests_on(rollout, source, breach, since, DEADLINE / 2)
    asking = _Asking(rollout, objective, source, breach.at, seconds, until)
    found: list[Contributor] = []
    problems: list[str] = []
    for label in objective.explain_by:
        try:
            some = asking.by(label)
        except (SourceError, ValueError) as error:
            problems.append(f"{label}: {error}")
            continue
        if not some or nameless(some):
            problems.append(f"{label}: nothing that failed has such a label")
            continue
        found += some
    problem = "; ".join(_short(one) for one in problems)
    return Contributors(objective.name, breach.at, now, seconds, tuple(found), problem)


class _Asking:
    """The questions about one breach, within one deadline."""

    def __init__(
        self, rollout: Rollout, objective: Objective, source: Dividing, at: int, seconds: float, until: float
    ) -> None:
        self.objective = objective
        self.source = source
        self.at = at
        self.until = until
        self.queries = expressions(rollout, objective, seconds)
        self._whole: float | None = None

    def by(self, label: str) -> tuple[Contributor, ...]:
        """Those of one label. Raises SourceError, or ValueError where the query cannot be split."""
        from watchdog.rulelint.splitting import CannotSplit, split_count, split_number  # noqa: PLC0415 - heavy, and rare

        target = self.objective.target
        if self.objective.kind is not Kind.EVENT:
            first = "bottomk" if target.of_good else "topk"
            rows = self._rows(f"{first}({MOST}, {split_number(self.queries['value'], label)})")
            return of_numbers(label, rows, target)
        top = f"topk({MOST}, {split_count(self.queries['bad'], label)})"
        bad = self._rows(top)
        if not bad:
            return ()
        total: list[Row] = []
        with suppress(SourceError, CannotSplit):  # then no rate is told
            total = self._rows(f"({split_count(self.queries['total'], label)}) and on ({label}) ({top})")
        return of_events(label, bad, total, self._all())

    def _all(self) -> float | None:
        """All bad events, asked once."""
        if self._whole is None:
            rows = self._rows(self.queries["bad"])
            self._whole = rows[0][1] if len(rows) == 1 else None
        return self._whole

    def _rows(self, expression: str) -> list[Row]:
        if time.monotonic() > self.until:
            raise SourceError(f"not asked: earlier answers took the {DEADLINE:g} s that there are for all of them")
        return [(labels, value) for labels, value in self.source.rows(expression, self.at)]


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 300 else f"{line[:297]}..."
