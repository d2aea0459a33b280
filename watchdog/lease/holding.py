"""Taking leases, keeping them and giving them back: one thread of a daemon that has others to stand in for it."""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from functools import partial

import structlog

from watchdog.errors import LedgerError, WatchdogError
from watchdog.lease.model import DEFERENCE, RENEW, Grip, Hold, granted, length
from watchdog.ledger import DAEMON, Fence, Ledger, StoredRollout, Vacant
from watchdog.rolloutfile import rollout_from_resolved

LOOK = 1.0
"""Seconds between two looks for leases that nobody holds, at most."""
SHYNESS = 10.0
"""For how many lengths of its lease a rollout is left to others after its ticks did not end here."""
STOP_WITHIN = 10.0
log = structlog.get_logger()

Began = Callable[[StoredRollout, Fence, Callable[[], Grip], bool], bool]
"""Begins to tick a rollout under a lease (whether it is only to carry out a command); False where nothing is to do."""


def own_clock() -> float:
    """Seconds that go on while this process is stopped and while the machine sleeps, and that nobody sets."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def identity() -> str:
    """Who this process is, unlike any other that there was: host, process id, and something random."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


class Holding:
    """The leases of one process. Threads share it. `tell` hears whether it leads anything, after each look."""

    def __init__(
        self,
        ledger: Ledger,
        lease: float,
        *,
        begin: Began,
        end: Callable[[str], None],
        hangs: Callable[[str], bool] = lambda _: False,
        tell: Callable[[bool], None] = lambda _: None,
        clock: Callable[[], float] = own_clock,
        holder: str = "",
    ) -> None:
        self.holder = holder or identity()
        self._ledger = ledger
        self._lease = lease
        self._begin, self._end, self._hangs, self._tell = begin, end, hangs, tell
        self._clock = clock
        self._holds: dict[int, Hold] = {}
        self._names: dict[int, str] = {DAEMON: ""}
        self._lengths: dict[int, float] = {DAEMON: lease}
        self._shy_until: dict[int, float] = {}
        self._failed_at = float("-inf")
        self._said = ""
        self._leaving = False
        self._asking = threading.RLock()
        """One question at a time: an answer must not be older than the question after it."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    # --- what may be done -------------------------------------------------------------------------------------------

    def leads(self) -> bool:
        """Whether this process does what one of them does for all."""
        hold = self._holds.get(DAEMON)
        return hold is not None and hold.grip(self._clock()) is Grip.ALL

    def grip(self, rollout_id: int, token: int) -> Grip:
        """What may be done to a rollout's flag now; a lease that is over is asked for again first."""
        found = self._grip(rollout_id, token)
        if found is not Grip.NONE or self._holds.get(rollout_id) is None:
            return found
        self._keep([rollout_id])
        return self._grip(rollout_id, token)

    def _grip(self, rollout_id: int, token: int) -> Grip:
        hold = self._holds.get(rollout_id)
        return Grip.NONE if hold is None or hold.token != token else hold.grip(self._clock())

    @property
    def held(self) -> frozenset[str]:
        """The names of the rollouts that this process acts for."""
        return frozenset(name for id_ in list(self._holds) if (name := self._names.get(id_)))

    # --- life -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Take what nobody holds, and go on looking."""
        self.look()
        self._thread.start()

    def leave(self) -> None:
        """Give the rollouts back at once, so that nobody need wait for the end of their leases, and take none more."""
        self._leaving = True
        with self._asking:
            self._give_back([id_ for id_ in self._holds if id_ != DAEMON])

    def stop(self) -> None:
        """Give the rest back and end."""
        self._leaving = True
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(STOP_WITHIN)
        with self._asking:
            self._give_back(list(self._holds))

    def _give_back(self, ids: list[int]) -> None:
        for id_ in ids:
            del self._holds[id_]
        try:
            self._ledger.release_leases(self.holder, ids, ended=False)
        except LedgerError as error:
            log.warning("lease", why=f"the leases could not be given back, they end by themselves: {error}")

    def ended(self, name: str) -> None:
        """Nothing is left to do for this rollout: nobody need act for it."""
        with self._asking:
            id_ = next((id_ for id_, known in self._names.items() if known == name and id_ in self._holds), None)
            if id_ is None:
                return
            del self._holds[id_]
            try:
                self._ledger.release_leases(self.holder, [id_], ended=True)
            except LedgerError as error:
                log.warning("lease", rollout=name, why=f"it could not be given back: {error}")

    def _run(self) -> None:
        while not self._stop.wait(self._pause()):
            try:
                self.look()
            except Exception:
                # Without this thread nothing would be taken over any more.
                log.exception("lease", why="a look failed inside the watchdog")

    def _pause(self) -> float:
        return min(LOOK, min(self._lengths.values()) * RENEW / 2)

    # --- one look ---------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Keep what is held, let go of what was lost, take what nobody holds. Raises nothing of the ledger's."""
        with self._asking:
            now = self._clock()
            self._keep([id_ for id_, hold in list(self._holds.items()) if hold.due(now) and not self._gives_up(id_)])
            self._let_go()
            try:
                self._take_all()
            except LedgerError as error:
                self._unanswered(error)
            else:
                self._say("")
            now = self._clock()
            self._tell(any(hold.grip(now) is Grip.ALL for hold in list(self._holds.values())))

    def _keep(self, rollouts: list[int]) -> None:
        if not rollouts:
            return
        with self._asking:
            asked_at = self._clock()
            try:
                kept = self._ledger.keep_leases(self.holder, rollouts)
            except LedgerError as error:
                self._unanswered(error, rollouts)
                return
            for id_ in rollouts:
                hold = self._holds.get(id_)
                if hold is None:
                    continue
                if kept.get(id_) == hold.token:
                    self._holds[id_] = hold.kept(asked_at)
                else:
                    self._lose(id_, "another process has taken its lease")

    def _unanswered(self, error: LedgerError, rollouts: list[int] | None = None) -> None:
        self._failed_at = now = self._clock()
        for id_ in self._holds if rollouts is None else rollouts:
            if (hold := self._holds.get(id_)) is not None:
                self._holds[id_] = hold.unanswered(now)
        self._say(str(error))

    def _gives_up(self, id_: int) -> bool:
        """Whether the rollout's ticks do not end here: another process may do better."""
        name = self._names.get(id_, "")
        return bool(name) and self._hangs(name)

    def _let_go(self) -> None:
        now = self._clock()
        for id_, hold in list(self._holds.items()):
            if hold.grip(now) is Grip.NONE and self._gives_up(id_):
                self._shy_until[id_] = now + SHYNESS * hold.lasts
                self._lose(id_, "its ticks do not end, and its lease was left to others")

    def _lose(self, id_: int, why: str) -> None:
        del self._holds[id_]
        name = self._names.get(id_, "")
        log.warning("lease lost", rollout=name or None, why=why, holder=self.holder)
        if name:
            self._end(name)

    def _take_all(self) -> None:
        now = self._clock()
        # Right after an outage of the ledger whoever held a lease before it goes first: it knows what it did meanwhile.
        others_first = now - self._failed_at < self._lease
        for vacant in self._ledger.vacant():
            if self._leaving:
                return
            known = vacant.rollout in self._holds or self._clock() < self._shy_until.get(vacant.rollout, 0.0)
            if not known and not (others_first and vacant.holder):
                self._take(vacant)

    def _take(self, vacant: Vacant) -> None:
        id_ = vacant.rollout
        stored = self._ledger.rollout_numbered(id_) if id_ != DAEMON else None
        if id_ != DAEMON and stored is None:
            return
        lasts = self._length(id_, stored)
        # Who leads the rest takes this, too; others only what it leaves.
        defers = id_ != DAEMON and not self.leads()
        if defers and vacant.holder is None:
            return
        asked_at = self._clock()
        token = self._ledger.take_lease(id_, self.holder, lasts, lasts * DEFERENCE if defers else 0.0)
        if token is None:
            return
        self._holds[id_] = granted(token, lasts, asked_at)
        log.info("lease", rollout=self._names[id_] or None, holder=self.holder, token=token, before=vacant.holder)
        if stored is None:
            return
        fence = Fence(self.holder, token)
        if not self._begin(stored, fence, partial(self.grip, id_, token), vacant.ordered):
            self.ended(stored.name)

    def _length(self, id_: int, stored: StoredRollout | None) -> float:
        if id_ not in self._lengths and stored is not None:
            self._names[id_] = stored.name
            try:
                interval: float = rollout_from_resolved(stored.resolved, stored.text).interval
            except (WatchdogError, ValueError, KeyError, TypeError):
                interval = self._lease  # a damaged row is its tick's to complain of
            self._lengths[id_] = length(self._lease, interval)
        return self._lengths[id_]

    def _say(self, problem: str) -> None:
        if problem != self._said:
            self._said = problem
            log.warning("lease", why=f"nothing is taken or kept: {problem}" if problem else "the ledger answers again")
