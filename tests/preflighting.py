"""What the tests of the preflight share: a whole monitoring that is well, and an installation that belongs to it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.alertmanagerserver import AlertmanagerServer
from tests.drilling import FLAG as DRILL
from tests.history import History
from tests.ledgers import made_ledger
from tests.processes import Installation, wait_for
from tests.servers import PrometheusServer
from watchdog.config import load_settings
from watchdog.flags.flagd_file import FlagdFile
from watchdog.ledger import DrillIntent
from watchdog.model import EMERGENCY_FLAGS
from watchdog.preflight import Preflight, preflight
from watchdog.preflight.areas import AREAS
from watchdog.preflight.ground import Ground

HOUR = 3600
OBJECTIVES = """
  - name: error_rate
    bad: sum(increase(http_requests_total{job="checkout",code=~"5.."}[$range]))
    total: sum(increase(http_requests_total{job="checkout"}[$range]))
    at_most: 0.1%
    outside: true
  - use: rollback_capability
"""
RULE = {
    "interval": "30s",
    "delay": "30s",
    "window": "{slices: 48, slice: 1h}",
    "ramp": "{strategy: progressive, over: 7d, every: 1h}",
    "rollback": "{within: 15m}",
    "waive": "{pooled_exposure: a test, feasibility: an hour of history}",
}
WATCHDOG = {"alert": "Watchdog", "expr": "vector(1)", "labels": {"severity": "none"}}
SICK = "vector(1) + on() (label_replace(vector(1), 'a', '1', '', '') or vector(2))"
"""Many to many: it reads well and cannot be evaluated."""


def served(directory: Path, alertmanager: str | None, *rules: dict[str, Any], **how: Any) -> PrometheusServer:
    """A Prometheus over the last hour of a healthy service, and the half that follows; not started."""
    now = int(time.time())
    history = History()
    history.up(now - HOUR, now + HOUR // 2)
    history.requests(now - HOUR, now + HOUR // 2, error_share=0.0002)
    history.latency(now - HOUR, now + HOUR // 2, slow_share=0.01)
    data = history.build(directory / "tsdb")
    file = directory / "rules.yaml"
    groups = [{"name": "own", "interval": "1s", "rules": list(rules)}] if rules else []
    file.write_text(yaml.safe_dump({"groups": groups}))
    # The history goes on for half an hour: what is recorded now comes before its end.
    more = f"rule_files: [{file}]\nstorage: {{tsdb: {{out_of_order_time_window: 2h}}}}\n"
    if alertmanager is not None:
        target = alertmanager.removeprefix("http://")
        more += f"alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{target}']}}]}}]}}\n"
    # An alert that was sent before the Alertmanager was discovered is not sent again for a minute, but for this.
    arguments = ("--rules.alert.resend-delay=1s", *how.pop("extra_args", ()))
    return PrometheusServer(data, more=more, extra_args=arguments, **how)


@contextmanager
def monitoring(directory: Path) -> Iterator[tuple[PrometheusServer, AlertmanagerServer]]:
    """A Prometheus whose one rule is evaluated, and the Alertmanager in which its Watchdog fires."""
    manager = AlertmanagerServer(directory).start()
    try:
        with served(directory, manager.url, WATCHDOG) as server:
            wait_for(lambda: manager.alerts() or None, 30, lambda: f"no Watchdog in Alertmanager:\n{server.log}")
            yield server, manager
    finally:
        manager.stop()


def installed(directory: Path, prometheus: str, hook: str, **top: str) -> Installation:
    """An installation with a rollout, its flags and somebody who is told."""
    site = Installation(
        directory,
        prometheus,
        prometheus=f"{{url: '{prometheus}', timeout: 5s, scrape_interval: 15s}}",
        notify=f"{{webhook: {{url: {hook}/hook}}}}",
        tick_deadline="10s",
        **top,
    )
    site.rollout("checkout-1", OBJECTIVES, **RULE)
    flags(site).init([DRILL], "a test")
    switches(site).init(EMERGENCY_FLAGS, "a test")
    return site


def flags(site: Installation) -> FlagdFile:
    return FlagdFile(site.flag_file)


def switches(site: Installation) -> FlagdFile:
    return FlagdFile(site.flag_file.with_name("ops.flagd.json"), emergency=True)


def setting(site: Installation, key: str, value: object) -> None:
    """Write one top-level key of the settings anew."""
    settings = yaml.safe_load(site.config.read_text())
    settings[key] = value
    site.config.write_text(json.dumps(settings))


def drilled(site: Installation, ago: float = 60.0, *, passed: bool = True, worst: float = 0.2) -> None:
    ledger = made_ledger(site.ledger_file)
    intent = DrillIntent("flagd-file", DRILL, "flagd-file", "ada", "earlier", 1, 900.0)
    now = time.time() - ago
    ledger.finish_drill(ledger.begin_drill(intent, now - 1, 0.0), now, passed=passed, worst=worst, report={"why": "x"})
    ledger.close()


def look(
    site: Installation, *areas: str, drills: bool = False, clock: Callable[[], float] = time.time, **how: Any
) -> Preflight:
    """The preflight, or some of its areas."""
    chosen = tuple(pair for pair in AREAS if not areas or pair[0] in areas)
    with Ground(load_settings(site.config), by="ada", drills=drills, clock=clock, **how) as ground:
        return preflight(ground, areas=chosen)


def failed(verdict: Preflight) -> dict[str, str]:
    """What stands in the way: `area: check` -> what was found."""
    return {f"{one.area}: {one.name}": one.check.found for one in verdict.found if not one.holds}


def warned(verdict: Preflight) -> dict[str, str]:
    """What is warned of."""
    return {f"{one.area}: {one.name}": one.check.found for one in verdict.found if one.outcome == "warning"}


def held(verdict: Preflight) -> dict[str, str]:
    """What is as it should be."""
    return {f"{one.area}: {one.name}": one.check.found for one in verdict.found if one.check.ok}
