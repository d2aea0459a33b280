"""The pack of rules at 1,000 services: what it costs Prometheus to evaluate, and to take in what it stands on.

Evaluation: three days of recordings and an hour of raw samples for each service, made by promtool but for the newest
minutes, which a server has in memory. Every group runs at its own interval, then the server goes on without rules: they
cost what its processor time differs by. Ingestion: targets on loopback with constant pages of a production's size,
scraped as in production.
"""

from __future__ import annotations

import os
import re
import signal
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import requests
import yaml

from bench.figure import Figure, at_most, printed
from bench.proc import cpu_seconds, disk_directory, rss
from bench.rulesdata import BOUNDS, DAY, HOUR, NEWEST, Backlog, blocks, raw, recorded
from bench.served import Page, Served
from tests.servers import PrometheusServer

PACK = Path(__file__).parent.parent / "rules" / "prometheus"
MOST_SECONDS = 1.0
SERVICES, QUICK_SERVICES = 1000, 100
SHORT = 15
"""Seconds at which every group runs until the first reads of the disk are over."""
IDLE, WINDOW = 45, 300
"""Seconds of watching the server without rules and with them: as long as the longest interval of a group."""
NEVER = {"0001-01-01T00:00:00Z"}
"""How Prometheus writes that a group has not run yet."""
EDGES = (3, 2.5, 1.5, 0.5, 0)
"""Days ago at which blocks of recordings begin and end: none within the hour of a day ago that rules look at."""
TARGETS, SERIES_EACH, SCRAPE = 20, 5000, 15


def figures(*, quick: bool) -> Iterator[Figure]:
    """Evaluation first, then ingestion."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=disk_directory()) as name:
        yield from _evaluation(Path(name), QUICK_SERVICES if quick else SERVICES)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=disk_directory()) as name:
        yield from _ingestion(Path(name), seconds=45 if quick else 120)


# --- evaluation -------------------------------------------------------------------------------------------------


def _evaluation(directory: Path, services: int) -> Iterator[Figure]:
    data = directory / "tsdb"
    jobs = [f"service-{number:04d}" for number in range(services)]
    cut = int(time.time()) - NEWEST
    for start, end in pairwise(cut - int(ago * DAY) for ago in EDGES):
        blocks(directory, data, recorded(jobs, start, end))
    blocks(directory, data, raw(jobs, cut - (HOUR - NEWEST), cut))
    rules = directory / "rules"
    more = f"rule_files: ['{rules.absolute()}/*.yaml']"
    with Backlog(jobs, cut) as backlog, PrometheusServer(data, scrape_configs=backlog.scrapes, more=more) as server:
        backlog.wait()
        cost, walls, note = _cost(server, rules)
    note = f"{len(walls)} groups, slowest {max(walls.values()):.2f} s, {note}, load {os.getloadavg()[0]:.1f}"
    name = f"rule pack, {services} services, each 30 s"
    if services == SERVICES:
        yield at_most(name, cost, MOST_SECONDS, " core s", note)
    else:
        yield printed(name, f"{cost:.3g} core s ({note})")


def _cost(server: PrometheusServer, rules: Path) -> tuple[float, dict[str, float], str]:
    """Processor seconds each 30 s that the rules add, the groups' seconds on the clock, and where that comes from."""
    _put(rules, SHORT)
    _reload(server, rules)
    _settle(server)
    _put(rules)
    _reload(server, rules)
    before = _iterations(server)
    busy = _busy(server, WINDOW)
    runs = {name: count - before.get(name, 0.0) for name, count in _iterations(server).items()}
    walls = {_name(group): group["evaluationTime"] for group in _groups(server)}
    for file in rules.iterdir():
        file.unlink()
    _reload(server, rules)
    idle = _busy(server, IDLE)
    real = _intervals()
    wall = sum(seconds * 30 / real[name] for name, seconds in walls.items())
    # A window that is no multiple of an interval has a run of that group more or less than its share.
    share = wall * WINDOW / 30 / sum(seconds * runs[name] for name, seconds in walls.items())
    note = f"{wall:.2f} s on the clock, {30 * busy:.2f} core s with rules and {30 * idle:.2f} without"
    return 30 * (busy - idle) * share, walls, f"{note}, {share:.3f} of the runs in the window"


def _busy(server: PrometheusServer, seconds: float) -> float:
    """Processor seconds a second for so long."""
    began, spent = time.monotonic(), _cpu(server)
    time.sleep(seconds)
    return (_cpu(server) - spent) / (time.monotonic() - began)


def _iterations(server: PrometheusServer) -> dict[str, float]:
    """How often each group has run so far."""
    text = requests.get(f"{server.url}/metrics", timeout=10).text
    found = re.findall(r'(?m)^prometheus_rule_group_iterations_total{rule_group="([^"]+)"} (\S+)$', text)
    return {f"{Path(group.partition(';')[0]).name}: {group.partition(';')[2]}": float(count) for group, count in found}


def _reload(server: PrometheusServer, rules: Path) -> None:
    """Until the server evaluates what is in the directory now, at the intervals written there."""
    if server.pid is None:
        raise RuntimeError("Prometheus has ended")
    os.kill(server.pid, signal.SIGHUP)
    until = time.monotonic() + 30
    while {_name(group): group["interval"] for group in _groups(server)} != _intervals(rules):
        if time.monotonic() > until:
            raise RuntimeError("Prometheus did not take the rules")
        time.sleep(0.2)


def _name(group: dict[str, Any]) -> str:
    return f"{Path(group['file']).name}: {group['name']}"


def _cpu(server: PrometheusServer) -> float:
    if server.pid is None:
        raise RuntimeError("Prometheus has ended")
    return cpu_seconds(server.pid)


def _settle(server: PrometheusServer) -> None:
    """Until every group has run twice: recordings that others read are there, and the first reads of disk are over."""
    until = time.monotonic() + 20 * SHORT
    seen: dict[str, set[str]] = {}
    while time.monotonic() < until:
        for group in _groups(server):
            seen.setdefault(group["file"] + group["name"], set()).add(group["lastEvaluation"])
            broken = [rule["lastError"] for rule in group["rules"] if rule.get("lastError")]
            if broken:
                raise RuntimeError(f"{group['name']} does not evaluate: {broken[0]}")
        if not seen:
            raise RuntimeError("Prometheus has loaded no rules")
        if all(len(runs - NEVER) >= 2 for runs in seen.values()):
            return
        time.sleep(1)
    late = sorted(name for name, runs in seen.items() if len(runs - NEVER) < 2)
    raise RuntimeError(f"these groups of rules did not run twice in time: {', '.join(late)}")


def _groups(server: PrometheusServer) -> list[dict[str, Any]]:
    found = requests.get(f"{server.url}/api/v1/rules", timeout=30).json()["data"]["groups"]
    return list(found)


def _put(rules: Path, interval: int | None = None) -> None:
    """The pack, with every group at that interval (seconds) if there is one."""
    rules.mkdir(exist_ok=True)
    for file in PACK.glob("*.yaml"):
        text = file.read_text()
        (rules / file.name).write_text(
            text if interval is None else re.sub(r"(?m)^(\s+interval:) \S+", rf"\1 {interval}s", text)
        )


def _intervals(rules: Path = PACK) -> dict[str, float]:
    units = {"s": 1, "m": 60, "h": 3600}
    found = {}
    for file in rules.glob("*.yaml"):
        for group in yaml.safe_load(file.read_text())["groups"]:
            text = group["interval"]
            found[f"{file.name}: {group['name']}"] = float(text[:-1]) * units[text[-1]]
    return found


# --- ingestion --------------------------------------------------------------------------------------------------


def _ingestion(directory: Path, seconds: float) -> Iterator[Figure]:
    """Live: 100,000 series from 20 targets each 15 s, as some 1,000 services have, with the whole pack evaluated."""
    with Pages(TARGETS) as pages:
        scrapes = "".join(_scrape(index, port) for index, port in enumerate(pages.ports))
        server = PrometheusServer(
            directory / "tsdb",
            scrape_configs=scrapes,
            scrape_interval=f"{SCRAPE}s",
            more=f"rule_files: ['{PACK}/*.yaml']",
        )
        with server:
            time.sleep(2 * SCRAPE)
            first, cpu, began = _appended(server), _cpu(server), time.monotonic()
            time.sleep(seconds)
            took = time.monotonic() - began
            rate, busy = (_appended(server) - first) / took, (_cpu(server) - cpu) / took
            slowest = max(float(group["evaluationTime"]) for group in _groups(server))
            memory = rss(server.pid)
    series = TARGETS * SERIES_EACH
    text = f"{rate:,.0f} samples/s, {memory / 1e6:.0f} MB RSS, {busy:.2f} cores, slowest group {slowest:.2f} s"
    headroom = f"{(os.cpu_count() or 1) / busy:.0f} x of {os.cpu_count()} cores"
    yield printed(f"live ingestion, {series:,} series each {SCRAPE} s, with the pack", f"{text}, headroom {headroom}")


def _appended(server: PrometheusServer) -> float:
    text = requests.get(f"{server.url}/metrics", timeout=10).text
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in text.splitlines()
        if line.startswith("prometheus_tsdb_head_samples_appended_total")
    )


def _scrape(index: int, port: int) -> str:
    target = f"[{{targets: ['127.0.0.1:{port}'], labels: {{environment: production}}}}]"
    return f"- job_name: page-{index}\n  honor_labels: true\n  static_configs: {target}\n"


class Pages(Served):
    """Targets whose page never changes: 50 services of 100 series each, those of the pack and the rest their own."""

    def __init__(self, number: int) -> None:
        super().__init__(_page(_text(index)) for index in range(number))


def _text(index: int) -> bytes:
    lines = []
    for number in range(SERIES_EACH // 100):
        job = f'job="service-{index:02d}-{number:02d}"'
        lines += [f'http_requests_total{{{job},code="{code}"}} 1' for code in (200, 403, 500)]
        lines += [f'http_request_duration_seconds_bucket{{{job},le="{bound}"}} 1' for bound in BOUNDS]
        lines += [f"probe_success{{{job}}} 1", f'smoke_tests_total{{{job},result="passed"}} 1']
        lines += [f'own_metric_total{{{job},part="{part}"}} 1' for part in range(100 - 11)]
    return "\n".join([*lines, ""]).encode()


def _page(text: bytes) -> type[Page]:
    class Constant(Page):
        def do_GET(self) -> None:  # noqa: N802 - the base class's name
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    return Constant
