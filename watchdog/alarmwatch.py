"""Alert noise as metrics: a job of the daemon looks every half minute. Every name is in docs/noise.md."""

from __future__ import annotations

from collections import Counter

from prometheus_client import CollectorRegistry, Gauge

from watchdog.alarms import Alarms
from watchdog.ledger import Ledger
from watchdog.metrics import PREFIX
from watchdog.model import NoiseRule
from watchdog.noise.classify import Class, Judged, classify
from watchdog.noise.counts import count, quality
from watchdog.noise.episodes import ALERTMANAGER, DAY, OWN

SOURCES = (ALERTMANAGER, OWN)
MOST_SERVICES = 200
"""Services that get series of their own: names come from alerts, and nobody bounds those."""


class AlarmWatch:
    """The gauges of the last 24 h. What cannot be told has no series."""

    def __init__(self, ledger: Ledger, rule: NoiseRule, registry: CollectorRegistry) -> None:
        self.ledger = ledger
        self.rule = rule
        self._alarms = Alarms()
        self._registry = registry
        self._episodes = self._gauge(
            "alert_episodes", "Pages of the last 24 h, by what they turned out to be.", "source", "class"
        )
        self._lower = self._gauge("alert_noise_lower", "Pages of the last 24 h that were certainly false.", "service")
        self._upper = self._gauge("alert_noise_upper", "The same, and what nobody has classified in time.", "service")
        self._precision = self._gauge("alert_precision", "True pages of all that are classified, in 24 h.", "service")
        self._recall = self._gauge("alert_recall", "Breaches with a page, of all breaches, in 24 h.", "service")
        self._heard = self._gauge(
            "alerts_last_heard_timestamp_seconds", "End of the minute in which alerts were heard last.", "source"
        )

    def _gauge(self, name: str, about: str, *labels: str) -> Gauge:
        return Gauge(f"{PREFIX}_{name}", about, labels, registry=self._registry)

    def look(self, now: float) -> None:
        """Bring the gauges up to date. Raises LedgerError."""
        known = self._alarms.known(self.ledger, now, now)
        judged = [one for one in classify(known, self.rule, now) if one.page.wakes and one.page.started_at > now - DAY]
        classes = Counter((one.page.first.source, one.found) for one in judged)
        for source in SOURCES:
            for found in Class:
                self._episodes.labels(source, found.value).set(classes[source, found])
        if known.heard:
            self._heard.labels(ALERTMANAGER).set(known.heard[-1])
        services: dict[str, list[Judged]] = {}
        for breach in known.breaches:
            services.setdefault(breach.service, [])
        for one in judged:
            services.setdefault(one.page.first.service, []).append(one)
        for gauge in (self._lower, self._upper, self._precision, self._recall):
            gauge.clear()
        for service, mine in sorted(services.items(), key=lambda pair: -len(pair[1]))[:MOST_SERVICES]:
            counted = count(mine, self.rule, now - DAY, now, now)
            breaches = [one for one in known.breaches if one.service == service and one.at > now - DAY]
            good = quality(mine, breaches, counted, now)
            self._lower.labels(service).set(counted.lower)
            self._upper.labels(service).set(counted.upper)
            if good.precision is not None:
                self._precision.labels(service).set(good.precision)
            if good.recall is not None:
                self._recall.labels(service).set(good.recall)
