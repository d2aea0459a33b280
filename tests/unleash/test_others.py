"""Other people and other writers, wrong credentials, a server that goes away."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

import pytest

from tests.unleash.conftest import Person, off, service, to
from tests.unleash.server import CLIENT_TOKEN, UnleashServer
from watchdog.errors import FlagConflict, FlagServiceError
from watchdog.flags.unleash import Unleash
from watchdog.model import NOBODY, Exposure, FlagReading

ONLY_STAFF = {"constraints": [{"contextName": "userId", "operator": "IN", "values": ["staff"]}]}


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda person, flag: person.rolls_out(flag, 60), id="percentage"),
        pytest.param(lambda person, flag: person.switches(flag, "off"), id="switched off"),
        pytest.param(
            lambda person, flag: person.patches(
                flag, {"op": "replace", "path": "/parameters/groupId", "value": "another"}
            ),
            id="group",
        ),
        pytest.param(
            lambda person, flag: person.patches(flag, {"op": "replace", "path": "/title", "value": "mine"}), id="title"
        ),
    ],
)
def test_a_person_s_edit_is_another_version_and_is_not_overwritten(
    unleash: Unleash, flag: str, person: Person, edit: Callable[[Person, str], None]
) -> None:
    mine = unleash.set(flag, to(25))
    edit(person, flag)
    theirs = unleash.read(flag)
    assert theirs.version != mine.version
    with pytest.raises(FlagConflict, match=r"it has version .* nothing was written"):
        unleash.set(flag, to(50, expect=mine.version))
    assert unleash.read(flag) == theirs


def test_an_edit_between_the_read_and_the_write_is_refused_by_the_server(
    unleash: Unleash, flag: str, person: Person
) -> None:
    unleash.set(flag, to(25))
    state = unleash._api.state(flag)
    person.rolls_out(flag, 3)
    with pytest.raises(FlagConflict, match="changed by somebody else since it was read"):
        unleash._write(flag, state, 50, (), state.marks)
    assert unleash.read(flag).exposure == Exposure(3)


FOREIGN = {
    "a second percentage": (lambda person, flag: person.adds(flag, 5), "2 rollout strategies"),
    "a strategy with constraints": (lambda person, flag: person.adds(flag, **ONLY_STAFF), "has constraints"),
    "another kind of strategy": (
        lambda person, flag: person.adds(flag, name="remoteAddress", parameters={"IPs": "10.0.0.1"}),
        "'remoteAddress: .*' is not a flexibleRollout",
    ),
    "constraints on ours": (
        lambda person, flag: person.patches(
            flag, {"op": "replace", "path": "/constraints", "value": ONLY_STAFF["constraints"]}
        ),
        "has constraints",
    ),
    "variants on ours": (
        lambda person, flag: person.patches(
            flag,
            {
                "op": "replace",
                "path": "/variants",
                "value": [{"name": "blue", "weight": 1000, "weightType": "variable", "stickiness": "default"}],
            },
        ),
        "has variants",
    ),
    "a percentage out of range": (lambda person, flag: person.rolls_out(flag, 150), "the rollout '150'"),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_what_the_watchdog_did_not_write_makes_exposure_unknown_and_a_kill_works_all_the_same(
    unleash: Unleash, flag: str, person: Person, what: str
) -> None:
    edit, named = FOREIGN[what]
    unleash.set(flag, to(25))
    edit(person, flag)
    with pytest.raises(FlagServiceError, match=f"who has the feature is unknown: .*{named}") as refused:
        unleash.read(flag)
    assert refused.value.permanent
    with pytest.raises(FlagServiceError, match=named):
        unleash.set(flag, to(10))
    assert any(not check.ok for check in unleash.preflight(flag))
    assert unleash.kill(flag, off()).exposure == NOBODY
    assert unleash.read(flag).exposure == NOBODY
    with pytest.raises(FlagServiceError, match=named):
        unleash.set(flag, to(10, rollout="the next"))
    assert unleash.read(flag).exposure == NOBODY


def test_a_flag_that_depends_on_another_is_unknown_and_can_be_killed(
    unleash: Unleash, flag: str, person: Person
) -> None:
    unleash.init(["parent"], by="a test")
    unleash.set(flag, to(25))
    person.depends(flag, "parent")
    with pytest.raises(FlagServiceError, match="depends on another flag"):
        unleash.read(flag)
    assert unleash.kill(flag, off()).exposure == NOBODY


def test_a_strategy_that_was_removed_does_not_come_back_as_one_for_everybody(
    unleash: Unleash, flag: str, person: Person
) -> None:
    """Unleash adds a strategy for everybody when a flag without any is switched on."""
    person._server.admin(
        "DELETE",
        f"/projects/default/features/{flag}/environments/development/strategies/{person.strategies(flag)[0].id}",
    )
    with pytest.raises(FlagServiceError, match="no active rollout strategy"):
        unleash.set(flag, to(1))
    assert unleash.read(flag).exposure == NOBODY
    assert unleash.init([flag], by="alice").created == (flag,)
    assert unleash.set(flag, to(1)).exposure == Exposure(1)


def test_of_two_writers_one_is_left_and_the_other_learns_of_it(server: UnleashServer, flag: str) -> None:
    """The server compares and writes in two steps, so both may seem to win; the next write of the loser is refused."""
    writers = [service(server), service(server)]
    for k in range(10):
        before = writers[0].set(flag, to(1))
        believed: list[FlagReading] = []
        start = threading.Barrier(2)

        def write(
            n: int,
            k: int = k,
            expect: str = before.version,
            believed: list[FlagReading] = believed,
            start: threading.Barrier = start,
        ) -> None:
            start.wait()
            with contextlib.suppress(FlagConflict):
                believed.append(writers[n].set(flag, to(10 + n, idem=f"{k}-{n}", expect=expect)))

        threads = [threading.Thread(target=write, args=(n,)) for n in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        left = writers[0].read(flag)
        assert (left.exposure, left.idem) in ((Exposure(10), f"{k}-0"), (Exposure(11), f"{k}-1"))
        for loser in (one for one in believed if one != left):
            with pytest.raises(FlagConflict):
                writers[0].set(flag, to(20, expect=loser.version))
        assert writers[0].read(flag) == left


def test_a_kill_wins_against_steps_in_flight(server: UnleashServer, flag: str) -> None:
    stepper, killer = service(server), service(server)
    for k in range(20):
        seen = killer.set(flag, to(k % 2, rollout=f"run-{k}"))  # half of them from a flag that serves nobody
        if k % 4 == 0:
            seen = killer.kill(flag, off(rollout="the one before"))  # or is switched off
        start = threading.Barrier(2)

        def step(k: int = k, seen: FlagReading = seen, start: threading.Barrier = start) -> None:
            start.wait()
            for percent in (20, 40, 60):
                try:
                    seen = stepper.set(flag, to(percent, rollout=f"run-{k}", idem=str(percent), expect=seen.version))
                except FlagServiceError:
                    return

        thread = threading.Thread(target=step)
        thread.start()
        start.wait()
        killed = killer.kill(flag, off(rollout=f"run-{k}"))
        thread.join()
        assert killed.exposure == NOBODY
        after = killer.read(flag)
        assert (after.exposure, after.latch) == (NOBODY, f"run-{k}"), f"round {k}"


@pytest.mark.parametrize("verb", ["read", "set", "kill"])
def test_an_unknown_flag_is_named(unleash: Unleash, verb: str) -> None:
    call = {
        "read": lambda: unleash.read("nope"),
        "set": lambda: unleash.set("nope", to(5)),
        "kill": lambda: unleash.kill("nope", off()),
    }[verb]
    with pytest.raises(FlagServiceError, match=r"nope.*404.*flags init") as unknown:
        call()
    assert unknown.value.permanent


def test_an_archived_flag_is_named_and_not_created_again(unleash: Unleash, flag: str, person: Person) -> None:
    person.archives(flag)
    with pytest.raises(FlagServiceError, match="404") as gone:
        unleash.read(flag)
    assert gone.value.permanent
    with pytest.raises(FlagServiceError, match="archived"):
        unleash.kill(flag, off())
    with pytest.raises(FlagServiceError, match="archived flag with that name already exists; revive it"):
        unleash.init([flag], by="alice")


def test_an_unknown_environment_and_project_are_named(server: UnleashServer, flag: str) -> None:
    with pytest.raises(FlagServiceError, match="no environment 'staging'; it has development, production"):
        service(server, environment="staging").read(flag)
    with pytest.raises(FlagServiceError, match=r"Could not find environment staging"):
        service(server, environment="staging").kill(flag, off())
    with pytest.raises(FlagServiceError, match=r'in project \\?"shop'):
        service(server, project="shop").read(flag)


@pytest.mark.parametrize(("token", "status"), [("*:*.not-a-token", 401), (CLIENT_TOKEN, 403)])
def test_wrong_tokens_are_refused_and_never_printed(server: UnleashServer, flag: str, token: str, status: int) -> None:
    wrong = service(server, token=token)
    for call in (lambda: wrong.read(flag), lambda: wrong.set(flag, to(1)), lambda: wrong.kill(flag, off())):
        with pytest.raises(FlagServiceError, match=str(status)) as refused:
            call()
        assert refused.value.permanent
        assert token not in str(refused.value)
    (check,) = wrong.preflight(flag)
    assert not check.ok
    assert str(status) in check.found


def test_a_kill_with_a_token_that_may_not_says_to_page_somebody(server: UnleashServer, flag: str) -> None:
    with pytest.raises(FlagServiceError, match=r"THE KILL WAS REFUSED with status 403: .*page an administrator"):
        service(server, token=CLIENT_TOKEN).kill(flag, off())


def test_preflight_passes_on_a_fresh_flag_and_on_one_that_is_ramped(unleash: Unleash, flag: str) -> None:
    fresh = unleash.preflight(flag)
    assert [check for check in fresh if not check.ok] == []
    assert [check.name for check in fresh] == [
        "flag can be read",
        "strategies are the watchdog's",
        "users keep their side",
        "no approval stands in the way of a kill",
        "flag can be written and read back",
        "flag can be switched off",
        "readers ask often enough",
    ]
    before = unleash.set(flag, to(25, "qa-1"))
    assert [check for check in unleash.preflight(flag) if not check.ok] == []
    assert unleash.read(flag) == before


def test_preflight_finds_users_that_would_be_dealt_anew(unleash: Unleash, flag: str, person: Person) -> None:
    person.patches(flag, {"op": "replace", "path": "/parameters/stickiness", "value": "random"})
    failed = [check for check in unleash.preflight(flag) if not check.ok]
    assert [check.name for check in failed] == ["users keep their side"]
    assert "'random'" in failed[0].found
    with pytest.raises(FlagServiceError, match="dealt by 'random'"):
        unleash.set(flag, to(5))


def test_a_restart_of_the_server_keeps_flag_version_and_latch(server: UnleashServer, flag: str) -> None:
    unleash = service(server, timeout=2)
    unleash.set(flag, to(40, "qa-1"))
    ramped = unleash.read(flag)
    server.stop()
    try:
        for call in (lambda: unleash.read(flag), lambda: unleash.kill(flag, off())):
            with pytest.raises(FlagServiceError, match="could not be reached") as away:
                call()
            assert not away.value.permanent
        (check,) = unleash.preflight(flag)
        assert not check.ok
    finally:
        server.start()
    assert unleash.read(flag) == ramped
    killed = unleash.kill(flag, off())
    server.stop()
    server.start()
    assert unleash.read(flag) == killed
    assert killed.latch == "checkout-2.14.0"
