"""Sessions that were logged out, until they would have been over: known here at once, and to others within seconds."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Protocol

import structlog

from watchdog.errors import LedgerError

MOST = 10_000
"""Logouts that are remembered; the one whose session is over first is forgotten first."""
log = structlog.get_logger()


class Shared(Protocol):
    """Where processes that share a session key tell each other of logouts: the ledger. Both raise LedgerError."""

    def add_logouts(self, ended: Mapping[str, float], now: float) -> None:
        """Record these logins as ended, each with the time when it would have been over."""

    def logouts(self, now: float, most: int) -> dict[str, float]:
        """What was recorded and is not over yet; at most so many."""


class Logouts:
    """What was logged out here, and elsewhere as of the last `look`. Without `shared` nobody else is told.

    Asking costs no look at the ledger. While the ledger fails, what is known counts, and what others could not be told
    they are told later. Threads may share it.
    """

    def __init__(self, shared: Shared | None = None, most: int = MOST) -> None:
        self._shared = shared
        self._most = most
        self._lock = threading.Lock()
        self._ended: dict[str, float] = {}
        self._owed: dict[str, float] = {}
        self._trouble = False

    @property
    def shared(self) -> bool:
        """Whether others are told, so that `look` hears anything."""
        return self._shared is not None

    def __contains__(self, login: str) -> bool:
        return login in self._ended

    def __len__(self) -> int:
        return len(self._ended)

    def add(self, login: str, over_at: float, now: float) -> None:
        """End this login. Others are told before this returns, if the ledger takes it."""
        self._know({login: over_at}, now)
        if self._shared is not None:
            with self._lock:
                self._owed[login] = over_at
            self._try(self._shared, now, listen=False)

    def look(self, now: float) -> None:
        """Hear of logouts elsewhere, and tell of those that could not be told before."""
        if self._shared is not None:
            self._try(self._shared, now, listen=True)

    def _try(self, shared: Shared, now: float, *, listen: bool) -> None:
        try:
            self._tell(shared, now)
            if listen:
                self._know(shared.logouts(now, self._most), now)
        except LedgerError as error:
            if not self._trouble:
                why = " ".join(str(error).split())
                log.warning("logouts", why=why, until_it_works="what is logged out elsewhere is not known here")
            self._trouble = True
        else:
            self._trouble = False

    def _tell(self, shared: Shared, now: float) -> None:
        with self._lock:
            self._owed = {login: over_at for login, over_at in self._owed.items() if over_at > now}
            owed = dict(self._owed)
        if not owed:
            return
        shared.add_logouts(owed, now)
        with self._lock:
            for login in owed:
                self._owed.pop(login, None)

    def _know(self, more: Mapping[str, float], now: float) -> None:
        with self._lock:
            ended = {login: over_at for login, over_at in (self._ended | dict(more)).items() if over_at > now}
            if len(ended) > self._most:
                ended = dict(sorted(ended.items(), key=lambda one: one[1])[-self._most :])
            self._ended = ended
