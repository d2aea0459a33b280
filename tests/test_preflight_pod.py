"""A SQLite ledger in a pod: which volumes outlive the pod, told from the mounts that the kernel shows in there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.preflighting import OBJECTIVES, RULE
from tests.processes import Installation
from watchdog.preflight.storage import LAYER, filesystem, in_pod, passing

KUBELET = "/var/lib/kubelet/pods/4f0c6f2e-7b53-4d0c-9a53-2d4a1f1d9c11/volumes"
LAYERS = "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots"
DISK = "rw,relatime - ext4 /dev/nvme0n1p1 rw,discard"
POD = rf"""1437 1322 0:312 / / ro,relatime master:533 - overlay overlay rw,lowerdir={LAYERS}/90/fs
1438 1437 0:314 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
1439 1437 0:315 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755,inode64
1441 1439 0:305 / /dev/mqueue rw,nosuid,nodev,noexec,relatime - mqueue mqueue rw
1442 1437 0:310 / /sys ro,nosuid,nodev,noexec,relatime - sysfs sysfs ro
1443 1442 0:30 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate,memory_recursiveprot
1444 1437 259:1 {KUBELET}/kubernetes.io~empty-dir/state /var/lib/slo-watchdog {DISK}
1445 1437 0:297 / /tmp rw,relatime - tmpfs tmpfs rw,size=16384k,inode64,noswap
1446 1437 259:1 {KUBELET}/kubernetes.io~configmap/config/..2026_11_23_09_00 /etc/slo-watchdog {DISK}
1447 1437 0:298 / /run/secrets/slo-watchdog ro,relatime - tmpfs tmpfs rw,size=8039656k,inode64,noswap
1448 1437 259:3 / /data/claim rw,relatime - ext4 /dev/nvme1n1 rw
1449 1437 259:3 /watchdog /data/part rw,relatime - ext4 /dev/nvme1n1 rw
1450 1437 259:1 /srv/slo-watchdog /data/host {DISK}
1451 1437 259:5 /pods/4f0c/volumes/kubernetes.io~empty-dir/own\040disk/sub /data/sub rw,relatime - xfs /dev/vdb rw
1452 1437 0:299 /exports/claim /data/nfs rw,relatime - nfs4 10.0.0.9:/exports rw,vers=4.2,hard
1439 1437 259:1 {KUBELET}/kubernetes.io~local-volume/disk /data/local {DISK}
"""
"""/proc/self/mountinfo in a container of containerd: its layer, volumes of each kind, and what else is mounted."""
BLOCK_LAYER = "1437 1322 253:7 / / rw,relatime - ext4 /dev/mapper/containerd-snapshot-91 rw\n"
"""The same layer where containerd keeps it on a block device of its own."""
EMPTY = "an emptyDir, which goes with the pod"
MEMORY = "memory, which goes with the pod"


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("/watchdog.db", LAYER),
        ("/home/slo-watchdog/watchdog.db", LAYER),
        ("/var/lib/slo-watchdog/watchdog.db", EMPTY),
        ("/data/sub/watchdog.db", EMPTY),
        ("/tmp/watchdog.db", MEMORY),  # noqa: S108 - an emptyDir with medium: Memory
        ("/data/claim/watchdog.db", None),
        ("/data/part/watchdog.db", None),
        ("/data/host/watchdog.db", None),
        ("/data/nfs/watchdog.db", None),
        ("/data/local/watchdog.db", None),
    ],
)
def test_what_a_volume_of_a_pod_outlives(place: str, why: str | None) -> None:
    assert passing(filesystem(Path(place), POD), pod=True) == why


def test_the_layer_of_a_container_is_known_whatever_it_is_kept_on() -> None:
    mount = filesystem(Path("/var/lib/watchdog.db"), BLOCK_LAYER)
    assert passing(mount, pod=True) == LAYER
    assert passing(mount, pod=False) is None, "outside of a pod that is a disk like any other"


def test_outside_of_a_pod_only_what_never_lasts_is_refused() -> None:
    assert passing(filesystem(Path("/var/lib/slo-watchdog/watchdog.db"), POD), pod=False) is None
    assert passing(filesystem(Path("/watchdog.db"), POD), pod=False) == LAYER


def test_the_sentence_names_the_directory_that_is_mounted() -> None:
    assert filesystem(Path("/data/sub/deeper/watchdog.db"), POD).root.endswith("/own disk/sub")
    assert filesystem(Path("/data/sub/deeper/watchdog.db"), POD).point == "/data/sub"


def test_a_pod_is_known_by_what_kubernetes_puts_into_it(tmp_path: Path) -> None:
    assert in_pod({"KUBERNETES_SERVICE_HOST": "10.96.0.1"}, tmp_path / "nothing")
    assert in_pod({}, tmp_path)
    assert not in_pod({}, tmp_path / "nothing")
    assert not in_pod({"KUBERNETES_SERVICE_HOST": ""}, tmp_path / "nothing")


def test_the_command_refuses_it_in_a_pod_and_says_what_to_do(tmp_path: Path) -> None:
    """On memory, which every Linux has: whatever disk these tests run on."""
    memory = Path("/dev/shm") / f"slo-watchdog-{os.getpid()}.db"  # noqa: S108 - what is to be refused
    site = Installation(tmp_path, "http://127.0.0.1:9", ledger=f"sqlite:///{memory}")
    site.rollout("checkout-1", OBJECTIVES, **RULE)
    try:
        done = site.run("preflight", "--json", "--no-drill", environ={"KUBERNETES_SERVICE_HOST": "10.96.0.1"})
    finally:
        for file in memory.parent.glob(f"{memory.name}*"):
            file.unlink()
    (check,) = [one for one in done.data["checks"] if one["name"] == "lies on storage that lasts"]
    assert (done.status, check["ok"], check["level"]) == (1, False, "blocker")
    assert "(mounted at /dev/shm), memory, which goes with the pod" in check["found"]
    assert "PersistentVolumeClaim" in check["todo"]
    assert "PostgreSQL" in check["todo"]
