"""The real process, `slo-watchdog run`, against a real Prometheus: how soon it ticks, and what memory it takes."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import shop
from bench.figure import Figure, at_most, printed
from bench.proc import cpu_seconds, disk_directory, rss
from tests.servers import PrometheusServer

MOST_MEMORY = 90.0
MOST_SECONDS = 1.5
STARTS = 5
TICKS = 40
MEGABYTE = 1_000_000
AHEAD = 1800
"""Seconds of history that lie in the future when the process starts: it measures live, and nothing need be scraped."""

SETTINGS = """
prometheus: {{url: "{url}", scrape_interval: 15s}}
ledger: sqlite:///watchdog.db
rollouts: [checkout.yaml]
http: {{listen: "127.0.0.1:0"}}
flags: {{service: flagd-file, path: flags.json}}
"""


def figures(*, quick: bool) -> Iterator[Figure]:
    """Start to first tick, the median of five starts on a ledger in use; memory after forty ticks, one a second."""
    now = int(time.time())
    with tempfile.TemporaryDirectory(prefix="bench-", dir=disk_directory()) as name:
        directory = Path(name)
        data = shop.history(now - 2 * shop.HOUR, now + AHEAD).build(directory / "tsdb")
        with PrometheusServer(data) as server:
            write_configuration(directory, server.url)
            first, _ = _seconds_to_tick(directory)
            starts, spent = zip(*(_seconds_to_tick(directory) for _ in range(3 if quick else STARTS)), strict=True)
            memory = _memory(directory, TICKS // 4 if quick else TICKS)
    note = f"median of {len(starts)}, {statistics.median(spent):.2f} s of it on the CPU, load {os.getloadavg()[0]:.1f}"
    yield at_most("start to first tick", statistics.median(starts), MOST_SECONDS, " s", note)
    yield printed("start to first tick on a new ledger", f"{first:.2f} s", starts=starts)
    yield at_most("daemon RSS, 1 rollout x 7 objectives", memory / MEGABYTE, MOST_MEMORY, " MB")


def write_configuration(directory: Path, url: str, interval: str = "1s") -> None:
    """A daemon that watches one ramping rollout of seven objectives, by default once a second."""
    (directory / "watchdog.yaml").write_text(SETTINGS.format(url=url), encoding="utf-8")
    rule = shop.rule(ramps=True).replace("interval: 30s", f"interval: {interval}\ndelay: 1s")
    (directory / "checkout.yaml").write_text(rule, encoding="utf-8")
    subprocess.run([*program(directory), "flags", "init"], check=True, capture_output=True, timeout=60)


def program(directory: Path) -> list[str]:
    """The command of the installation in a directory."""
    return [sys.executable, "-m", "watchdog", "--config", str(directory / "watchdog.yaml")]


@contextmanager
def _daemon(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """The running daemon; it is ended by SIGTERM, and must then end well."""
    # pip writes bytecode when it installs; what is started here would otherwise compile itself every time.
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen([*program(directory), "run"], stderr=subprocess.PIPE, text=True, env=environ)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=60)
    if process.returncode != 0:
        raise RuntimeError(f"the daemon ended with {process.returncode}: {rest[-2000:]}")


def _ticks(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """The lines of its log that tell of a tick."""
    lines = process.stderr or ()
    for line in lines:
        told = json.loads(line)
        if told["event"] == "tick":
            yield told
    raise RuntimeError(f"the daemon ended with {process.wait()} before it had ticked enough")


def _seconds_to_tick(directory: Path) -> tuple[float, float]:
    """From the start of the process to its first tick: wall time, and the CPU time in it."""
    began = time.perf_counter()
    with _daemon(directory) as process:
        next(_ticks(process))
        return time.perf_counter() - began, cpu_seconds(process.pid)


def _memory(directory: Path, count: int) -> int:
    with _daemon(directory) as process:
        ticks = _ticks(process)
        for _ in range(count):
            told = next(ticks)
        if "ramping" not in told["why"]:
            raise RuntimeError(f"the daemon was meant to watch a healthy ramp: {told['why']}")
        return rss(process.pid)
