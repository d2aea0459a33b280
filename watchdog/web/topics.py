"""What readers of live pages can listen to: the fleet, or one rollout. Each is looked at once for all its readers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from watchdog.web.fleet import Fleet, Line, digest
from watchdog.web.fleetpage import part
from watchdog.web.problems import Problem

Fragment = Callable[[int], str | None]
"""The HTML of a rollout's live part by its number in the ledger, None when there is no such rollout."""

Heads = Mapping[int, tuple[int, bool]]
"""The revision of each rollout, and whether an order waits for its next tick: what is shown changes with these."""
CHANGED = "changed"
"""What pages hear that show some rollouts only: whether others belong there now, they have to ask."""


class Topic(Protocol):
    """Something that changes. Called on one thread only, never by two at once; raises LedgerError."""

    def greet(self, seen: str, heads: Heads) -> list[bytes]:
        """What a reader who has just come needs to know; `seen` is what its page said of its own state."""

    def look(self, heads: Heads) -> list[bytes]:
        """What has changed since the last look; `heads` of all rollouts, by number."""


def event(name: str, data: str) -> bytes:
    """One server-sent event."""
    lines = "".join(f"data: {line}\n" for line in data.splitlines())
    return f"event: {name}\n{lines}\n".encode()


class FleetTopic:
    """Every rollout: the lines that changed, or the whole part when others are shown or their order is another."""

    def __init__(self, fleet: Fleet, clock: Callable[[], float]) -> None:
        self._fleet = fleet
        self._clock = clock
        self._shown: list[Line] = []
        self._looked = False

    def greet(self, seen: str, heads: Heads) -> list[bytes]:  # noqa: ARG002
        """The whole part, unless it is what the page shows already."""
        lines = self._fleet.lines(self._clock())
        if not self._looked:
            self._shown, self._looked = lines, True
        return [] if digest(lines) == seen else [event("fleet", part(lines))]

    def look(self, heads: Heads) -> list[bytes]:  # noqa: ARG002
        """What has changed."""
        before, lines = self._shown, self._fleet.lines(self._clock())
        self._shown = lines
        if [(line.row.id, line.row.group) for line in lines] != [(line.row.id, line.row.group) for line in before]:
            return [event("fleet", part(lines))]
        rows = [new for old, new in zip(before, lines, strict=True) if new.html != old.html]
        found = [event(f"row-{line.row.id}", line.html) for line in rows]
        return [*found, event(CHANGED, str(len(rows)))] if rows else []


class RolloutTopic:
    """One rollout's live part."""

    def __init__(self, rollout: int, fragment: Fragment) -> None:
        self._rollout = rollout
        self._fragment = fragment
        self._head: tuple[int, bool] | None = None
        self._shown: str | None = None

    def greet(self, seen: str, heads: Heads) -> list[bytes]:  # noqa: ARG002
        """The part as it is. Raises Problem when there is no such rollout."""
        self._draw(heads)
        if self._shown is None:
            raise Problem("unknown-rollout", f"the ledger holds no rollout number {self._rollout}")
        return self._events()

    def look(self, heads: Heads) -> list[bytes]:
        """The part, when a tick was recorded or an order given since and it is another one."""
        before = self._shown
        self._draw(heads)
        return self._events() if self._shown != before else []

    def _draw(self, heads: Heads) -> None:
        """Draw it anew, unless it stands as it did."""
        head = heads.get(self._rollout)
        if head is None or head != self._head:
            self._shown = self._fragment(self._rollout)
            self._head = head

    def _events(self) -> list[bytes]:
        return [] if self._shown is None else [event(f"rollout-{self._rollout}", self._shown)]
