"""What the shop tells Prometheus. Every series exists from the start, so that the first failure is an increase."""

from __future__ import annotations

from doors import Doors
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
COST = {"checkout": 0.0001, "assistant": 0.002}
"""What the payment provider and the model's provider take for one, in euros."""
DAILY_BUDGET = 2500.0
"""In euros. 200 checkouts and one question a second come to three quarters of it."""


class Metrics:
    """Counters, gauges and histograms of the shop, in a registry of their own. `version` is the build that runs."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "http_requests",
            "Requests answered; variant is the code that a checkout ran, none for other pages.",
            ["code", "variant"],
            registry=self.registry,
        )
        self.duration = Histogram(
            "http_request_duration_seconds",
            "Time to answer a checkout.",
            ["variant"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.tests = Counter(
            "smoke_tests", "Results of the test suite that runs against this build.", ["result"], registry=self.registry
        )
        self.refused = Counter(
            "shop_refused",
            "Requests turned away by an emergency flag; they are no checkouts.",
            ["flag"],
            registry=self.registry,
        )
        self.orders = Counter("shop_orders", "Orders written down.", registry=self.registry)
        self.logins = Counter("auth_attempts", "Logins, by what came of them.", ["result"], registry=self.registry)
        self.injections = Counter(
            "prompt_injection_detections",
            "Questions to the assistant that tried to give it orders.",
            registry=self.registry,
        )
        self.spend = Counter("service_spend", "Money spent on providers, in euros.", registry=self.registry)
        Gauge("service_spend_daily_budget", "What may be spent in 24 hours, in euros.", registry=self.registry).set(
            DAILY_BUDGET
        )
        Gauge("shop_info", "The build that runs.", ["version"], registry=self.registry).labels(version).set(1)
        for variant in ("on", "off"):
            self.duration.labels(variant)
            for code in ("200", "500"):
                self.requests.labels(code, variant)
        for code in ("200", "401", "403"):
            self.requests.labels(code, "none")
        for result in ("passed", "failed", "error"):
            self.tests.labels(result)
        for result in ("succeeded", "failed"):
            self.logins.labels(result)
        for flag in Doors.FLAGS:
            self.refused.labels(flag)
