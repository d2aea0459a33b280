"""The dead man's switch: an address outside is pinged after each complete cycle, and somebody is woken when that stops.

A cycle is complete when every rollout under way has ticked since the last one and each of its objectives was measured
at its newest slot. No timer pings: a daemon that runs and sees nothing must look dead from outside. What is blind is
told at the address with `/fail` behind its path, as healthchecks.io and its kin understand it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import structlog

from watchdog.errors import NotifierError
from watchdog.notifiers.wire import Post
from watchdog.quantities import rfc3339

if TYPE_CHECKING:
    from watchdog.config.sections import DeadmanSettings
    from watchdog.recall import Recalled

OK, BLIND, UNDELIVERED = "ok", "blind", "undelivered"
"""What a ping said, or that the address did not take it."""
MOST = 100
"""Rollouts that one ping names."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Cycle:
    """What a tick left of one rollout: its newest slot, and the objectives that nobody could measure there.

    `blind` are those that have been unknown for `blind_after`. A rollout that watches nothing now has no slot.
    """

    slot: int | None = None
    unmeasured: tuple[str, ...] = ()
    blind: tuple[str, ...] = ()
    behind: bool = False
    """Whether the newest slot is too old to be of now."""


def cycle_of(memory: Recalled, now: float) -> Cycle:
    """The cycle that a tick at wall time `now` has ended."""
    rollout, watch, control = memory.rollout, memory.watch, memory.control
    if watch is None or not control.phase.active:
        return Cycle()
    behind = not watch.latest or now - (watch.at + rollout.delay) > rollout.live_within
    unknown, latest = watch.unknown_since(), watch.latest
    unmeasured = tuple(o.name for o in rollout.objectives if o.name in unknown or not (o.internal or o.name in latest))
    return Cycle(watch.at, unmeasured, control.blind, behind)


class DeadMan:
    """Pings for one daemon, from a thread of its own so that no tick waits; at most one each `every` seconds."""

    def __init__(self, settings: DeadmanSettings, clock: Callable[[], float], tell: Callable[[str], None]) -> None:
        url = settings.url.get_secret_value() if settings.url is not None else ""
        parts = urlsplit(url)
        fail = urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/fail"))
        if settings.fail_url is not None:
            fail = settings.fail_url.get_secret_value()
        posts = (
            Post(address, channel="deadman", timeout=settings.timeout, secrets=[url, fail]) for address in (url, fail)
        )
        self._posts = dict(zip((OK, BLIND), posts, strict=True))
        self._every = settings.every
        self._clock, self._tell = clock, tell
        self._ticked: dict[str, Cycle] = {}
        self._due: tuple[str, bytes] | None = None
        self._last: tuple[str, float] = ("", float("-inf"))
        self._problem = ""
        self._changed = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._serve, name="deadman", daemon=True)
        self._thread.start()

    def ticked(self, name: str, cycle: Cycle, under_way: Collection[str]) -> None:
        """A rollout has ticked; when all that are `under_way` have, a cycle is over. Never waits."""
        with self._changed:
            self._ticked[name] = cycle
            if not set(under_way) <= set(self._ticked):
                return
            over = {one: self._ticked[one] for one in sorted(self._ticked) if one in under_way or one == name}
            self._ticked.clear()
            self._judge(over)

    def idle(self) -> None:
        """The daemon has looked for work, and there is none."""
        with self._changed:
            self._ticked.clear()
            self._judge({})

    def close(self) -> None:
        """End the thread; what is due is not sent any more."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join()

    def _judge(self, over: dict[str, Cycle]) -> None:
        blind = any(cycle.blind for cycle in over.values())
        if not blind and any(cycle.unmeasured or cycle.behind for cycle in over.values()):
            return  # neither good nor bad: the silence tells, should it last
        said = BLIND if blind else OK
        last, at = self._last
        if said == last and self._clock() - at < self._every:
            return
        self._due = (said, _body(said, over))
        self._changed.notify_all()

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ended or self._due is not None)
                if self._ended or self._due is None:
                    return
                (said, body), self._due = self._due, None
                last = self._last
                self._last = (said, self._clock())  # before it is sent: a cycle meanwhile is no second ping
            problem = self._ping(said, body)
            self._tell(UNDELIVERED if problem else said)
            with self._changed:
                if problem:
                    self._last = last
                if problem != self._problem:
                    log.warning("dead man's switch", why=problem or "pings are taken again")
                    self._problem = problem

    def _ping(self, said: str, body: bytes) -> str:
        """Send one ping. Returns what was wrong, nothing when it was taken."""
        post = self._posts[said]
        try:
            answer = post.send(body, {})
        except NotifierError as error:
            return str(error)
        return "" if 200 <= answer.status < 300 else str(post.refused(answer))


def _body(said: str, over: dict[str, Cycle]) -> bytes:
    rollouts = {
        name: {
            "slot": rfc3339(cycle.slot) if cycle.slot is not None else None,
            "unmeasured": list(cycle.unmeasured),
            "blind": list(cycle.blind),
        }
        for name, cycle in list(over.items())[:MOST]
    }
    return json.dumps({"status": said, "rollouts": rollouts}).encode()
