"""A site with something to see on each page: rollouts in every phase, alerts, a preflight, drills, changes of flags."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.entering import http
from tests.webserver import RULE, Site, healthy
from watchdog.drill.plan import Plan
from watchdog.drill.run import Drill
from watchdog.readers.opening import SERVICE
from watchdog.readers.service import ServiceReader

RAMP = RULE.replace("all_at_once", "progressive, from: 0, to: 100, over: 1h, every: 10m").replace(
    "slices: 2", "slices: 6"
)
BY_HAND = RULE.replace("auto_start: true", "auto_start: false")
RISING, BROKEN, HELD, SIGNED, LATER = "search-3.2.0", "checkout-2.14.0", "basket-1.9.1", "login-7.0.0", "profile-0.4.0"
DRILL = "slo-watchdog-drill"
ALERT = {
    "version": "4",
    "groupKey": "{}:{}",
    "status": "resolved",
    "receiver": "slo-watchdog",
    "alerts": [
        {
            "status": "resolved",
            "labels": {"alertname": "ErrorRateHigh", "job": "checkout", "severity": "critical"},
            "annotations": {"summary": "errors of checkout"},
            "startsAt": "2023-11-15T12:03:00Z",
            "endsAt": "2023-11-15T12:05:00Z",
            "generatorURL": "",
            "fingerprint": "b1ab3d6b2f6d8c11",
        }
    ],
}


@dataclass(frozen=True, slots=True)
class Shop:
    """The site, and how its rollouts go on: a tick is recorded as the daemon records it."""

    site: Site

    @property
    def url(self) -> str:
        return self.site.url

    def tick(self, name: str, slots: int = 1) -> None:
        self.site.source.answer = healthy
        self.site.tick(slots, name)


def broken(expression: str, at: int) -> float | None:
    """90 % of requests fail."""
    return 9000.0 if "bad_total" in expression else healthy(expression, at)


@contextmanager
def open_shop(directory: Path) -> Iterator[Shop]:
    """It lives for as long as the block does. ada operates, bob approves, eve looks."""
    access = http(directory)
    with Site(directory, http=access, prometheus_url="http://prometheus.example:9090") as site:
        site.flags.init(("f1", "f2", "f3", "f4", DRILL), "a test")
        site.add(SIGNED, "f1")
        site.tick(40, SIGNED)
        alerted = site.ask(
            "POST",
            "/api/v1/alerts",
            json=ALERT,
            headers={"Authorization": "Bearer what only Alertmanager knows"},
        )
        assert alerted.ok, alerted.text
        site.add(BROKEN, "f2", RAMP)
        site.tick(45, BROKEN)
        site.source.answer = broken
        site.tick(30, BROKEN)
        site.source.answer = healthy
        drilled(site)
        site.add(HELD, "f3", RAMP)
        site.tick(3, HELD)
        site.ledger.add_command(HELD, "hold", "ada", "the supplier of cards has trouble of their own", site.now)
        site.tick(1, HELD)
        drilled(site)
        site.add(RISING, "f4", RAMP)
        site.tick(25, RISING)
        site.add(LATER, "old-checkout", BY_HAND)
        yield Shop(site)


def drilled(site: Site) -> None:
    """A drill of three runs, read back from the service itself."""
    service, plan = site.system.primary, Plan(DRILL, 3, "daemon", "the daily drill", 900.0, 0.01, least_patience=30.0)
    with ServiceReader(service, SERVICE) as reader:
        report = Drill(service, reader, site.ledger, plan, name="flags", random=Random(1), clock=lambda: site.now).run()
    assert report.passed, report.why
