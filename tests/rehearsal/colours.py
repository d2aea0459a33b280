"""Starts and stops one colour of the shop, as systemd would: `colours.py start|stop FILE COLOUR`.

FILE is JSON: for each colour its `port`; the `flags` and `ops` files, and the directory of `releases` whose link COLOUR
says what to run. A release is the demo's shop with `options`, a word a line.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ENDS_WITHIN = 10.0


def end(pidfile: Path) -> None:
    """SIGTERM what the file names, and wait for its end."""
    if not pidfile.exists():
        return
    pid = int(pidfile.read_text())
    pidfile.unlink()
    try:
        os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + ENDS_WITHIN
        while time.monotonic() < until and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
            time.sleep(0.02)
    except (ProcessLookupError, FileNotFoundError):
        return


def start(about: dict[str, Any], colour: str, pidfile: Path) -> None:
    """Start what the colour's link points to, as a process that outlives us."""
    release = (Path(about["releases"]) / colour).resolve()
    options = (release / "options").read_text().split()
    command = [sys.executable, str(release / "shop" / "shop.py"), "--port", str(about[colour]["port"])]
    command += ["--flags", about["flags"], "--ops", about["ops"], *options]
    with pidfile.with_suffix(".log").open("ab") as log:
        shop = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    pidfile.write_text(str(shop.pid))


def main() -> None:
    verb, file, colour = sys.argv[1:]
    pidfile = Path(file).with_name(f"{colour}.pid")
    end(pidfile)
    if verb == "start":
        start(json.loads(Path(file).read_text()), colour, pidfile)


if __name__ == "__main__":
    main()
