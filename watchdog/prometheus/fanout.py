"""Many questions at once, within one deadline: pieces of work for a pool of threads, answers put together.

What a piece asks and how is the caller's business (`ask`); here is only who waits, for how long, and what becomes
of that which nobody answered in time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from watchdog.model import Reason, Series

_GRACE = 0.1
"""Seconds that are waited beyond the deadline for threads that are just giving up by themselves."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """What one request asks; `owner` is the place of its answer in the call, `last_try` forbids to cut it again."""

    owner: int
    expression: str
    instants: range
    over_range: bool
    last_try: bool = False

    def failed(self, reason: Reason, detail: str) -> Series:
        """The same problem at each of its instants."""
        return Series(problems=dict.fromkeys(self.instants, (reason, detail)))


@dataclass(slots=True)
class Call:
    """One call: its deadline, its answers so far, what is under way, and how many questions were lost in a row."""

    seconds: float | None
    answers: list[Series]
    expires: float = field(init=False)
    pending: dict[Future[Outcome], Piece] = field(default_factory=dict)
    ready: SimpleQueue[Future[Outcome]] = field(default_factory=SimpleQueue)
    started: dict[Piece, Callable[[], None]] = field(default_factory=dict)
    """How to cut off each piece that a thread has begun."""
    lost: int = 0

    def __post_init__(self) -> None:
        self.expires = float("inf") if self.seconds is None else time.monotonic() + max(0.0, self.seconds)

    def left(self) -> float:
        """Seconds until the deadline; infinite without one, negative after it."""
        return self.expires - time.monotonic()

    def settle(self, piece: Piece, series: Series) -> None:
        """Put the answer to a piece where it belongs."""
        answer = self.answers[piece.owner]
        answer.values.update(series.values)
        answer.problems.update(series.problems)


Outcome = Series | list[Piece]
"""The answer to a piece, or the smaller pieces that are to be asked in its place."""


class Fanout:
    """A pool of threads named after `name`, which is also who is blamed in sentences."""

    def __init__(self, name: str, workers: int, ask: Callable[[Call, Piece], Outcome]) -> None:
        self._name = name
        self._ask = ask
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="prometheus")

    def run(
        self, pieces: Sequence[Piece], owners: int, deadline: float | None, on_progress: Progress | None
    ) -> list[Series]:
        """Answer all pieces; returns a moment after `deadline` seconds at the latest."""
        call = Call(deadline, [Series() for _ in range(owners)])
        done, total = 0, sum(len(piece.instants) for piece in pieces)
        try:
            for piece in pieces:
                self._submit(call, piece)
            while call.pending:
                try:
                    future = call.ready.get(timeout=None if deadline is None else max(0.0, call.left()) + _GRACE)
                except Empty:
                    break
                piece, outcome = call.pending.pop(future), future.result()
                if isinstance(outcome, list):
                    for smaller in outcome:
                        self._submit(call, smaller)
                    continue
                call.settle(piece, outcome)
                done += len(piece.instants)
                if on_progress is not None:
                    on_progress(done, total)
        finally:
            self._abandon(call)
        return call.answers

    def late(self, call: Call, piece: Piece) -> Series:
        """What a piece gets when the deadline is over."""
        return piece.failed(Reason.UNREACHABLE, f"{self._name} gave no answer within {call.seconds or 0.0:g} s.")

    def close(self) -> None:
        """Start nothing any more and wait for the threads; whoever closes has cut their connections before."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _submit(self, call: Call, piece: Piece) -> None:
        try:
            future = self._pool.submit(self._ask, call, piece)
        except RuntimeError:  # the pool has been shut down
            call.settle(piece, piece.failed(Reason.UNREACHABLE, f"{self._name} was not asked: it is being closed."))
            return
        call.pending[future] = piece
        future.add_done_callback(call.ready.put)

    def _abandon(self, call: Call) -> None:
        """Nobody waits for what is left: cancel it, and free the threads that are stuck in it."""
        for future, piece in list(call.pending.items()):
            if not future.cancel() and piece in call.started:
                call.started[piece]()
            call.settle(piece, self.late(call, piece))


def cut(instants: range, most: int) -> list[range]:
    """Equal parts of at most `most` instants, in order."""
    if not instants:
        return []
    size = -(-len(instants) // -(-len(instants) // most))
    return [instants[k : k + size] for k in range(0, len(instants), size)]
