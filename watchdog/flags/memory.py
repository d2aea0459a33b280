"""A flag service that lives in this process: the port's fake, and a service where nothing real is to be steered."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from watchdog.errors import FlagConflict, FlagServiceError
from watchdog.flags.base import Capabilities, Change, Check, Prepared
from watchdog.model import NOBODY, Exposure, FlagReading

CALLS = ("read", "set", "kill")


@dataclass(frozen=True, slots=True)
class Write:
    """One change that took effect: the call that made it, and what the flag read afterwards.

    `change` is None when a person made it behind the watchdog's back.
    """

    verb: str
    flag: str
    change: Change | None
    reading: FlagReading


@dataclass(frozen=True, slots=True)
class _Failure:
    error: FlagServiceError
    calls: frozenset[str]
    after: bool


class InMemoryFlags:
    """Flags in a dict, with a version counter, the latch, a script of failures and a memory of every write.

    `flags` are the flags that exist; any other is an error, unless `missing` says what an unheard-of flag serves.
    `writes` holds every change that took effect, `calls` counts the calls (`calls["set"]`), failed ones included.
    """

    def __init__(
        self,
        flags: Mapping[str, Exposure] | Iterable[str] = (),
        *,
        missing: Exposure | None = None,
        smallest_step: float = 0.001,
        propagation: float = 0.0,
    ) -> None:
        self.capabilities = Capabilities(
            smallest_step, propagation, compare_and_set="native", push=True, audiences=True, latch=True
        )
        self.writes: list[Write] = []
        self.calls: Counter[str] = Counter()
        self._missing = missing
        self._version = 0
        self._failures: deque[_Failure] = deque()
        exposures = flags if isinstance(flags, Mapping) else dict.fromkeys(flags, NOBODY)
        self._readings = {flag: self._versioned(FlagReading(exposure)) for flag, exposure in exposures.items()}

    def read(self, flag: str) -> FlagReading:
        """What the flag serves now. Raises FlagServiceError for an unknown flag, or as scripted."""
        self._call("read")
        return self._found(flag)

    def set(self, flag: str, change: Change) -> FlagReading:
        """Make the flag serve `change.exposure`; nothing is written when it does already.

        The latch of another rollout is replaced, that of `change.rollout` stays.
        """
        failure = self._call("set")
        before = self._found(flag)
        if change.expect is not None and change.expect != before.version:
            found = f"flag {flag!r}: it has version {before.version}"
            raise FlagConflict(f"{found}; expected {change.expect}, as it was read; it is read and decided again")
        cohort = change.cohort if change.exposure.cohort else ()
        latch = before.latch if change.rollout in (None, before.latch) else None
        asked = FlagReading(self._stepped(change.exposure), before.version, latch, before.idem, cohort)
        if asked != before:
            self._write("set", flag, replace(asked, idem=change.idem or before.idem), change)
        if failure is not None:
            raise failure
        return self._readings[flag]

    def kill(self, flag: str, change: Change) -> FlagReading:
        """Take the feature from everybody and leave the latch of `change.rollout`, if there is one."""
        failure = self._call("kill")
        before = self._found(flag)
        asked = FlagReading(NOBODY, before.version, change.rollout or before.latch, before.idem)
        if asked != before:
            self._write("kill", flag, replace(asked, idem=change.idem or before.idem), change)
        if failure is not None:
            raise failure
        return self._readings[flag]

    def init(self, flags: Sequence[str], by: str) -> Prepared:
        """Create what is missing, switched off."""
        created = tuple(flag for flag in dict.fromkeys(flags) if flag not in self._readings)
        for flag in created:
            self._write("init", flag, FlagReading(NOBODY), Change(NOBODY, (), by, "created"))
        return Prepared("this process's memory", created)

    def preflight(self, flag: str) -> tuple[Check, ...]:
        """Whether the flag is there; nothing else can go wrong."""
        try:
            reading = self._found(flag)
        except FlagServiceError as error:
            return (Check("flag exists", ok=False, found=str(error), todo="run `slo-watchdog flags init`"),)
        return (Check("flag exists", ok=True, found=f"it reads {reading.exposure}"),)

    def fail(self, error: FlagServiceError, *, on: Iterable[str] = CALLS, times: int = 1, after: bool = False) -> None:
        """Script failures: each of the next `times` calls named in `on` raises `error`.

        With `after` a write takes effect before it fails: the answer was lost, not the change. Scripts queue up;
        a call uses the oldest one that names it.
        """
        self._failures.extend([_Failure(error, frozenset(on), after)] * times)

    def recover(self) -> None:
        """Forget the failures not yet used."""
        self._failures.clear()

    def changed_by_person(self, flag: str, exposure: Exposure) -> FlagReading:
        """Somebody turns the flag without the watchdog; creates it when it does not exist."""
        before = self._readings.get(flag, FlagReading(NOBODY))
        self._write("person", flag, FlagReading(exposure, latch=before.latch, idem=before.idem), None)
        return self._readings[flag]

    def removed_by_person(self, flag: str) -> None:
        """Somebody deletes the flag; reading it is an error from now on."""
        self._missing = None
        self._readings.pop(flag, None)

    def _call(self, verb: str) -> FlagServiceError | None:
        """Count the call; raise what is scripted for it, or hand back the error that follows its effect."""
        self.calls[verb] += 1
        for failure in self._failures:
            if verb in failure.calls:
                self._failures.remove(failure)
                if failure.after and verb != "read":
                    return failure.error
                raise failure.error
        return None

    def _found(self, flag: str) -> FlagReading:
        if flag not in self._readings:
            if self._missing is None:
                known = ", ".join(sorted(self._readings)) or "no flag at all"
                message = f"flag {flag!r}: not in the in-memory service, which holds {known}; create it first"
                raise FlagServiceError(message, permanent=True)
            self._readings[flag] = self._versioned(FlagReading(self._missing))
        return self._readings[flag]

    def _stepped(self, exposure: Exposure) -> Exposure:
        """As a service of this smallest step keeps it."""
        step = self.capabilities.smallest_step
        return replace(exposure, percent=round(round(exposure.percent / step) * step, 9))

    def _write(self, verb: str, flag: str, reading: FlagReading, change: Change | None) -> None:
        self._readings[flag] = self._versioned(reading)
        self.writes.append(Write(verb, flag, change, self._readings[flag]))

    def _versioned(self, reading: FlagReading) -> FlagReading:
        self._version += 1
        return replace(reading, version=str(self._version))
