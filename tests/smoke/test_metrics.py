"""Area metrics: what Prometheus scrapes is whole, and says that the daemon does its work."""

from __future__ import annotations

import re

import pytest

from .asking import Site, labelled

pytestmark = pytest.mark.smoke


@pytest.mark.critical
def test_the_metrics_can_be_read_and_are_of_this_version(target: Site) -> None:
    version = target.json("/healthz")["version"]
    assert labelled(target.samples(), "slo_watchdog_build_info") == {f'{{version="{version}"}}': 1}


def test_it_says_whether_it_acts(target: Site) -> None:
    """0 is an instance that stands by."""
    assert target.samples()["slo_watchdog_leader"] in (0, 1)


def test_no_change_of_a_flag_waits_for_the_ledger(target: Site) -> None:
    assert target.samples()["slo_watchdog_flag_audit_journal_entries"] == 0


def test_a_rollout_is_in_one_phase(target: Site) -> None:
    phases: dict[str, float] = {}
    for labels, value in labelled(target.samples(), "slo_watchdog_rollout_phase").items():
        name = re.sub(r'phase="[a-z_]*",?', "", labels)
        phases[name] = phases.get(name, 0) + value
    assert set(phases.values()) <= {1}, phases


def test_nothing_it_measures_is_a_negative_count(target: Site) -> None:
    wrong = {name: value for name, value in target.samples().items() if "_total" in name and not value >= 0}
    assert not wrong
