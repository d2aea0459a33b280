"""Several daemons on one ledger and one flag file, each in a directory of its own, with ways to hurt each of them.

with Fleet(tmp_path, postgres, prometheus.url) as fleet:
    fleet.rollout("checkout-1", auto_start="true")
    a, b = fleet.start("a"), fleet.start("b")
    fleet.until("checkout-1", lambda status: status["phase"] == "ramping")
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.postgresserver import Postgres
from tests.processes import Daemon, Installation, Status, wait_for
from watchdog.ledger import Ledger, open_ledger

INTERVAL = 2
LEASE = 2
"""Seconds: as long as an interval, which is the longest that a lease is given for."""
RULE = {
    "auto_start": "true",
    "interval": f"{INTERVAL}s",
    "delay": "2s",
    "settle": "3s",
    "window": "{slices: 400, slice: 4s, max_gap: 60s}",
    "ramp": "{strategy: progressive, from: 0, to: 100, over: 80s, every: 4s}",
    "blind_after": "20s",
    "waive": "{dead_service: a test, pooled_exposure: a test, rollback_bound: a test}",
}
"""Steps of 5 % every two intervals: a step that is taken twice, or too early, is seen."""
OBJECTIVES = """
  - name: error_rate
    bad: sum(increase(http_requests_total{code="500"}[$range]))
    total: sum(increase(http_requests_total[$range]))
    at_most: 1%
    range: 4s
    min_slice_events: 1
    sequential: {every: 2s}
"""


class Replica:
    """One daemon of the fleet: its directory, its process and its own way to the database."""

    def __init__(self, site: Installation, name: str) -> None:
        self.site = site
        self.name = name
        self.daemon = Daemon(site)

    @property
    def pid(self) -> int:
        return self.daemon.process.pid

    def leads(self, leader: str | None) -> bool:
        """Whether a lease's holder is this process."""
        return leader is not None and f"-{self.pid}-" in leader

    def signal(self, number: int) -> None:
        self.daemon.process.send_signal(number)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """As long as the block runs the process stands still (SIGSTOP)."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def refused(self) -> list[str]:
        """What the log says of records and flag writes that were refused for a lost lease."""
        return [line["why"] for line in self.daemon.lines if "lease" in str(line.get("why", ""))]

    def end(self) -> int:
        return self.daemon.end()


class Fleet:
    """What the daemons share: ledger, Prometheus, flag file and rollout files."""

    def __init__(self, directory: Path, postgres: Postgres, prometheus: str) -> None:
        self.directory = directory
        self.postgres = postgres
        self.prometheus = prometheus
        self.database = postgres.database()
        self.shared = Installation(directory, prometheus)
        self.replicas: list[Replica] = []
        self.ledger: Ledger = open_ledger(postgres.url(self.database))

    def rollout(self, name: str = "checkout-1", **top: str) -> Path:
        """Write one rollout file for all of them."""
        return self.shared.rollout(name, OBJECTIVES, **{**RULE, **top})

    def start(self, name: str, *, port: int | None = None, **top: str) -> Replica:
        """Start one more; `port` is its way to the database. Does not wait for it."""
        directory = self.directory / f"{name}-{len(self.replicas)}"
        directory.mkdir()
        site = Installation(
            directory,
            self.prometheus,
            **{
                "ledger": self.postgres.url(self.database, port=port),
                "replicas": f"{{lease: {LEASE}s}}",
                "rollouts": f"['{self.directory}/rollouts/*.yaml']",
                "flags": f"{{service: flagd-file, path: {self.shared.flag_file}}}",
                "reports": f"{{dir: {self.directory}/reports}}",
                **top,
            },
        )
        replica = Replica(site, name)
        self.replicas.append(replica)
        return replica

    def status(self, name: str = "checkout-1") -> Status:
        """As `status --json` gives it."""
        from watchdog.account import Account  # noqa: PLC0415 - only here

        stored = self.ledger.rollout(name)
        unseen = {"phase": "unseen", "leader": None, "exposure": {"desired": 0, "actual": None}}
        return Account(self.ledger, stored).status() if stored is not None else unseen

    def until(self, name: str, holds: Callable[[Status], object], within: float = 60.0) -> Status:
        """Ask for the status until it holds; fails with the last one and the logs when time is up."""
        last: list[Status] = [{}]

        def found() -> Status | None:
            last[0] = self.status(name)
            return last[0] if holds(last[0]) else None

        return wait_for(found, within, lambda: f"still {json.dumps(last[0], indent=1)}\n{self.logs()}")

    def leader(self, name: str = "checkout-1", within: float = 60.0) -> Replica:
        """The replica that acts for the rollout; waits until one does."""

        def found() -> Replica | None:
            stored = self.ledger.rollout(name)
            holder = self.ledger.leader(stored.id) if stored is not None else None
            return next((one for one in self.replicas if one.leads(holder)), None)

        return wait_for(found, within, lambda: f"nobody leads {name}:\n{self.logs()}")

    def others(self, leader: Replica) -> list[Replica]:
        return [one for one in self.replicas if one is not leader and one.daemon.process.poll() is None]

    def id_of(self, name: str) -> int:
        stored = self.ledger.rollout(name)
        assert stored is not None
        return stored.id

    def slots(self, name: str = "checkout-1") -> list[int]:
        """Every slot that was evaluated, once for each row that says so."""
        with self.ledger.reading() as connection:
            rows = connection.exec_driver_sql(
                f"SELECT at FROM evaluations WHERE rollout = {self.id_of(name)} AND revision = 0 ORDER BY at"  # noqa: S608
            )
            return [row.at for row in rows]

    def desired(self, name: str = "checkout-1") -> list[tuple[float, float]]:
        """Every exposure that was asked for, as (when, percent)."""
        facts = self.ledger.exposures(self.id_of(name))
        return [(fact.at, fact.exposure.percent) for fact in facts if fact.kind == "desired"]

    def applied(self) -> list[float]:
        """Every percentage that the flag was given, in order; who had no database then recorded it later."""
        changes = (stored.change for stored in self.ledger.flag_history("flags", "new-checkout", 10_000))
        kept = sorted((one for one in changes if one.result == "applied"), key=lambda one: one.at)
        return [float(one.after["percent"]) for one in kept if one.after is not None]

    def beyond(self, name: str, slots: int) -> Status:
        """Wait until so many more slots were judged."""
        last = self.ledger.rollout(name)
        until = (last.last_slot or 0 if last is not None else 0) + slots * INTERVAL
        return self.until(name, lambda _: (self.ledger.rollout(name).last_slot or 0) >= until)  # type: ignore[union-attr]

    def logs(self) -> str:
        """The ends of all logs."""
        return "\n".join(f"--- {one.name} ({one.pid})\n{one.daemon.text[-3000:]}" for one in self.replicas)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in self.replicas:
            if one.daemon.process.poll() is None:
                one.daemon.kill()
        self.ledger.close()


def assert_one_story(fleet: Fleet, name: str = "checkout-1") -> list[tuple[float, float]]:
    """Every slot was judged exactly once and none left out, every step taken once and in time; returns the steps."""
    slots = fleet.slots(name)
    assert slots == list(range(slots[0], slots[-1] + 1, INTERVAL)), "a slot was left out, or judged twice"
    steps = fleet.desired(name)
    percents = [percent for _, percent in steps]
    assert percents == sorted(set(percents)), f"a step was taken twice: {percents}"
    planned = [5.0 * number for number in range(21)]
    assert percents == planned[: len(percents)] or percents == planned[1 : len(percents) + 1], percents
    apart = [later[0] - earlier[0] for earlier, later in pairwise(steps)]
    assert min(apart, default=99) >= 4, f"two steps came closer than `every`: {apart}"
    given = fleet.applied()
    assert given == sorted(set(given)), f"the flag was given {given}"
    assert set(given) <= set(percents), f"the flag was given what nobody recorded: {given}"
    return steps


def slots_between(earlier: float, later: float) -> int:
    """How many slots lie between two instants."""
    return int(later // INTERVAL) - int(earlier // INTERVAL)


def since_of(fleet: Fleet, name: str = "checkout-1") -> float:
    """When the lease of a rollout was taken, by the database's clock."""
    id_ = fleet.id_of(name)
    return next(lease.since for lease in fleet.ledger.leases() if lease.rollout == id_)


def database_clock(fleet: Fleet) -> float:
    """Now, by the database's clock."""
    with fleet.ledger.reading() as connection:
        return float(connection.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp())").scalar_one())
