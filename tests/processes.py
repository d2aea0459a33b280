"""The real program as a process: a directory with its files, the daemon, its commands, and waiting with deadlines.

site = Installation(tmp_path, prometheus.url)
site.rollout("checkout-1", auto_start="true")
with site.daemon() as daemon:
    site.until("checkout-1", lambda s: s["phase"] == "soaking", within=10)
    assert daemon.end() == 0
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import requests

from tests.scripted import Asked, Reply, Script, scripted
from tests.warm import warm
from watchdog.ledger import Ledger, open_ledger

FLAG = "new-checkout"
READY_WITHIN = 60.0
COMMAND_WITHIN = 30.0
Status = dict[str, Any]
T = TypeVar("T")

EVENTS = """
  - name: error_rate
    bad: errors_total[$range]
    total: requests_total[$range]
    at_most: 1%
    range: 2s
    min_slice_events: 1
    sequential: {every: 1s}
"""
"""One objective; `Traffic` answers its two queries."""

TOP = {
    "service": "checkout",
    "version": '"1.0"',
    "flag": FLAG,
    "interval": "1s",
    "delay": "1s",
    "window": "{slices: 100, slice: 2s, max_gap: 10s}",
    "ramp": "{strategy: progressive, from: 0, to: 100, over: 5s, every: 1s}",
    "rollback": "{to: 0, within: 60s, verify: 2s}",
    "settle": "4s",
    "blind_after": "5s",
    "resume_after": "2s",
    "waive": "{dead_service: a test, pooled_exposure: a test}",
}


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    status: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)


class Traffic:
    """What Prometheus says of a service: `bad` of `total` events in every range; `fault` replaces all answers."""

    def __init__(self, bad: float = 0.0, total: float = 1000.0) -> None:
        self.bad = bad
        self.total = total
        self.fault: Script | None = None

    def __call__(self, asked: Asked) -> Reply:
        if self.fault is not None:
            return self.fault(asked)
        number = {"errors_": self.bad, "request": self.total}.get(asked.expression[:7], 1.0)
        return scripted.value(number)(asked)  # type: ignore[no-any-return]


class Daemon:
    """`slo-watchdog run`, started."""

    def __init__(self, site: Installation, environ: Mapping[str, str] | None = None) -> None:
        self.site = site
        self.output = site.directory / f"daemon-{time.time_ns()}.log"
        self.started = time.time()
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command("run", "--config", str(site.config)),
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=site.directory,
                env={**os.environ, **(environ or {})},
            )

    def ready(self) -> Self:
        """Wait until it has said where it serves."""
        self.said("started", READY_WITHIN)
        return self

    @property
    def url(self) -> str:
        """Where its HTTP side is."""
        return f"http://{self.said('started', READY_WITHIN)['http']}"

    @property
    def text(self) -> str:
        """All it has printed."""
        return self.output.read_text()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Its log, every line as JSON; a line that is none fails."""
        whole = self.text.rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def said(self, event: str, within: float = 10.0, why: str = "") -> dict[str, Any]:
        """The first log line of this event, with `why` in it; fails when it does not come."""

        def found() -> dict[str, Any] | None:
            for line in self.lines:
                if line["event"] == event and why in json.dumps(line):
                    return line
            assert self.process.poll() is None, f"the daemon has ended with {self.process.returncode}:\n{self.text}"
            return None

        return wait_for(found, within, lambda: f"no {event!r} with {why!r} in the log:\n{self.text[-4000:]}")

    def get(self, path: str) -> requests.Response:
        return requests.get(self.url + path, timeout=10)

    def end(self, number: int = signal.SIGTERM, within: float = 20.0) -> int:
        """Signal it; its exit status. Fails when it is not gone in time."""
        self.process.send_signal(number)
        return self.process.wait(within)

    def kill(self) -> None:
        """SIGKILL: no chance to tidy up."""
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        try:
            return self.ready()
        except BaseException:
            self.__exit__()  # one that is not ready in time is left to nobody, and would be in everybody's way
            raise

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()


class Installation:
    """A directory with a configuration, its rollouts, a flag file and a ledger."""

    def __init__(self, directory: Path, address: str, /, *, listen: str = "127.0.0.1:0", **top: str) -> None:
        self.directory = directory
        self.config = directory / "watchdog.yaml"
        self.ledger_file = directory / "watchdog.db"
        self.flag_file = directory / "flags" / "checkout.flagd.json"
        settings = {
            "prometheus": f"{{url: {address}, timeout: 1s, scrape_interval: 500ms}}",
            "http": f'{{listen: "{listen}"}}',
            "flags": f"{{service: flagd-file, path: flags/{self.flag_file.name}}}",
            "tick_deadline": "2s",
            **top,
        }
        (directory / "rollouts").mkdir(exist_ok=True)
        self.config.write_text("".join(f"{key}: {text}\n" for key, text in settings.items()))
        self.flag(0)

    def rollout(self, name: str = "checkout-1", objectives: str = EVENTS, **top: str) -> Path:
        """Write one rollout file; `top` are keys of its top level, as YAML."""
        keys = {"rollout": name, **TOP, **top}
        path = self.directory / "rollouts" / f"{name}.yaml"
        text = "".join(f"{key}: {value}\n" for key, value in keys.items())
        path.write_text(f"{text}objectives:{objectives}")
        return path

    def flag(self, percent: float) -> None:
        """A person writes the flag file anew."""
        on = round(percent * 1000)
        entry: dict[str, object] = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off"}
        if on:
            entry["targeting"] = {"fractional": [["on", on], ["off", 100_000 - on]]}
        self.flag_file.parent.mkdir(exist_ok=True)
        self.flag_file.write_text(json.dumps({"flags": {FLAG: entry}}))

    @property
    def serves(self) -> float:
        """The percentage of all that the flag file gives the feature to."""
        entry = json.loads(self.flag_file.read_text())["flags"][FLAG]
        if "targeting" in entry:
            return float(entry["targeting"]["fractional"][0][1] / 1000)
        return 100.0 if entry["defaultVariant"] == "on" else 0.0

    def daemon(self, environ: Mapping[str, str] | None = None) -> Daemon:
        """Start the daemon; `with` waits until it is ready, and leaves none behind."""
        return Daemon(self, environ)

    def run(self, *arguments: str, environ: Mapping[str, str] | None = None, config: bool = True) -> Finished:
        """Run a command to its end."""
        known = ("--config", str(self.config)) if config else ()
        return run(*known, *arguments, environ=environ, directory=self.directory)

    def ledger(self) -> Ledger:
        """The ledger, opened by the test; close it."""
        return open_ledger(f"sqlite:///{self.ledger_file}")

    def status(self, name: str = "checkout-1") -> Status:
        """The object of `status --json`, read as the command reads it, without its start-up time."""
        from watchdog.account import Account  # noqa: PLC0415 - only here

        ledger = self.ledger()
        try:
            stored = ledger.rollout(name)
            return Account(ledger, stored).status() if stored is not None else {"phase": "unseen"}
        finally:
            ledger.close()

    def until(self, name: str, holds: Callable[[Status], object], within: float = 15.0) -> Status:
        """Ask for the status until it holds; fails with the last one when time is up."""
        last: list[Status] = [{}]

        def found() -> Status | None:
            last[0] = self.status(name)
            return last[0] if holds(last[0]) else None

        return wait_for(found, within, lambda: f"still {json.dumps(last[0], indent=1)}")

    def history(self, name: str = "checkout-1", kind: str = "") -> list[str]:
        """The sentences of the transitions, of one kind."""
        ledger = self.ledger()
        try:
            stored = ledger.rollout(name)
            assert stored is not None
            return [t.why for t in ledger.transitions(stored.id) if kind in ("", t.kind)]
        finally:
            ledger.close()


def command(*arguments: str) -> Sequence[str]:
    """The program's command line."""
    return (sys.executable, "-m", "watchdog", *arguments)


def run(*arguments: str, environ: Mapping[str, str] | None = None, directory: Path | None = None) -> Finished:
    """Run the program to its end, in `directory`."""
    known = {**os.environ, "COLUMNS": "200", **(environ or {})}
    status, out, err = warm().run(arguments, known, directory, COMMAND_WITHIN)
    return Finished(status, out.decode(), err.decode())


def wait_for(found: Callable[[], T | None], within: float, otherwise: Callable[[], str]) -> T:
    """Ask until there is something; fails with a sentence when there is nothing in time."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        result = found()
        if result is not None:
            return result
        time.sleep(0.05)
    raise AssertionError(f"not within {within:g} s: {otherwise()}")
