"""Ramp, cohort and kill, up to the real client."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from tests.unleash.conftest import Person, Readers, off, to
from tests.unleash.server import wait_until
from watchdog.flags.unleash import Unleash
from watchdog.model import NOBODY, Exposure

Open = Callable[[], AbstractContextManager[Readers]]
KEYS = [f"user-{k}" for k in range(10_000)]
TO_READER = 3.0
"""Seconds from the end of a kill to a client that asks once a second: its interval, and the server's own."""


def test_init_creates_the_flag_off_with_one_strategy_at_zero_and_does_it_once(unleash: Unleash, person: Person) -> None:
    prepared = unleash.init(["ops.read-only", "checkout-init", "checkout-init"], by="alice")
    assert (prepared.created, prepared.place) == (
        ("ops.read-only", "checkout-init"),
        "Unleash, project default, environment development",
    )
    assert unleash.init(["ops.read-only", "checkout-init"], by="alice").created == ()
    assert unleash.read("checkout-init").exposure == NOBODY
    (strategy,) = person.strategies("checkout-init")
    assert strategy.parameters == {"rollout": "0", "stickiness": "userId", "groupId": "checkout-init"}
    assert person.feature("checkout-init").type == "release"


def test_init_leaves_a_flag_of_somebody_else_alone_and_finishes_one_that_was_begun(
    unleash: Unleash, person: Person, server: object
) -> None:
    person._server.admin("POST", "/projects/default/features", {"name": "begun", "type": "release"})
    person._server.admin("POST", "/projects/default/features", {"name": "theirs", "type": "release"})
    person.adds("theirs", 40)
    person.switches("theirs", "on")
    assert unleash.init(["begun", "theirs"], by="alice").created == ("begun",)
    assert (unleash.read("begun").exposure, unleash.read("theirs").exposure) == (NOBODY, Exposure(40))


def test_a_ramp_is_sticky_and_loses_nobody(unleash: Unleash, flag: str, readers: Open) -> None:
    before: set[str] = set()
    with readers() as client:
        for percent in (0, 10, 25, 50, 100):
            assert unleash.set(flag, to(percent)).exposure == Exposure(percent)
            expected = len(KEYS) * percent / 100
            wait_until(
                lambda at=expected: abs(len(client.all_on(flag, KEYS[:1000])) * 10 - at) <= 500,
                TO_READER,
                lambda at=percent: f"no client has seen {at} %",
            )
            now = client.all_on(flag, KEYS)
            assert abs(len(now) - expected) <= 150
            assert before <= now, f"{len(before - now)} lost the feature at {percent} %"
            before = now
            assert client.on(flag, None) is (percent == 100), "without a key: only when everybody has it"
        unleash.set(flag, to(25))
        wait_until(lambda: len(client.all_on(flag, KEYS)) < 5000, TO_READER, lambda: "25 % was not seen")
        assert len(client.all_on(flag, KEYS)) < 2700
        unleash.set(flag, to(50))


def test_a_cohort_has_the_feature_besides_the_percentage_and_alone(
    unleash: Unleash, flag: str, readers: Open, person: Person
) -> None:
    qa = ("qa-1", "qa 2, with a comma", "qä-3")
    reading = unleash.set(flag, to(0, *qa))
    assert (reading.exposure, set(reading.members)) == (Exposure(0, cohort=True), set(qa))
    with readers() as client:
        wait_until(lambda: client.on(flag, "qa-1"), TO_READER, lambda: "the cohort has no feature")
        assert all(client.on(flag, member) for member in qa)
        assert client.all_on(flag, KEYS) == set()
        assert unleash.set(flag, to(10, *qa)).exposure == Exposure(10, cohort=True)
        wait_until(lambda: client.all_on(flag, KEYS) != set(), TO_READER, lambda: "10 % was not seen")
        assert 850 < len(client.all_on(flag, KEYS)) < 1150
        assert all(client.on(flag, member) for member in qa)
        assert unleash.set(flag, to(10, "qa-1")).members == ("qa-1",)
        assert unleash.set(flag, to(10)).exposure == Exposure(10)
        assert len(person.strategies(flag)) == 1
        unleash.set(flag, to(0, *qa))
        assert unleash.kill(flag, off()).exposure == NOBODY
        wait_until(lambda: not client.on(flag, "qa-1"), TO_READER, lambda: "the cohort kept the feature")


def test_a_kill_reaches_a_client_that_asks_once_a_second_within_three_seconds(
    unleash: Unleash, flag: str, readers: Open
) -> None:
    took = []
    with readers() as client:
        for run in range(6):
            unleash.set(flag, to(100, rollout=f"run-{run}"))
            wait_until(lambda: client.on(flag, "user"), TO_READER, lambda: "100 % was not seen")
            time.sleep(run * 0.17)  # at another phase of the client's interval each time
            since = time.monotonic()
            unleash.kill(flag, off(f"run-{run}"))
            wait_until(lambda: not client.on(flag, "user"), TO_READER * 2, lambda: "the kill was not seen")
            took.append(time.monotonic() - since)
    print("kill to reader:", [f"{one:.2f} s" for one in took])
    assert max(took) <= TO_READER


def test_a_kill_is_idempotent_and_leaves_the_latch_which_stays_when_somebody_switches_on(
    unleash: Unleash, flag: str, person: Person
) -> None:
    unleash.set(flag, to(50))
    first = unleash.kill(flag, off(idem="rollback-1"))
    assert (first.exposure, first.latch, first.idem) == (NOBODY, "checkout-2.14.0", "rollback-1")
    assert [unleash.kill(flag, off(idem="rollback-2")) for _ in range(3)] == [first] * 3
    assert person.events(flag, "feature-environment-disabled") == 1
    person.switches(flag, "on")
    again = unleash.read(flag)
    assert (again.exposure, again.latch) == (NOBODY, "checkout-2.14.0")
    assert again.version != first.version


def test_a_kill_without_a_rollout_keeps_the_latch_and_another_rollout_takes_it_away(
    unleash: Unleash, flag: str
) -> None:
    unleash.kill(flag, off())
    assert unleash.kill(flag, off(rollout=None)).latch == "checkout-2.14.0"
    assert unleash.set(flag, to(5)).latch == "checkout-2.14.0"
    assert unleash.set(flag, to(10, rollout="checkout-2.15.0")).latch is None


def test_what_is_beneath_the_switch_never_comes_up_before_it_was_lowered(
    unleash: Unleash, flag: str, person: Person
) -> None:
    unleash.set(flag, to(80))
    person.switches(flag, "off")
    assert unleash.read(flag).exposure == NOBODY
    assert unleash.set(flag, to(5)).exposure == Exposure(5)
    assert person.strategies(flag)[0].parameters["rollout"] == "5"


@pytest.mark.parametrize(("asked", "served"), [(0.999, 0), (12.5, 12), (99.9999, 99), (100, 100)])
def test_percentages_are_rounded_down(unleash: Unleash, flag: str, asked: float, served: int) -> None:
    assert unleash.set(flag, to(asked)).exposure == Exposure(served)


def test_a_flag_that_serves_what_is_asked_is_not_written(unleash: Unleash, flag: str, person: Person) -> None:
    first = unleash.set(flag, to(30, "qa-1"))
    writes = person.events(flag, "feature-strategy-update")
    assert unleash.set(flag, to(30, "qa-1")) == first
    assert person.events(flag, "feature-strategy-update") == writes
