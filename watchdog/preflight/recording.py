"""Whether what happens can be recorded, lasts, and has room until the end of every watch."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from watchdog.flags.base import Check
from watchdog.model import Phase
from watchdog.preflight.ground import Ground, Looked, Sight
from watchdog.preflight.storage import filesystem, in_pod, megabytes, needed, passing, room
from watchdog.preflight.verdict import Level
from watchdog.quantities import format_duration

SQLITE = "sqlite:///"
DURABLE: Mapping[str, tuple[str, ...]] = {
    "journal_mode": ("wal",),
    "synchronous": ("2", "3"),
    "fsync": ("on",),
    "synchronous_commit": ("on", "remote_write", "remote_apply", "local"),
    "full_page_writes": ("on",),
}
"""What each setting of a database must be for a commit to outlive a crash."""
OUTSIDE = "put the ledger on a volume that lasts, or on PostgreSQL"
IN_POD = "mount a volume of a PersistentVolumeClaim there and run one replica (docs/kubernetes.md), or use PostgreSQL"


def ledger(ground: Ground) -> Looked:
    """A row committed, read back and taken away; where it lies, and how much room there is."""
    settings = ground.ledger.prove_durable(secrets.token_hex(16))
    place = ground.ledger.place
    yield None, Check("can be written", ok=True, found=f"{place} took a row, read it back, and gave it up again")
    yield None, _committed(settings)
    yield from _kept(ground)
    yield from _space(ground)
    yield None, _reports(ground.settings.reports.dir)
    for rollout in ground.configured:
        stored = ground.stored(rollout)
        if stored is not None and stored.phase is Phase.PENDING and stored.sha256 != rollout.sha256:
            todo = "give the changed file a new name"
            found = "the file has changed since the daemon first saw it, and that rule is frozen"
            yield rollout, Check("rule unchanged", ok=False, found=found, todo=todo)


def _committed(settings: Mapping[str, str]) -> Check:
    """Whether the database waits for the disk before it says that something is recorded."""
    told = ", ".join(f"{name} is {value}" for name, value in settings.items())
    wrong = [name for name, value in settings.items() if value.lower() not in DURABLE[name]]
    todo = " and ".join(f"{name} = {DURABLE[name][0]}" for name in wrong)
    return Check("a commit outlives a crash", ok=not wrong, found=told, todo=f"set {todo}" if wrong else "")


def _file(ground: Ground) -> Path | None:
    """The ledger's file; None for one on a server."""
    url = ground.settings.ledger
    return Path(url.removeprefix(SQLITE).partition("?")[0]).resolve() if url.startswith(SQLITE) else None


def _kept(ground: Ground) -> Looked:
    file = _file(ground)
    if file is None:
        return
    pod = in_pod(os.environ)
    mount = filesystem(file, Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace"))
    why = passing(mount, pod=pod)
    found = f"{file} is on {mount.kind} (mounted at {mount.point})"
    if why is not None:
        found += f", {why}"
        if ground.settings.preflight.allow_ephemeral:
            found += "; preflight.allow_ephemeral accepts it"
    ok = why is None or ground.settings.preflight.allow_ephemeral
    todo = IN_POD if pod else OUTSIDE
    yield None, Check("lies on storage that lasts", ok, found, "" if ok else todo)


def _space(ground: Ground) -> Looked:
    """Free space against what the rollouts that are under way, or may start, will write."""
    need = needed(ground.rollouts)
    longest = max((one.ramp.seconds + one.window.seconds for one in ground.rollouts), default=0.0)
    wanted = f"{megabytes(need)} for {len(ground.rollouts)} rollouts of up to {format_duration(longest)}"
    file = _file(ground)
    if file is None:
        found = f"the disk of {ground.ledger.place} cannot be seen from here; it needs {wanted}"
        yield Sight(None, Check("has room", ok=False, found=found, todo="see there"), Level.WARNING)
        return
    free = room(file.parent)
    todo = "free space on that file system, or move the ledger to another one"
    found = f"{megabytes(free)} are free in {file.parent}, needed are {wanted}"
    yield None, Check("has room", free >= need, found, "" if free >= need else todo)


def _reports(directory: Path) -> Check:
    there = next(one for one in (directory, *directory.absolute().parents) if one.exists())
    writable = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    said = f"{directory} {'can' if writable else 'cannot'} be written"
    return Check("reports directory", ok=writable, found=said, todo="give this user a directory to write in")
