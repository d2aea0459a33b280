"""The flag service Unleash against a strict script of its interface; the real server has a suite of its own."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.answering import Answering, Reply, Request, reply
from tests.unleashcontract import CLIENT, ENVIRONMENT, PROJECT, TOKEN, Contract
from watchdog.config.flagsettings import FlagSettings
from watchdog.errors import ConfigError, FlagConflict, FlagServiceError
from watchdog.flags import open_service
from watchdog.flags.base import Change, ManagedFlagService
from watchdog.flags.unleash import open_unleash
from watchdog.model import NOBODY, Exposure, FlagReading

FLAG = "new-checkout"
STAFF = {"contextName": "userId", "operator": "IN", "values": ["staff"]}


@pytest.fixture
def contract() -> Contract:
    return Contract()


@pytest.fixture
def server(contract: Contract) -> Iterator[Answering]:
    with Answering() as server:
        yield server.always(contract)


@pytest.fixture
def unleash(server: Answering) -> ManagedFlagService:
    """The service, with one flag in it that serves nobody."""
    service = opened(server)
    service.init([FLAG], by="alice")
    return service


def opened(server: Answering, **more: object) -> ManagedFlagService:
    given = {"service": "unleash", "url": server.url, "token": TOKEN, "environment": ENVIRONMENT, **more}
    return open_unleash(FlagSettings.model_validate(given))


def to(percent: float, *cohort: str, rollout: str | None = "checkout-2.14.0", **more: str) -> Change:
    return Change(Exposure(percent, cohort=bool(cohort)), cohort, "watchdog", "a step", rollout, **more)


def off(rollout: str | None = "checkout-2.14.0", idem: str = "") -> Change:
    return Change(NOBODY, (), "watchdog", "error_rate is broken", rollout, idem)


def sent(server: Answering, method: str = "") -> list[str]:
    """Method and the end of the path of each request."""
    return [f"{one.method} {one.target.rpartition('/')[2]}" for one in server.asked if method in ("", one.method)]


def when(method: str, end: str, then: Callable[[], Reply | None], times: int = 1) -> Callable[[Request], Reply | None]:
    """Before a request of this kind reaches the server, something happens, or it is answered otherwise."""
    left = [times]

    def before(request: Request) -> Reply | None:
        if left[0] and request.method == method and request.target.endswith(end):
            left[0] -= 1
            return then()
        return None

    return before


def test_the_settings_open_it_and_it_says_what_it_can(server: Answering) -> None:
    given = {"service": "unleash", "url": server.url, "token": TOKEN, "propagation": "30s"}
    found = open_service(FlagSettings.model_validate(given)).capabilities
    assert (found.smallest_step, found.propagation, found.compare_and_set) == (1.0, 30.0, "emulated")
    assert (found.push, found.cohort, found.audiences, found.latch, found.unconditional_kill) == (
        False,
        True,
        False,
        True,
        True,
    )
    assert server.asked == []


def test_requests_are_those_of_the_published_interface(unleash: ManagedFlagService, server: Answering) -> None:
    server.asked.clear()
    unleash.set(FLAG, to(25, idem="step-1"))
    here = f"{PROJECT}/features/{FLAG}/environments/production"
    assert [(one.method, one.target.removeprefix(here)) for one in server.asked] == [
        ("GET", f"{PROJECT}/features/{FLAG}"),
        ("PATCH", "/strategies/S1"),
        ("GET", f"{PROJECT}/features/{FLAG}"),
        ("POST", "/on"),
        ("GET", f"{PROJECT}/features/{FLAG}"),
        ("GET", f"{PROJECT}/features/{FLAG}"),
    ]
    assert {one.headers["authorization"] for one in server.asked} == {TOKEN}
    changes = {one["path"]: one["value"] for one in server.asked[1].json if one["op"] != "test"}
    assert (changes["/parameters/rollout"], changes["/parameters/stickiness"]) == ("25", "userId")
    marks = json.loads(changes["/title"].removeprefix("slo-watchdog "))
    assert marks == {"by": "watchdog", "why": "a step", "rollout": "checkout-2.14.0", "idem": "step-1"}


def test_an_address_with_api_at_its_end_works_too(server: Answering) -> None:
    assert opened(server, url=f"{server.url}/api").init(["a"], by="alice").created == ("a",)


def test_init_creates_each_flag_once_and_off(unleash: ManagedFlagService, contract: Contract) -> None:
    assert unleash.init([FLAG, "ops.shutdown"], by="alice").created == ("ops.shutdown",)
    assert unleash.read("ops.shutdown").exposure == NOBODY
    assert contract.flags["ops.shutdown"]["type"] == "release"
    assert contract.strategies("ops.shutdown")[0]["parameters"]["groupId"] == "ops.shutdown"


@pytest.mark.parametrize("name", ["", "..", "a\nb"])
def test_a_name_that_cannot_be_in_an_address_is_refused(unleash: ManagedFlagService, name: str) -> None:
    with pytest.raises(FlagServiceError, match="cannot be part of an address"):
        unleash.read(name)


def test_a_kill_switches_off_first_and_seals_then(
    unleash: ManagedFlagService, server: Answering, contract: Contract
) -> None:
    unleash.set(FLAG, to(50, "qa-1"))
    server.asked.clear()
    killed = unleash.kill(FLAG, off(idem="rollback"))
    assert sent(server)[0] == "POST off"
    assert (killed.exposure, killed.latch, killed.idem, killed.members) == (NOBODY, "checkout-2.14.0", "rollback", ())
    (left,) = contract.strategies(FLAG)
    assert left["parameters"]["rollout"] == "0"


def test_a_kill_of_a_killed_flag_writes_nothing_but_off(unleash: ManagedFlagService, server: Answering) -> None:
    first = unleash.kill(FLAG, off())
    server.asked.clear()
    assert unleash.kill(FLAG, off()) == first
    assert sent(server) == ["POST off", f"GET {FLAG}"]


@pytest.mark.parametrize("status", [403, 409])
def test_a_kill_that_is_refused_says_to_page_somebody(
    unleash: ManagedFlagService, contract: Contract, status: int
) -> None:
    unleash.set(FLAG, to(50))
    contract.before = when("POST", "/off", lambda: reply(status, json={"message": "Change requests are enabled"}))
    with pytest.raises(FlagServiceError, match=f"REFUSED with status {status}: Change requests.*now") as refused:
        unleash.kill(FLAG, off())
    assert refused.value.permanent
    assert not isinstance(refused.value, FlagConflict)


def test_a_seal_that_fails_does_not_fail_the_kill(unleash: ManagedFlagService, contract: Contract) -> None:
    unleash.set(FLAG, to(50))
    contract.before = when("POST", "/strategies", lambda: reply(503), times=9)
    killed = unleash.kill(FLAG, off())
    assert (killed.exposure, killed.latch) == (NOBODY, None)


def test_a_seal_that_fails_once_is_tried_again(unleash: ManagedFlagService, contract: Contract) -> None:
    unleash.set(FLAG, to(50))
    contract.before = when("POST", "/strategies", lambda: reply(503))
    assert unleash.kill(FLAG, off()).latch == "checkout-2.14.0"


def test_a_seal_that_was_cut_short_leaves_the_flag_off_and_is_finished_by_the_next_kill_or_step(
    unleash: ManagedFlagService, contract: Contract
) -> None:
    finishes: list[Callable[[], FlagReading]] = [
        lambda: unleash.kill(FLAG, off()),
        lambda: unleash.set(FLAG, to(30, rollout="checkout-2.15.0")),
    ]
    for finish in finishes:
        unleash.set(FLAG, to(50))
        contract.before = when("DELETE", "", lambda: reply(503), times=9)
        assert unleash.kill(FLAG, off()).exposure == NOBODY
        contract.before = lambda _request: None
        assert len(contract.strategies(FLAG)) == 2
        assert unleash.read(FLAG).exposure == NOBODY
        left = finish()
        assert len(contract.strategies(FLAG)) == 1
        assert unleash.read(FLAG) == left


@pytest.mark.parametrize("cohort", [(), ("qa-1",)], ids=["percentage", "cohort"])
@pytest.mark.parametrize("moment", ["before the write", "between compare and write", "before it is switched on"])
def test_a_kill_wins_against_a_step_from_nobody_that_is_in_flight(
    unleash: ManagedFlagService, contract: Contract, moment: str, cohort: tuple[str, ...]
) -> None:
    def kill() -> None:
        unleash.kill(FLAG, off())

    before = unleash.read(FLAG).version
    if moment == "between compare and write":
        contract.between = kill
    else:
        contract.before = when(*(("PATCH", "") if moment == "before the write" else ("POST", "/on")), kill)
    with pytest.raises(FlagServiceError):
        unleash.set(FLAG, to(0 if cohort else 20, *cohort, expect=before))
    after = unleash.read(FLAG)
    assert (after.exposure, after.latch) == (NOBODY, "checkout-2.14.0")


def test_a_kill_replaces_a_strategy_whose_title_a_person_wrote_over(
    unleash: ManagedFlagService, contract: Contract
) -> None:
    unleash.set(FLAG, to(50))
    contract.strategies(FLAG)[0]["title"] = "mine now"
    assert unleash.kill(FLAG, off()).latch == "checkout-2.14.0"
    assert [one["parameters"]["rollout"] for one in contract.strategies(FLAG)] == ["0"]
    assert unleash.set(FLAG, to(30, rollout="checkout-2.15.0")).exposure == Exposure(30)


def test_a_kill_keeps_who_is_dealt_to_a_percentage(unleash: ManagedFlagService, contract: Contract) -> None:
    contract.strategies(FLAG)[0]["parameters"]["groupId"] = "chosen-by-a-person"
    unleash.set(FLAG, to(50))
    unleash.kill(FLAG, off())
    (left,) = contract.strategies(FLAG)
    assert left["parameters"]["groupId"] == "chosen-by-a-person"


def test_a_kill_that_somebody_undoes_again_and_again_fails(unleash: ManagedFlagService, contract: Contract) -> None:
    unleash.set(FLAG, to(50))

    def undone(request: Request) -> Reply | None:
        contract.environment(FLAG)["enabled"] = True
        contract.strategies(FLAG)[0]["parameters"]["rollout"] = "50"
        return None

    contract.before = undone
    with pytest.raises(FlagServiceError, match="somebody else switched it on again, so that it reads 50%") as undoing:
        unleash.kill(FLAG, off())
    assert not undoing.value.permanent


def test_strategies_of_others_are_left_alone_by_a_kill(unleash: ManagedFlagService, contract: Contract) -> None:
    unleash.set(FLAG, to(50))
    contract.add(FLAG, {"name": "flexibleRollout", "parameters": {"rollout": "5"}, "title": "mine"})
    contract.add(FLAG, {"name": "flexibleRollout", "parameters": {"rollout": "100"}, "constraints": [STAFF]})
    assert unleash.kill(FLAG, off()).exposure == NOBODY
    assert [one["parameters"]["rollout"] for one in contract.strategies(FLAG)] == ["5", "100", "0"]


BROKEN: dict[str, Callable[[SimpleNamespace], object]] = {
    "150 %": lambda flag: flag.ours["parameters"].update(rollout="150"),
    "half a percent": lambda flag: flag.ours["parameters"].update(rollout="0.5"),
    "no percentage": lambda flag: flag.ours["parameters"].clear(),
    "parameters that are a list": lambda flag: flag.ours.update(parameters=[]),
    "constraints": lambda flag: flag.ours.update(constraints=[STAFF]),
    "segments": lambda flag: flag.ours.update(segments=[7]),
    "variants": lambda flag: flag.ours.update(variants=[{"name": "blue"}]),
    "another strategy": lambda flag: flag.ours.update(name="remoteAddress"),
    "no id": lambda flag: flag.ours.pop("id"),
    "switched off": lambda flag: flag.ours.update(disabled=True),
    "two of them": lambda flag: flag.add({"name": "flexibleRollout", "parameters": {"rollout": "1"}}),
    "a cohort without members": lambda flag: flag.cohort(constraints=[{**STAFF, "values": []}]),
    "a cohort of all but": lambda flag: flag.cohort(constraints=[{**STAFF, "inverted": True}]),
    "a cohort of half of them": lambda flag: flag.cohort(parameters={"rollout": "50"}),
    "a cohort for everybody": lambda flag: flag.cohort(constraints=[]),
    "a cohort by region": lambda flag: flag.cohort(constraints=[{**STAFF, "contextName": "region"}]),
    "two cohorts": lambda flag: [flag.cohort(), flag.cohort()],
    "flag variants": lambda flag: flag.whole.update(variants=[{"name": "blue"}]),
    "a parent": lambda flag: flag.whole.update(dependencies=[{"feature": "parent"}]),
    "a release plan": lambda flag: flag.environment.update(releasePlans=[{"name": "plan"}]),
    "archived": lambda flag: flag.whole.update(archived=True),
}


@pytest.mark.parametrize("what", BROKEN)
def test_exposure_that_does_not_follow_from_our_strategies_is_unknown_until_the_flag_is_off(
    unleash: ManagedFlagService, contract: Contract, what: str
) -> None:
    unleash.set(FLAG, to(25))

    def cohort(**more: object) -> None:
        strategy = {"name": "flexibleRollout", "title": "slo-watchdog cohort", "parameters": {"rollout": "100"}}
        contract.add(FLAG, {**strategy, "constraints": [STAFF], **more})

    flag = SimpleNamespace(
        ours=contract.strategies(FLAG)[0],
        whole=contract.flags[FLAG],
        environment=contract.environment(FLAG),
        add=lambda strategy: contract.add(FLAG, strategy),
        cohort=cohort,
    )
    BROKEN[what](flag)
    contract.before = lambda _request: None
    with pytest.raises(FlagServiceError, match="who has the feature is unknown"):
        unleash.read(FLAG)
    for percent in (10, 40):
        with pytest.raises(FlagServiceError, match="who has the feature is unknown"):
            unleash.set(FLAG, to(percent))
    assert any(not check.ok for check in unleash.preflight(FLAG))
    assert unleash.kill(FLAG, off()).exposure == NOBODY


ANSWERS = {
    "a list": b"[]",
    "no environments": b"{}",
    "environments that are text": b'{"environments": "production"}',
    "an environment that is text": b'{"environments": ["production"]}',
    "neither on nor off": b'{"environments": [{"name": "production", "enabled": "yes", "strategies": []}]}',
    "no strategies": b'{"environments": [{"name": "production", "enabled": true}]}',
    "a strategy that is text": b'{"environments": [{"name": "production", "enabled": true, "strategies": ["a"]}]}',
    "nothing": b"",
    "half": b'{"environments": [{"name": "prod',
    "deep": b'{"environments": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    "a page": b"<html>sign in</html>",
    "a key twice": b'{"environments": [], "environments": []}',
}


@pytest.mark.parametrize("what", ANSWERS)
def test_hostile_answers_are_errors_that_are_tried_again(
    unleash: ManagedFlagService, contract: Contract, what: str
) -> None:
    hostile = reply(200, ANSWERS[what], headers={"Content-Type": "application/json"})
    contract.before = when("GET", FLAG, lambda: hostile, times=9)
    with pytest.raises(FlagServiceError, match=r"expected|not understood") as strange:
        unleash.read(FLAG)
    assert not strange.value.permanent
    (check,) = unleash.preflight(FLAG)
    assert not check.ok


@pytest.mark.parametrize(
    ("answer", "permanent", "said"),
    [
        (reply(401, json={"message": "You must log in"}), True, "401: You must log in; check the token"),
        (reply(403), True, "403"),
        (reply(404), True, "404"),
        (reply(429, headers={"Retry-After": "7"}), False, "waiting for 7 s"),
        (reply(500), False, "500"),
        (reply(503), False, "503"),
        (reply(302, headers={"Location": "https://sso.example/?token=x"}), True, "redirects to https://sso.example/"),
        (Reply([b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"]), False, "it is asked again"),
        (Reply([b"nonsense\r\n\r\n"]), False, "it is asked again"),
        (Reply([], hang=True), False, "no whole answer within 0.3 s"),
        (Reply([b"H"] * 50, pause=0.1), False, "no whole answer within 0.3 s"),
    ],
)
def test_faults_are_told_apart(
    server: Answering, contract: Contract, answer: Reply, said: str, *, permanent: bool
) -> None:
    service = opened(server, timeout=0.3)
    service.init([FLAG], by="alice")
    for call in (lambda: service.read(FLAG), lambda: service.set(FLAG, to(5))):
        contract.before = when("GET", FLAG, lambda: answer)
        with pytest.raises(FlagServiceError) as fault:
            call()
        assert said in str(fault.value)
        assert fault.value.permanent is permanent
        assert TOKEN not in str(fault.value)
    assert contract.serves(FLAG) == (0, frozenset())


def test_a_429_says_how_long_to_wait(unleash: ManagedFlagService, contract: Contract) -> None:
    contract.before = when("POST", "/off", lambda: reply(429, headers={"Retry-After": "7"}))
    with pytest.raises(FlagServiceError) as busy:
        unleash.kill(FLAG, off())
    assert busy.value.retry_after == 7.0


def test_a_service_that_is_gone_is_a_passing_fault(server: Answering) -> None:
    gone = opened(server, url="http://127.0.0.1:9")
    with pytest.raises(FlagServiceError, match="could not be reached") as away:
        gone.kill(FLAG, off())
    assert not away.value.permanent


def test_a_write_whose_answer_was_lost_is_found_done(unleash: ManagedFlagService, contract: Contract) -> None:
    unleash.set(FLAG, to(5))

    def lost(request: Request) -> Reply | None:
        contract.before = lambda _request: None
        contract(request)
        return reply(503)

    contract.before = lambda request: lost(request) if request.method == "PATCH" else None
    with pytest.raises(FlagServiceError, match="503"):
        unleash.set(FLAG, to(10, idem="step-2"))
    found = unleash.read(FLAG)
    assert (found.exposure, found.idem) == (Exposure(10), "step-2")
    assert unleash.set(FLAG, to(10, idem="step-2")) == found


def test_a_version_that_is_not_the_expected_one_is_a_conflict(
    unleash: ManagedFlagService, server: Answering, contract: Contract
) -> None:
    before = unleash.set(FLAG, to(5))
    contract.strategies(FLAG)[0]["parameters"]["rollout"] = "7"
    server.asked.clear()
    with pytest.raises(FlagConflict, match=f"expected {before.version}"):
        unleash.set(FLAG, to(10, expect=before.version))
    assert sent(server) == [f"GET {FLAG}"]
    theirs = unleash.read(FLAG)
    assert unleash.set(FLAG, to(10, expect=theirs.version)).exposure == Exposure(10)


def test_an_edit_just_before_the_write_is_refused(unleash: ManagedFlagService, contract: Contract) -> None:
    unleash.set(FLAG, to(5))
    ours = contract.strategies(FLAG)[0]
    contract.before = when("PATCH", "", lambda: ours["parameters"].update(rollout="2"))
    before = unleash.read(FLAG).version
    with pytest.raises(FlagConflict, match="changed by somebody else since it was read"):
        unleash.set(FLAG, to(10, expect=before))
    assert unleash.read(FLAG).exposure == Exposure(2)


def test_only_a_change_that_lowers_and_expects_no_version_is_tried_again(
    unleash: ManagedFlagService, contract: Contract
) -> None:
    unleash.set(FLAG, to(50))
    ours = contract.strategies(FLAG)[0]
    contract.before = when("PATCH", "", lambda: ours["parameters"].update(rollout="60"))
    assert unleash.set(FLAG, to(5)).exposure == Exposure(5)
    contract.before = when("PATCH", "", lambda: ours["parameters"].update(rollout="4"))
    with pytest.raises(FlagConflict):
        unleash.set(FLAG, to(10))
    rollouts = iter(["61", "62", "63", "64"])
    contract.before = when("PATCH", "", lambda: ours["parameters"].update(rollout=next(rollouts)), times=9)
    with pytest.raises(FlagConflict):
        unleash.set(FLAG, to(1))
    assert next(rollouts) == "64"


def test_an_edit_just_after_the_write_is_a_conflict(unleash: ManagedFlagService, contract: Contract) -> None:
    unleash.set(FLAG, to(5))
    ours = contract.strategies(FLAG)[0]

    def edit(request: Request) -> Reply | None:
        if ours["parameters"]["rollout"] == "10":
            ours["parameters"]["rollout"] = "3"
        return None

    before = unleash.read(FLAG).version
    contract.before = edit
    with pytest.raises(FlagConflict, match="written to serve 10%, and reads 3%"):
        unleash.set(FLAG, to(10, expect=before))


def test_a_flag_is_not_switched_on_over_strategies_that_changed(
    unleash: ManagedFlagService, server: Answering, contract: Contract
) -> None:
    ours = contract.strategies(FLAG)[0]

    def edit(request: Request) -> Reply | None:
        if ours["parameters"]["rollout"] == "10":
            ours["parameters"]["rollout"] = "90"
        return None

    before = unleash.read(FLAG).version
    contract.before = edit
    with pytest.raises(FlagConflict, match="stays switched off"):
        unleash.set(FLAG, to(10, expect=before))
    assert "POST on" not in sent(server)


@pytest.mark.parametrize("widen", ["percentage", "removed", "added"])
def test_a_flag_that_is_widened_as_it_is_switched_on_is_switched_off_again(
    unleash: ManagedFlagService, contract: Contract, widen: str
) -> None:
    def edit() -> None:
        if widen == "percentage":
            contract.strategies(FLAG)[0]["parameters"]["rollout"] = "90"
        elif widen == "removed":
            contract.strategies(FLAG).clear()
        else:
            contract.add(FLAG, {"name": "remoteAddress", "parameters": {"IPs": "10.0.0.1"}})

    before = unleash.read(FLAG).version
    contract.before = when("POST", "/on", edit)
    with pytest.raises(FlagConflict, match="switched off again"):
        unleash.set(FLAG, to(10, expect=before))
    assert unleash.read(FLAG).exposure == NOBODY


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (to(float("nan")), "nan % was asked"),
        (to(101), "101 % was asked"),
        (to(-1), "-1 % was asked"),
        (Change(Exposure(0, cohort=True), (), "w", "y"), "has no members"),
        (to(0, " qa"), "' qa'; expected keys without blanks"),
        (Change(Exposure(0, audiences=("beta",)), (), "w", "y"), "audiences \\(beta\\)"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_asked(
    unleash: ManagedFlagService, server: Answering, change: Change, said: str
) -> None:
    server.asked.clear()
    with pytest.raises(FlagServiceError, match=said) as refused:
        unleash.set(FLAG, change)
    assert refused.value.permanent
    assert server.asked == []


ASKED = st.tuples(st.sampled_from([0, 0.4, 1, 10, 25.9, 50, 99.99, 100]), st.sets(st.sampled_from("abc"), max_size=2))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.one_of(st.none(), ASKED), min_size=1, max_size=6), switched_off=st.booleans())
def test_at_no_moment_is_more_exposed_than_before_or_asked(
    server: Answering, *, steps: list[tuple[float, set[str]] | None], switched_off: bool
) -> None:
    contract = Contract()
    server.always(contract)
    service = opened(server)
    service.init([FLAG], by="alice")
    for step in steps:
        before = contract.serves(FLAG)
        assert before is not None
        contract.moments.clear()
        if step is None:
            assert service.kill(FLAG, off(rollout=str(random.random()))).exposure == NOBODY
            most = before
        else:
            percent, cohort = step
            reading = service.set(FLAG, to(percent, *sorted(cohort)))
            assert reading.exposure == Exposure(float(int(percent)), cohort=bool(cohort))
            assert set(reading.members) == cohort
            most = (max(before[0], int(percent)), before[1] | cohort)
        for _, moment in contract.moments:
            assert moment is not None
            assert moment[0] <= most[0]
            assert moment[1] <= most[1]
        if switched_off:  # by a person, over whatever is there
            contract.environment(FLAG)["enabled"] = False


def test_marks_survive_any_text_and_are_lost_where_a_person_writes_over_them(
    unleash: ManagedFlagService, contract: Contract
) -> None:
    change = Change(Exposure(5), (), 'a "quote" \\ {', "lines\nand \x00 ünicode " + "x" * 999, "r{}", "idem: 1")
    assert unleash.set(FLAG, change).idem == "idem: 1"
    assert unleash.kill(FLAG, off(rollout="r {}é")).latch == "r {}é"
    for title in ("mine", "slo-watchdog", "slo-watchdog {broken", 'slo-watchdog ["list"]', 'slo-watchdog {"latch": 7}'):
        contract.strategies(FLAG)[0]["title"] = title
        found = unleash.read(FLAG)
        assert (found.latch, found.idem) == (None, "")


def failed(service: ManagedFlagService) -> dict[str, str]:
    return {check.name: f"{check.found} {check.todo}" for check in service.preflight(FLAG) if not check.ok}


def test_preflight_passes_and_changes_nothing(unleash: ManagedFlagService, server: Answering) -> None:
    before = unleash.set(FLAG, to(25, "qa-1"))
    server.asked.clear()
    assert failed(unleash) == {}
    assert sent(server, "POST") == []
    assert unleash.read(FLAG) == before
    unleash.kill(FLAG, off())
    assert failed(unleash) == {}


def test_preflight_asks_for_approvals_and_rights(unleash: ManagedFlagService, contract: Contract) -> None:
    contract.approvals = False
    assert failed(unleash) == {}
    contract.approvals = True
    assert "asks for change requests" in failed(unleash)["no approval stands in the way of a kill"]
    contract.before = when("GET", "/config", lambda: reply(403), times=9)
    assert "403" in failed(unleash)["no approval stands in the way of a kill"]
    contract.before = when("POST", "/off", lambda: reply(403), times=9)
    contract.approvals = None
    assert "THE KILL WAS REFUSED" in failed(unleash)["flag can be switched off"]


@pytest.mark.parametrize(
    ("right", "allowed"),
    [
        ({"permission": "UPDATE_FEATURE_ENVIRONMENT", "project": "default", "environment": "production"}, True),
        ({"permission": "UPDATE_FEATURE_ENVIRONMENT", "project": "*", "environment": None}, True),
        ({"permission": "UPDATE_FEATURE_ENVIRONMENT", "project": "default", "environment": "development"}, False),
        ({"permission": "UPDATE_FEATURE", "project": "default"}, False),
        ("ADMIN", False),
    ],
)
def test_of_a_flag_that_is_on_the_rights_tell_whether_it_can_be_killed(
    unleash: ManagedFlagService, contract: Contract, right: object, *, allowed: bool
) -> None:
    unleash.set(FLAG, to(5))
    contract.rights = [right]  # type: ignore[list-item]
    assert ("flag can be switched off" not in failed(unleash)) is allowed


def test_preflight_finds_what_a_person_left(unleash: ManagedFlagService, contract: Contract) -> None:
    ours = contract.strategies(FLAG)[0]
    ours["parameters"]["groupId"] = "another"
    assert "'another'" in failed(unleash)["users keep their side"]
    ours["parameters"]["groupId"] = FLAG
    idle = contract.add(FLAG, {"name": "remoteAddress", "parameters": {}, "disabled": True})
    assert "one click" in failed(unleash)["strategies are the watchdog's"]
    contract.strategies(FLAG).remove(idle)
    contract.before = when("PATCH", "", lambda: reply(403), times=9)
    assert "403" in failed(unleash)["flag can be written and read back"]
    contract.before = when("PATCH", "", lambda: ours.update(title="mine"), times=9)
    assert failed(unleash).keys() == {"flag can be written and read back"}
    contract.strategies(FLAG).clear()
    assert {"flag can be written and read back", "users keep their side"} <= failed(unleash).keys()


def test_stickiness_that_deals_users_anew_is_not_ramped(unleash: ManagedFlagService, contract: Contract) -> None:
    contract.strategies(FLAG)[0]["parameters"]["stickiness"] = "random"
    with pytest.raises(FlagServiceError, match="dealt by 'random'"):
        unleash.set(FLAG, to(5))


def test_a_token_that_no_header_can_hold_is_refused_without_printing_it(server: Answering) -> None:
    with pytest.raises(ConfigError, match="line break") as refused:
        opened(server, token="secret\nX: y")
    assert "secret" not in str(refused.value)


def test_a_client_token_is_not_enough(server: Answering, unleash: ManagedFlagService) -> None:
    with pytest.raises(FlagServiceError, match="expected a different token type"):
        opened(server, token=CLIENT).read(FLAG)


def test_the_pinned_server_has_hashes_and_no_addresses() -> None:
    lock = (Path(__file__).parent / "tools" / "unleash" / "package-lock.json").read_text()
    packages = json.loads(lock)["packages"]
    assert [name for name, package in packages.items() if name and "integrity" not in package] == []
    assert '"resolved"' not in lock
    assert packages["node_modules/unleash-server"]["version"] == "8.2.0"
