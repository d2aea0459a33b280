"""The flag file: what the watchdog writes, and what it understands of what people write."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.flagfiles import FLAG, NOON, OFF, edit, entry, serving, to
from watchdog.errors import FlagServiceError
from watchdog.flags.base import Change, Prepared
from watchdog.flags.flagd_file import FlagdFile
from watchdog.model import NOBODY, Exposure


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkout.flagd.json"


@pytest.fixture
def flags(path: Path) -> FlagdFile:
    service = FlagdFile(path, now=lambda: NOON)
    service.init([FLAG, "search"], "me")
    return service


# What is written


def test_init_creates_the_file_with_every_flag_off(path: Path) -> None:
    created = FlagdFile(path).init([FLAG, "search", FLAG], "me")

    document = json.loads(path.read_text())
    assert created == Prepared(str(path), (FLAG, "search"))
    assert document["$schema"] == "https://flagd.dev/schema/v0/flags.json"
    assert document["metadata"] == {"flagSetId": "checkout", "version": "1", "slo-watchdog.bucketing": "flagd-v2"}
    assert serving(path) == serving(path, "search") == OFF
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_init_adds_missing_flags_and_touches_nothing_else(path: Path, flags: FlagdFile) -> None:
    flags.set(FLAG, to(25))
    before = path.read_bytes()

    assert flags.init([FLAG, "search"], "me").created == ()
    assert path.read_bytes() == before
    assert flags.init(["search", "profile"], "me").created == ("profile",)
    assert flags.read(FLAG).exposure == Exposure(25)
    assert serving(path, "profile") == OFF


def test_init_creates_directories_but_no_empty_document(tmp_path: Path) -> None:
    path = tmp_path / "flags" / "shop" / "checkout.flagd.json"
    FlagdFile(path).init([], "me")
    assert not path.exists()

    FlagdFile(path).init([FLAG], "me")
    assert serving(path) == OFF


def test_a_percentage_is_integer_weights_of_100000_with_on_first(path: Path, flags: FlagdFile) -> None:
    for percent, weight in [(0.001, 1), (12.345, 12345), (25, 25000), (99.999, 99999)]:
        assert flags.set(FLAG, to(percent)).exposure == Exposure(percent)
        rule = {"fractional": [["on", weight], ["off", 100000 - weight]]}
        assert serving(path) == OFF | {"targeting": rule}


def test_at_100_percent_callers_without_a_key_are_included(path: Path, flags: FlagdFile) -> None:
    assert flags.set(FLAG, to(100)).exposure == Exposure(100)
    assert serving(path) == OFF | {
        "defaultVariant": "on",
        "targeting": {"fractional": [["on", 100000], ["off", 0]]},
    }


def test_a_cohort_stands_before_the_weights(path: Path, flags: FlagdFile) -> None:
    condition = {"in": [{"var": "targetingKey"}, ["qa-1", "qa-2"]]}

    assert flags.set(FLAG, to(0, "qa-1", "qa-2")).exposure == Exposure(0, cohort=True)
    assert serving(path) == OFF | {"targeting": {"if": [condition, "on", "off"]}}
    assert flags.set(FLAG, to(25, "qa-1", "qa-2")).exposure == Exposure(25, cohort=True)
    rule = {"fractional": [["on", 25000], ["off", 75000]]}
    assert serving(path) == OFF | {"targeting": {"if": [condition, "on", rule]}}
    assert flags.set(FLAG, to(100, "qa-1")).exposure == Exposure(100, cohort=True)
    assert flags.set(FLAG, to(0)).exposure == NOBODY
    assert serving(path) == OFF


def test_a_kill_is_enabled_off_without_targeting_and_latched(path: Path, flags: FlagdFile) -> None:
    flags.set(FLAG, to(50, "qa-1"))

    killed = flags.kill(FLAG, to(0))

    assert killed.exposure == NOBODY
    assert killed.latch == "checkout-1"
    assert serving(path) == OFF
    assert entry(path)["metadata"] == {
        "slo-watchdog.version": 3,
        "slo-watchdog.rollout": "checkout-1",
        "slo-watchdog.killed": True,
        "slo-watchdog.latch": "checkout-1",
        "slo-watchdog.latched_at": "2026-11-22T12:00:00Z",
        "slo-watchdog.latched_version": 3,
    }


def test_a_latch_stays_until_another_rollout_sets_the_flag(path: Path, flags: FlagdFile) -> None:
    flags.set(FLAG, to(50))
    flags.kill(FLAG, to(0))

    assert flags.kill(FLAG, to(0, rollout=None)).latch == "checkout-1"
    assert flags.set(FLAG, to(1)).latch == "checkout-1"
    assert flags.set(FLAG, to(2, rollout=None)).latch == "checkout-1"
    assert flags.set(FLAG, to(2, rollout="checkout-2")).latch is None
    assert set(entry(path)["metadata"]) == {"slo-watchdog.version", "slo-watchdog.rollout"}


def test_repeating_a_change_writes_nothing(path: Path, flags: FlagdFile) -> None:
    for change in (flags.set, flags.kill):
        first = change(FLAG, to(25))
        before = (path.read_bytes(), path.stat().st_mtime_ns)
        assert change(FLAG, to(25)) == first
        assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_everything_else_in_the_document_is_preserved(path: Path) -> None:
    foreign = {
        "$schema": "https://flagd.dev/schema/v0/flags.json",
        "x-owner": {"team": "paiements café", "since": 2019},
        "$evaluators": {"staff": {"ends_with": [{"var": "email"}, "@example.com"]}},
        "metadata": {"version": "2026-a", "region": "eu", "budget": 1.5},
        "flags": {
            "colour": {
                "state": "DISABLED",
                "variants": {"red": "#f00", "blue": "#00f"},
                "targeting": {"if": [{"$ref": "staff"}, "red"]},
            },
            FLAG: OFF | {"variants": {"yes": True, "off": False, "on": True}, "metadata": {"owner": "payments"}},
        },
    }
    path.write_text(json.dumps(foreign))

    FlagdFile(path).set(FLAG, to(10))
    FlagdFile(path).kill(FLAG, to(0))

    after = json.loads(path.read_text())
    assert after["metadata"] == {
        "version": "2",
        "region": "eu",
        "budget": 1.5,
        "slo-watchdog.bucketing": "flagd-v2",
    }
    assert after["flags"]["colour"] == foreign["flags"]["colour"]
    assert after["flags"][FLAG]["variants"] == foreign["flags"][FLAG]["variants"]
    assert after["flags"][FLAG]["metadata"]["owner"] == "payments"
    assert {key: after[key] for key in ("$schema", "x-owner", "$evaluators")} == {
        key: foreign[key] for key in ("$schema", "x-owner", "$evaluators")
    }


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (to(-1), "-1 % was asked; expected 0 to 100"),
        (to(100.1), "100.1 % was asked"),
        (to(float("nan")), "nan % was asked"),
        (Change(Exposure(0, cohort=True), (), "me", "why"), "the cohort was asked, but it has no members"),
        (to(0, *map(str, range(1001))), "the cohort has 1001 members; expected at most 1000"),
    ],
)
def test_an_impossible_exposure_is_refused(path: Path, flags: FlagdFile, change: Change, sentence: str) -> None:
    with pytest.raises(FlagServiceError, match=sentence) as raised:
        flags.set(FLAG, change)
    assert raised.value.permanent
    assert flags.read(FLAG).exposure == NOBODY


# What people write


@pytest.mark.parametrize(
    ("targeting", "default", "exposure"),
    [
        (None, "on", Exposure(100)),
        ({}, "off", NOBODY),
        ({"fractional": [["on", 1], ["off", 3]]}, "off", Exposure(25)),
        ({"fractional": [["off", 90], ["on", 10]]}, "off", Exposure(10)),
        ({"fractional": [["on"], ["off"]]}, "off", Exposure(50)),
        ({"fractional": [["on", 1], ["off", 1000000]]}, "off", Exposure(0.001)),
        ({"fractional": [["on", 1000000], ["off", 1]]}, "off", Exposure(99.999)),
        ({"fractional": [["on", 7]]}, "on", Exposure(100)),
        ({"if": [{"in": [{"var": ["targetingKey"]}, ["qa"]]}, "on", None]}, "off", Exposure(0, cohort=True)),
        ({"if": [{"in": [{"var": "targetingKey"}, ["qa"]]}, "on"]}, "on", Exposure(100, cohort=True)),
        ({"if": [{"in": [{"var": "targetingKey"}, []]}, "on", "off"]}, "off", NOBODY),
    ],
)
def test_a_document_edited_by_hand_is_understood(
    path: Path, flags: FlagdFile, targeting: object, default: str, exposure: Exposure
) -> None:
    edit(path, lambda flag: flag.update({"targeting": targeting, "defaultVariant": default}))

    assert flags.read(FLAG).exposure == exposure


def test_an_edit_that_keeps_the_version_is_noticed_and_a_neighbours_is_not(path: Path, flags: FlagdFile) -> None:
    before = flags.set(FLAG, to(25)).version
    edit(path, lambda flag: flag["variants"].update(maybe=True), "search")
    assert flags.read(FLAG).version == before
    flags.set("search", to(5))
    assert flags.read(FLAG).version == before

    edit(path, lambda flag: flag["targeting"].update(fractional=[["on", 1], ["off", 3]]))

    assert flags.read(FLAG).exposure == Exposure(25)
    assert flags.read(FLAG).version != before


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"state": "DISABLED"}, r"flags\.new-checkout\.state: it is \"DISABLED\", which serves every caller its own"),
        ({"variants": {"on": "true", "off": "false"}}, r"variants: it is .*; expected \"on\": true and \"off\": false"),
        ({"variants": {"on": False, "off": True}}, "variants: it is"),
        ({"defaultVariant": None}, r"defaultVariant: it is missing; expected \"off\""),
        ({"defaultVariant": "on", "targeting": {"fractional": [["on", 1], ["off", 1]]}}, "without a targeting key"),
        ({"targeting": {"fractional": [["on", 12.5], ["off", 87.5]]}}, r"fractional\[0\]: its weight is 12.5"),
        ({"targeting": {"fractional": [["on", -5], ["off", 5]]}}, "its weight is -5"),
        ({"targeting": {"fractional": [["on", 0], ["off", 0]]}}, "the weights add up to 0"),
        ({"targeting": {"fractional": [["on", 2**31], ["off", 0]]}}, "the weights add up to 2147483648"),
        ({"targeting": {"fractional": []}}, r"fractional: it is \[\]"),
        ({"targeting": {"fractional": [{"var": "email"}, ["on", 1], ["off", 1]]}}, "bucketed by targeting key alone"),
        ({"targeting": {"if": [{"var": "beta"}, "on", "off"]}}, r"targeting\.if: it is .* whose exposure is unknown"),
        ({"targeting": {"if": [{"in": [{"var": "targetingKey"}, ["a"]]}, "off", "on"]}}, "exposure is unknown"),
        ({"targeting": {"if": [{"in": [{"var": "targetingKey"}, [1]]}, "on", "off"]}}, "exposure is unknown"),
        ({"targeting": {"$ref": "staff"}}, r"targeting: it is \{\"\$ref\": \"staff\"\}, whose exposure is unknown"),
        ({"targeting": "on and on" * 50}, r"targeting: it is .*\.\.\.,"),
    ],
)
def test_a_flag_nobody_can_tell_the_exposure_of_is_an_error(
    path: Path, flags: FlagdFile, change: dict[str, Any], sentence: str
) -> None:
    flags.set(FLAG, to(50))
    edit(path, lambda flag: flag.update(change))

    with pytest.raises(FlagServiceError, match=sentence) as raised:
        flags.read(FLAG)
    assert raised.value.permanent
    assert str(path) in str(raised.value)
    with pytest.raises(FlagServiceError, match="can be lowered or killed, but not set to 51%"):
        flags.set(FLAG, to(51))
    assert flags.set(FLAG, to(5)).exposure == Exposure(5)
    assert flags.read("search").exposure == NOBODY


def test_a_rule_the_other_way_round_keeps_its_order_and_so_its_people(path: Path, flags: FlagdFile) -> None:
    edit(path, lambda flag: flag.update(targeting={"fractional": [["off", 9], ["on", 1]]}))
    flags.set(FLAG, to(25))

    assert serving(path)["targeting"] == {"fractional": [["off", 75000], ["on", 25000]]}
