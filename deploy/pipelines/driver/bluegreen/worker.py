"""What the commands share: the target, its state, which colour is idle, looking until all is well, and waiting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from .backend import Backend
from .errors import Failed, Refused
from .state import READY, Deed, Release, State, instant, stamp
from .target import COLOURS, Target, other


class Memory(Protocol):
    """Where the state is: a `Store`."""

    def read(self) -> State:
        """The state."""
        ...

    def write(self, state: State) -> None:
        """Replace it."""
        ...


@dataclass(frozen=True)
class Clock:
    """Epoch seconds, and waiting."""

    now: Callable[[], float]
    sleep: Callable[[float], object]


@dataclass(frozen=True)
class Build:
    """What is deployed: the name of an image or of a release, its digest, and the commit it was made from."""

    image: str
    digest: str
    commit: str


class Worker:
    """One target and who works on it. The caller holds the lock for everything that changes something."""

    def __init__(
        self, target: Target, backend: Backend, memory: Memory, clock: Clock, say: Callable[[str], object], by: str
    ) -> None:
        self._target, self._backend, self._memory = target, backend, memory
        self._clock, self._say, self._by = clock, say, by

    def _idle(self, state: State, to: str) -> str:
        """The colour that has no traffic. Refused where that is not certain, or where another one is named."""
        pointed = self._backend.pointed()
        if state.intent is not None:
            raise Refused(
                f"a {state.intent.command} to {state.intent.to} by {state.intent.by} was interrupted "
                f"({state.intent.stage}); end it with `switch` or undo it with `rollback` first."
            )
        if pointed is not None and state.active not in (None, pointed):
            raise Refused(
                f"the traffic goes to {pointed}, and this driver gave it to {state.active}: somebody moved it. "
                "Say `switch blue` or `switch green` first."
            )
        serves = pointed or state.active
        if to == "idle":
            return other(serves) if serves else COLOURS[0]
        if to == serves:
            raise Refused(f"{to} serves; {other(to)} is the idle one.")
        return to

    def _ready(self, state: State, colour: str) -> Release:
        """What a colour runs. Refused when it is not known to be well."""
        release = state.colours[colour]
        if release is None or release.state != READY:
            found = "runs nothing" if release is None else f"is {release.state}"
            raise Refused(f"{colour} {found}; `deploy` puts a build there first.")
        return release

    def _insist(self, look: Callable[[], str], otherwise: str) -> None:
        """Look until there is nothing to complain about so often in a row. Failed when that takes too long."""
        health = self._target.health
        until = self._clock.now() + health.within
        good = 0
        while True:
            said = look()
            good = 0 if said else good + 1
            if good >= health.successes:
                return
            if self._clock.now() >= until:
                raise Failed(f"{otherwise} within {health.within:g} s: {said or 'too few good answers in a row'}")
            self._clock.sleep(health.every)

    def _wait_for_drain(self, state: State, colour: str) -> None:
        """Leave requests that were under way when the traffic moved the time that they may take."""
        if not state.moved or state.colours[colour] is None:
            return
        left = min(instant(state.moved) + self._target.drain - self._clock.now(), self._target.drain)
        if left > 0:
            self._say(f"waits {left:.1f} s for the last requests to {colour}")
            self._clock.sleep(left)

    def _deed(self, command: str, colour: str, outcome: str, release: Release | None, reason: str = "") -> Deed:
        digest, commit = (release.digest, release.commit) if release else ("", "")
        return Deed(command, colour, outcome, self._by, stamp(self._clock.now()), digest, commit, reason)
