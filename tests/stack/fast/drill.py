"""Break something in a running stack, see which alerts that fires, mend it, see them end.

with drill.fault("errors", {"ErrorRateBudgetBurn"}, beside={"RolloutBreach"}) as fault:
    drill.stack.break_(errors=0.5)
    fault.seen()
    drill.stack.break_()
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests.processes import wait_for
from tests.stack.running import DEPLOY, Stack
from watchdog.rulebook import Links, generate, read_sources, write

SOURCES = DEPLOY / "stack" / "fast"
FIGURES = DEPLOY.parent / "build" / "drill.json"
"""What the last drill measured."""
ALWAYS = frozenset({"Watchdog"})
MACHINE = frozenset({"HostCpuBusy", "HostMemoryNearFull", "HostDiskNearFull"})
"""They are about the machine that the tests run on, and right when they fire there."""
NOISE = frozenset({"AlertNoiseHigh", "AlertFlapping"})
"""They count what the drill makes fire, over minutes."""
LOOK = 0.25
"""Seconds between two looks at what fires; rules are evaluated every second."""
ROLLOUT = """\
rollout: {name}
service: shop
version: "1.0"
flag: {name}
auto_start: true
interval: 1s
delay: 1s
window: {{slices: 1000, slice: 2s, max_gap: 20s, max_idle: 1000}}
ramp: {ramp}
rollback: {{to: 0, within: 120s, verify: 10s}}
settle: 4s
blind_after: 10s
resume_after: 5s
waive: {{dead_service: a drill, pooled_exposure: a drill}}
objectives:{objectives}
"""
TWO_STEPS = "{steps: [{percent: 10, for: 1h}, {percent: 100}]}"
ERRORS = """
  - name: error_rate
    bad: sum(increase(http_requests_total{job="shop",code=~"5.."}[$range]))
    total: sum(increase(http_requests_total{job="shop"}[$range]))
    at_most: 1%
    range: 4s
    min_slice_events: 1
    sequential: {every: 2s}
"""


def fast_rules(directory: Path) -> Path:
    """The pack of deploy/stack/fast, written to `directory`."""
    write(generate(read_sources(SOURCES), Links()), directory)
    return directory


class Watcher(threading.Thread):
    """Looks at both Prometheus all the time: what fired when. One that is down says nothing."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(name="watcher")
        self._stack = stack
        self._ended = threading.Event()
        self._seen: list[tuple[float, frozenset[str]]] = []

    def run(self) -> None:
        while not self._ended.wait(LOOK):
            found: set[str] = set()
            for server in ("prometheus", "prometheus-second"):
                with suppress(OSError, ValueError):
                    found |= self._stack.firing(server)
            self._seen.append((time.time(), frozenset(found)))

    def stop(self) -> None:
        self._ended.set()
        self.join()

    @property
    def now(self) -> frozenset[str]:
        """What fires."""
        return self._seen[-1][1] if self._seen else frozenset()

    def lately(self, seconds: float) -> set[str] | None:
        """All that fired in the last seconds; None when nobody has looked for that long yet."""
        since = time.time() - seconds
        looked = bool(self._seen) and self._seen[0][0] <= since
        return self.since(since) if looked else None

    def since(self, at: float) -> set[str]:
        """All that fired since then."""
        return {name for when, names in self._seen if when >= at for name in names}

    def first(self, alertname: str, since: float) -> float | None:
        """When it was first seen firing since then."""
        return next((when for when, names in self._seen if when >= since and alertname in names), None)


@dataclass
class Fault:
    """One fault: what must fire, what may fire beside it, and how long the first took (seconds)."""

    drill: Drill
    name: str
    expected: frozenset[str]
    beside: frozenset[str]
    at: float = field(default_factory=time.time)
    detected: dict[str, float] = field(default_factory=dict)

    def seen(self, within: float = 60.0, *, told: bool = True) -> None:
        """Wait until everything that must fire does, in Prometheus and, with `told`, at Alertmanager."""
        watcher = self.drill.watcher

        def all_of_it() -> bool | None:
            return self.expected <= watcher.since(self.at) or None

        wait_for(all_of_it, within, lambda: f"{self.name}: {sorted(self.expected - watcher.since(self.at))} silent")
        for alertname in self.expected:
            self.detected[alertname] = (watcher.first(alertname, self.at) or self.at) - self.at
        if told:
            self.told()

    def told(self, within: float = 20.0) -> None:
        """Wait until Alertmanager holds all of it."""

        def all_of_it() -> bool | None:
            return self.expected <= self.drill.told() or None

        wait_for(all_of_it, within, lambda: f"{self.name}: Alertmanager only has {self.drill.told()}")

    def over(self, within: float = 90.0, *, for_long: float = 2.0) -> None:
        """Wait until nothing has fired for as long as that but what always may."""
        rest = ALWAYS | MACHINE | NOISE

        def quiet() -> bool | None:
            lately = self.drill.watcher.lately(for_long)
            return (lately is not None and lately <= rest) or None

        wait_for(quiet, within, lambda: f"{self.name}: {sorted(self.drill.watcher.now - rest)} did not end")

    @property
    def wrong(self) -> set[str]:
        """What fired, and should not have."""
        return self.drill.watcher.since(self.at) - self.expected - self.beside - ALWAYS - MACHINE - NOISE


class Drill:
    """A running stack with somebody who looks at its alerts. `figures` are of the faults that are over."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.watcher = Watcher(stack)
        self.began = time.time()
        self.figures: dict[str, Any] = {}

    @contextmanager
    def fault(self, name: str, expected: set[str], beside: set[str] | None = None) -> Iterator[Fault]:
        """A fault, from a quiet stack to a quiet stack; fails when anything else fired meanwhile."""
        fault = Fault(self, name, frozenset(expected), frozenset(beside or ()))
        yield fault
        fault.over()
        assert fault.wrong == set(), f"{name}: {sorted(fault.wrong)} fired, too"
        self.figures[name] = {
            "detected_s": {alert: round(after, 1) for alert, after in sorted(fault.detected.items())},
            "beside": sorted(self.watcher.since(fault.at) & fault.beside - fault.expected),
            "over_s": round(time.time() - fault.at, 1),
        }
        self._save()

    def note(self, since: float, *alerts: str) -> None:
        """Keep how long after that these have fired."""
        fired = self.figures.setdefault("fired_s", {})
        for alert in alerts:
            fired[alert] = round((self.watcher.first(alert, since) or since) - since, 1)
        self._save()

    def _save(self) -> None:
        FIGURES.parent.mkdir(exist_ok=True)
        FIGURES.write_text(json.dumps(self.figures, indent=1) + "\n")

    def clock(self) -> float:
        """Now, by the clock of what was seen."""
        return time.time()

    def told(self) -> set[str]:
        """What Alertmanager holds."""
        return {alert["labels"]["alertname"] for alert in self.stack.notified()}

    # --- the watchdog ---------------------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """Start a rollout that watches errors, of a flag of the same name."""
        file = self.write(name)
        self.stack.command("flags", "init")
        # Every half minute the daemon looks for new files; where it was first, the command has nothing left to do.
        self.stack.command("start", str(file), accept=(0, 2))
        self.phase(name, "ramping", "soaking")

        def exposed() -> bool | None:  # before that there is nothing to take back
            return bool(self.stack.status(name)["exposure"]["actual"]) or None

        wait_for(exposed, 30, lambda: f"{name} is exposed to nobody: {self.stack.status(name)}")

    def write(self, name: str, *, ramp: str = TWO_STEPS, objectives: str = ERRORS) -> Path:
        """The file of a rollout that starts when it is found."""
        file: Path = self.stack.rollout_file(name)
        file.write_text(ROLLOUT.format(name=name, ramp=ramp, objectives=objectives))
        return file

    def phase(self, name: str, *phases: str, within: float = 20.0) -> None:
        """Wait until a rollout is in one of these phases."""

        def reached() -> bool | None:
            return self.stack.status(name)["phase"] in phases or None

        wait_for(reached, within, lambda: f"{name} is not {phases}: {self.stack.status(name)}")

    def exposed(self, name: str, percent: float) -> None:
        """Wait until a rollout's flag reads this."""

        def reads() -> bool | None:
            return self.stack.status(name)["exposure"]["actual"] == percent or None

        wait_for(reads, 30, lambda: f"{name} is not at {percent:g} %: {self.stack.status(name)}")

    def order(self, path: str, **body: Any) -> requests.Response:
        """A call of the daemon's API that changes something."""
        token = (self.stack.root / "secrets" / "http.token").read_text()
        said = {"reason": "a drill", "by": "drill", **body}
        headers = {"Authorization": f"Bearer {token}"}
        return requests.post(f"{self.stack.watchdog}/api/v1{path}", json=said, headers=headers, timeout=20)

    @property
    def flags(self) -> Path:
        """The flag file."""
        root: Path = self.stack.root
        return root / "flags" / "shop.flagd.json"

    def edit(self, flag: str, percent: float) -> None:
        """Somebody edits the flag file: the flag is on for this percentage, whoever set it before."""
        document = json.loads(self.flags.read_text())
        on = round(percent * 1000)
        document["flags"][flag]["targeting"] = {"fractional": [["on", on], ["off", 100_000 - on]]}
        fresh = self.flags.with_suffix(".edited")
        fresh.write_text(json.dumps(document))
        fresh.replace(self.flags)


@contextmanager
def drilling(stack: Stack) -> Iterator[Drill]:
    """A drill on a stack of one's own, once nothing fires there any more."""
    drill = Drill(stack)
    drill.watcher.start()
    try:
        drill.order(f"/rollouts/{stack.rollout}/stop").raise_for_status()
        Fault(drill, "the start", frozenset(), frozenset()).over(for_long=10.0)
        yield drill
    finally:
        drill.watcher.stop()
