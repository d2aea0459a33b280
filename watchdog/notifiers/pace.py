"""A channel's own speed limit, asked before each request; nobody waits in here."""

from __future__ import annotations


class Pace:
    """At most one request each `seconds` to one destination, after a burst of `burst`; `now` is wall time."""

    def __init__(self, seconds: float, burst: int = 1) -> None:
        self.seconds = seconds
        self.burst = burst
        self._free_at: dict[str, float] = {}

    def ready_in(self, destination: str, now: float, requests: int = 1) -> float:
        """Seconds until so many further requests may go to the destination; 0 when they may go now."""
        ahead = self._free_at.get(destination, now) - now + (requests - 1) * self.seconds
        # A clock that was set back must not silence a channel.
        return min(max(0.0, ahead - (self.burst - 1) * self.seconds), requests * self.seconds)

    def used(self, destination: str, now: float) -> None:
        """A request went out."""
        limit = now + self.burst * self.seconds
        self._free_at[destination] = min(max(now, self._free_at.get(destination, now)), limit) + self.seconds
