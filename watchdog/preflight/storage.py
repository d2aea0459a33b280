"""Where a file lies, how much room is there, and how much a ledger will want."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from watchdog.model import Rollout

PER_ANSWER = 200.0
"""Bytes that one objective adds in one slot, steps, slices and readings included; measured are about 60."""
BASE = 64 * 1024 * 1024
"""Bytes for what does not grow with time: the write-ahead log, reports, a copy while a schema is brought up to date."""
LAYER = "the layer of a container, which goes with the container"
MEMORY = "memory, which forgets at the next boot"
PASSING = {
    "tmpfs": MEMORY,
    "ramfs": MEMORY,
    "overlay": LAYER,
    "fuse.fuse-overlayfs": LAYER,
    "aufs": LAYER,
}
"""File systems on which nothing lasts, anywhere."""
EMPTY_DIR = "kubernetes.io~empty-dir"
"""What the kubelet calls the directory of every volume of this kind, be it on its disk or in memory."""
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
WAITS = 2.0
"""A watch takes so many times its plan: steps wait, windows start again."""


def needed(rollouts: Iterable[Rollout]) -> float:
    """Bytes that the ledger may grow by until all of them have ended."""
    return BASE + sum(
        WAITS * (one.ramp.seconds + one.window.seconds) / one.interval * len(one.objectives) * PER_ANSWER
        for one in rollouts
    )


def room(directory: Path) -> float:
    """Bytes that this user may still write there. Raises OSError."""
    found = os.statvfs(directory)
    return float(found.f_bavail * found.f_frsize)


class Mount(NamedTuple):
    """A mounted file system: its kind, where it is mounted, and which directory of it is."""

    kind: str
    point: str
    root: str


def filesystem(path: Path, table: str) -> Mount:
    """What `path` lies on; `table` is as /proc/self/mountinfo.

    The newest mount of the longest point wins; `unknown` where the table has none.
    """
    found = Mount("unknown", "", "")
    for line in table.splitlines():
        before, _, after = line.partition(" - ")
        fields, words = before.split(" "), after.split(" ")
        if len(fields) < 5:
            continue
        root, mounted = (re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), text) for text in fields[3:5])
        if path.is_relative_to(mounted) and len(mounted) >= len(found.point):
            found = Mount(words[0], mounted, root)
    return found


def in_pod(environ: Mapping[str, str], service_account: Path = SERVICE_ACCOUNT) -> bool:
    """Whether this process runs in a pod of Kubernetes."""
    return bool(environ.get("KUBERNETES_SERVICE_HOST")) or service_account.exists()


def passing(mount: Mount, *, pod: bool) -> str | None:
    """Why nothing on this mount lasts, in words; None when it may.

    In a pod, which is replaced at every upgrade, what is no volume at all goes with the container whatever its kind is,
    and an emptyDir goes with the pod though it is on a disk. A volume in memory cannot be told from other memory.
    """
    if pod and EMPTY_DIR in mount.root:
        return "an emptyDir, which goes with the pod"
    if pod and mount.point == "/":
        return LAYER
    if pod and mount.kind in {"tmpfs", "ramfs"}:
        return "memory, which goes with the pod"
    return PASSING.get(mount.kind)


def megabytes(size: float) -> str:
    """A number of bytes for a sentence."""
    return f"{size / 1e6:,.0f} MB"
