"""Area reports: an auditor gets the report of every rollout, in each format, and the API describes itself."""

from __future__ import annotations

import hashlib
import re

import pytest

from .asking import Site

pytestmark = pytest.mark.smoke

MOST = 5
"""Reports that are read: the newest ones."""


def addresses(target: Site) -> list[str]:
    """The reports of the newest rollouts that have begun."""
    begun = [one for one in target.json("/api/v1/rollouts")["rollouts"] if one["started_at"]]
    return [f"/api/v1/rollouts/{one['rollout']}/report" for one in begun[-MOST:]]


@pytest.mark.critical
def test_every_rollout_has_a_report_for_machines(target: Site) -> None:
    for address in addresses(target):
        report = target.json(f"{address}?format=json")
        assert f"/{report['rollout']}/" in address
        assert report["coverage"]


def test_every_rollout_has_a_report_for_people(target: Site) -> None:
    for address in addresses(target):
        page = target.get(f"{address}?format=html")
        assert "<script" not in page.text.lower()
        assert target.get(f"{address}?format=md").text.lstrip().startswith("#")


def test_a_frozen_report_is_what_the_ledger_recorded(target: Site) -> None:
    for address in addresses(target):
        report = target.get(f"{address}?format=json")
        recorded = report.headers.get("X-Report-Sha256")
        assert recorded is None or hashlib.sha256(report.content).hexdigest() == recorded


def test_the_description_of_the_api_knows_what_is_asked_here(target: Site) -> None:
    described = target.json("/openapi.json")
    assert re.fullmatch(r"3\.1\.\d+", described["openapi"])
    asked = {
        "/healthz",
        "/readyz",
        "/metrics",
        "/api/v1/rollouts",
        "/api/v1/flags",
        "/api/v1/flags-audit",
        "/api/v1/noise",
    }
    assert asked <= described["paths"].keys()
