"""Area rollouts: each is told in the same words everywhere, is watched now, and obeys only who may command."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

import pytest

from .asking import Site, agree

pytestmark = pytest.mark.smoke

PHASES = {"pending", "ramping", "soaking", "rolling_back", "rolled_back", "signed_off", "stopped"}
WATCHED = {"ramping", "soaking"}
LATE = 600.0
"""Seconds behind which a rollout is watched no more: slo:watchdog_late:seconds of the rules."""
CARRIED_OUT_WITHIN = 30.0


def rollouts(target: Site) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = target.json("/api/v1/rollouts")["rollouts"]
    return found


def age(written: str) -> float:
    return time.time() - datetime.fromisoformat(written).timestamp()


@pytest.mark.critical
def test_every_rollout_can_be_listed_and_is_in_a_known_phase(target: Site) -> None:
    assert {one["phase"] for one in rollouts(target)} <= PHASES


@pytest.mark.critical
def test_every_running_rollout_is_watched_now(target: Site) -> None:
    late = {
        one["rollout"]: one["last_slot"]
        for one in rollouts(target)
        if one["phase"] in WATCHED and (one["last_slot"] is None or age(one["last_slot"]) > LATE)
    }
    began = {one["rollout"]: one["started_at"] for one in rollouts(target)}
    assert not {name: slot for name, slot in late.items() if age(began[name]) > LATE}


def test_a_rollout_is_the_same_at_its_own_address(target: Site) -> None:
    for name in [one["rollout"] for one in rollouts(target)]:

        def listed(name: str = name) -> dict[str, Any]:
            return next(one for one in rollouts(target) if one["rollout"] == name)

        def own(name: str = name) -> Any:
            return target.json(f"/api/v1/rollouts/{name}")

        assert own()["rollout"] == name
        agree(listed, own, name)


def test_what_happened_and_what_was_judged_can_be_read(target: Site) -> None:
    for one in rollouts(target):
        address = f"/api/v1/rollouts/{one['rollout']}"
        assert all(each["why"] for each in target.json(f"{address}/transitions")["transitions"])
        judged = target.json(f"{address}/evaluations")["evaluations"]
        assert {each["verdict"] for each in judged} <= {"pass", "fail", "unknown"}


def test_an_unknown_rollout_is_said_to_be_unknown(target: Site) -> None:
    problem = target.parsed(target.get("/api/v1/rollouts/smoke-test-of-nothing", 404))
    assert problem["type"].endswith(":unknown-rollout")


@pytest.mark.critical
def test_nobody_commands_a_rollout_without_the_token(target: Site) -> None:
    """The name is nobody's, so that nothing would happen even if the door stood open."""
    for verb in ("hold", "resume", "rollback", "stop"):
        target.refused(f"/api/v1/rollouts/smoke-test-of-nothing/{verb}")


@pytest.mark.writes
def test_a_rollout_is_held_and_goes_on(operator: Site) -> None:
    """Staging only. What it changes it takes back, also when it fails in between."""
    running = [one for one in rollouts(operator) if one["phase"] in WATCHED and one["hold"] is None]
    assert running, "no rollout runs that is not on hold; start one on staging, or leave --writes out"
    address = f"/api/v1/rollouts/{running[0]['rollout']}"
    body = {"reason": "smoke test", "by": "smoke-test"}
    try:
        outcome(operator, address, operator.command(f"{address}/hold", body))
        assert operator.json(address)["hold"] is not None
    finally:
        outcome(operator, address, operator.command(f"{address}/resume", body))
    assert operator.json(address)["hold"] is None


def outcome(operator: Site, address: str, accepted: dict[str, Any]) -> None:
    """Wait until a tick has carried a command out."""
    until = time.monotonic() + CARRIED_OUT_WITHIN
    while operator.json(f"{address}/commands/{accepted['command']}")["outcome"] is None:
        assert time.monotonic() < until, f"{accepted} was not carried out within {CARRIED_OUT_WITHIN:g} s"
        time.sleep(0.1)
