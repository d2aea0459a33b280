"""Deeds and emergencies: the flags beside the rollout's own, written when it was decided, read at every tick.

`decide` decides deeds, they are recorded, and `drive` does them: tick after tick until the service says so. All of them
at once, because a receiver that hangs must cost its timeout once and keep nothing else waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Protocol

from watchdog.control import Control
from watchdog.decide import Emergency
from watchdog.errors import FlagServiceError
from watchdog.flags.base import Change, Documented, FlagService
from watchdog.flags.flagd_document import BY, ROLLOUT, WHY
from watchdog.model import EMERGENCY_FLAGS, NOBODY, Deed, Exposure, FlagReading, Rollout
from watchdog.ramp import above

ENGINE = "slo-watchdog"
EVERYBODY = Exposure(100.0)
MOST_AT_ONCE = 16


class Places(Protocol):
    """Where deeds are done; a FlagSystem is one."""

    @property
    def emergency(self) -> FlagService:
        """The service of the emergency flags."""
        ...

    @property
    def secondary(self) -> Mapping[str, FlagService]:
        """The other configured services by name."""
        ...


def drive(control: Control, places: Places, rollout: Rollout, clock: Callable[[], float]) -> tuple[Deed, ...]:
    """Try every deed that is not confirmed, and return all of them, with stamps or with what went wrong.

    Takes as long as the slowest service's timeout. A service that fails leaves its sentence in the deed's `error`.
    """
    undone = [deed for deed in control.deeds if deed.confirmed_at is None]
    if not undone:
        return control.deeds
    if len(undone) == 1:
        driven = [_do(undone[0], places, rollout, clock)]
    else:
        with ThreadPoolExecutor(min(len(undone), MOST_AT_ONCE), thread_name_prefix="deed") as pool:
            driven = list(pool.map(lambda deed: _do(deed, places, rollout, clock), undone))
    results = iter(driven)
    return tuple(deed if deed.confirmed_at is not None else next(results) for deed in control.deeds)


def _do(deed: Deed, places: Places, rollout: Rollout, clock: Callable[[], float]) -> Deed:
    service = places.emergency if deed.kind == "emergency" else places.secondary.get(deed.service)
    if service is None:
        known = ", ".join(sorted(places.secondary)) or "none"
        return replace(deed, error=f"there is no flag service {deed.service!r}; configured are: {known}; add it")
    try:
        reading = _write(deed, service, rollout)
    except FlagServiceError as error:
        return replace(deed, error=str(error))
    stamp = clock()
    deed = replace(deed, acted_at=deed.acted_at if deed.acted_at is not None else stamp)
    if _done(deed, reading, service.capabilities.smallest_step):
        return replace(deed, confirmed_at=stamp, error="")
    return replace(deed, error=f"it was written, and still reads {reading.exposure}")


def _write(deed: Deed, service: FlagService, rollout: Rollout) -> FlagReading:
    idem = f"{rollout.name}:{deed.service}:{deed.flag}:{deed.kind}:{deed.decided_at:.0f}"
    if deed.kind == "kill":
        return service.kill(deed.flag, Change(NOBODY, (), ENGINE, deed.why, rollout.name, idem))
    # No rollout owns an emergency flag: who and why are for everybody to read in it, as with a change by hand.
    return service.set(deed.flag, Change(EVERYBODY, (), ENGINE, f"{rollout.name}: {deed.why}", None, idem))


def _done(deed: Deed, reading: FlagReading, smallest_step: float) -> bool:
    if deed.kind == "kill":
        return reading.exposure.none
    return not above(EVERYBODY, reading.exposure, smallest_step)


def emergencies(service: FlagService, flags: Sequence[str] = EMERGENCY_FLAGS) -> tuple[tuple[Emergency, ...], str]:
    """The emergency flags that are on, and why some cannot be read, empty when all can.

    A set that nobody has ever set up has no flag that could be on. A set that is broken, or lacks one of the flags, is
    unknown. A flag that is on for anybody at all is on.
    """
    on, unknown = [], []
    for flag in flags:
        try:
            reading = service.read(flag)
        except FlagServiceError as error:
            if error.missing_set:
                return (), ""
            unknown.append(str(error))
            if not error.permanent:
                break  # the service is away: the other flags would cost its timeout once more each
            continue
        if not reading.exposure.none:
            on.append(flag)
    return tuple(_signed(service, on)), "; ".join(dict.fromkeys(unknown))


def _signed(service: FlagService, flags: Sequence[str]) -> list[Emergency]:
    """These flags with who switched them on and why, where the service's document says so."""
    marks: Mapping[str, Any] = {}
    if flags and isinstance(service, Documented):
        try:
            marks = service.document()[1]["flags"]
        except FlagServiceError:
            marks = {}  # that it is on is known; by whom must not matter
    return [_emergency(flag, marks.get(flag, {}).get("metadata", {})) for flag in flags]


def _emergency(flag: str, marks: Mapping[str, Any]) -> Emergency:
    rollout = marks.get(ROLLOUT)
    by = str(marks.get(BY, "") or (ENGINE if rollout else ""))
    return Emergency(flag, by, str(marks.get(WHY, "") or (f"rollout {rollout}" if rollout else "")))
