"""Area emergency: the three flags are there, everybody reads the same of them, and nobody throws them unasked."""

from __future__ import annotations

import pytest

from .asking import Site, agree, labelled

pytestmark = pytest.mark.smoke

FLAGS = ("ops.shutdown", "ops.read-only", "ops.maintenance")


def recorded(target: Site) -> dict[str, bool]:
    return {flag: target.json(f"/api/v1/flags/{flag}")["percent"] > 0 for flag in FLAGS}


@pytest.mark.critical
def test_the_emergency_flags_can_be_read(target: Site) -> None:
    for flag in FLAGS:
        said = target.json(f"/api/v1/flags/{flag}")
        assert said["service"] == "emergency"
        assert said["error"] is None


def test_metrics_and_record_agree_on_them(target: Site) -> None:
    """The metric is from the last tick, so it may trail the record by one."""

    def measured() -> dict[str, bool]:
        samples = labelled(target.samples(), "slo_watchdog_emergency_flag")
        return {flag: bool(samples[f'{{flag="{flag}"}}']) for flag in FLAGS}

    agree(lambda: recorded(target), measured, "what is on")


def test_none_of_them_is_in_the_hands_of_a_rollout(target: Site) -> None:
    owners = {one["flag"]: one["owner"] for one in target.json("/api/v1/flags")["flags"] if one["flag"] in FLAGS}
    assert set(owners.values()) <= {None}


@pytest.mark.critical
def test_nobody_throws_one_without_the_token(target: Site) -> None:
    target.refused("/api/v1/emergency/smoke-test-of-nothing")
