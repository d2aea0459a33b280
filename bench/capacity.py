"""What more rollouts cost one daemon: `python -m bench.capacity 1 20 60`, minutes each; docs/capacity.md has the table.

Each is the usual seven objectives at 30 s on a real Prometheus, the daemon a real process with a ledger on the disk, or
with `--postgresql` on a real server. Processor time is what counts: it holds on a busy machine, too.
"""

from __future__ import annotations

import argparse
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import requests

from bench import shop
from bench.proc import cpu_seconds, disk_directory, rss
from tests.postgresserver import Postgres
from tests.servers import PrometheusServer, free_port

WARM, MEASURED, LOOK = 90, 180, 0.5
"""Seconds before (one more for each rollout) and of a measurement, and between two looks at what varies."""
MEGABYTE = 1_000_000
AHEAD = 7200
COLUMNS = (
    "rollouts",
    "RSS MB",
    "CPU share",
    "CPU ms/tick",
    "Prometheus CPU share",
    "queries/s",
    "late slots",
    "threads",
    "connections",
)
SETTINGS = """
prometheus: {{url: "{url}", scrape_interval: 15s}}
ledger: {ledger}
rollouts: [rollouts/*.yaml]
http: {{listen: "127.0.0.1:{port}"}}
flags: {{service: flagd-file, path: flags.json}}
"""


def main() -> None:
    """Measure each number of rollouts that is asked for, one after the other."""
    parser = argparse.ArgumentParser(description="What more rollouts cost one daemon.")
    parser.add_argument("rollouts", type=int, nargs="+")
    parser.add_argument("--postgresql", action="store_true", help="the ledger on a PostgreSQL of its own")
    asked = parser.parse_args()
    print(" | ".join(COLUMNS))
    now = int(time.time())
    with tempfile.TemporaryDirectory(prefix="bench-", dir=disk_directory()) as name:
        data = shop.history(now - 2 * shop.HOUR, now + AHEAD).build(Path(name) / "tsdb")
        with PrometheusServer(data) as server, Postgres() if asked.postgresql else nullcontext() as database:
            for count in asked.rollouts:
                row = _measure(Path(name) / f"of-{count}", count, server, database)
                print(" | ".join(row), flush=True)


def _measure(directory: Path, count: int, server: PrometheusServer, database: Postgres | None) -> list[str]:
    (directory / "rollouts").mkdir(parents=True)
    port = free_port()
    stored = database.database() if database is not None else ""
    ledger = database.url(stored) if database is not None else "sqlite:///watchdog.db"
    written = SETTINGS.format(url=server.url, ledger=ledger, port=port)
    (directory / "watchdog.yaml").write_text(written, encoding="utf-8")
    for number in range(count):
        rule = shop.rule(f"checkout-{number}", flag=f"flag-{number}")
        (directory / "rollouts" / f"{number}.yaml").write_text(rule, encoding="utf-8")
    program = [sys.executable, "-m", "watchdog", "--config", str(directory / "watchdog.yaml")]
    subprocess.run([*program, "flags", "init"], check=True, capture_output=True, timeout=300)
    with _daemon(program) as process:
        time.sleep(WARM + count)
        theirs = _pid(server)
        before = (cpu_seconds(process.pid), cpu_seconds(theirs), *_counted(port))
        began = time.monotonic()
        looks = []
        while time.monotonic() - began < MEASURED:
            looks.append((rss(process.pid), _threads(process.pid), _connections(database, stored)))
            time.sleep(LOOK)
        took = time.monotonic() - began
        after = (cpu_seconds(process.pid), cpu_seconds(theirs), *_counted(port))
    ours, prometheus, queries, slots, late = (last - first for first, last in zip(before, after, strict=True))
    sizes, threads, connections = zip(*looks, strict=True)
    ticks = slots / 7
    return [
        str(count),
        f"{statistics.median(sizes) / MEGABYTE:.1f}",
        f"{ours / took:.3f}",
        f"{1000 * ours / ticks:.0f} ({ticks:.0f} ticks)",
        f"{prometheus / took:.3f}",
        f"{queries / took:.1f}",
        f"{late / ticks:.1%}",
        str(max(threads)),
        str(max(connections)),
    ]


@contextmanager
def _daemon(program: list[str]) -> Iterator[subprocess.Popen[Any]]:
    process = subprocess.Popen([*program, "run"], stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _pid(server: PrometheusServer) -> int:
    """Which process listens there."""
    found = [int(one.name) for one in Path("/proc").iterdir() if one.name.isdigit() and _is(one, str(server.port))]
    if len(found) != 1:
        raise RuntimeError(f"Prometheus at {server.url} is not one process: {found}")
    return found[0]


def _is(process: Path, port: str) -> bool:
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return words[0].endswith(b"prometheus") and any(word.endswith(f":{port}".encode()) for word in words)


def _counted(port: int) -> tuple[float, float, float]:
    """Queries, evaluations, and slots that came too late to be acted on, so far."""
    text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=60).text
    queries = re.findall(r"^slo_watchdog_query_duration_seconds_count (\S+)", text, re.MULTILINE)
    evaluated = re.findall(r"^slo_watchdog_evaluations_total{[^}]*} (\S+)", text, re.MULTILINE)
    late = re.findall(r"^slo_watchdog_slots_backfilled_total{[^}]*} (\S+)", text, re.MULTILINE)
    return float(queries[0]), sum(map(float, evaluated)), sum(map(float, late))


def _threads(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())


def _connections(database: Postgres | None, name: str) -> int:
    if database is None:
        return 0
    with database.connect() as connection:
        asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
        (row,) = connection.execute(asked, (name,)).fetchall()
        return int(row[0])


if __name__ == "__main__":
    main()
