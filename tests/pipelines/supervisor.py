"""What systemd is to the driver on a real machine: `supervisor.py start|stop COLOUR ROOT [words of serve.py]`.

One colour has one process at most. Both commands may be repeated, and take turns as the jobs of systemd do.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

STOP_WITHIN = 20.0


def running(file: Path) -> int | None:
    """The process of the pid file, if it is still ours."""
    try:
        pid = int(file.read_text())
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if b"serve.py" in words else None


def stop(file: Path) -> None:
    """SIGTERM, and wait until it has gone."""
    pid = running(file)
    if pid is None:
        return
    os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + STOP_WITHIN
    while running(file) == pid:
        if time.monotonic() > until:
            sys.exit(f"process {pid} did not end within {STOP_WITHIN:g} s")
        time.sleep(0.02)
    file.unlink()


def start(colour: str, root: Path, words: list[str]) -> None:
    """A process of its own session, with what is below the colour's link."""
    serve = root / "releases" / colour / "serve.py"
    with (root / f"{colour}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-I", str(serve), *words],
            env={**os.environ, "COLOUR": colour},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (root / f"{colour}.pid").write_text(str(process.pid))


def main() -> None:
    """Command line."""
    command, colour, place, *words = sys.argv[1:]
    root = Path(place)
    with (root / f"{colour}.turn").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        stop(root / f"{colour}.pid")
        if command == "start":
            start(colour, root, words)


if __name__ == "__main__":
    main()
