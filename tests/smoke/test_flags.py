"""Area flags: every flag answers, its history is whole, and nobody changes it without the token."""

from __future__ import annotations

from typing import Any

import pytest

from .asking import Site

pytestmark = pytest.mark.smoke


def flags(target: Site) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = target.json("/api/v1/flags")["flags"]
    return found


@pytest.mark.critical
def test_every_flag_can_be_read_from_its_service(target: Site) -> None:
    """`/flags` tells what was seen last; `/flags/{flag}` asks the service now."""
    for one in flags(target):
        now = target.json(f"/api/v1/flags/{one['flag']}")
        assert now["error"] is None, f"{one['flag']}: {now['error']}"
        assert 0 <= now["percent"] <= 100


@pytest.mark.critical
def test_the_chain_of_changes_is_whole(target: Site) -> None:
    audit = target.json("/api/v1/flags-audit")
    assert audit["ok"], audit["findings"]
    assert audit["waiting"] == 0


def test_every_change_says_who_and_why(target: Site) -> None:
    for one in flags(target):
        for change in target.json(f"/api/v1/flags/{one['flag']}/history?limit=20")["history"]:
            assert change["by"]
            assert change["at"]


def test_a_flag_that_a_rollout_steers_reads_what_the_rollout_wants(target: Site) -> None:
    """Unless the flag service is in trouble, which the rollout then says, too."""
    for one in target.json("/api/v1/rollouts")["rollouts"]:
        exposure = one["exposure"]
        if one["phase"] in ("ramping", "soaking") and exposure["confirmed"]:
            assert exposure["actual"] == exposure["desired"], one["rollout"]
            assert exposure["error"] is None, one["rollout"]


def test_an_unknown_flag_is_said_to_be_unknown(target: Site) -> None:
    problem = target.parsed(target.get("/api/v1/flags/smoke-test-of-nothing", 404))
    assert problem["type"].endswith(":unknown-flag")


@pytest.mark.critical
def test_nobody_changes_a_flag_without_the_token(target: Site) -> None:
    for verb in ("set", "kill", "revert"):
        target.refused(f"/api/v1/flags/smoke-test-of-nothing/{verb}")
