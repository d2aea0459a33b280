"""The dead man's switch: pings only after complete cycles, `/fail` when blind, and never a tick that waits for it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import scripted
from tests.answering import Answering, Reply, reply
from tests.processes import Installation, Traffic, wait_for
from watchdog.config.sections import DeadmanSettings
from watchdog.deadman import Cycle, DeadMan

GOOD = Cycle(slot=60)
UNSEEN = Cycle(slot=60, unmeasured=("error_rate",))
BLIND = Cycle(slot=60, unmeasured=("error_rate",), blind=("error_rate",))


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Told:
    """The results that the switch has told."""

    def __init__(self) -> None:
        self.results: list[str] = []
        self._more = threading.Condition()

    def __call__(self, result: str) -> None:
        with self._more:
            self.results.append(result)
            self._more.notify_all()

    def wait(self, number: int) -> list[str]:
        with self._more:
            assert self._more.wait_for(lambda: len(self.results) >= number, 10), self.results
            return list(self.results)


@pytest.fixture
def outside() -> Iterator[Answering]:
    with Answering() as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def switch(outside: Answering, clock: Clock, told: Told) -> Iterator[DeadMan]:
    made = DeadMan(settings(outside), clock, told)
    yield made
    made.close()


def settings(outside: Answering, **more: Any) -> DeadmanSettings:
    return DeadmanSettings.model_validate({"url": f"{outside.url}/ping/0f6c-secret-of-the-check?a=b", **more})


def test_a_cycle_with_a_verdict_on_everything_is_a_ping(switch: DeadMan, outside: Answering, told: Told) -> None:
    switch.ticked("checkout-1", GOOD, ["checkout-1"])
    assert told.wait(1) == ["ok"]
    (ping,) = outside.asked
    assert (ping.method, ping.target) == ("POST", "/ping/0f6c-secret-of-the-check?a=b")
    assert ping.json == {
        "status": "ok",
        "rollouts": {"checkout-1": {"slot": "1970-01-01T00:01:00Z", "unmeasured": [], "blind": []}},
    }


@pytest.mark.parametrize("cycle", [UNSEEN, Cycle(slot=60, behind=True)], ids=["unknown", "behind"])
def test_a_cycle_that_saw_not_everything_is_no_ping(
    switch: DeadMan, outside: Answering, told: Told, cycle: Cycle
) -> None:
    switch.ticked("checkout-1", cycle, ["checkout-1"])
    switch.ticked("checkout-1", GOOD, ["checkout-1"])
    assert told.wait(1) == ["ok"]
    assert [ping.json["rollouts"]["checkout-1"]["unmeasured"] for ping in outside.asked] == [[]]


def test_a_cycle_is_over_only_when_every_rollout_has_ticked(switch: DeadMan, outside: Answering, told: Told) -> None:
    both = ["a", "b"]
    for _ in range(3):
        switch.ticked("a", GOOD, both)
    switch.ticked("b", BLIND, both)
    assert told.wait(1) == ["blind"]
    switch.ticked("b", GOOD, both)
    switch.ticked("a", Cycle(), both)
    assert told.wait(2) == ["blind", "ok"]
    assert [sorted(ping.json["rollouts"]) for ping in outside.asked] == [both, both]


def test_blindness_goes_to_the_address_of_failures(outside: Answering, clock: Clock) -> None:
    for given, where in (({}, "/ping/0f6c-secret-of-the-check/fail?a=b"), ({"fail_url": f"{outside.url}/no"}, "/no")):
        told = Told()
        switch = DeadMan(settings(outside, **given), clock, told)
        switch.ticked("checkout-1", BLIND, ["checkout-1"])
        assert told.wait(1) == ["blind"]
        assert outside.asked[-1].target == where
        switch.close()


def test_the_same_word_is_not_said_more_often_than_asked_and_another_at_once(
    switch: DeadMan, clock: Clock, told: Told
) -> None:
    for later, cycle in ((0, GOOD), (59, GOOD), (60, GOOD), (61, BLIND), (62, GOOD), (63, GOOD)):
        clock.now = 1000.0 + later
        switch.ticked("checkout-1", cycle, ["checkout-1"])
        if later not in (59, 63):
            told.wait({0: 1, 60: 2, 61: 3, 62: 4}[later])
    assert told.results == ["ok", "ok", "blind", "ok"]


def test_without_work_the_look_for_work_is_the_cycle(switch: DeadMan, outside: Answering, told: Told) -> None:
    switch.idle()
    assert told.wait(1) == ["ok"]
    assert outside.asked[0].json == {"status": "ok", "rollouts": {}}


@pytest.mark.parametrize("answer", [reply(500), reply(302, headers={"Location": "http://127.0.0.1:1/"}), Reply()])
def test_a_ping_that_nobody_took_is_sent_again_after_the_next_cycle(
    switch: DeadMan, outside: Answering, told: Told, answer: Reply
) -> None:
    outside.next(answer)
    switch.ticked("checkout-1", GOOD, ["checkout-1"])
    assert told.wait(1) == ["undelivered"]
    wait_for(lambda: _again(switch, told), 10, lambda: f"told {told.results}")
    assert told.results == ["undelivered", "ok"]


def _again(switch: DeadMan, told: Told) -> bool | None:
    switch.ticked("checkout-1", GOOD, ["checkout-1"])
    return len(told.results) > 1 or None


def test_an_address_that_hangs_holds_up_no_tick(outside: Answering, clock: Clock, told: Told) -> None:
    outside.next(Reply(hang=True))
    switch = DeadMan(settings(outside, timeout="300ms"), clock, told)
    for _ in range(100):
        switch.ticked("checkout-1", GOOD, ["checkout-1"])
    assert told.results == []  # a hundred ticks have gone by, and the address has not answered yet
    assert told.wait(1) == ["undelivered"]
    switch.close()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"url": "healthchecks.example/0f6c-secret"}, "url .not shown. that is no address"),
        ({"url": "https://h.example/a", "fail_url": "ftp://h.example/0f6c-secret"}, "fail_url .not shown."),
        ({"fail_url": "https://h.example/0f6c-secret"}, "has a fail_url and no url"),
    ],
)
def test_addresses_that_cannot_be_are_refused_and_not_shown(given: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        DeadmanSettings.model_validate(given)
    assert "0f6c-secret" not in str(refused.value)


def test_a_daemon_pings_while_it_sees_and_fails_when_it_is_blind(tmp_path: Path, outside: Answering) -> None:
    traffic = Traffic()

    def pings() -> Counter[str]:
        return Counter(one.target for one in outside.asked)

    with scripted.ScriptedPrometheus() as prometheus:
        prometheus.always(traffic)
        deadman = f'{{url: "{outside.url}/0f6c-secret", every: 100ms}}'
        site = Installation(tmp_path, prometheus.url, deadman=deadman)
        site.rollout(auto_start="true", blind_after="2s")
        with site.daemon().ready() as daemon:

            def until(holds: Callable[[], object]) -> None:
                wait_for(lambda: holds() or None, 30, lambda: f"{pings()} {daemon.text}")

            until(lambda: pings()["/0f6c-secret"] >= 2)
            traffic.fault = scripted.closed()
            until(lambda: pings()["/0f6c-secret/fail"])
            good = pings()["/0f6c-secret"]
            until(lambda: pings()["/0f6c-secret/fail"] >= 3)
            assert pings()["/0f6c-secret"] == good
            traffic.fault = None
            until(lambda: pings()["/0f6c-secret"] > good)
            told = daemon.get("/metrics").text
            assert daemon.end() == 0
    blind = next(p.json for p in outside.asked if p.target.endswith("/fail"))
    assert blind["status"] == "blind"
    assert blind["rollouts"]["checkout-1"]["blind"]
    assert 'slo_watchdog_deadman_pings_total{result="blind"}' in told
    assert "slo_watchdog_rollout_info{flag=" in told
    assert 'slo_watchdog_source_sample_age_seconds{rollout="checkout-1"}' in told
    assert "0f6c-secret" not in daemon.text
