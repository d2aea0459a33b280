"""Evaluation by flagd's core: both hashes against known answers, and no bad flag in the way of a good one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext

from watchdog.flags.flagd_buckets import ERAS, bucket
from watchdog.flags.flagd_evaluator import Evaluator, NotEvaluated

FLAG = "new-checkout"
USERS = [f"user-{number}" for number in range(10_000)]


def flag(targeting: Any = None, **fields: Any) -> dict[str, Any]:
    entry = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off", **fields}
    return entry if targeting is None else {**entry, "targeting": targeting}


def split(on: Any, off: Any = None) -> dict[str, Any]:
    return {"fractional": [["on", on], ["off", 100_000 - on if off is None else off]]}


def evaluator(entry: Any, bucketing: str = "flagd-v2", **document: Any) -> Evaluator:
    return Evaluator({"flags": {FLAG: entry}, **document}, bucketing)


def exposed(found: Evaluator, users: list[str]) -> set[str]:
    return {user for user in users if found.evaluate(FLAG, {"targetingKey": user}).value}


def by_core(entry: dict[str, Any], users: list[str]) -> set[str]:
    core = FlagdCore()
    core.set_flags({"flags": {FLAG: dict(entry)}})
    return {
        user
        for user in users
        if core.resolve_boolean_value(FLAG, default_value=False, ctx=EvaluationContext(user)).value
    }


# --- who gets it -----------------------------------------------------------------------------------------------------


def test_the_newer_hash_is_that_of_the_core() -> None:
    found = exposed(evaluator(flag(split(10_000)), "flagd-v3"), USERS)
    assert found == by_core(flag(split(10_000)), USERS)
    assert len(found) == 985


def test_the_two_hashes_pick_different_people() -> None:
    older = exposed(evaluator(flag(split(10_000)), "flagd-v2"), USERS)
    newer = exposed(evaluator(flag(split(10_000)), "flagd-v3"), USERS)
    assert len(older) == 995
    assert len(older & newer) == 92


@pytest.mark.parametrize("era", ERAS)
def test_a_bucket_says_who_is_below_a_weight(era: str) -> None:
    found = exposed(evaluator(flag(split(25_000)), era), USERS[:3000])
    assert found == {user for user in USERS[:3000] if bucket(FLAG, user, era) < 25_000}


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300))
def test_any_text_falls_into_the_bucket_that_the_core_says(user: str) -> None:
    where = bucket(FLAG, user, "flagd-v3")
    assert by_core(flag(split(where)), [user]) == set()
    assert by_core(flag(split(where + 1)), [user]) == {user}


@pytest.mark.parametrize("length", [23, 24, 255, 256, 65_535, 65_536])
def test_keys_of_any_length_are_hashed_as_the_core_does(length: int) -> None:
    user = "x" * length
    where = bucket(FLAG, user, "flagd-v3")
    assert by_core(flag(split(where)), [user]) == set()
    assert by_core(flag(split(where + 1)), [user]) == {user}


@pytest.mark.parametrize("era", ERAS)
def test_nobody_loses_the_feature_on_the_way_up(era: str) -> None:
    before: set[str] = set()
    for weight in (0, 1, 1_000, 10_000, 50_000, 99_999, 100_000):
        now = exposed(evaluator(flag(split(weight)), era), USERS[:2000])
        assert before <= now
        before = now
    assert before == set(USERS[:2000])


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("context", [{}, {"targetingKey": ""}, {"targetingKey": None}, {"email": "a@example.com"}])
def test_a_caller_without_a_targeting_key_gets_the_default(era: str, context: dict[str, Any]) -> None:
    found = evaluator(flag(split(100_000)), era).evaluate(FLAG, context)
    assert (found.value, found.variant, found.reason) == (False, "off", "DEFAULT")


@pytest.mark.parametrize("era", ERAS)
def test_a_text_in_front_of_the_weights_is_hashed_instead(era: str) -> None:
    rule = {"fractional": [{"var": "company"}, ["on", 1], ["off", 1]]}
    found = evaluator(flag(rule), era)
    variants = {found.evaluate(FLAG, {"targetingKey": user, "company": "acme"}).variant for user in USERS[:50]}
    assert len(variants) == 1


@pytest.mark.parametrize(
    "rule",
    [
        {"fractional": [["on", 12.5], ["off", 87.5]]},
        {"fractional": [["on", "10"], ["off", "90"]]},
        {"fractional": [["on", True], ["off", 9]]},
        {"fractional": [["on", 0], ["off", 0]]},
        {"fractional": [["on", 2**31], ["off", 1]]},
        {"fractional": [["on", -5], ["off", 0]]},
        {"fractional": [[], ["off", 1]]},
        {"fractional": []},
    ],
    ids=str,
)
@pytest.mark.parametrize("era", ERAS)
def test_weights_that_flagd_skips_leave_everybody_the_default(era: str, rule: dict[str, Any]) -> None:
    found = evaluator(flag(rule), era)
    assert {found.evaluate(FLAG, {"targetingKey": user}).variant for user in USERS[:100]} == {"off"}


# --- what it says ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ERAS)
def test_reasons_and_metadata(era: str) -> None:
    cohort = {"if": [{"in": [{"var": "targetingKey"}, ["qa-1"]]}, "on", split(0)]}
    document = {
        "metadata": {"flagSetId": "checkout", "version": "7", "owner": "everybody"},
        "flags": {
            "static": flag(metadata={"owner": "payments"}),
            "targeted": flag(cohort),
            "disabled": flag(state="DISABLED"),
            "undecided": flag({"if": [False, "on"]}),
            "empty": {"state": "ENABLED", "variants": {"on": True}},
        },
    }
    found = Evaluator(document, era)
    told = {key: found.evaluate(key, {"targetingKey": "qa-1"}) for key in found.keys}
    assert {key: (one.value, one.variant, one.reason) for key, one in told.items()} == {
        "static": (False, "off", "STATIC"),
        "targeted": (True, "on", "TARGETING_MATCH"),
        "disabled": (None, None, "DISABLED"),
        "undecided": (False, "off", "DEFAULT"),
        "empty": (None, None, "DEFAULT"),
    }
    assert told["static"].metadata == {"flagSetId": "checkout", "version": "7", "owner": "payments"}
    assert told["targeted"].metadata["owner"] == "everybody"


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("value", ["text", 5, 2.5, 5.0, {"a": [1]}, [1, 2], False])
def test_a_variant_of_any_type_comes_out_as_it_was_written(era: str, value: Any) -> None:
    entry = {"state": "ENABLED", "variants": {"one": value, "two": "other"}, "defaultVariant": "one"}
    found = evaluator(entry, era).evaluate(FLAG, {}).value
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("era", ERAS)
def test_evaluation_changes_nothing_in_the_document(era: str) -> None:
    document = {"flags": {FLAG: flag(split(10_000), source="a.json")}}
    Evaluator(document, era).evaluate(FLAG, {"targetingKey": "a"})
    assert document == {"flags": {FLAG: flag(split(10_000), source="a.json")}}


# --- bad flags -------------------------------------------------------------------------------------------------------


BAD = {
    "no map": "on",
    "bad state": flag(state="ON"),
    "no variants": flag(variants={}),
    "a stranger": flag(colour="red"),
    "bad metadata": flag(metadata={"a": None}),
    "rule is text": flag("on"),
    "unknown operator": flag({"roll": ["on", 1]}),
    "a division by nothing": flag({"if": [{"/": [1, 0]}, "on", "off"]}),
    "nested too deep": flag(),
}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_a_bad_flag_does_not_stand_in_the_way_of_a_good_one(era: str, bad: Any) -> None:
    if bad == flag():
        rule: Any = "on"
        for _ in range(3000):
            rule = {"!": [rule]}
        bad = flag(rule)
    found = Evaluator({"flags": {"bad": bad, FLAG: flag(split(100_000))}}, era)
    assert found.evaluate(FLAG, {"targetingKey": "a"}).value is True
    for _ in range(2):
        with pytest.raises(NotEvaluated, match="bad") as refused:
            found.evaluate("bad", {"targetingKey": "a"})
        assert refused.value.code == "PARSE_ERROR"


@pytest.mark.parametrize("era", ERAS)
def test_a_variant_that_is_not_there_is_an_error_of_its_own(era: str) -> None:
    with pytest.raises(NotEvaluated, match="maybe") as refused:
        evaluator(flag({"if": [True, "maybe"]}), era).evaluate(FLAG, {})
    assert refused.value.code == "GENERAL"


def test_an_unknown_flag_is_said_to_be_one() -> None:
    with pytest.raises(NotEvaluated, match="typo") as refused:
        evaluator(flag()).evaluate("typo", {})
    assert refused.value.code == "FLAG_NOT_FOUND"


def test_an_unknown_hash_is_refused() -> None:
    with pytest.raises(ValueError, match="flagd-v2, flagd-v3"):
        evaluator(flag(), "flagd-v1")
    with pytest.raises(ValueError, match="flagd-v2, flagd-v3"):
        bucket(FLAG, "a", "flagd-v1")


# --- references ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ERAS)
def test_references_are_written_out_whatever_their_text(era: str) -> None:
    staff = {"in": [{"var": "team"}, ["Köln \\ 北京", 'a"b']]}
    rule = {"if": [{"and": [{"$ref": "staff"}, True]}, "on", "off"]}
    found = evaluator(flag(rule), era, **{"$evaluators": {"staff": {"$ref": "really"}, "really": staff}})
    assert found.evaluate(FLAG, {"team": "Köln \\ 北京"}).value is True
    assert found.evaluate(FLAG, {"team": "elsewhere"}).value is False


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    "evaluators",
    [
        {"a": {"$ref": "b"}, "b": {"!": [{"$ref": "a"}]}},
        {"b": True},
        {"a": {"or": [{"$ref": "1"}] * 2}} | {str(n): {"or": [{"$ref": str(n + 1)}] * 2} for n in range(1, 40)},
    ],
    ids=["in a circle", "to nothing", "doubling forty times"],
)
def test_bad_references_spoil_only_the_flag_that_has_them(era: str, evaluators: dict[str, Any]) -> None:
    flags = {"bad": flag({"if": [{"$ref": "a"}, "on", "off"]}), FLAG: flag()}
    found = Evaluator({"flags": flags, "$evaluators": evaluators}, era)
    assert found.evaluate(FLAG, {}).reason == "STATIC"
    with pytest.raises(NotEvaluated) as refused:
        found.evaluate("bad", {})
    assert refused.value.code == "PARSE_ERROR"
