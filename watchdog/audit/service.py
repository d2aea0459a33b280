"""A flag service with its audit around it: the same port, and every change on record with who, what and why.

Raising exposure needs its intention committed first: nothing is raised without a record. Lowering and killing never
wait for one: they are done, then recorded, through the journal if the ledger is down.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

from watchdog.audit.contents import actor_kind, asked, content_of, exposes_more, mark_of, serves_alike, uid_of
from watchdog.audit.log import ChangeLog, Observer
from watchdog.audit.repeats import Repeats, new_key
from watchdog.audit.sight import Known, Sight
from watchdog.errors import FlagServiceError, LedgerError
from watchdog.flags.base import Capabilities, Change, Check, Documented, ManagedFlagService, Prepared
from watchdog.ledger import Content, FlagChange, StoredChange
from watchdog.model import NOBODY, FlagReading

EMERGENCY = "emergency"
"""The action of emergency flags."""


class AuditedFlags:
    """`service` under the name that it has in the audit. `actions` names the action for flags of a special kind.

    Emergency flags wait for no record in either direction: whoever needs them needs them at once. Without `changes`
    nothing is recorded and a raise asks for no record: for commands that only look.
    """

    def __init__(
        self,
        service: ManagedFlagService,
        name: str,
        changes: ChangeLog | None,
        clock: Callable[[], float],
        *,
        actions: Mapping[str, str] | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.service = service
        self.name = name
        self.changes = changes
        self._clock = clock
        self._actions = dict(actions or {})
        self._observer = observer
        self._sight = Sight(name, changes, clock, self._counted) if changes is not None else None
        self._last: dict[str, FlagReading] = {}
        self._repeats = Repeats()
        self._acting = ""

    @property
    def capabilities(self) -> Capabilities:
        """Those of the service."""
        return self.service.capabilities

    def acting(self, action: str) -> AuditedFlags:
        """The same service, with all that it remembers; its changes are recorded as this action."""
        other = copy.copy(self)
        other._acting = action  # noqa: SLF001 - a view of this very object
        return other

    # --- the port ---------------------------------------------------------------------------------------------------

    def read(self, flag: str) -> FlagReading:
        """What the flag serves now; who changed it, if that is not on record yet, is found out on the way.

        Raises what the service raises, and nothing for the audit's sake.
        """
        writes = self._sight.writes(flag) if self._sight is not None else 0
        try:
            reading = self.service.read(flag)
        except FlagServiceError as error:
            if error.permanent and self._sight is not None:
                self._sight.unreadable(flag, str(error))
            raise
        if self._sight is not None and self.capabilities.readable:
            self._sight.look(flag, reading, writes)
        self._show(flag, reading)
        return reading

    def read_surely(self, flag: str) -> FlagReading:
        """`read`, once more if the first reading left open who changed the flag; for programs that read once."""
        reading = self.read(flag)
        if self._sight is not None and self._sight.undecided(flag):
            reading = self.read(flag)
        return reading

    def last(self, flag: str) -> FlagReading | None:
        """What this process last saw of the flag, without asking anybody."""
        return self._last.get(flag)

    def set(self, flag: str, change: Change) -> FlagReading:
        """As the service's `set`. A raise whose intention the ledger does not take is a FlagServiceError."""
        change = self._repeats.keyed("set", flag, change)
        if self._actions.get(flag) != EMERGENCY and self.changes is not None:
            before = self._before(flag)
            if self._sight is not None:
                self._sight.settle(flag, at_once=True)
            if self._raises(change, before):
                self._intend(self.changes, flag, change, before)
        return self._write("set", flag, change)

    def kill(self, flag: str, change: Change) -> FlagReading:
        """As the service's `kill`; recorded afterwards, wherever there is room for it."""
        return self._write("kill", flag, self._repeats.keyed("kill", flag, change))

    def init(self, flags: Sequence[str], by: str) -> Prepared:
        """As the service's `init`; what was created is recorded."""
        prepared = self.service.init(flags, by)
        for flag in prepared.created:
            self._created(flag, by)
        return prepared

    def preflight(self, flag: str) -> tuple[Check, ...]:
        """As the service's `preflight`; its no-op write is recorded where it leaves a trace."""
        before = self._quietly(flag)
        checks = self.service.preflight(flag)
        after = self._quietly(flag)
        if before is not None and after is not None and mark_of(before) != mark_of(after):
            why = "preflight: the flag was written as it was, and read back"
            if serves_alike(content_of(before), content_of(after)):
                self._done("set", flag, Change(after.exposure, (), "slo-watchdog", why, idem=after.idem), after)
        return checks

    # --- what is recorded -------------------------------------------------------------------------------------------

    def _write(self, verb: str, flag: str, change: Change) -> FlagReading:
        if self._sight is None:
            return self._call(verb, flag, change)
        with self._sight.writing(flag):
            try:
                reading = self._call(verb, flag, change)
            except FlagServiceError as error:
                self._failed(verb, flag, change, error)
                raise
            self._sight.settle(flag, at_once=True)
            self._done(verb, flag, change, reading)
        return reading

    def _call(self, verb: str, flag: str, change: Change) -> FlagReading:
        reading = self.service.kill(flag, change) if verb == "kill" else self.service.set(flag, change)
        self._show(flag, reading)
        return reading

    def _raises(self, change: Change, before: FlagReading | None) -> bool:
        if before is None:
            return not change.exposure.none
        return exposes_more(change, before, self.capabilities.smallest_step)

    def _intend(self, changes: ChangeLog, flag: str, change: Change, before: FlagReading | None) -> None:
        """Commit what is about to be raised; the same intention twice is one row. Raises FlagServiceError."""
        was = None if before is None else content_of(before)
        row = self._row("set", flag, change, "intended", was, asked(change.exposure, change.cohort))
        try:
            changes.commit(replace(row, uid=uid_of("intended", self.name, flag, change.idem, str(row.after))))
        except LedgerError as error:
            self._counted(replace(row, result="failed"))
            why = f"it is not raised to {change.exposure}, because that could not be recorded first: {error}"
            raise FlagServiceError(f"flag {flag!r}: {why}") from error

    def _failed(self, verb: str, flag: str, change: Change, error: FlagServiceError) -> None:
        row = self._row(verb, flag, change, "failed", None, asked(change.exposure, change.cohort))
        if self._repeats.first(flag, verb, change, "failed", str(error)):
            known = self._known(flag)
            before = known.content if known is not None else None
            self._append(replace(row, error=str(error), before=before))
        self._counted(row)

    def _done(self, verb: str, flag: str, change: Change, reading: FlagReading) -> None:
        known = self._known(flag)
        alike = known is not None and known.mark == mark_of(reading)
        result = "unchanged" if alike else "applied"
        before = known.content if known is not None else None
        row = self._row(verb, flag, change, result, before, content_of(reading))
        self._repeats.done(flag, changed=not alike)
        stored = None
        if not alike or self._repeats.first(flag, verb, change, result):
            stored = self._append(replace(row, service_version=mark_of(reading)))
        if self._sight is not None and (stored is not None or not alike):
            self._sight.learn(flag, reading, stored)
        self._counted(row)

    def _created(self, flag: str, by: str) -> None:
        reading = self._quietly(flag)
        change = Change(NOBODY, (), by, "created, switched off", idem=new_key(by))
        if reading is not None:
            self._done("init", flag, change, reading)
            return
        row = self._row("init", flag, change, "applied", None, asked(NOBODY, ()))
        self._append(row)
        self._counted(row)

    def _row(
        self, verb: str, flag: str, change: Change, result: str, before: Content | None, after: Content | None
    ) -> FlagChange:
        return FlagChange(
            uid=uuid4().hex,
            at=self._clock(),
            service=self.name,
            flag=flag,
            action=self._acting or self._actions.get(flag, verb) if verb != "init" else verb,
            by=change.by,
            why=change.why,
            result=result,
            rollout=change.rollout,
            idem=change.idem,
            before=before,
            after=after,
        )

    def _append(self, row: FlagChange) -> StoredChange | None:
        return None if self.changes is None else self.changes.append(row)

    # --- what was before --------------------------------------------------------------------------------------------

    def _before(self, flag: str) -> FlagReading | None:
        """What the flag serves now, else what it last was seen to serve."""
        try:
            return self.read(flag)
        except FlagServiceError:
            # The write says what is wrong; and a lower exposure can be written on top of a broken flag.
            return self._last.get(flag)

    def _quietly(self, flag: str) -> FlagReading | None:
        try:
            return self.service.read(flag)
        except FlagServiceError:
            return None

    def _known(self, flag: str) -> Known | None:
        if self._sight is None:
            return None
        try:
            return self._sight.recorded(flag)
        except LedgerError:
            return self._sight.known(flag)

    # --- figures ----------------------------------------------------------------------------------------------------

    def _counted(self, row: FlagChange) -> None:
        if self._observer is not None:
            self._observer.on_flag_change(actor_kind(row.by, row.rollout, row.action), row.action, row.result)

    def _show(self, flag: str, reading: FlagReading) -> None:
        self._last[flag] = reading
        if self._observer is not None:
            self._observer.on_flag(self.name, flag, reading.exposure.percent)


class AuditedDocument(AuditedFlags):
    """One that holds a flagd document, and hands it on."""

    def document(self) -> tuple[str, dict[str, Any]]:
        """Version and parsed document. Raises FlagServiceError."""
        if not isinstance(self.service, Documented):
            raise FlagServiceError(f"the service {self.name} holds no flagd document", permanent=True)
        return self.service.document()


def audited(
    service: ManagedFlagService,
    name: str,
    changes: ChangeLog | None,
    clock: Callable[[], float],
    *,
    actions: Mapping[str, str] | None = None,
    observer: Observer | None = None,
) -> AuditedFlags:
    """The service with its audit around it; it shows a document if the service does."""
    kind = AuditedDocument if isinstance(service, Documented) else AuditedFlags
    return kind(service, name, changes, clock, actions=actions, observer=observer)
