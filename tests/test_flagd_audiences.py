"""Audiences in a flag: one canonical rule, known again by its conditions, and unknown when they are nobody's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.flagfiles import AUDIENCES, FLAG, OFF, edit, for_audiences, serving, to
from watchdog.errors import FlagServiceError
from watchdog.flags.flagd_document import conditions, served
from watchdog.flags.flagd_document import serving as rule_for
from watchdog.flags.flagd_file import FlagdFile
from watchdog.model import NOBODY, Exposure

STAFF, BETA, EU = AUDIENCES["staff"], AUDIENCES["beta"], AUDIENCES["eu"]
QA = {"in": [{"var": "targetingKey"}, ["qa-1"]]}
TENTH = {"fractional": [["on", 10000], ["off", 90000]]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkout.flagd.json"


@pytest.fixture
def flags(path: Path) -> FlagdFile:
    service = FlagdFile(path, audiences=AUDIENCES)
    service.init([FLAG, "search"], "me")
    return service


def test_audiences_stand_by_name_before_cohort_and_weights(path: Path, flags: FlagdFile) -> None:
    reading = flags.set(FLAG, for_audiences(10, "staff", "beta", cohort=("qa-1",)))

    assert serving(path) == OFF | {"targeting": {"if": [BETA, "on", STAFF, "on", QA, "on", TENTH]}}
    assert reading.exposure == Exposure(10, cohort=True, audiences=("beta", "staff"))
    assert reading.members == ("qa-1",)
    assert flags.set(FLAG, for_audiences(0, "eu")).exposure == Exposure(0, audiences=("eu",))
    assert serving(path) == OFF | {"targeting": {"if": [EU, "on", "off"]}}
    assert flags.set(FLAG, to(0)).exposure == NOBODY
    assert serving(path) == OFF


@pytest.mark.parametrize("percent", [0, 25, 100])
@pytest.mark.parametrize("names", [(), ("eu",), ("beta", "eu", "staff")])
@pytest.mark.parametrize("cohort", [(), ("a", "b")])
def test_what_is_written_is_read_again(percent: float, names: tuple[str, ...], cohort: tuple[str, ...]) -> None:
    entry = rule_for({}, percent * 1000, cohort, audiences=conditions(names, AUDIENCES, "here"))

    found = served(entry, "here", AUDIENCES)

    assert (found.percent, found.audiences, found.cohort, found.on_first) == (percent, names, cohort, True)


@pytest.mark.parametrize(
    "rule",
    [
        [QA, "on", STAFF, "on", "off"],  # in another order
        [STAFF, "on", STAFF, "on", QA, "on"],  # without a rule for the others
        [STAFF, "on", {"in": [{"var": ["targetingKey"]}, ["qa-1"]]}, "on", None],
    ],
)
def test_a_rule_in_another_form_is_understood(path: Path, flags: FlagdFile, rule: list[Any]) -> None:
    edit(path, lambda flag: flag.update(targeting={"if": rule}))

    assert flags.read(FLAG).exposure == Exposure(0, cohort=True, audiences=("staff",))


@pytest.mark.parametrize(
    "rule",
    [
        [{"ends_with": [{"var": "email"}, "@example.org"]}, "on", "off"],
        [STAFF, "on", {"==": [1, 1]}, "on", "off"],
        [{"==": [{"var": "plan"}, True]}, "on", "off"],
        [STAFF, "off", "on"],
        [STAFF, True, "off"],
        [STAFF],
        [],
        "staff",
    ],
)
def test_a_condition_that_is_nobodys_has_no_known_exposure_and_can_be_killed(
    path: Path, flags: FlagdFile, rule: object
) -> None:
    flags.set(FLAG, for_audiences(0, "staff"))
    edit(path, lambda flag: flag.update(targeting={"if": rule}))

    with pytest.raises(FlagServiceError, match=r"targeting\.if: it is .* whose exposure is unknown"):
        flags.read(FLAG)
    with pytest.raises(FlagServiceError, match="can be lowered or killed, but not set to"):
        flags.set(FLAG, for_audiences(0, "staff", "beta"))
    assert flags.kill(FLAG, to(0)).exposure == NOBODY
    assert serving(path) == OFF


def test_an_audience_whose_meaning_was_changed_in_the_settings_is_unknown_and_can_be_killed(
    path: Path, flags: FlagdFile
) -> None:
    flags.set(FLAG, for_audiences(0, "staff"))
    changed = FlagdFile(path, audiences={"staff": BETA})

    with pytest.raises(FlagServiceError, match="define the audience as it is written here, or kill the flag"):
        changed.read(FLAG)
    assert changed.read("search").exposure == NOBODY
    assert changed.kill(FLAG, to(0)).exposure == NOBODY


def test_one_and_true_are_two_conditions(path: Path) -> None:
    one, true = {"==": [{"var": "n"}, 1]}, {"==": [{"var": "n"}, True]}
    flags = FlagdFile(path, audiences={"one": one, "true": true})
    flags.init([FLAG], "me")

    assert flags.set(FLAG, for_audiences(0, "true")).exposure.audiences == ("true",)
    assert flags.set(FLAG, for_audiences(0, "one")).exposure.audiences == ("one",)


def test_audiences_that_cannot_be_told_from_others_are_refused(path: Path) -> None:
    flags = FlagdFile(path, audiences={"staff": STAFF, "crew": STAFF, "qa": QA})
    flags.init([FLAG], "me")

    with pytest.raises(FlagServiceError, match="the audiences crew and staff have the same condition"):
        flags.set(FLAG, for_audiences(0, "staff"))
    with pytest.raises(FlagServiceError, match=r"the audience family was asked; expected one of flags.audiences"):
        flags.set(FLAG, for_audiences(0, "family"))
    with pytest.raises(FlagServiceError, match="the cohort is also the condition of an audience"):
        flags.set(FLAG, to(0, "qa-1"))
    assert flags.read(FLAG).exposure == NOBODY


def test_on_a_broken_file_no_audience_is_added(path: Path, flags: FlagdFile) -> None:
    flags.set(FLAG, for_audiences(10, "staff", "beta"))
    for percent, names, served_then in ((10, ("staff", "eu"), False), (5, ("staff",), True)):
        path.write_text("oops")
        if served_then:
            assert flags.set(FLAG, for_audiences(percent, *names)).exposure == Exposure(percent, audiences=names)
        else:
            with pytest.raises(FlagServiceError, match="not set to 10% and audience eu and audience staff"):
                flags.set(FLAG, for_audiences(percent, *names))
