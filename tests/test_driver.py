"""The deployment driver's decisions, and what becomes of them when it is killed after any of its effects."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import pytest

from tests.bluegreening import Command, Machine, PowerCut, attempt, build, digest

from bluegreen.errors import DriverError, Failed, Refused  # isort: skip
from bluegreen.worker import Build  # isort: skip

MOST_EFFECTS = 30
Place = Callable[[], Machine]


def fresh() -> Machine:
    return Machine()


def first_deployed() -> Machine:
    machine = Machine()
    machine.driver().deploy(build(1))
    return machine


def blue_serves() -> Machine:
    machine = first_deployed()
    machine.driver().switch()
    machine.wait(1000)
    return machine


def green_is_ready() -> Machine:
    machine = blue_serves()
    machine.driver().deploy(build(2))
    return machine


def green_serves() -> Machine:
    machine = green_is_ready()
    machine.driver().switch()
    return machine


def blue_serves_again() -> Machine:
    machine = green_serves()
    machine.driver().rollback()
    return machine


def broken_front() -> Machine:
    machine = green_is_ready()
    machine.front_is_broken = True
    return machine


def sick_build() -> Machine:
    machine = blue_serves()
    machine.sick.add(digest(2))
    return machine


def deploy(version: int) -> Command:
    return lambda driver: driver.deploy(build(version))


def switch(to: str = "newest", reason: str = "") -> Command:
    return lambda driver: driver.switch(to, reason)


def rollback(driver: object) -> object:
    return driver.rollback()  # type: ignore[attr-defined]


def drain(driver: object) -> object:
    return driver.drain()  # type: ignore[attr-defined]


STORIES: dict[str, tuple[Place, Command]] = {
    "the first deployment": (fresh, deploy(1)),
    "the first switch": (first_deployed, switch()),
    "a deployment beside what serves": (blue_serves, deploy(2)),
    "a deployment over what could be rolled back to": (green_serves, deploy(3)),
    "a deployment that is not well": (sick_build, deploy(2)),
    "a switch": (green_is_ready, switch()),
    "a switch to a named colour": (green_is_ready, switch("green")),
    "a switch that the front does not follow": (broken_front, switch("green")),
    "a rollback": (green_serves, rollback),
    "a switch forward again": (blue_serves_again, switch()),
    "a downgrade with a reason": (green_serves, switch("blue", "a test")),
    "a drain": (green_serves, drain),
}


@pytest.mark.parametrize("story", STORIES)
def test_a_command_that_is_killed_anywhere_and_run_again_ends_as_an_undisturbed_one(story: str) -> None:
    place, command = STORIES[story]
    undisturbed = place()
    assert attempt(undisturbed, command)
    effects = undisturbed.effects
    assert 0 < effects < MOST_EFFECTS
    for cut in range(1, effects + 1):
        machine = place()
        assert not attempt(machine, command, cut)
        assert attempt(machine, command)
        assert machine.outcome() == undisturbed.outcome(), f"after the effect {cut} of {effects}"


@pytest.mark.parametrize("story", STORIES)
def test_a_second_kill_in_the_second_run_changes_nothing(story: str) -> None:
    place, command = STORIES[story]
    undisturbed = place()
    attempt(undisturbed, command)
    for first in range(1, undisturbed.effects + 1):
        for second in range(1, MOST_EFFECTS):
            machine = place()
            attempt(machine, command, first)
            ended = attempt(machine, command, second)
            assert attempt(machine, command)
            assert machine.outcome() == undisturbed.outcome(), f"after the effects {first} and {second}"
            if ended:
                break


@pytest.mark.parametrize("how", ["switch", "rollback"])
def test_a_switch_that_is_killed_anywhere_can_be_undone(how: str) -> None:
    effects = count(green_is_ready, switch("green"))
    for cut in range(1, effects + 1):
        machine = green_is_ready()
        attempt(machine, switch("green"), cut)
        done = cut == effects
        undo = switch("blue", "a test" if done else "") if how == "switch" else rollback
        assert attempt(machine, undo)
        assert (machine.link, machine.state.active, machine.state.intent) == ("blue", "blue", None), f"after {cut}"
        assert machine.running == {"blue": digest(1), "green": digest(2)}


def test_an_undo_that_is_killed_anywhere_can_be_undone_or_ended() -> None:
    for cut in range(1, count(green_is_ready, switch("green"))):
        for second in range(1, MOST_EFFECTS):
            for last, expected in ((rollback, "blue"), (switch("green"), "green")):
                machine = green_is_ready()
                attempt(machine, switch("green"), cut)
                ended = attempt(machine, rollback, second)
                assert attempt(machine, last)
                assert (machine.link, machine.state.active, machine.state.intent) == (expected, expected, None)
            if ended:
                break


def count(place: Place, command: Command) -> int:
    machine = place()
    assert attempt(machine, command)
    return machine.effects


def test_the_first_deployment_goes_to_blue_and_the_next_to_green() -> None:
    machine = blue_serves()
    assert machine.driver().deploy(build(2))["colour"] == "green"
    assert machine.driver().switch() == {"colour": "green", "previous": "blue", "seconds": 4.0, "changed": True}


def test_rollback_works_in_both_directions() -> None:
    machine = green_serves()
    assert machine.driver().rollback()["colour"] == "blue"
    machine.driver().switch()
    machine.driver().drain()
    machine.driver().deploy(build(3))
    assert machine.driver().switch()["colour"] == "blue"
    assert machine.driver().rollback()["colour"] == "green"
    assert machine.running == {"blue": digest(3), "green": digest(2)}


def test_a_second_rollback_does_not_go_forward_again() -> None:
    machine = blue_serves_again()
    assert machine.driver().rollback() == {"colour": "blue", "previous": None, "seconds": 0.0, "changed": False}
    assert machine.link == "blue"
    assert "nothing to roll back" in machine.said[-1]


def test_a_second_switch_does_not_go_back() -> None:
    machine = green_serves()
    assert machine.driver().switch()["changed"] is False
    assert machine.link == "green"


def test_the_same_build_is_not_deployed_twice_unless_it_is_gone() -> None:
    machine = green_is_ready()
    assert machine.driver().deploy(build(2))["changed"] is False
    del machine.running["green"]
    assert machine.driver().deploy(build(2))["changed"] is True


def refused(act: Callable[[], object], why: str, kind: type[DriverError] = Refused) -> None:
    with pytest.raises(kind, match=re.escape(why)):
        act()


def test_a_downgrade_needs_a_reason() -> None:
    machine = green_serves()
    machine.driver().deploy(build(3))
    machine.driver().switch()
    refused(lambda: machine.driver().deploy(build(1)), "a downgrade")
    machine.driver().deploy(build(1), reason="build 3 cannot be paid with")
    assert machine.driver().switch()["colour"] == "green"
    refused(lambda: machine.driver().switch("blue"), "a downgrade")
    machine.driver().switch("blue", "it was not build 3 after all")
    assert [deed.reason for deed in machine.state.deeds[-3:]] == [
        "build 3 cannot be paid with",
        "",
        "it was not build 3 after all",
    ]


def test_a_tag_is_refused() -> None:
    refused(lambda: Machine().driver().deploy(Build("checkout", "latest", "c0ffee")), "a tag may move")


def test_the_colour_that_serves_is_neither_replaced_nor_ended() -> None:
    machine = green_serves()
    refused(lambda: machine.driver().deploy(build(3), "green"), "green serves; blue is the idle one")
    refused(lambda: machine.driver().drain("green"), "green serves; blue is the idle one")


def test_there_is_no_rollback_to_what_is_gone() -> None:
    machine = green_serves()
    machine.driver().drain()
    refused(lambda: machine.driver().rollback(), "there is no colour to go back to")
    refused(lambda: machine.driver().switch("blue"), "blue runs nothing")
    replaced = green_serves()
    replaced.sick.add(digest(3))
    refused(lambda: replaced.driver().deploy(build(3)), "blue is not well", Failed)
    refused(lambda: replaced.driver().rollback(), "there is no colour to go back to")
    refused(lambda: replaced.driver().switch("blue"), "blue is failed")


def test_a_colour_that_is_not_well_gets_no_traffic() -> None:
    machine = green_is_ready()
    machine.sick.add(digest(2))
    refused(lambda: machine.driver().switch(), "green is not well, it gets no traffic within 60 s: green answers 500")
    assert machine.moves == ["blue"]
    assert machine.state.intent is None
    assert machine.driver().deploy(build(3))["colour"] == "green"


def test_health_has_to_be_good_so_often_in_a_row() -> None:
    machine = green_is_ready()
    machine.looks = ["", "", "answers 500", "", "", ""]
    assert machine.driver().switch()["seconds"] == 7.0


def test_what_the_front_does_not_follow_is_given_back() -> None:
    machine = broken_front()
    refused(lambda: machine.driver().switch(), "the traffic was given back to blue", Failed)
    assert machine.moves == ["blue", "green", "blue"]
    assert machine.driver().rollback()["changed"] is False
    machine.front_is_broken = False
    assert machine.driver().switch()["colour"] == "green"


def test_a_first_switch_that_fails_does_not_stand_in_the_way() -> None:
    machine = first_deployed()
    machine.front_is_broken = True
    refused(lambda: machine.driver().switch(), "there is no other colour that runs", Failed)
    assert (machine.state.active, machine.state.intent) == ("blue", None)
    machine.front_is_broken = False
    assert machine.driver().deploy(build(2))["colour"] == "green"
    assert machine.driver().switch()["colour"] == "green"


def test_an_interrupted_switch_whose_colours_died_does_not_stand_in_the_way() -> None:
    for cut in range(1, count(green_is_ready, switch("green"))):
        machine = green_is_ready()
        attempt(machine, switch("green"), cut)
        refused(partial(machine.driver().deploy, build(3)), "was interrupted")
        machine.sick.add(digest(2))
        refused(machine.driver().switch, "green is not well")
        assert (machine.link, machine.state.active) == ("blue", "blue")
        assert machine.driver().deploy(build(3))["colour"] == "green"


def test_half_a_switch_stays_half_a_switch_while_there_is_no_way_back() -> None:
    machine = green_is_ready()
    attempt(machine, switch("green"), 3)
    machine.sick.add(digest(1))
    refused(machine.driver().rollback, "blue is not well")
    assert machine.link == "green"
    assert machine.driver().status()["interrupted"]["command"] == "switch"
    assert machine.driver().switch()["colour"] == "green"


def test_a_second_rollback_does_not_go_further_back() -> None:
    machine = green_serves()
    attempt(machine, switch("blue", "a test"), 3)
    assert machine.link == "blue"
    assert machine.driver().rollback()["colour"] == "green"
    assert machine.driver().rollback()["changed"] is False
    assert machine.link == "green"


def test_half_a_downgrade_is_ended_with_the_reason_that_it_had() -> None:
    machine = green_serves()
    attempt(machine, switch("blue", "build 2 cannot be paid with"), 3)
    assert machine.driver().switch()["colour"] == "blue"
    assert machine.state.deeds[-1].reason == "build 2 cannot be paid with"


def test_traffic_that_somebody_moved_by_hand_is_seen() -> None:
    machine = green_serves()
    machine.link = "blue"
    told = machine.driver().status()
    assert (told["active"], told["pointed"]) == ("green", "blue")
    refused(lambda: machine.driver().deploy(build(3)), "somebody moved it")
    refused(lambda: machine.driver().drain(), "somebody moved it")
    assert machine.driver().switch("green")["changed"] is True
    assert machine.link == "green"


def test_the_last_requests_of_a_colour_have_their_time() -> None:
    machine = green_serves()
    began = machine.time
    machine.driver().drain()
    assert machine.time - began == pytest.approx(machine.target.drain - 2, abs=0.01)
    assert "waits 28.0 s for the last requests to blue" in machine.said
    machine = green_serves()
    machine.wait(1000)
    began = machine.time
    machine.driver().drain()
    assert machine.time == began


def test_a_clock_that_went_back_does_not_make_it_wait_longer() -> None:
    machine = green_serves()
    machine.time -= 86_400
    began = machine.time
    machine.driver().drain()
    assert machine.time - began == machine.target.drain


def test_status_tells_who_did_what_and_what_is_half_done() -> None:
    machine = green_is_ready()
    machine.die_after, machine.effects = 3, 0
    with pytest.raises(PowerCut):
        machine.driver("ada").switch(reason="release 2")
    told = machine.driver().status()
    assert (told["active"], told["pointed"], told["previous"]) == ("blue", "green", None)
    assert told["interrupted"] == {
        "command": "switch", "to": "green", "origin": "blue", "stage": "pointing", "by": "ada",
        "at": told["interrupted"]["at"], "reason": "release 2",
    }  # fmt: skip
    assert told["colours"]["green"]["digest"] == digest(2)
    assert told["colours"]["green"]["healthy"] is True
    assert told["last"]["command"] == "deploy"


def test_the_state_does_not_grow_for_ever() -> None:
    machine = blue_serves()
    for version in range(2, 260):
        machine.driver().deploy(build(version))
    assert len(machine.state.deeds) == len(machine.state.numbers) == 200
