"""What a process may do under a lease. Pure: instants are seconds of the process's own clock, which never stands still.

A lease ends by the database's clock. Its holder cannot read that when it matters, so it counts from the moment at which
it *asked*: the database granted later than that, and its lease ends later. Between the two nobody may act.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

SURE = 0.9
"""The share of a lease that its holder relies on: two clocks need not run alike."""
RENEW = 1 / 3
"""The share of a lease after which it is prolonged."""
DEFERENCE = 0.25
"""The share of a lease for which a process that leads nothing leaves an expired one to the one that leads the rest."""
FRESH = 10.0
"""Seconds for which a failed answer of the ledger counts as what it would answer now."""


class Grip(Enum):
    """What a process may do to its rollout's flag."""

    ALL = "all"
    LOWER = "lower"
    """Take it back, and nothing else: whoever acts now cannot be asked."""
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Hold:
    """A lease that this process was given, with its `token`, for `lasts` seconds at a time."""

    token: int
    lasts: float
    until: float
    """Nothing is relied on from here on."""
    failed_at: float | None = None
    """When the ledger last did not answer; None while it does."""

    def grip(self, now: float) -> Grip:
        """What may be done at `now` without asking. NONE of one that is over: ask for it again first."""
        if now < self.until:
            return Grip.ALL
        if self.failed_at is not None and now - self.failed_at < FRESH:
            return Grip.LOWER
        return Grip.NONE

    def due(self, now: float) -> bool:
        """Whether it is time to prolong it."""
        return now >= self.until - self.lasts * (SURE - RENEW)

    def kept(self, asked_at: float) -> Hold:
        """The ledger prolonged it when it was asked at `asked_at`."""
        return replace(self, until=max(self.until, asked_at + self.lasts * SURE), failed_at=None)

    def unanswered(self, now: float) -> Hold:
        """The ledger did not answer: whether it is still held is not known."""
        return replace(self, failed_at=now)


def granted(token: int, lasts: float, asked_at: float) -> Hold:
    """A lease that the ledger gave when it was asked at `asked_at`."""
    return Hold(token, lasts, asked_at + lasts * SURE)


def length(lease: float, interval: float) -> float:
    """How long a rollout's lease is given for: one interval at most, so that a successor is there within two."""
    return min(lease, interval)
