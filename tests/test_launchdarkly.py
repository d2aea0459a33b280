"""LaunchDarkly, against a strict local server that speaks by its public reference (tests/launchdarkly.py)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from tests.answering import Answering, Reply, reply
from tests.launchdarkly import API_VERSION, OFF, OFF_ID, ON, ON_ID, SEMANTIC, instruct
from tests.launchdarkly import LaunchDarkly as Strict
from watchdog.config.flagsettings import FlagSettings
from watchdog.errors import FlagConflict, FlagServiceError
from watchdog.flags import open_service
from watchdog.flags.base import Change, Check
from watchdog.flags.launchdarkly import LaunchDarkly
from watchdog.flags.launchdarkly_flag import NotUnderstood, raising, understood
from watchdog.model import NOBODY, Exposure

FLAG = "new-checkout"
QA = ("qa-1", "qa-2")


@pytest.fixture
def server() -> Iterator[Answering]:
    with Answering() as server:
        yield server


@pytest.fixture
def strict(server: Answering) -> Strict:
    strict = Strict([FLAG])
    server.always(strict)
    return strict


@pytest.fixture
def service(server: Answering, strict: Strict) -> LaunchDarkly:
    return LaunchDarkly(strict.token, "shop", "production", url=server.url)


def change(percent: float = 0.0, cohort: tuple[str, ...] = (), **more: Any) -> Change:
    exposure = Exposure(percent, bool(cohort), more.pop("audiences", ()))
    return Change(exposure, cohort, "slo-watchdog", "step 3", more.pop("rollout", "checkout-1"), "idem-7", **more)


def served(strict: Strict) -> tuple[bool, object]:
    return strict.of(FLAG)["on"], strict.of(FLAG)["fallthrough"]


def by_name(checks: tuple[Check, ...]) -> dict[str, Check]:
    assert len({check.name for check in checks}) == len(checks)
    return {check.name: check for check in checks}


# --- what is sent -------------------------------------------------------------------------------------------------


def test_a_raise_is_one_semantic_patch_with_weights_first_and_targeting_last(
    server: Answering, strict: Strict, service: LaunchDarkly
) -> None:
    reading = service.set(FLAG, change(25))
    assert (reading.exposure, reading.version) == (Exposure(25), "2")
    patch = server.asked[-1]
    assert (patch.method, patch.target) == ("PATCH", f"/api/v2/flags/shop/{FLAG}")
    assert patch.headers["authorization"] == "api-0123456789"
    assert patch.headers["content-type"] == SEMANTIC
    assert patch.headers["ld-api-version"] == API_VERSION
    assert patch.json == {
        "environmentKey": "production",
        "comment": "step 3 (by slo-watchdog, rollout checkout-1, idem-7)",
        "instructions": [
            {
                "kind": "updateFallthroughVariationOrRollout",
                "rolloutContextKind": "user",
                "rolloutWeights": {ON_ID: 25_000, OFF_ID: 75_000},
            },
            {"kind": "turnFlagOn"},
        ],
    }
    assert strict.audit[-1].comment == patch.json["comment"]


def test_a_kill_turns_targeting_off_whatever_else_is_so(
    server: Answering, strict: Strict, service: LaunchDarkly
) -> None:
    service.set(FLAG, change(25))
    strict.by_person(FLAG, rules=[{"clauses": [], "variation": ON}])
    asked = len(server.asked)
    assert service.kill(FLAG, change(expect="long ago")).exposure == NOBODY
    [patch] = server.asked[asked:]
    assert patch.target.endswith("?ignoreConflicts=true")
    assert patch.json["instructions"] == [{"kind": "turnFlagOff"}]
    assert strict.of(FLAG)["on"] is False


def test_the_other_environment_is_left_alone(strict: Strict, service: LaunchDarkly) -> None:
    before = dict(strict.of(FLAG, "test"))
    service.set(FLAG, change(25))
    assert strict.of(FLAG, "test") == before


@pytest.mark.parametrize(
    ("percent", "weight"),
    [(0.001, 1), (0.0019, 1), (12.3456, 12_345), (33.3333, 33_333), (99.9999, 99_999), (100, 100_000)],
)
def test_a_percentage_is_rounded_down_to_a_thousandth(
    strict: Strict, service: LaunchDarkly, percent: float, weight: int
) -> None:
    assert service.set(FLAG, change(percent)).exposure == Exposure(weight / 1000)
    shares = strict.of(FLAG)["fallthrough"]["rollout"]["variations"]
    assert shares == [{"variation": ON, "weight": weight}, {"variation": OFF, "weight": 100_000 - weight}]


def test_what_is_so_already_is_not_written(strict: Strict, service: LaunchDarkly) -> None:
    service.set(FLAG, change(0))
    service.set(FLAG, change(25))
    service.set(FLAG, change(25))
    assert [audited.kinds[-1] for audited in strict.audit] == ["turnFlagOn"]


def test_nobody_at_all_is_targeting_off(strict: Strict, service: LaunchDarkly) -> None:
    service.set(FLAG, change(25))
    assert service.set(FLAG, change(0)).exposure == NOBODY
    assert strict.of(FLAG)["on"] is False


def test_what_users_are_dealt_by_stays_as_it_is(strict: Strict, service: LaunchDarkly) -> None:
    shares = [{"variation": ON, "weight": 1000}, {"variation": OFF, "weight": 99_000}]
    rollout = {"variations": shares, "contextKind": "organization", "bucketBy": "region"}
    strict.by_person(FLAG, on=True, fallthrough={"rollout": rollout})
    service.set(FLAG, change(2))
    after = strict.of(FLAG)["fallthrough"]["rollout"]
    assert (after["contextKind"], after["bucketBy"]) == ("organization", "region")


def test_a_cohort_is_targeted_by_name_and_leaves_when_the_ramp_says_so(strict: Strict, service: LaunchDarkly) -> None:
    reading = service.set(FLAG, change(0, QA))
    assert (reading.exposure, reading.members) == (Exposure(0, cohort=True), QA)
    assert strict.of(FLAG)["targets"] == [{"values": list(QA), "variation": ON, "contextKind": "user"}]
    assert service.set(FLAG, change(1, ("qa-2", "qa-3"))).members == ("qa-2", "qa-3")
    assert service.set(FLAG, change(1)).exposure == Exposure(1)
    assert strict.of(FLAG)["targets"] == []
    assert strict.audit[-1].kinds == ("removeTargets", "updateFallthroughVariationOrRollout")


def test_after_a_kill_the_next_ramp_does_not_let_the_old_cohort_in(strict: Strict, service: LaunchDarkly) -> None:
    service.set(FLAG, change(10, QA))
    assert service.kill(FLAG, change()).exposure == NOBODY
    assert service.read(FLAG).exposure == NOBODY
    assert service.set(FLAG, change(1)).exposure == Exposure(1)
    assert strict.of(FLAG)["targets"] == []


@given(
    percent=st.floats(0, 100),
    cohort=st.sets(st.sampled_from(["a", "b", "c"])),
    was=st.integers(0, 100_000),
    on=st.booleans(),
    members=st.sets(st.sampled_from(["a", "b", "c"])),
)
def test_no_prefix_of_a_change_exposes_more_than_before_or_after(
    percent: float, cohort: set[str], was: int, *, on: bool, members: set[str]
) -> None:
    strict = Strict([FLAG])
    config = strict.of(FLAG)
    config["on"] = on
    config["fallthrough"] = {
        "rollout": {"variations": [{"variation": ON, "weight": was}, {"variation": OFF, "weight": 100_000 - was}]}
    }
    config["targets"] = [{"values": sorted(members), "variation": ON}] if members else []
    before = understood(strict.flags[FLAG], "production")
    old_percent, old_members = (was / 1000, members) if on else (0.0, set())
    instructions = raising(before, percent, sorted(cohort))
    for end in range(1, len(instructions) + 1):
        instruct(config, dict(instructions[end - 1]))
        found = understood(strict.flags[FLAG], "production")
        assert found.exposure is not None
        assert found.exposure.percent <= max(old_percent, percent) + 1e-9
        assert not found.on or set(found.members) <= old_members | cohort
    assert found.exposure.percent <= percent + 1e-9
    assert percent - found.exposure.percent < 0.001 + 1e-9
    assert set(found.members) == cohort


# --- what is read -------------------------------------------------------------------------------------------------


def test_targeting_off_reads_the_off_variation(strict: Strict, service: LaunchDarkly) -> None:
    assert service.read(FLAG).exposure == NOBODY
    strict.by_person(FLAG, offVariation=ON)
    assert service.read(FLAG).exposure == Exposure(100)
    strict.by_person(FLAG, offVariation=None)
    with pytest.raises(FlagServiceError, match="without an off variation"):
        service.read(FLAG)


def test_a_default_rule_with_one_variation_is_all_or_nobody(strict: Strict, service: LaunchDarkly) -> None:
    strict.by_person(FLAG, on=True)
    assert service.read(FLAG).exposure == Exposure(100)
    strict.by_person(FLAG, fallthrough={"variation": OFF})
    assert service.read(FLAG).exposure == NOBODY


def test_variations_in_the_other_order_are_understood(strict: Strict, service: LaunchDarkly) -> None:
    strict.flags[FLAG]["variations"].reverse()
    strict.by_person(FLAG, on=True, fallthrough={"variation": 0}, offVariation=0)
    assert service.read(FLAG).exposure == NOBODY


SHARES = [{"variation": ON, "weight": 0}, {"variation": OFF, "weight": 100_000}]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"rules": [{"variation": ON, "description": "staff"}]}, r"rule 1 \(staff\) gives the feature"),
        ({"rules": [{"rollout": {"variations": [{"variation": ON, "weight": 1}]}}]}, "rule 1"),
        ({"prerequisites": [{"key": "other", "variation": 0}]}, r"depends on other flags \(other\)"),
        ({"contextTargets": [{"contextKind": "org", "variation": ON, "values": ["o"]}]}, "1 contexts of kind org"),
        ({"fallthrough": {}}, "serves no variation"),
        ({"fallthrough": None}, "default rule is missing"),
        ({"fallthrough": {"rollout": {"variations": SHARES[:1]}}}, "add up to 0, not 100000"),
        ({"fallthrough": {"rollout": {"variations": [{"variation": ON, "weight": 0.5}]}}}, "has the share"),
        ({"fallthrough": {"rollout": {"variations": [{"variation": 7, "weight": 100_000}]}}}, "has the share"),
        ({"fallthrough": {"rollout": {"variations": SHARES, "experimentAllocation": {"a": 1}}}}, "an experiment"),
    ],
)
def test_what_nobody_can_count_has_no_exposure_is_not_raised_and_can_be_killed(
    strict: Strict, service: LaunchDarkly, changes: dict[str, Any], why: str
) -> None:
    strict.by_person(FLAG, on=True, **changes)
    with pytest.raises(FlagServiceError, match=why) as caught:
        service.read(FLAG)
    assert caught.value.permanent
    assert "it can be killed as it is" in str(caught.value)
    with pytest.raises(FlagServiceError, match=why):
        service.set(FLAG, change(25))
    assert strict.audit == []
    assert service.kill(FLAG, change()).exposure == NOBODY


def test_rules_and_targets_that_only_keep_people_out_are_no_problem(strict: Strict, service: LaunchDarkly) -> None:
    rules = [{"variation": OFF}, {"rollout": {"variations": SHARES}}]
    strict.by_person(FLAG, rules=rules, targets=[{"variation": OFF, "values": ["x"]}], contextTargets=[])
    assert service.set(FLAG, change(25)).exposure == Exposure(25)


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"variations": [{"_id": "a", "value": 1}, {"_id": "b", "value": 0}], "environments": {"production": {}}},
        {"variations": [{"_id": "a", "value": True}, {"_id": "a", "value": False}], "environments": {"production": {}}},
        {"variations": [{"_id": "a", "value": True}, {"_id": "b", "value": False}], "environments": {}},
        {
            "variations": [{"_id": "a", "value": True}, {"_id": "b", "value": False}],
            "environments": {"production": {"on": "yes", "version": 1}},
        },
        {
            "variations": [{"_id": "a", "value": True}, {"_id": "b", "value": False}, {"_id": "c", "value": 3}],
            "environments": {"production": {"on": True, "version": 1}},
        },
    ],
)
def test_what_is_no_boolean_flag_is_an_error_and_never_a_reading(server: Answering, body: Any) -> None:
    with pytest.raises(NotUnderstood):
        understood(body, "production")
    server.next(reply(json=body))
    with pytest.raises(FlagServiceError, match="expected a boolean flag"):
        LaunchDarkly("t", "shop", "production", url=server.url).read(FLAG)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda s: (
            st.lists(s, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "on",
                        "version",
                        "targets",
                        "rules",
                        "fallthrough",
                        "rollout",
                        "variations",
                        "variation",
                        "values",
                        "weight",
                        "offVariation",
                        "prerequisites",
                    ]
                ),
                s,
                max_size=5,
            )
        ),
        max_leaves=12,
    )
)
def test_no_answer_breaks_the_reader(config: Any) -> None:
    variations = [{"_id": "a", "value": True}, {"_id": "b", "value": False}]
    sound = {"on": True, "version": 1}
    found = {**config, **sound} if isinstance(config, dict) else config
    try:
        flag = understood({"variations": variations, "environments": {"production": found}}, "production")
    except NotUnderstood:
        return
    assert flag.exposure is None or 0 <= flag.exposure.percent <= 100


# --- two writers, conflicts, approvals, schedules -----------------------------------------------------------------


def test_another_version_than_expected_is_a_conflict_and_nothing_is_written(
    strict: Strict, service: LaunchDarkly
) -> None:
    version = service.read(FLAG).version
    strict.by_person(FLAG, on=True, fallthrough={"variation": OFF})
    with pytest.raises(FlagConflict, match="it has version 2, expected 1"):
        service.set(FLAG, change(25, expect=version))
    assert strict.audit == []
    service.set(FLAG, change(25, expect="2"))


def test_a_person_who_is_quicker_than_the_write_is_seen_in_what_comes_back(
    strict: Strict, service: LaunchDarkly
) -> None:
    strict.meanwhile = lambda: strict.by_person(FLAG, targets=[{"values": ["boss"], "variation": ON}])
    assert service.set(FLAG, change(25, expect="1")).exposure == Exposure(25, cohort=True)


def test_a_conflict_that_the_service_finds_is_one(server: Answering, service: LaunchDarkly) -> None:
    server.next(server_says(service, server), reply(409, json={"code": "conflict", "message": "stale"}))
    with pytest.raises(FlagConflict, match="stale"):
        service.set(FLAG, change(25))


def server_says(service: LaunchDarkly, server: Answering) -> Reply:
    """The answer to a reading, as the strict server gives it."""
    return reply(json=Strict([FLAG]).flags[FLAG])


def test_a_kill_that_meets_a_conflict_is_only_sent_again(server: Answering, service: LaunchDarkly) -> None:
    server.next(reply(409, json={"code": "conflict", "message": "stale"}))
    with pytest.raises(FlagServiceError, match="it is sent again") as caught:
        service.kill(FLAG, change())
    assert not isinstance(caught.value, FlagConflict)
    assert not caught.value.permanent


def test_a_pending_change_stops_a_raise_but_no_kill(strict: Strict, service: LaunchDarkly) -> None:
    service.set(FLAG, change(25))
    strict.scheduled = [{"_id": "1", "executionDate": 1, "instructions": [{"kind": "turnFlagOn"}]}]
    with pytest.raises(FlagServiceError, match="conflicts with a pending scheduled change"):
        service.set(FLAG, change(50))
    assert service.kill(FLAG, change()).exposure == NOBODY


def test_an_approval_that_is_required_is_said_with_what_to_do(strict: Strict, service: LaunchDarkly) -> None:
    service.set(FLAG, change(25))
    strict.enforced = True
    for write in (service.kill, service.set):
        with pytest.raises(FlagServiceError, match=r"need an approval \(405\).*a kill cannot wait") as caught:
            write(FLAG, change())
        assert caught.value.permanent
    assert service.read(FLAG).exposure == Exposure(25)


def test_a_kill_of_what_is_off_and_may_not_be_changed_is_done(strict: Strict, service: LaunchDarkly) -> None:
    strict.enforced = True
    assert service.kill(FLAG, change()).exposure == NOBODY


def test_a_kill_sets_an_unsafe_off_variation_right(strict: Strict, service: LaunchDarkly) -> None:
    for unsafe in (ON, None):
        strict.by_person(FLAG, on=True, offVariation=unsafe)
        assert service.kill(FLAG, change()).exposure == NOBODY
        assert strict.of(FLAG)["offVariation"] == OFF


def test_an_answer_without_the_environment_is_read_again(strict: Strict, service: LaunchDarkly) -> None:
    strict.terse = True
    assert service.set(FLAG, change(25)).exposure == Exposure(25)
    assert service.kill(FLAG, change()).exposure == NOBODY


# --- faults -------------------------------------------------------------------------------------------------------


def test_a_rate_limit_says_when_to_come_back(strict: Strict, service: LaunchDarkly) -> None:
    strict.limited_for = 20
    with pytest.raises(FlagServiceError, match="429") as caught:
        service.kill(FLAG, change())
    assert not caught.value.permanent
    assert caught.value.retry_after is not None
    assert 15 < caught.value.retry_after <= 20


def test_a_wrong_token_is_permanent_and_not_shown(server: Answering, strict: Strict) -> None:
    service = LaunchDarkly("api-wrong-9876", "shop", "production", url=server.url)
    with pytest.raises(FlagServiceError, match="status 401: Invalid access token; check the token") as caught:
        service.kill(FLAG, change())
    assert caught.value.permanent
    assert "9876" not in str(caught.value)


def test_a_token_that_may_only_read_is_refused_with_what_it_lacks(strict: Strict, service: LaunchDarkly) -> None:
    strict.read_only = True
    with pytest.raises(FlagServiceError, match=r"403.*give the token the right"):
        service.set(FLAG, change(25))


@pytest.mark.parametrize(
    "fault",
    [
        reply(500, json={"code": "internal", "message": "oops"}),
        reply(503),
        reply(200, b'{"variations": [', headers={"Content-Type": "application/json"}),
        reply(200, b"<html>", headers={"Content-Type": "text/html"}),
        Reply([]),
    ],
)
def test_a_passing_fault_is_an_error_that_may_pass(server: Answering, service: LaunchDarkly, fault: Reply) -> None:
    for call in (
        lambda: service.read(FLAG),
        lambda: service.set(FLAG, change(25)),
        lambda: service.kill(FLAG, change()),
    ):
        server.next(fault)
        with pytest.raises(FlagServiceError) as caught:
            call()
        assert not caught.value.permanent


def test_an_unknown_flag_project_and_environment_are_said(
    server: Answering, strict: Strict, service: LaunchDarkly
) -> None:
    with pytest.raises(FlagServiceError, match=r"Unknown feature flag key; .*flags init"):
        service.read("unknown")
    with pytest.raises(FlagServiceError, match="404"):
        LaunchDarkly(strict.token, "other", "production", url=server.url).read(FLAG)
    with pytest.raises(FlagServiceError, match="has no environment 'staging'"):
        LaunchDarkly(strict.token, "shop", "staging", url=server.url).read(FLAG)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (change(101), "expected 0 to 100"),
        (change(float("nan")), "expected 0 to 100"),
        (change(1, audiences=("beta",)), r"audiences \(beta\) were asked"),
        (Change(Exposure(0, cohort=True), (), "me", "why"), "a cohort of 0"),
        (change(0, tuple(str(k) for k in range(1001))), "a cohort of 1001"),
    ],
)
def test_what_cannot_be_asked_is_not_sent(server: Answering, service: LaunchDarkly, wrong: Change, why: str) -> None:
    with pytest.raises(FlagServiceError, match=why) as caught:
        service.set(FLAG, wrong)
    assert caught.value.permanent
    assert server.asked == []


def test_the_settings_open_it(server: Answering, strict: Strict) -> None:
    settings = FlagSettings.model_validate(
        {"service": "launchdarkly", "url": server.url, "token": strict.token, "project": "shop"}
    )
    service = open_service(settings)
    assert service.read(FLAG).exposure == NOBODY
    assert service.capabilities.compare_and_set == "emulated"
    assert service.capabilities.smallest_step == 0.001


# --- init and preflight -------------------------------------------------------------------------------------------


def test_init_makes_what_is_missing_switched_off_and_only_once(strict: Strict, service: LaunchDarkly) -> None:
    service.set(FLAG, change(25))
    prepared = service.init([FLAG, "ops.shutdown", "ops.shutdown"], "me")
    assert prepared.created == ("ops.shutdown",)
    assert prepared.place == "LaunchDarkly, project shop, environment production"
    assert service.read("ops.shutdown").exposure == NOBODY
    assert strict.of("ops.shutdown")["offVariation"] == OFF
    assert service.init([FLAG, "ops.shutdown"], "me").created == ()
    assert service.read(FLAG).exposure == Exposure(25)


def test_preflight_of_a_sound_flag_passes_and_changes_nothing(
    server: Answering, strict: Strict, service: LaunchDarkly
) -> None:
    service.set(FLAG, change(25, QA))
    before, audit = dict(strict.of(FLAG)), list(strict.audit)
    checks = service.preflight(FLAG)
    assert [check for check in checks if not check.ok] == []
    assert "2 users by name" in by_name(checks)["only the default rule gives the feature"].found
    assert (strict.of(FLAG), strict.audit) == (before, audit)
    assert [asked.target for asked in server.asked if "dryRun" in asked.target] == [
        f"/api/v2/flags/shop/{FLAG}?dryRun=true"
    ]


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("off means false", lambda strict: strict.by_person(FLAG, offVariation=ON)),
        ("off means false", lambda strict: strict.by_person(FLAG, offVariation=None)),
        ("only the default rule gives the feature", lambda strict: strict.by_person(FLAG, rules=[{"variation": ON}])),
        ("only the default rule gives the feature", lambda strict: strict.flags[FLAG].update(archived=True)),
        ("no approval stands before a kill", lambda strict: strict.approvals.update(required=True)),
        ("nothing is scheduled", lambda strict: strict.scheduled.append({"_id": "1"})),
        ("a kill would be taken", lambda strict: setattr(strict, "read_only", True)),
        ("a kill would be taken", lambda strict: setattr(strict, "enforced", True)),
    ],
)
def test_preflight_finds_what_would_make_a_kill_unsafe(
    strict: Strict, service: LaunchDarkly, name: str, spoil: Any
) -> None:
    spoil(strict)
    check = by_name(service.preflight(FLAG))[name]
    assert not check.ok
    assert check.found
    assert check.todo


def test_approvals_for_other_tags_do_not_matter(strict: Strict, service: LaunchDarkly) -> None:
    strict.approvals = {"required": True, "requiredApprovalTags": ["payments"]}
    assert by_name(service.preflight(FLAG))["no approval stands before a kill"].ok
    strict.flags[FLAG]["tags"] = ["payments"]
    assert not by_name(service.preflight(FLAG))["no approval stands before a kill"].ok


def test_an_account_without_scheduled_changes_has_none(strict: Strict, service: LaunchDarkly) -> None:
    strict.scheduled = None
    assert by_name(service.preflight(FLAG))["nothing is scheduled"].ok


def test_preflight_without_the_flag_is_one_failure_and_raises_nothing(service: LaunchDarkly) -> None:
    [check] = service.preflight("unknown")
    assert not check.ok
    assert "flags init" in check.todo


# --- the strict server itself -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoiled", "status"),
    [
        ({"authorization": "Bearer api-0123456789"}, 401),
        ({"LD-API-Version": ""}, 400),
        ({"Content-Type": "application/json"}, 400),
        ({"weights": {ON_ID: 25_000, OFF_ID: 74_999}}, 400),
        ({"weights": {ON_ID: 25_000.5, OFF_ID: 74_999.5}}, 400),
        ({"weights": {"true": 25_000, OFF_ID: 75_000}}, 400),
        ({}, 200),
    ],
)
def test_the_server_is_strict(server: Answering, strict: Strict, spoiled: dict[str, Any], status: int) -> None:
    weights = spoiled.pop("weights", {ON_ID: 25_000, OFF_ID: 75_000})
    headers = {"Authorization": strict.token, "LD-API-Version": API_VERSION, "Content-Type": SEMANTIC}
    headers = {name: spoiled.get(name, spoiled.get(name.lower(), text)) for name, text in headers.items()}
    instruction = {"kind": "updateFallthroughVariationOrRollout", "rolloutWeights": weights}
    body = {"environmentKey": "production", "comment": "x", "instructions": [instruction]}
    answer = requests.patch(f"{server.url}/api/v2/flags/shop/{FLAG}", json=body, headers=headers, timeout=5)
    assert answer.status_code == status
    assert (status == 200) or set(answer.json()) == {"code", "message"}
