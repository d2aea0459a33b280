"""The demo's shop as a process of a test, with its two flag files and the people who edit them."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from watchdog.flags.base import Change
from watchdog.flags.flagd_file import FlagdFile
from watchdog.model import EMERGENCY_FLAGS, NOBODY, Exposure

DEMO = Path(__file__).parent.parent / "deploy" / "demo"
BROKEN = 0.3


def flag_document(percent: float) -> str:
    """The flag file as the watchdog writes it: integer weights of 100000, "on" first."""
    on = round(percent * 1000)
    flag = {
        "state": "ENABLED",
        "variants": {"on": True, "off": False},
        "defaultVariant": "off",
        "targeting": {"fractional": [["on", on], ["off", 100_000 - on]]},
    }
    return json.dumps({"metadata": {"flagSetId": "shop"}, "flags": {"new-checkout": flag}})


def publish(path: Path, percent: float) -> None:
    """Replaces the flag file in one piece, its time newer than before: readers look at nothing else."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    fresh = path.with_suffix(".new")
    fresh.write_text(flag_document(percent))
    newer = max(time.time_ns(), before + 1_000_000)
    os.utime(fresh, ns=(newer, newer))
    fresh.replace(path)


class Emergencies:
    """The emergency set as the watchdog keeps it."""

    def __init__(self, path: Path) -> None:
        self.service = FlagdFile(path)

    def prepare(self) -> None:
        self.service.init(EMERGENCY_FLAGS, "ada")

    def on(self, flag: str, why: str) -> None:
        self.service.set(flag, Change(Exposure(100.0), (), "ada", why))

    def off(self, flag: str) -> None:
        self.service.kill(flag, Change(NOBODY, (), "ada", "it is over"))


class Running:
    """A shop that serves, and its flag file."""

    def __init__(self, flags: Path, ops: Path, *options: str) -> None:
        self.flags = flags
        self.ops = ops
        command = [sys.executable, str(DEMO / "shop.py"), "--port", "0", "--flags", str(flags), "--ops", str(ops)]
        self.process = subprocess.Popen(
            [*command, "--broken-share", str(BROKEN), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        found = re.search(r"127\.0\.0\.1:(\d+)", first)
        assert found, f"the shop did not start: {first}{self.process.stdout.read()}"
        self.port = int(found.group(1))

    def get(self, path: str, user: str = "") -> tuple[int, str | None, str]:
        """Status, variant and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path, headers={"X-User": user} if user else {})
            answer = connection.getresponse()
            return answer.status, answer.getheader("X-Variant"), answer.read().decode()
        finally:
            connection.close()

    def ask(self, method: str, path: str, body: str = '{"tea": 2}', user: str = "") -> tuple[int, dict[str, str], str]:
        """Status, headers and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            headers = {"X-User": user} if user else {}
            connection.request(method, path, body=body.encode() if method == "POST" else None, headers=headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read().decode()
        finally:
            connection.close()

    def metric(self, series: str) -> float:
        """The value of one series of /metrics; fails when it is not there."""
        found = re.search(rf"^{re.escape(series)} (\S+)$", self.get("/metrics")[2], re.MULTILINE)
        assert found, f"{series} is not exported"
        return float(found.group(1))

    def end(self) -> int:
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(5)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    """Asks until it holds or the time is up."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if holds():
            return True
    return False
