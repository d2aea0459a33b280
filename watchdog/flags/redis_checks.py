"""What a preflight looks at in Redis: everything that would make a kill unsafe there. Nothing here raises."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from watchdog.errors import FlagServiceError
from watchdog.flags import flagd_document as flagd
from watchdog.flags.base import Check
from watchdog.flags.flagd_asked import refuse_other_era
from watchdog.flags.redis_document import RedisDocument
from watchdog.flags.redis_store import RedisStore
from watchdog.model import EMERGENCY_FLAGS

REPAIR = "repair it, then run the preflight again"


def check_set(document: RedisDocument, flag: str) -> Iterator[Check]:
    """The server, then the flag, then a write that changes nothing and is read back, then the history."""
    store = document.store
    try:
        about = store.ask(store.client.info)
    except FlagServiceError as error:
        yield Check("connection", ok=False, found=str(error), todo=REPAIR)
        return
    yield Check("connection", ok=True, found=f"{store.place} runs Redis {about.get('redis_version', '?')}")
    yield _primary(about)
    yield _persistent(store, about)
    yield _kept(about)
    yield from _flag(document, flag)
    yield _history(document)


def _check(name: str, found: str, todo: str, *, ok: bool) -> Check:
    """A check that says what to do only where something is to be done."""
    return Check(name, ok=ok, found=found, todo="" if ok else todo)


def _primary(about: dict[str, Any]) -> Check:
    role = about.get("role", "unknown")
    found = f"it is a {'primary' if role == 'master' else role}"
    return _check("primary", found, "point flags.url at the primary", ok=role == "master")


def _persistent(store: RedisStore, about: dict[str, Any]) -> Check:
    """Whether a restart brings the flags back."""
    name = "persistence"
    if about.get("aof_enabled") == 1:
        return Check(
            name, ok=True, found=f"every write is appended to a file (fsync: {_setting(store, 'appendfsync')})"
        )
    todo = "set `appendonly yes`: after a restart the flags would be gone, and a latch with them"
    save = _setting(store, "save")
    if save == "cannot be asked":
        found = "nothing is appended to a file, and whether snapshots are saved cannot be asked (CONFIG GET)"
        return Check(name, ok=False, found=found, todo=todo)
    if not save:
        return Check(name, ok=False, found="nothing is kept on disk", todo=todo)
    return Check(name, ok=True, found=f"snapshots only (save {save}): a crash loses the changes since the last one")


def _kept(about: dict[str, Any]) -> Check:
    """Whether Redis may throw the flags away when memory runs short."""
    policy = str(about.get("maxmemory_policy", "unknown"))
    limited = about.get("maxmemory", 1) != 0
    safe = policy == "noeviction" or policy.startswith("volatile-") or not limited
    found = f"maxmemory-policy is {policy}" + ("" if limited else ", without a limit of memory")
    return _check("eviction", found, "set it to noeviction or a volatile- one: flags may not vanish", ok=safe)


def _flag(document: RedisDocument, flag: str) -> Iterator[Check]:
    try:
        found = document.current()
        reading = document.reading(found, flag)
    except FlagServiceError as error:
        yield Check("flag", ok=False, found=str(error), todo=REPAIR)
        return
    yield Check("flag", ok=True, found=f"{flag} reads {reading.exposure}")
    off = found["flags"][flag]["variants"]["off"]
    yield Check("off", ok=off is False, found=f'a kill serves everybody "off", which is {str(off).lower()}')
    try:
        refuse_other_era(found, document.bucketing, document.audiences, document.store.place)
    except FlagServiceError as error:
        yield Check("bucketing", ok=False, found=str(error), todo=REPAIR)
        return
    yield Check("bucketing", ok=True, found=f"users are dealt by {document.bucketing}")
    switches = [name for name in found["flags"] if name in EMERGENCY_FLAGS]
    mixed = bool(switches) and len(switches) < len(found["flags"])
    held = f"the set holds {', '.join(switches) or 'no emergency flag'}" + (" and other flags" if mixed else "")
    yield _check("emergency flags", held, "give them a set of their own (emergency.set)", ok=not mixed)
    try:
        number = _touched(document, flag)
    except FlagServiceError as error:
        yield Check("write", ok=False, found=str(error), todo="repair it: a kill would fail likewise")
        return
    yield Check("write", ok=True, found=f"written unchanged as version {number} by compare-and-set, and read back")


def _touched(document: RedisDocument, flag: str) -> int:
    """Write the set as it is, as a new version, and read it back. The version of the flag itself stays."""
    for look in document.looks():
        found = document.parsed(look.stored)
        version = flagd.fingerprint(document.entry(found, flag))
        audit = {"action": "preflight", "flag": flag, "by": "watchdog", "why": "a write that changes nothing"}
        if look.put(found, {}, audit) is None:
            continue
        back = document.current()
        number = look.number(found)
        if flagd.version_of(back) < number or flagd.fingerprint(document.entry(back, flag)) != version:
            message = f"{document.place(flag)}: it reads otherwise than it was written just before; "
            raise FlagServiceError(message + "expected the same; find out who else writes there.")
        return number
    raise AssertionError("unreachable: the last look raises")


def _history(document: RedisDocument) -> Check:
    try:
        found = document.last_kept()
    except FlagServiceError as error:
        return Check("history", ok=False, found=str(error), todo=REPAIR)
    if found is None:
        todo = "run `slo-watchdog flags init`, or change a flag: a kill may need a good document to go back to"
        return Check("history", ok=False, found="it holds no good document", todo=todo)
    return Check("history", ok=True, found=f"its newest good document is version {flagd.version_of(found)}")


def _setting(store: RedisStore, name: str) -> str:
    try:
        return str(store.ask(lambda: store.client.config_get(name)).get(name, ""))
    except FlagServiceError:
        return "cannot be asked"
