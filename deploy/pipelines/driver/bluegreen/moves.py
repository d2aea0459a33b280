"""The commands: what is decided, what is recorded before it is done, and what a killed driver's successor makes of it.

The order is always the same: record what will be done, do it, look whether it is so, record that it was done. Each
effect may be repeated, so a command that is run again after a kill anywhere ends where an undisturbed one does.
"""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from typing import Any

from .errors import Failed, Refused
from .state import ASKED, FAILED, INSTALLING, POINTED, POINTING, READY, RETIRING, Intent, Release, State, stamp
from .target import COLOURS, other
from .worker import Build, Worker

DIGEST = re.compile("sha256:[0-9a-f]{64}")
NEWEST = "newest"
Told = dict[str, Any]


class Driver(Worker):
    """The commands of one target. Each returns what it tells as JSON, and raises DriverError."""

    def status(self) -> Told:
        """Where the traffic goes and what each colour runs, asked now."""
        state = self._memory.read()
        return {
            "target": self._target.name,
            "backend": self._target.backend,
            "url": self._target.url,
            "active": state.active,
            "pointed": self._backend.pointed(),
            "previous": state.previous,
            "interrupted": None if state.intent is None else asdict(state.intent),
            "colours": {colour: self._colour(state, colour) for colour in COLOURS},
            "last": asdict(state.deeds[-1]) if state.deeds else None,
        }

    def deploy(self, build: Build, to: str = "idle", reason: str = "") -> Told:
        """Put a build on the idle colour and wait until it is well there. Refused for a downgrade without a reason."""
        if not DIGEST.fullmatch(build.digest):
            raise Refused(f"{build.digest!r} is no digest; expected sha256: and 64 hex digits: a tag may move.")
        state = self._memory.read()
        colour = self._idle(state, to)
        serves = None if state.active is None else state.colours[state.active]
        if serves and state.numbers.get(build.digest, serves.number) < serves.number and not reason:
            raise Refused(
                f"{build.digest} was deployed before what serves now ({serves.digest}): a downgrade. "
                "Use `rollback` to go back to the colour before, or give a --reason."
            )
        told = {"colour": colour, "url": self._target.urls[colour], **asdict(build)}
        if self._has(state, colour, build):
            self._say(f"{colour} runs {build.digest} already and is well")
            return {**told, "changed": False}
        self._wait_for_drain(state, colour)
        self._install(state, colour, build, reason)
        return {**told, "changed": True}

    def switch(self, to: str = NEWEST, reason: str = "") -> Told:
        """Give the traffic to a colour. Refused when it is not well, or older than what serves without a reason."""
        state = self._memory.read()
        pointed = self._backend.pointed()
        if to in (NEWEST, "idle"):
            to = self._meant(state)
        if to == state.active == pointed and state.intent is None:
            self._say(f"{to} serves already")
            return {"colour": to, "previous": state.previous, "seconds": 0.0, "changed": False}
        release = self._ready(state, to)
        if state.intent is not None and (state.intent.command, state.intent.to) == ("switch", to):
            reason = reason or state.intent.reason
        serves = None if state.active is None else state.colours[state.active]
        if to != state.active and serves and release.number < serves.number and not reason:
            raise Refused(
                f"{to} runs {release.digest}, deployed before what serves now ({serves.digest}): a downgrade. "
                "Use `rollback`, or give a --reason."
            )
        return self._move("switch", to, state, pointed, reason)

    def rollback(self, reason: str = "") -> Told:
        """Give the traffic back to the colour before; of a move that was killed half way, to where it came from."""
        state = self._memory.read()
        if state.intent is not None:
            to = state.intent.to if state.intent.command == "rollback" else state.active
        else:
            to = state.previous
        moves = [deed for deed in state.deeds if deed.command in ("switch", "rollback") and deed.outcome != "failed"]
        if to is None and moves and state.active and (moves[-1].command == "rollback" or moves[-1].outcome != "done"):
            self._say(f"nothing to roll back: {state.active} serves again since {moves[-1].at}")
            return {"colour": state.active, "previous": None, "seconds": 0.0, "changed": False}
        if to is None:
            raise Refused(
                "there is no colour to go back to: none has served before this one, or it was given away since."
            )
        self._ready(state, to)
        return self._move("rollback", to, state, self._backend.pointed(), reason)

    def drain(self, colour: str | None = None) -> Told:
        """End the idle colour when its last requests have had their time. Afterwards there is no rollback."""
        state = self._memory.read()
        colour = self._idle(state, colour or "idle")
        release = state.colours[colour]
        if release is None and self._backend.runs(colour) is None:
            self._say(f"{colour} runs nothing")
            return {"colour": colour, "changed": False}
        self._wait_for_drain(state, colour)
        if release is not None:
            state.colours[colour] = replace(release, state=RETIRING)
            state.previous = None
            self._memory.write(state)
        self._say(f"ends {colour}")
        self._backend.remove(colour)
        state.colours[colour] = None
        state.did(self._deed("drain", colour, "done", release))
        self._memory.write(state)
        return {"colour": colour, "changed": True}

    def _colour(self, state: State, colour: str) -> Told | None:
        release = state.colours[colour]
        if release is None:
            return None
        healthy = release.state == READY and not self._backend.ailing(colour, release)
        return {**asdict(release), "url": self._target.urls[colour], "healthy": healthy}

    def _has(self, state: State, colour: str, build: Build) -> bool:
        """Whether a colour runs a build already, as the state says and in truth."""
        found = state.colours[colour]
        return (
            found is not None
            and found.state == READY
            and (found.image, found.digest, found.commit) == (build.image, build.digest, build.commit)
            and self._backend.runs(colour) == build.digest
            and not self._backend.ailing(colour, found)
        )

    def _meant(self, state: State) -> str:
        """Which colour `switch` alone means: the newest build, so that a second one does not go back.

        An interrupted switch goes on to where it went.
        """
        if state.intent is not None and state.intent.command == "switch":
            return state.intent.to
        numbers = {colour: one.number for colour, one in state.colours.items() if one and one.state == READY}
        if not numbers:
            raise Refused("no colour is ready; `deploy` puts a build on one first.")
        return max(numbers, key=lambda colour: numbers[colour])

    def _install(self, state: State, colour: str, build: Build, reason: str) -> None:
        at = stamp(self._clock.now())
        number = state.numbered(build.digest)
        release = Release(build.image, build.digest, build.commit, number, INSTALLING, self._by, at, reason)
        # From here on the release that was there is gone, and no rollback may go to it.
        state.colours[colour] = release
        state.previous = None if state.previous == colour else state.previous
        self._memory.write(state)
        self._say(f"puts {build.image}@{build.digest} on {colour}")
        try:
            self._backend.install(colour, release)
            self._insist(lambda: self._misfit(colour, release), f"{colour} is not well")
        except Failed:
            state.colours[colour] = replace(release, state=FAILED)
            state.did(self._deed("deploy", colour, "failed", release, reason))
            self._memory.write(state)
            raise
        state.colours[colour] = replace(release, state=READY)
        state.did(self._deed("deploy", colour, "done", release, reason))
        self._memory.write(state)
        self._say(f"{colour} is well")

    def _misfit(self, colour: str, release: Release) -> str:
        if (runs := self._backend.runs(colour)) != release.digest:
            return f"it runs {runs or 'nothing'} after it was given {release.digest}"
        return self._backend.ailing(colour, release)

    def _move(self, command: str, to: str, state: State, pointed: str | None, reason: str) -> Told:
        began = self._clock.now()
        release = self._ready(state, to)
        before = state.intent
        origin = self._origin(state, to, pointed)
        intent = Intent(command, to, origin, ASKED, self._by, stamp(began), reason)
        self._stage(state, intent)
        try:
            self._insist(lambda: self._backend.ailing(to, release), f"{to} is not well, it gets no traffic")
        except Failed as error:
            if pointed == to:
                raise Refused(f"{error}; {self._give_back(state, intent)}") from error
            # Half of an earlier move is still there to be ended, unless it had not begun.
            unfinished = before if pointed not in (None, state.active) else None
            self._forget(state, intent, "failed", unfinished)
            raise Refused(str(error)) from error
        self._stage(state, replace(intent, stage=POINTING))
        self._backend.point(to)
        state.moved = stamp(self._clock.now())
        self._stage(state, replace(intent, stage=POINTED))
        try:
            self._insist(lambda: self._backend.astray(to, release), f"the front does not answer as {to}")
        except Failed as error:
            raise Failed(f"{error}; {self._give_back(state, intent)}") from error
        seconds = round(self._clock.now() - began, 3)
        if command == "rollback":
            state.previous = None  # a second one does nothing
        elif to != state.active:
            state.previous = origin
        state.active, state.intent = to, None
        state.did(replace(self._deed(command, to, "done", release, reason), seconds=seconds))
        self._memory.write(state)
        self._say(f"{to} serves, {release.digest}, after {seconds:g} s")
        return {"colour": to, "previous": state.previous, "seconds": seconds, "changed": True}

    def _origin(self, state: State, to: str, pointed: str | None) -> str | None:
        """Who gets the traffic back if this move fails: the other colour, if it has served and still runs."""
        origin = other(to)
        release = state.colours[origin]
        served = origin in (state.active, pointed)
        return origin if served and release is not None and release.state == READY else None

    def _stage(self, state: State, intent: Intent) -> None:
        state.intent = intent
        self._memory.write(state)
        self._say(f"{intent.command} to {intent.to}: {intent.stage}")

    def _give_back(self, state: State, intent: Intent) -> str:
        """Undo a move that came to nothing; the end of a sentence about it."""
        serves = intent.origin or intent.to
        if intent.origin is not None:
            self._backend.point(intent.origin)
            state.moved = stamp(self._clock.now())
        if state.active != serves:
            state.active, state.previous = serves, None
        self._forget(state, intent, "given back" if intent.origin else "failed")
        if intent.origin is None:
            return f"the traffic stays on {intent.to}, there is no other colour that runs"
        return f"the traffic was given back to {intent.origin}"

    def _forget(self, state: State, intent: Intent, outcome: str, before: Intent | None = None) -> None:
        state.intent = before
        state.did(self._deed(intent.command, intent.to, outcome, state.colours[intent.to], intent.reason))
        self._memory.write(state)
