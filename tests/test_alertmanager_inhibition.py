"""What a real Alertmanager silences while something louder fires, by the shipped inhibitions; and what it does not."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.alertmanagerconfig import labels, post, shipped
from tests.alertmanagerserver import AlertmanagerServer
from tests.processes import wait_for

Labels = dict[str, str]
NUMBERS = itertools.count()
ERRORS = labels("ErrorRateBudgetBurn", severity="critical")
ERRORS_SLOWLY = labels("ErrorRateBudgetBurn", severity="warning")
SHOP_DOWN = labels("ServiceDown", job="shop")
OWN_ROLLBACK = {
    "alertname": "SloWatchdogRollback",
    "source": "slo-watchdog",
    "severity": "critical",
    "service": "shop",
    "rollout": "shop-2",
    "cause": "breach:error_rate",
}
SILENCED: list[tuple[str, Labels, Labels]] = [
    ("the louder of two severities", ERRORS, ERRORS_SLOWLY),
    ("a warning about an objective that pages", ERRORS, labels("ErrorRateDataAbsent")),
    ("errors of a service that is down", SHOP_DOWN, ERRORS),
    ("latency of a service that is down", SHOP_DOWN, labels("LatencyBudgetBurn", severity="warning")),
    ("tests of a service that is down", SHOP_DOWN, labels("TestsNotRunning")),
    ("traffic of a service that is down", SHOP_DOWN, labels("ServiceTrafficGone")),
    ("logins of a service that is down", SHOP_DOWN, labels("AuthFailuresHigh")),
    (
        "rules of a Prometheus that is down",
        labels("PrometheusDown", job="p"),
        labels("PrometheusRuleFailures", job="p"),
    ),
    ("judging without Prometheus", labels("PrometheusDown", job="p"), labels("SloWatchdogCannotJudge", rollout="r")),
    ("judging with clocks apart", labels("SloWatchdogClockSkew"), labels("SloWatchdogCannotJudge", rollout="r")),
    ("what is dropped without Alertmanager", labels("AlertmanagerDown"), labels("PrometheusNotificationsDropped")),
    ("lateness without a leader", labels("SloWatchdogNoLeader"), labels("SloWatchdogLate", rollout="r")),
    ("job errors without a daemon", labels("SloWatchdogDown"), labels("SloWatchdogJobErrors")),
    (
        "context of a rollback that fails",
        labels("RollbackUnconfirmed", rollout="r"),
        labels("RolloutRollingBack", rollout="r"),
    ),
    (
        "context of what the watchdog paged",
        OWN_ROLLBACK,
        labels("RolloutBreach", rollout="shop-2", objective="error_rate"),
    ),
    (
        "the unconfirmed rollback that the watchdog paged",
        OWN_ROLLBACK | {"alertname": "SloWatchdogRollbackUnconfirmed"},
        labels("RollbackUnconfirmed", rollout="shop-2"),
    ),
]
HEARD: list[tuple[str, Labels, Labels]] = [
    ("another service", ERRORS, ERRORS_SLOWLY | {"service": "cart"}),
    ("another environment", ERRORS, ERRORS_SLOWLY | {"environment": "staging"}),
    ("another objective", ERRORS, labels("LatencyBudgetBurn", severity="warning")),
    ("two without a service", labels("SloWatchdogJobErrors"), labels("HostDiskNearFull", instance="host-1")),
    (
        "the second witness of an outage",
        SHOP_DOWN,
        labels("AvailabilityBudgetBurn", severity="critical", service="https://shop"),
    ),
    ("the host of a service that is down", SHOP_DOWN, labels("HostMemoryNearFull", instance="host-1")),
    ("the daemon without Prometheus", labels("PrometheusDown", job="p"), labels("SloWatchdogPagesUnsent")),
    ("another Prometheus", labels("PrometheusDown", job="p"), labels("PrometheusRuleFailures", job="q")),
    ("another rollout", labels("RollbackUnconfirmed", rollout="r"), labels("RolloutBreach", rollout="s")),
    (
        "a rollback that fails, though the breach was paged",
        OWN_ROLLBACK,
        labels("RollbackUnconfirmed", rollout="shop-2"),
    ),
    (
        "Alertmanager's own failure to deliver",
        labels("PrometheusDown", job="p"),
        labels("AlertmanagerNotificationsFailing"),
    ),
    ("the heartbeat", labels("AlertmanagerDown"), labels("Watchdog")),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AlertmanagerServer]:
    """With the shipped inhibitions and nobody to tell."""
    config = {
        "route": {"receiver": "nobody"},
        "receivers": [{"name": "nobody"}],
        "inhibit_rules": shipped()["inhibit_rules"],
    }
    directory: Path = tmp_path_factory.mktemp("inhibition")
    with AlertmanagerServer(directory, yaml.safe_dump(config)) as started:
        yield started


def told(server: AlertmanagerServer, loud: Labels, quiet: Labels) -> list[Labels]:
    """Post both, with names of their own so that no other pair is in their way; their labels then."""
    own = str(next(NUMBERS))
    posted = [
        each
        | {"environment": each.get("environment", "") + own}
        | ({"rollout": each["rollout"] + own} if "rollout" in each else {})
        for each in (loud, quiet)
    ]
    post(server.url, *posted)
    return posted


def held(server: AlertmanagerServer, posted: list[Labels]) -> tuple[Any, Any] | None:
    """Both as Alertmanager holds them now."""
    found = {frozenset(alert["labels"].items()): alert for alert in server.alerts()}
    first, second = (found.get(frozenset(each.items())) for each in posted)
    return (first, second) if first and second else None


def silenced(server: AlertmanagerServer, loud: Labels, quiet: Labels) -> tuple[Any, Any]:
    """Both, when the second is silenced: Alertmanager holds an alert a moment before its inhibitions know of it."""
    posted = told(server, loud, quiet)

    def hushed() -> tuple[Any, Any] | None:
        found = held(server, posted)
        return found if found is not None and found[1]["status"]["inhibitedBy"] else None

    return wait_for(hushed, 10, lambda: f"not silenced: {held(server, posted)}")


@pytest.mark.parametrize("case", SILENCED, ids=[name for name, _, _ in SILENCED])
def test_is_silenced(server: AlertmanagerServer, case: tuple[str, Labels, Labels]) -> None:
    loud, quiet = silenced(server, *case[1:])
    assert quiet["status"]["inhibitedBy"] == [loud["fingerprint"]]
    assert loud["status"]["state"] == "active"


@pytest.mark.parametrize("case", HEARD, ids=[name for name, _, _ in HEARD])
def test_is_heard_beside(server: AlertmanagerServer, case: tuple[str, Labels, Labels]) -> None:
    posted = told(server, *case[1:])
    silenced(server, ERRORS, ERRORS_SLOWLY)  # inhibitions learn in order: they know of those two, too
    loud, quiet = wait_for(lambda: held(server, posted), 10, lambda: f"{posted} are not held")
    assert loud["status"]["state"] == quiet["status"]["state"] == "active"
