"""What the dashboards lead to: variables, marks, links, and the files that Grafana reads them by."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
import yaml

from tests import alertpack
from tests.dashboards import DASHBOARDS, GRAFANA, SOURCE, UIDS, addresses, boards, filled, queries, used, variables
from watchdog.rulelint.tree import parse, selectors

COMMON = ["datasource", "environment", "service", "rollout"]


@cache
def alert_names() -> frozenset[str]:
    return frozenset(rule["alert"] for rule in alertpack.alerts())


@pytest.mark.parametrize("uid", sorted(UIDS))
def test_the_variables_are_the_same_everywhere_and_each_needs_only_those_before_it(uid: str) -> None:
    known = variables(boards()[uid])
    assert list(known)[:4] == COMMON
    before: set[str] = set()
    for name, variable in known.items():
        assert all((variable["label"], variable["description"]))
        if variable["type"] == "query":
            assert variable["datasource"] == SOURCE
            assert variable["refresh"] == 2  # when the time range changes: rollouts come and go
            assert used(variable["query"]) <= before, name
            one = uid == "slo-rollout" and name == "rollout"
            assert variable["multi"] is variable["includeAll"] is not one
        before.add(name)


@pytest.mark.parametrize("uid", sorted(UIDS))
def test_steps_and_rollbacks_are_marked(uid: str) -> None:
    found = {mark["name"]: mark for mark in boards()[uid]["annotations"]["list"]}
    assert set(found) == {"Ramp steps", "Exposure lowered", "Rollbacks"}
    assert all(mark["enable"] and mark["datasource"] == SOURCE for mark in found.values())


def resolves(address: str) -> bool:
    """Whether a link leads to a dashboard with those variables, or to the runbook of an alert that exists."""
    path, _, rest = address.partition("?")
    if path.startswith("/runbooks/"):
        alert = path.removeprefix("/runbooks/")
        return alert in alert_names() | {"", "${__value.text}"}
    uid = path.removeprefix("/d/")
    if path == uid or uid not in boards():
        return False
    names = [re.fullmatch(r"var-(\w+)=.+|\$\{(\w+):queryparam\}", one) for one in rest.split("&") if rest]
    known = variables(boards()[uid])
    return all(found is not None and (found[1] or found[2]) in known for found in names)


def test_every_link_of_a_dashboard_resolves() -> None:
    for uid, document in boards().items():
        found = list(addresses(document))
        assert {f"/d/{other}" for other in UIDS - {uid}} <= {address.partition("?")[0] for address in found}
        assert [address for address in found if not resolves(address)] == []
        own = set(variables(document))
        assert all(used(re.sub(r"\$\{__.*?\}", "", address)) <= own for address in found)


def test_every_alert_leads_to_a_dashboard_and_variables_that_exist() -> None:
    for rule in alertpack.alerts():
        address = re.sub(r"\{\{.*?\}\}", "value", rule["annotations"]["dashboard_url"])
        assert resolves(address), (rule["alert"], address)


def test_the_dashboard_of_an_alert_shows_what_the_alert_is_about() -> None:
    shown: dict[str, set[str]] = {}
    for query in queries():
        shown.setdefault(query.board, set()).update(exported(query.filled()))
    for rule in alertpack.alerts():
        needed = exported(rule["expr"])
        uid = rule["annotations"]["dashboard_url"].removeprefix("/d/").partition("?")[0]
        assert not needed or needed & shown[uid], (rule["alert"], uid, needed)


def exported(expr: str) -> set[str]:
    """The metrics that an expression comes from, through the recordings that it names; thresholds left out."""
    found: set[str] = set()
    pending = [expr]
    while pending:
        for selector in selectors(parse(pending.pop())):
            if selector.metric not in found:
                found.add(selector.metric)
                pending += recordings().get(selector.metric, ())
    return {name for name in found if name not in recordings() and name}


@cache
def recordings() -> dict[str, list[str]]:
    known: dict[str, list[str]] = {}
    for rule in alertpack.rules():
        if "record" in rule:
            known.setdefault(rule["record"], []).append(rule["expr"])
    return known


def test_links_that_lead_nowhere_are_seen() -> None:
    for address in (
        "/d/slo-nothing",
        "/d/slo-fleet?var-shop=x",
        "/runbooks/NoSuchAlert",
        "slo-fleet",
        "/d/slo-fleet?x=1",
    ):
        assert not resolves(address)


def test_provisioning_reads_the_dashboards_from_beside_it() -> None:
    [provider] = yaml.safe_load((GRAFANA / "provisioning/dashboards/slo-watchdog.yaml").read_text())["providers"]
    path = provider["options"]["path"].replace("$GF_PATHS_PROVISIONING", str(GRAFANA / "provisioning"))
    assert Path(path).resolve() == DASHBOARDS.resolve()
    [source] = yaml.safe_load((GRAFANA / "provisioning/datasources/slo-watchdog.yaml").read_text())["datasources"]
    assert source["type"] == "prometheus"
    assert source["url"] == "$PROMETHEUS_URL"


def test_variables_are_filled_in_as_grafana_does() -> None:
    assert filled('x{a=~"$service",b="${rollout}"}[$__range] $1', service="a|b", rollout="c") == (
        'x{a=~"a|b",b="c"}[10m] $1'
    )
