"""What people do to flags, by command or over HTTP: set, kill, revert and switch, with the same rules for both."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

from watchdog.audit import AuditedFlags, ChangeLog, exposure_in, members_in
from watchdog.audit.contents import exposes_more
from watchdog.errors import FlagServiceError, LedgerError, Refused
from watchdog.flags.base import Change
from watchdog.flagsystem import FlagSystem
from watchdog.model import EMERGENCY_FLAGS, NOBODY, Exposure, FlagReading

EVERYBODY = Exposure(100.0)


class ByHand:
    """Changes by a person, recorded in `changes`; while the ledger cannot be used, flags can only be lowered.

    Every method returns what the flag reads afterwards and raises Refused, LedgerError or FlagServiceError.
    """

    def __init__(self, system: FlagSystem, changes: ChangeLog) -> None:
        self.system = system
        self.changes = changes

    def service(self, flag: str, name: str | None = None) -> AuditedFlags:
        """The service that is meant: by name, else the one where such a flag is."""
        return self.system.service_for(flag) if name is None else self.system.named(name)

    def set(self, flag: str, percent: float, by: str, why: str, *, service: str | None = None) -> FlagReading:
        """Serve the flag to a percentage of all. Refused if that raises what an active rollout owns."""
        if self._is_switch(flag, service):
            if percent not in (0.0, 100.0):
                raise Refused(f"{flag} is an emergency flag: it is on (100) or off (0), not {percent:g}")
            return self.switch(flag, by, why, on=percent == 100.0)
        place = self.service(flag, service)
        change = self._change(Exposure(percent), (), by, why)
        if percent > 0 and self._raises(place, flag, change):
            self._refuse_owned(flag, place)
        return place.set(flag, change)

    def kill(self, flag: str, by: str, why: str, *, service: str | None = None) -> FlagReading:
        """Take the flag from everybody; nothing is asked or waited for first."""
        return self.service(flag, service).kill(flag, self._change(NOBODY, (), by, why))

    def switch(self, flag: str, by: str, why: str, *, on: bool) -> FlagReading:
        """Turn an emergency flag on or off for everybody, creating the set first if nobody ever did."""
        if flag not in EMERGENCY_FLAGS:
            raise Refused(f"there is no emergency flag {flag!r}; there are {', '.join(EMERGENCY_FLAGS)}")
        place, change = self.system.emergency, self._change(EVERYBODY if on else NOBODY, (), by, why)
        write = place.set if on else place.kill
        try:
            return write(flag, change)
        except FlagServiceError as error:
            if not error.missing_set:
                raise
        place.init(EMERGENCY_FLAGS, by)
        return write(flag, change)

    def revert(self, flag: str, version: int, by: str, why: str, *, service: str | None = None) -> FlagReading:
        """Give the flag the content of an earlier version, as a new version.

        Refused for a content that nobody knew; and if it would raise, for a flag that an active rollout owns or that
        carries a latch.
        """
        place = self.service(flag, service)
        stored = self.changes.reading().flag_version(place.name, flag, version)
        if stored is None:
            raise Refused(f"{flag} has no version {version}; `slo-watchdog flags history {flag}` lists those it has")
        exposure, members = exposure_in(stored.change.after), members_in(stored.change.after)
        if exposure is None:
            raise Refused(f"{flag}: nobody knows whom version {version} exposed; choose another, or `flags set` it")
        if self._is_switch(flag, service):
            return self.switch(flag, by, why, on=exposure.percent >= 100)
        change = self._change(exposure, members if exposure.cohort else (), by, f"revert to version {version}: {why}")
        now = place.read_surely(flag)
        if exposes_more(change, now, place.capabilities.smallest_step):
            self._refuse_owned(flag, place)
            if now.latch is not None:
                raise Refused(
                    f"{flag} was killed by the rollback of {now.latch}, and version {version} would expose it again to "
                    f"{exposure}; a revert does not do that. If the cause is gone, `flags set {flag} PERCENT` does"
                )
        compares = place.capabilities.compare_and_set != "none"
        expect = now.version if compares and now.version else None
        return place.acting("revert").set(flag, replace(change, expect=expect))

    @staticmethod
    def _raises(place: AuditedFlags, flag: str, change: Change) -> bool:
        """Whether it exposes anybody new; assumed of a flag that cannot be read, which the service may still lower."""
        try:
            return exposes_more(change, place.read_surely(flag), place.capabilities.smallest_step)
        except FlagServiceError:
            return True

    def _is_switch(self, flag: str, service: str | None) -> bool:
        return flag in EMERGENCY_FLAGS and self.service(flag, service) is self.system.emergency

    def _refuse_owned(self, flag: str, place: AuditedFlags) -> None:
        """Nobody raises by hand what a rollout raises step by step: it would be set back at once."""
        if place is not self.system.primary:
            return
        try:
            owner = self.changes.reading().active_on(flag)
        except LedgerError as error:
            raise LedgerError(f"{flag} can be lowered and killed, but not raised: {error}") from error
        if owner is not None:
            raise Refused(
                f"{flag} belongs to {owner.name}, which is {owner.phase.value}: it would be set back at once; "
                "stop the rollout first"
            )

    @staticmethod
    def _change(exposure: Exposure, cohort: tuple[str, ...], by: str, why: str) -> Change:
        return Change(exposure, cohort, by, why, idem=f"{by}:{uuid4()}")
