"""The daemon in a process of its own, whose rollouts are breached one after the other: how soon people hear of it, how
soon the flag is off, and whether that depends on what Slack does at the moment.

A session is one daemon with a few rollouts, each with its own flag and its own routing key (one key takes 120 calls a
minute, which is another figure). Prometheus, PagerDuty and Slack are in the measuring process. Ledger and flag file lie
on the disk. Sessions of every kind take turns.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from bench.proc import disk_directory
from bench.process import program
from bench.watched import FLAGS, STAMPS
from tests.answering import Answering, Reply, reply
from tests.pagerdutyserver import PagerDutyServer
from tests.servers import Asked, ScriptedPrometheus, scripted
from tests.servers import Reply as Told
from tests.slackserver import TOKEN, SlackServer

WITHIN = 60.0
"""Seconds for whatever a session waits for."""
APART = (1.0, 1.6)
"""Seconds between two breaches: at any phase of the ticks, and never two in one slot."""
SETTINGS = """
prometheus: {{url: "{prometheus}", timeout: 2s, scrape_interval: 500ms}}
ledger: sqlite:///watchdog.db
http: {{listen: "127.0.0.1:0"}}
flags: {{service: flagd-file, path: {flags}}}
drill: {{every: 0s}}
notify:
  pagerduty: {{routing_key_file: key-0, url: "{pagerduty}"}}
  slack: {{token_file: token, channel: "#deploys", url: "{slack}", timeout: 60s}}
"""
RULE = """
rollout: shop-{number}
service: checkout
version: "1.0"
flag: flag-{number}
interval: 1s
delay: 1s
auto_start: true
window: {{slices: 100, slice: 2s, max_gap: 30s}}
ramp: {{strategy: percentage, to: 25}}
rollback: {{to: 0, within: 60s, verify: 60s}}
settle: 4s
blind_after: 60s
resume_after: 2s
waive: {{dead_service: made traffic, pooled_exposure: made traffic}}
notify: {{routing_key_file: ../key-{number}}}
objectives:
  - name: error_rate
    bad: sum(increase(errors_total{{shop="{number}"}}[$range]))
    total: sum(increase(requests_total{{shop="{number}"}}[$range]))
    at_most: 1%
    range: 2s
    min_slice_events: 1
    sequential: {{every: 1s}}
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One breach. Instants of the monotonic clock: the record asked for, committed; the flag off; PagerDuty asked."""

    decided: float
    committed: float
    killed: float
    paged: float

    @property
    def page(self) -> float:
        """Seconds from the recorded breach to the request at PagerDuty."""
        return self.paged - self.committed

    @property
    def off(self) -> float:
        """Seconds from the decision to the flag that is off."""
        return self.killed - self.decided


class Traffic:
    """What Prometheus says of each shop: a thousand requests in every range, of which none fail, or all."""

    def __init__(self) -> None:
        self.broken: set[str] = set()

    def __call__(self, asked: Asked) -> Told:
        found = re.search(r'shop="(\d+)"', asked.expression)
        bad = "errors_total" in asked.expression and found is not None and found[1] not in self.broken
        answer: Told = scripted.value(0.0 if bad else 1000.0)(asked)
        return answer


# --- Slack in all its moods ---------------------------------------------------------------------------------------


def _healthy() -> Iterator[str]:
    """Takes one message a second, as it should."""
    with SlackServer(paced=True) as server:
        yield server.url


def _refusing() -> Iterator[str]:
    """503 to every request, asking for another one a second later: there is an attempt all the time."""
    with Answering() as server:
        server.always(reply(503, headers={"Retry-After": "1"}))
        yield f"{server.url}/api/"


def _hanging() -> Iterator[str]:
    """Takes the request and says nothing for as long as the session lasts."""
    with Answering() as server:
        server.always(Reply(hang=True))
        yield f"{server.url}/api/"


MOODS: dict[str, Callable[[], Iterator[str]]] = {
    "healthy": _healthy,
    "refusing": _refusing,
    "hanging": _hanging,
}


# --- a session ----------------------------------------------------------------------------------------------------


def session(mood: str, rollouts: int, random: Random) -> list[Run]:
    """One daemon, so many breaches, while Slack is in that mood."""
    keys = [f"{number:032x}" for number in range(rollouts)]
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=disk_directory()) as name,
        ScriptedPrometheus() as prometheus,
        PagerDutyServer(*keys) as pagerduty,
        contextmanager(MOODS[mood])() as slack,
    ):
        directory, traffic = Path(name).absolute(), Traffic()
        prometheus.always(traffic)
        urls = {"prometheus": prometheus.url, "pagerduty": pagerduty.url, "slack": slack}
        _configure(directory, keys, urls)
        with _daemon(directory):  # what `flags init` wrote is there, and everything off
            _until(lambda: _exposed(directory) >= rollouts, f"{rollouts} flags on", directory)
            time.sleep(2.0)  # what is told of that has gone out
            for number in random.sample(range(rollouts), rollouts):
                time.sleep(random.uniform(*APART))
                traffic.broken.add(str(number))
            _until(lambda: len(_pages(pagerduty)) >= rollouts, f"{rollouts} pages", directory)
        stamps, pages = json.loads((directory / STAMPS).read_text(encoding="utf-8")), _pages(pagerduty)
    if set(stamps) != set(pages) or any(one["killed"] is None for one in stamps.values()):
        raise RuntimeError(f"not every breach was rolled back and paged: {stamps}, {pages}")
    return [Run(paged=pages[rollout], **one) for rollout, one in stamps.items()]


def _configure(directory: Path, keys: list[str], urls: dict[str, str]) -> None:
    (directory / "rollouts").mkdir()
    (directory / "watchdog.yaml").write_text(SETTINGS.format(flags=FLAGS, **urls), encoding="utf-8")
    (directory / "token").write_text(TOKEN, encoding="utf-8")
    for number, key in enumerate(keys):
        (directory / f"key-{number}").write_text(key, encoding="utf-8")
        (directory / "rollouts" / f"shop-{number}.yaml").write_text(RULE.format(number=number), encoding="utf-8")
    subprocess.run([*program(directory), "flags", "init"], check=True, capture_output=True, timeout=WITHIN)


@contextmanager
def _daemon(directory: Path) -> Iterator[None]:
    """The daemon with its stamps; it is ended by SIGTERM, and must then end well."""
    with (directory / "daemon.log").open("wb") as log:
        command = [sys.executable, "-m", "bench.watched", str(directory)]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.returncode != 0:
        raise RuntimeError(f"the daemon ended with {process.returncode}: {_log(directory)}")


def _exposed(directory: Path) -> int:
    """How many flags give somebody the feature."""
    flags = json.loads((directory / FLAGS).read_text(encoding="utf-8"))["flags"]
    return sum("targeting" in entry for entry in flags.values())


def _pages(pagerduty: PagerDutyServer) -> dict[str, float]:
    """Rollout -> when the first request of its incident came."""
    found: dict[str, float] = {}
    for asked in list(pagerduty.asked):
        if asked.path == "/v2/enqueue":
            _, rollout, cause = asked.event["dedup_key"].split(":", 2)
            if cause.startswith("breach"):
                found.setdefault(rollout, asked.at)
    return found


def _until(holds: Callable[[], bool], what: str, directory: Path) -> None:
    end = time.monotonic() + WITHIN
    while not holds():
        if time.monotonic() > end:
            raise RuntimeError(f"not within {WITHIN:g} s: {what}; {_log(directory)}")
        time.sleep(0.1)


def _log(directory: Path) -> str:
    return (directory / "daemon.log").read_text(encoding="utf-8")[-2000:]
