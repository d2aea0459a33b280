"""Every alert of the pack fires once, for a real reason, on a real stack; `seen.yaml` says how, and which does not.

What the fault drill (test_drill.py) has made fire is not repeated here.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.answering import reply
from tests.processes import wait_for
from tests.stack.fast.drill import Drill
from tests.stack.fast.site import Site, locked, prometheus_settings, reload, unwritable

SEEN: dict[str, dict[str, str]] = yaml.safe_load((Path(__file__).parent / "seen.yaml").read_text())["seen"]
FEW = """
  - name: too_few
    bad: sum(increase(http_requests_total{job="shop",code="999"}[$range]))
    total: sum(increase(http_requests_total{job="shop"}[$range]))
    at_most: 1%
    range: 4s
    min_events: 1000000
    min_slice_events: 1000000
    sequential: {every: 2s}
"""
IDLE = FEW.replace("    min_events: 1000000\n", "")
"""Enough to pass a slot, not to say anything of a slice."""
NOBODY = FEW.replace("http_requests_total", "nobody_exports_this_total")
AT_ONCE, SHORT_STEP = "{strategy: all_at_once}", "{steps: [{percent: 5, for: 1s}, {percent: 100}]}"
RULES = """\
groups:
  - name: two for one
    interval: 1s
    rules: [{record: "job:two_for_one:sum", expr: "up * on (environment) up"}]
  - name: in no time
    interval: 1ms
    rules: [{record: "job:in_no_time:count", expr: 'count({job=~".+"})'}]
"""
"""One rule that fails and a group that cannot keep up."""


def fires(drill: Drill, since: float, *alerts: str, within: float = 90.0) -> None:
    """Wait until all of these have fired since then."""

    def fired() -> bool | None:
        return drill.watcher.since(since).issuperset(alerts) or None

    wait_for(fired, within, lambda: f"{sorted(set(alerts) - drill.watcher.since(since))} did not fire")
    drill.note(since, *alerts)


def restart_the_shop(drill: Drill) -> None:
    """As a crash would, and until Prometheus knows that it is another process."""

    def started() -> list[str]:
        return [series["value"][1] for series in drill.stack.query('process_start_time_seconds{job="shop"}')]

    before = started()
    drill.stack.kill("shop")
    drill.stack.start("shop")
    wait_for(lambda: started() not in ([], before) or None, 20, lambda: "no new start is scraped")


def switch_maintenance(drill: Drill, *, on: bool) -> None:
    """Switch it, and wait until its alert is counted as begun or ended."""
    counted = 'alertinstance:firing_since:timestamp_seconds{alertname="EmergencyFlagOn"}'
    drill.order("/emergency/ops.maintenance", on=on).raise_for_status()
    wait_for(lambda: bool(drill.stack.query(counted)) == on or None, 20, lambda: f"not seen {on}")


@pytest.fixture(scope="module")
def site(drill: Drill) -> Iterator[Site]:
    """The stack with a daemon that has been down, and came back with other settings."""
    with Site(drill.stack) as found:
        since = drill.clock()
        drill.stack.stop("watchdog")
        fires(drill, since, *SEEN["start"])
        found.settings()
        drill.write("drill-idle", ramp=AT_ONCE, objectives=IDLE)
        drill.write("drill-stuck", ramp=SHORT_STEP, objectives=FEW)
        drill.write("drill-blind", objectives=NOBODY)
        drill.write("drill-unrecovered")
        drill.write("drill-pinned", objectives=IDLE)
        drill.write("drill-raised", objectives=IDLE)
        drill.stack.command("flags", "init")
        drill.stack.start("watchdog")
        for name in ("drill-pinned", "drill-raised"):
            drill.exposed(name, 10.0)
        found.scraped()
        yield found


@pytest.fixture(scope="module")
def outage(drill: Drill, site: Site) -> Iterator[float]:
    """The shop is down from now to the end; since when."""
    since = drill.clock()
    drill.stack.kill("shop")
    yield since
    drill.stack.start("shop")


def test_users_and_rollouts(drill: Drill, site: Site) -> None:
    stack, since = drill.stack, drill.clock()
    for _ in range(3):
        restart_the_shop(drill)
    wrong = {"failing_tests": 0.6, "spend": 1e7, "open_files": 0.95}
    wrong |= {"wrong_passwords": 1.0, "knocks": 0.5, "injections": 1.0}
    stack.break_(**wrong)
    stack.kill("blackbox")
    for on in (True, False) * 3:
        switch_maintenance(drill, on=on)
    site.webhook.always(reply(503))
    drill.order("/rollouts/drill-blind/hold").raise_for_status()
    for name in ("drill-idle", "drill-stuck", "drill-unrecovered"):
        drill.order(f"/rollouts/{name}/resume").raise_for_status()  # maintenance has held them
    stack.break_(errors=0.5, **wrong)
    fires(drill, since, "SloWatchdogPagesUnsent")
    site.webhook.always(reply(400))
    fires(drill, since, *(set(SEEN["users"]) - {"SloWatchdogClockSkew"}), within=120)
    site.skew = -10.0
    fires(drill, since, "SloWatchdogClockSkew")
    site.skew = 0.0
    site.webhook.always(reply(200))
    stack.break_()
    stack.start("blackbox")
    for name in ("drill-idle", "drill-stuck", "drill-blind"):
        drill.order(f"/rollouts/{name}/stop").raise_for_status()


def test_flags_and_the_ledger(drill: Drill, outage: float) -> None:
    stack, since = drill.stack, max(drill.clock(), outage)
    with locked(stack.root / "watchdog.db"):
        drill.order("/flags/drill-idle/kill")
        fires(drill, since, "SloWatchdogJobErrors", "SloWatchdogLate", "FlagAuditBroken")
    with unwritable(drill.flags):
        drill.edit("drill-raised", 80.0)
        drill.order("/rollouts/drill-pinned/rollback").raise_for_status()
        fires(drill, since, "FlagChangeFailed", "RolloutExposureAbovePlan", "RollbackUnconfirmed")
    drill.phase("drill-pinned", "rolled_back")
    drill.exposed("drill-raised", 10.0)  # a flag that is still to be lowered would mend the file at once
    whole = drill.flags.read_text()
    drill.flags.write_text("{")
    fires(drill, since, "FlagServiceDown")
    drill.flags.write_text(whole)
    settings = stack.config.read_text()
    stack.config.write_text("prometheus: {")
    os.kill(_serving(stack.stage.pids()["watchdog"]), signal.SIGKILL)
    fires(drill, since, *SEEN["flags"])
    stack.config.write_text(settings)


def test_the_monitoring(drill: Drill, outage: float) -> None:
    stack, since = drill.stack, max(drill.clock(), outage)
    stack.stop("inbox")
    thresholds = stack.rules / "thresholds.yaml"
    kept = thresholds.read_text()
    thresholds.write_text(kept.replace("slo:saturation:ratio", "slo:something_else:ratio"))
    (stack.rules / "broken.yaml").write_text(RULES)
    with prometheus_settings(stack) as settings:
        alerting = settings.pop("alerting")
    assert reload(stack.prometheus) == 200
    with prometheus_settings(stack) as settings:
        settings["scrape_configs"].append({"job_name": "prometheus"})
    assert reload(stack.prometheus) == 500
    alertmanager = stack.root / "alertmanager.yml"
    good = alertmanager.read_text()
    alertmanager.write_text("route: {receiver: nobody}")
    assert reload(stack.alertmanager) == 500
    fires(drill, since, *SEEN["monitoring"])
    thresholds.write_text(kept)
    (stack.rules / "broken.yaml").unlink()
    with prometheus_settings(stack) as settings:
        settings["scrape_configs"].pop()
        settings["alerting"] = alerting
    alertmanager.write_text(good)
    assert [reload(server) for server in (stack.prometheus, stack.alertmanager)] == [200, 200]
    stack.start("inbox")


def test_the_data_of_a_service_that_is_down_for_long(drill: Drill, outage: float) -> None:
    fires(drill, outage, *SEEN["outage"], within=150)


def _serving(daemon: int) -> int:
    """The process id of the daemon's process for readers."""
    threads = Path(f"/proc/{daemon}/task").iterdir()
    children = [child for thread in threads for child in (thread / "children").read_text().split()]
    found = [child for child in children if "watchdog.serve" in Path(f"/proc/{child}/cmdline").read_text()]
    return int(found[0])
