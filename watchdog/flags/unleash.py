"""The flag service Unleash, through its admin interface: one strategy a flag, whole percentages, kill by switching off.

Unleash has no compare-and-set of its own. A write says in a JSON patch's `test` what it read, so that the server
refuses it when the strategy has changed; what is left of a race shows when the flag is read back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from watchdog.errors import FlagConflict, FlagServiceError
from watchdog.flags.base import Capabilities, Change, Check, Prepared
from watchdog.flags.rest import Rest
from watchdog.flags.unleash_api import SERVICE, UnleashApi
from watchdog.flags.unleash_preflight import preflight
from watchdog.flags.unleash_state import State
from watchdog.flags.unleash_strategies import (
    Marks,
    asked,
    marked,
    new_cohort,
    new_percentage,
    rolled,
    unchanged,
)
from watchdog.model import Exposure, FlagReading

if TYPE_CHECKING:
    from watchdog.flags.settings import ServiceSettings

STICKINESSES = ("userId", "default")
"""What the rollout strategy may be dealt by: for a caller with a `userId` both are the same."""
ATTEMPTS = 3
"""How often a kill, or a change that only lowers, is tried while somebody else writes at the same moment."""


class Unleash:
    """The flags of one project, in one environment."""

    def __init__(self, api: UnleashApi, propagation: float) -> None:
        self.capabilities = Capabilities(1.0, propagation, compare_and_set="emulated", latch=True)
        self._api = api

    def read(self, flag: str) -> FlagReading:
        """What Unleash tells readers now. Raises FlagServiceError, also when it is not known who has the feature."""
        return self._api.state(flag).reading(self._api.place(flag))

    def set(self, flag: str, change: Change) -> FlagReading:
        """Serve `change.exposure`, whole percentages rounded down; nothing is written when it is served already.

        The latch of another rollout is taken away, that of `change.rollout` stays. Raises FlagConflict when the flag
        has another version than `change.expect`, or when somebody writes at the same moment: then a change that lowers
        exposure and expects no version is tried again first.
        """
        for _ in range(ATTEMPTS - 1):
            try:
                return self._set(flag, change)
            except FlagConflict:
                if change.expect is not None or _above(change.exposure, self._api.state(flag).beneath):
                    raise
        return self._set(flag, change)

    def kill(self, flag: str, change: Change) -> FlagReading:
        """Switch the flag's environment off, whatever its strategies are; then seal what is beneath the switch.

        Sealed means that a new rollout strategy of 0 %, with the latch of `change.rollout`, has taken the place of the
        old one: whoever switches the flag on again, or is about to, exposes nobody, and a step that the server has
        already compared writes to a strategy that is gone. Strategies that others have added are left alone. A seal
        that fails does not fail the kill; the reading's latch tells.
        """
        for _ in range(ATTEMPTS):
            self._api.off(flag)
            state = self._seal(flag, self._api.state(flag), change)
            if not state.enabled and state.sealed(change.rollout):
                break
        reading = state.reading(self._api.place(flag))
        if not reading.exposure.none:
            message = f"{self._api.place(flag)}: it was switched off, and somebody else switched it on again"
            raise FlagServiceError(f"{message}, so that it reads {reading.exposure}; it is killed again")
        return reading

    def init(self, flags: Sequence[str], by: str) -> Prepared:
        """Create what is missing of `flags`: the flag, its rollout strategy at 0 %, switched off.

        A flag that has strategies, or is switched on, is left alone. Raises FlagServiceError.
        """
        created = tuple(flag for flag in dict.fromkeys(flags) if self._init(flag, by))
        return Prepared(f"{SERVICE}, project {self._api.project}, environment {self._api.environment}", created)

    def preflight(self, flag: str) -> tuple[Check, ...]:
        """What would make a kill unsafe or a ramp wrong, and a write that changes nothing. Never raises."""
        return preflight(self._api, flag, self.capabilities.propagation)

    def _init(self, flag: str, by: str) -> bool:
        new = self._api.absent(flag)
        if new:
            self._api.create(flag, f"Created by slo-watchdog for {by}; its strategies are the watchdog's.")
        state = self._api.state(flag)
        if state.enabled or state.strategies:
            return new
        self._api.add(flag, new_percentage(flag, Marks(by=by, why="created")))
        return True

    def _set(self, flag: str, change: Change) -> FlagReading:
        place = self._api.place(flag)
        percent, members = asked(change, place)
        wanted = Exposure(float(percent), cohort=bool(members))
        state = self._api.state(flag)
        found = state.reading(place)
        if change.expect not in (None, found.version):
            message = f"{place}: it has version {found.version}; expected {change.expect}, as it was read"
            raise FlagConflict(f"{message}; nothing was written, it is read and decided again")
        state = self._alone(flag, state)
        latch = found.latch if change.rollout in (None, found.latch) else None
        if (found.exposure, set(found.members), found.latch) == (wanted, set(members), latch):
            return found
        self._write(flag, state, percent, members, marked(change, latch))
        if not (state.enabled or wanted.none):
            self._switch_on(flag, wanted, state.known(place).id)
        after = self.read(flag)
        if (after.exposure, set(after.members)) != (wanted, set(members)):
            message = f"{place}: it was written to serve {wanted}, and reads {after.exposure}"
            raise FlagConflict(f"{message}; somebody else changed it meanwhile; it is read and decided again")
        return after

    def _write(self, flag: str, state: State, percent: int, members: tuple[str, ...], marks: Marks) -> None:
        """Bring the strategies to what is asked, by steps that never serve more than that."""
        place = self._api.place(flag)
        percentage = state.known(place)
        if percentage.stickiness not in STICKINESSES:
            message = f"{place}: its users are dealt by {percentage.stickiness!r}; expected stickiness userId"
            raise FlagServiceError(f"{message}; correct the strategy while the flag is off", permanent=True)
        if state.cohort is not None and not set(state.members) <= set(members):
            self._api.remove(flag, state.cohort.id)
            state = self._api.state(flag)
            percentage = state.known(place)
        self._api.patch(flag, percentage.id, [*unchanged(percentage), *rolled(percent, marks)])
        if set(members) != set(state.members):
            if state.cohort is not None:
                self._api.remove(flag, state.cohort.id)
            self._api.add(flag, new_cohort(flag, members))

    def _switch_on(self, flag: str, wanted: Exposure, written: str) -> None:
        """Switch the environment on, if what is beneath is exactly what is wanted; back off if it turns out more.

        `written` is the strategy that was written: another one in its place is the seal of a kill.
        """
        place = self._api.place(flag)
        ready = self._api.state(flag)
        if ready.known(place).id != written or ready.beneath != wanted:
            message = f"{place}: it was written to serve {wanted}, and its strategies say {ready.beneath}"
            raise FlagConflict(f"{message}; somebody else changed it meanwhile; it stays switched off")
        self._api.on(flag)
        after = self._api.state(flag)
        replaced = after.percentage is None or after.percentage.id != written
        if after.enabled and (replaced or after.problems or _above(after.beneath, wanted)):
            self._api.off(flag)
            message = f"{place}: when it was switched on, somebody else had killed it or widened its strategies"
            raise FlagConflict(f"{message}; it was switched off again")

    def _seal(self, flag: str, state: State, change: Change) -> State:
        """Take what is beneath the switch to nobody and leave the latch, best effort; the flag as it is afterwards.

        The server compares and writes a patch in two steps, so a step in flight could write over a seal that is a
        patch, too. What is new is there before what is old goes: a flag without a strategy serves everybody when on.
        """
        if state.sealed(change.rollout):
            return state
        with contextlib.suppress(FlagServiceError):
            old = state.mine
            if old and state.seal(change.rollout) is None:
                latch = change.rollout or state.marks.latch
                self._api.add(flag, new_percentage(old[0].group or flag, marked(change, latch)))
                for replaced in old:  # a person may have written over its title: it is still the one to go
                    self._api.remove(flag, replaced.id)
                state = self._api.state(flag)
            state = self._alone(flag, state, change.rollout)
            if state.cohort is not None:
                self._api.remove(flag, state.cohort.id)
        return self._api.state(flag)

    def _alone(self, flag: str, state: State, rollout: str | None = None) -> State:
        """Of several strategies of the watchdog, which a kill leaves that was cut short, keep the one that seals."""
        kept = state.seal(rollout)
        if len(state.owns) < 2 or kept is None:
            return state
        for other in state.owns:
            if other.id != kept.id:
                self._api.remove(flag, other.id)
        return self._api.state(flag)


def _above(exposure: Exposure, limit: Exposure) -> bool:
    return exposure.percent > limit.percent or (exposure.cohort and not limit.cohort)


def open_unleash(settings: ServiceSettings) -> Unleash:
    """The service that the settings name. Reaches nothing yet. Raises ConfigError."""
    token = settings.token.get_secret_value() if settings.token is not None else ""
    rest = Rest(
        (settings.url or "").removesuffix("/api"),
        service=SERVICE,
        timeout=settings.timeout,
        headers={"Authorization": token},
        secrets=(token,),
        verify=str(settings.ca_file) if settings.ca_file is not None else True,
    )
    return Unleash(UnleashApi(rest, settings.project, settings.environment), settings.worst_propagation)
