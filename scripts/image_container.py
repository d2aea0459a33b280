"""The unpacked image as a container, without an engine: namespaces, a read-only root, its own user and no rights.

    with Container(Path("build/image/rootfs"), image, state=state, config=config) as container:
        container.run("/usr/bin/python3", "-I", "-S", "/usr/local/lib/slo-watchdog/healthcheck.py")
        container.stop(within=10)

It has process ids, network, mounts and host name of its own; its first process is the image's ENTRYPOINT with its CMD.
Needs root.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

SET_UP = """
mount --make-rprivate /
mount --bind "$ROOTFS" "$AT"
mount -t proc -o nosuid,nodev,noexec proc "$AT/proc"
mount -t tmpfs -o mode=755,nosuid tmpfs "$AT/dev"
for name in null zero full random urandom; do : >"$AT/dev/$name"; mount --bind "/dev/$name" "$AT/dev/$name"; done
mount -t tmpfs -o nosuid,nodev,size=16m tmpfs "$AT/tmp"
mount --bind "$STATE" "$AT$STATE_AT"
mount --bind "$CONFIG" "$AT/etc/slo-watchdog"
mount -o remount,bind,ro "$AT/etc/slo-watchdog"
mount -o remount,bind,ro "$AT"
"$PYTHON" -I -S -c "$LOOPBACK_UP"
exec "$@"
"""
LOOPBACK_UP = """
import fcntl, socket, struct
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh", b"lo", 0x41))
"""
"""SIOCSIFFLAGS with IFF_UP and IFF_RUNNING: iproute2 need not be on this machine."""
OUT_WITHIN = 30.0


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Container:
    """A process in namespaces of its own. `image` is the configuration of the image, as Docker writes it."""

    def __init__(
        self, rootfs: Path, image: dict[str, Any], *, state: Path, config: Path, command: Sequence[str] | None = None
    ) -> None:
        self.image = image
        self.user, _, self.group = str(image["User"]).partition(":")
        self._at = tempfile.TemporaryDirectory(prefix="image-smoke-")
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._given = (rootfs.resolve(), state.resolve(), config.resolve())
        self._command = list(image["Cmd"] if command is None else command)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        rootfs, state, config = self._given
        inside = [*self.image["Entrypoint"], *self._command]
        environ = {
            "PATH": os.environ["PATH"],
            "ROOTFS": str(rootfs),
            "AT": self._at.name,
            "STATE": str(state),
            "STATE_AT": str(next(iter(self.image["Volumes"]))),
            "CONFIG": str(config),
            "PYTHON": sys.executable,
            "LOOPBACK_UP": LOOPBACK_UP,
        }
        namespaces = ["unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child=SIGKILL"]
        self._process = subprocess.Popen(  # noqa: S603 - what the image starts
            [*namespaces, "/bin/sh", "-euc", SET_UP, "sh", *self._as_user(["/usr/sbin/chroot", self._at.name], inside)],
            env=environ,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._log.close()
        self._at.cleanup()

    @property
    def log(self) -> str:
        """What it has written so far."""
        return os.pread(self._log.fileno(), 1 << 20, 0).decode(errors="replace")

    @property
    def first(self) -> int:
        """Its first process, by the number that it has outside; 0 before there is one, and after it has ended."""
        return next(iter(_children(self._process.pid)), 0) if self._process is not None and self._runs else 0

    @property
    def children(self) -> list[int]:
        """What its first process has started, once that is the image's own."""
        first = self.first
        ready = first and Path(f"/proc/{first}/comm").read_text().strip() == Path(self.image["Entrypoint"][0]).name
        return _children(first) if ready else []

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it, as its user and with its environment, like `docker exec`."""
        enter = [
            "nsenter",
            "--target",
            str(self.first),
            "--mount",
            "--pid",
            "--net",
            "--ipc",
            "--uts",
            "--root",
            "--wd=/",
        ]
        full = self._as_user(enter, list(command))
        return subprocess.run(full, capture_output=True, text=True, timeout=OUT_WITHIN, check=False)  # noqa: S603 - ours

    def signal(self, number: signal.Signals) -> None:
        """Send its first process a signal from outside, as an engine does."""
        os.kill(self.first, number)

    def ended(self, within: float) -> int | None:
        """The status of its first process, None when it still runs after so many seconds."""
        assert self._process is not None  # noqa: S101 - only inside the with
        try:
            return self._process.wait(within)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, within: float) -> int | None:
        """SIGTERM to the first process; its status, None when it does not end."""
        self.signal(signal.Signals[str(self.image.get("StopSignal") or "SIGTERM")])
        return self.ended(within)

    def until(self, *command: str, within: float) -> subprocess.CompletedProcess[str]:
        """Run the command until it succeeds, the container has ended or the time is up, and give the last answer."""
        give_up = time.monotonic() + within
        done = subprocess.CompletedProcess([*command], 1, "", "its first process never came")
        while self._runs and time.monotonic() < give_up:
            # On a busy machine the first process can come late: there is nothing to enter before it.
            if self.first:
                done = self.run(*command)
                if done.returncode == 0:
                    break
            time.sleep(0.1)
        return done

    @property
    def _runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _as_user(self, outer: list[str], command: list[str]) -> list[str]:
        drop = ["--reuid", self.user, "--regid", self.group, "--clear-groups", "--no-new-privs"]
        rights = ["--bounding-set=-all", "--inh-caps=-all"]
        place = ["/usr/bin/env", "-i", f"--chdir={self.image['WorkingDir']}", *self.image["Env"]]
        return [*outer, "/usr/bin/setpriv", *drop, *rights, *place, *command]
