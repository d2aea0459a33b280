"""Kill to reader: from the call that kills a flag until a real client of its kind is told off, at random phases.

Drills as the program holds them, but with the reader in a process of its own, as applications are, and without their
record before the kill: what is given is the stamp of the reader less that of the record. Servers are real, and
everything runs on this machine. The time until the service acknowledges the kill (flag files are flushed to the disk)
is part of it, and shown.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from bench.apart import Apart
from bench.bare import wake_up_lateness
from bench.figure import Figure, printed
from bench.proc import disk_directory
from tests.servers import free_port
from watchdog.config import load_settings
from watchdog.drill.plan import Plan
from watchdog.drill.report import Report, Spread, spread
from watchdog.drill.run import Drill
from watchdog.errors import WatchdogError
from watchdog.flags import open_service
from watchdog.ledger import open_ledger
from watchdog.readers.opening import open_reader

RUNS = 200
FEW = 20
ROUNDS = 3
"""Where a 99th percentile is promised: two of 200 runs decide it, and on a shared machine others cause those two."""
FLAG = "slo-watchdog-drill"
READY_WITHIN = 60.0
FLAGD = Path("build/tools/flagd")


@dataclass(frozen=True, slots=True)
class Way:
    """One way from a kill to a reader: what must hold of its runs, in seconds, and how to set it up.

    `ready` yields the settings' variables for as long as everything is up.
    """

    name: str
    of: str
    limit: float
    ready: Callable[[Path], Iterator[Mapping[str, str]]]


def figures(*, quick: bool) -> Iterator[Figure]:
    """Each way in turn. What cannot run is missed, with the reason: nothing is left out silently."""
    for way in WAYS:
        if quick and way.name in SLOW:
            yield printed(f"kill to reader, {way.name}", "left out by --quick")
            continue
        yield _figure(way, FEW if quick else RUNS)


def _figure(way: Way, runs: int) -> Figure:
    name, must = f"kill to reader, {way.name}: {way.of} of {runs}", f"<= {_shown(way.limit)}"
    wanted = ROUNDS if way.of == "p99" and runs == RUNS else 1
    try:
        rounds = [_round(way, runs) for _ in range(wanted)]
    except (AssertionError, ImportError, OSError, RuntimeError, WatchdogError, subprocess.SubprocessError) as error:
        return Figure(name, must, f"could not run: {' '.join(str(error).split())[:300]}", ok=False)
    middle = sorted(rounds, key=lambda one: one.measured(way.of))[len(rounds) // 2]
    found, wrote, measured = middle.told, middle.wrote, middle.measured(way.of)
    text = f"{_shown(measured)} (min {_shown(found.min)}, p50 {_shown(found.p50)}, p99 {_shown(found.p99)}, "
    text += f"max {_shown(found.max)}; acknowledged p50 {_shown(wrote.p50)}, p99 {_shown(wrote.p99)}; "
    if len(rounds) > 1:
        every = ", ".join(f"{_shown(one.measured(way.of))} ({one.late:.1f})" for one in rounds)
        text += f"middle of {len(rounds)} rounds, with the ms that a sleep ended late (p99): {every}; "
    text += f"load {os.getloadavg()[0]:.1f})"
    details = {
        "limit": way.limit,
        "rounds": [{"runs": one.runs, "late_ms": one.late, **one.told.as_data()} for one in rounds],
        "acknowledged": wrote.as_data(),
        **found.as_data(),
    }
    return Figure(name, must, text, measured <= way.limit, details)


@dataclass(frozen=True, slots=True)
class Round:
    """One drill: when the reader was told after the record, when the kill was acknowledged, in seconds.

    `late` is how many milliseconds a short sleep ended late here right before (p99): what the machine itself adds.
    """

    runs: list[float]
    told: Spread
    wrote: Spread
    late: float

    def measured(self, of: str) -> float:
        """The figure that is promised."""
        return self.told.max if of == "max" else self.told.p99


def _round(way: Way, runs: int) -> Round:
    """RuntimeError when the drill failed."""
    late = wake_up_lateness(2.0)
    report = _drilled(way, runs)
    told = [run.stages["reader"] - run.stages["recorded"] for run in report.runs if "reader" in run.stages]
    if not report.passed or not told:
        raise RuntimeError(f"the drill failed: {report.why}")
    wrote = [run.stages["written"] - run.stages["recorded"] for run in report.runs]
    return Round(told, spread(told), spread(wrote), late[int(0.99 * len(late))])


def _drilled(way: Way, runs: int) -> Report:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kill-", dir=disk_directory())))
        variables = stack.enter_context(contextmanager(way.ready)(directory))
        given = _given(directory, variables)
        settings = load_settings(None, given)
        service = open_service(settings.flags)
        service.init([FLAG, *(f"beside-{number}" for number in range(BESIDE))], "bench")
        ledger = open_ledger(settings.ledger)
        stack.callback(ledger.close)
        plan = Plan(FLAG, runs, "bench", "a figure", propagation=settings.flags.worst_propagation)
        with Apart(given, open_reader(settings, service)) as reader:
            drill = Drill(service, reader, ledger, plan, name=settings.flags.service, random=Random(runs))
            return drill.run()


BESIDE = 9
"""Other flags in the set: nobody's document holds one flag."""


def _given(directory: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """The settings, as variables."""
    given = {
        "PROMETHEUS__URL": "http://127.0.0.1:9",
        "LEDGER": f"sqlite:///{directory.absolute() / 'watchdog.db'}",
        "FLAGS__PATH": str(directory.absolute() / "flags.flagd.json"),
        **variables,
    }
    if given.get("FLAGS__SERVICE", "flagd-file") != "flagd-file":
        del given["FLAGS__PATH"]
    return {f"WATCHDOG_{name}": value for name, value in given.items()}


# --- the ways -----------------------------------------------------------------------------------------------------


def _file(_directory: Path) -> Iterator[Mapping[str, str]]:
    """The real flagd provider looks at the file every 100 ms."""
    yield {"DRILL__REFRESH": "100ms"}


def _ofrep(directory: Path) -> Iterator[Mapping[str, str]]:
    """The real OFREP provider asks the daemon, another process than the one that kills."""
    with _daemon(directory) as url:
        yield {"DRILL__READER": "ofrep", "DRILL__URL": url}


def _flagd(directory: Path) -> Iterator[Mapping[str, str]]:
    """The real flagd asks the daemon every second; the reader is the OFREP provider at flagd."""
    if not FLAGD.exists():
        raise RuntimeError(f"{FLAGD} is not there: `make tools` builds it, with a Go toolchain")
    with _daemon(directory) as url:
        source = [{"uri": f"{url}/flagd/flags.json", "provider": "http", "interval": 1}]
        ports = {name: free_port() for name in ("--port", "--management-port", "--sync-port", "--ofrep-port")}
        arguments = [text for name, port in ports.items() for text in (name, str(port))]
        with _process(directory, "flagd", [str(FLAGD), "start", "--sources", json.dumps(source), *arguments]):
            served = f"http://127.0.0.1:{ports['--ofrep-port']}"
            _until_answers(f"{served}/ofrep/v1/evaluate/flags/{FLAG}")
            yield {"DRILL__READER": "flagd", "DRILL__URL": served, "DRILL__REFRESH": "1s"}


def _redis(_directory: Path) -> Iterator[Mapping[str, str]]:
    """Our own provider is told by a Redis with `appendonly yes` and its default, a flush to the disk every second."""
    from tests.redisserver import RedisServer  # noqa: PLC0415 - only where it is measured

    with RedisServer("--appendfsync", "everysec") as server:
        yield {"FLAGS__SERVICE": "redis", "FLAGS__URL": server.url, "FLAGS__SET": "bench"}


def _unleash(_directory: Path) -> Iterator[Mapping[str, str]]:
    """Unleash's own client asks the real server every second."""
    from tests.unleash.server import ADMIN_TOKEN, CLIENT_TOKEN, ENVIRONMENT, UnleashServer  # noqa: PLC0415

    with UnleashServer() as server:
        yield {
            "FLAGS__SERVICE": "unleash",
            "FLAGS__URL": server.url,
            "FLAGS__TOKEN": ADMIN_TOKEN,
            "FLAGS__ENVIRONMENT": ENVIRONMENT,
            "DRILL__TOKEN": CLIENT_TOKEN,
            "DRILL__REFRESH": "1s",
        }


WAYS = (
    Way("flagd file, deadline 100 ms", "max", 0.150, _file),
    Way("OFREP from the daemon", "p99", 0.010, _ofrep),
    Way("flagd through HTTP sync at 1 s", "max", 1.5, _flagd),
    Way("Redis", "p99", 0.005, _redis),
    Way("Unleash, refresh 1 s", "max", 3.0, _unleash),
)
SLOW = ("Unleash, refresh 1 s",)
"""Servers that take minutes to start and to ask."""


# --- processes ----------------------------------------------------------------------------------------------------


@contextmanager
def _daemon(directory: Path) -> Iterator[str]:
    """The real daemon, serving the flag file of `directory` in a process for readers; the address of that."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = [
        "prometheus: {url: 'http://127.0.0.1:9'}",
        "flags: {path: flags.flagd.json}",
        "http: {listen: '127.0.0.1:0'}",
        f"serve: {{listen: '127.0.0.1:{port}'}}",
        "drill: {every: 0s}",
    ]
    config = directory / "watchdog.yaml"
    config.write_text("\n".join([*settings, ""]), encoding="utf-8")
    program = [sys.executable, "-m", "watchdog", "--config", str(config)]
    subprocess.run([*program, "flags", "init"], check=True, capture_output=True, timeout=READY_WITHIN)
    with _process(directory, "daemon", [*program, "run"]):
        _until_answers(f"{url}/ofrep/v1/evaluate/flags/{FLAG}")
        yield url


@contextmanager
def _process(directory: Path, name: str, command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended by its own id afterwards; its output goes to a file."""
    with (directory / f"{name}.log").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(READY_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until_answers(url: str) -> None:
    """Ask for an evaluation until there is one."""
    until, waiting = time.monotonic() + READY_WITHIN, threading.Event()
    found = "nothing"
    while time.monotonic() < until:
        asked = urllib.request.Request(url, data=b'{"context": {"targetingKey": "bench"}}', method="POST")  # noqa: S310
        asked.add_header("Content-Type", "application/json")
        try:
            urllib.request.urlopen(asked, timeout=1).close()  # noqa: S310 - our own loopback
        except urllib.error.HTTPError as error:
            found = f"status {error.code}"
            error.close()
        except OSError as error:
            found = str(error)
        else:
            return
        waiting.wait(0.05)
    raise RuntimeError(f"{url} did not answer within {READY_WITHIN:g} s: {found}")


def _shown(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1.0 else f"{seconds:.3g} s"
