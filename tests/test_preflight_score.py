"""The result of a preflight as numbers and documents: what a score is made of, and what it never overrules."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from watchdog.flags.base import Check
from watchdog.preflight.areas import AREAS
from watchdog.preflight.junit import as_junit
from watchdog.preflight.verdict import OWN, WEIGHTS, Found, Level, Preflight, Rule

PAGE = (Path(__file__).parent.parent / "docs" / "preflight.md").read_text(encoding="utf-8")


def good(area: str = "ledger", rollout: str | None = None) -> Found:
    return Found(area, Check("fine", ok=True, found="it is"), rollout)


def bad(
    area: str = "ledger",
    rollout: str | None = None,
    waived: str | None = None,
    waiver: str = OWN,
    *,
    warn: bool = False,
) -> Found:
    level = Level.WARNING if warn else Level.BLOCKER
    return Found(area, Check("broken", ok=False, found="it is not", todo="mend it"), rollout, waived, level, waiver)


def test_nothing_looked_at_is_no_pass_and_no_score() -> None:
    assert (Preflight([]).passed, Preflight([]).score) == (False, 0)


def test_every_area_counts_by_its_weight_whatever_the_number_of_its_checks() -> None:
    assert sum(WEIGHTS.values()) == 100
    assert [name for name, _ in AREAS if name not in WEIGHTS] == []
    many = [good("flag services")] * 40
    assert Preflight([*many, good(), bad("builds")]).score == 91, "2 of 24 are lost, rounded down"
    assert Preflight([*many, bad()]).score == 54, "10 of 22 are lost"


@pytest.mark.parametrize(
    ("checks", "score", "passed"),
    [
        ([good()], 100, True),
        ([good(), bad(warn=True)], 75, True),
        ([good(), bad()], 50, False),
        ([good(), bad(waived="known")], 50, True),
        ([good()] * 99 + [bad()], 99, False),
    ],
    ids=["all is well", "a warning", "a blocker", "waived", "one blocker of a hundred"],
)
def test_a_blocker_overrules_the_score_and_a_waiver_earns_nothing(
    checks: list[Found],
    score: int,
    passed: bool,  # noqa: FBT001 - a parameter of the table
) -> None:
    verdict = Preflight(checks)
    assert (verdict.score, verdict.passed) == (score, passed)


def test_a_rule_is_held_by_what_is_about_it_and_about_everything() -> None:
    checks = [good(), good("objectives", "checkout"), bad("objectives", "search"), bad("worst case", "cart", "known")]
    rules = [Rule(name, name * 2) for name in ("checkout", "search", "cart")]
    told = {one["rollout"]: one for one in Preflight(checks, rules=rules).as_data()["rollouts"]}
    assert (told["checkout"]["held"], told["checkout"]["score"]) == (True, 100)
    assert (told["search"]["held"], told["search"]["failed"], told["search"]["waived"]) == (False, 1, 0)
    assert (told["cart"]["held"], told["cart"]["failed"], told["cart"]["waived"]) == (False, 0, 1)


def test_a_waiver_of_the_rule_by_another_name_is_its_own_affair() -> None:
    """`waive: {feasibility: ...}` says what it waives, and the report repeats it."""
    checks = [bad("feasibility", "checkout", "two hours are enough", "feasibility")]
    (rule,) = Preflight(checks, rules=[Rule("checkout", "ab")]).as_data()["rollouts"]
    assert (rule["held"], rule["waived"]) == (True, 0)


def test_the_data_counts_what_stands_in_the_way() -> None:
    told = Preflight([good(), bad(), bad(warn=True), bad(waived="known"), good("drill")]).as_data()
    assert (told["passed"], told["failed"], told["warnings"], told["waived"]) == (False, 1, 1, 1)
    ledger, drill = told["areas"]
    assert ledger == {"area": "ledger", "weight": 10, "score": 30, "checks": 4, "failed": 1, "warning": 1}
    assert drill["score"] == 100
    assert [one["outcome"] for one in told["checks"]] == ["ok", "failed", "warning", "waived", "ok"]
    assert json.loads(json.dumps(told)) == told


def test_junit_fails_by_blockers_alone() -> None:
    root = ET.fromstring(as_junit(Preflight([good(), bad(), bad(warn=True), bad(waived="known")])))  # noqa: S314
    assert (root.get("tests"), root.get("failures"), root.get("skipped")) == ("4", "1", "1")
    assert [one.get("message") for one in root.iter("failure")] == ["it is not"]
    assert [one.text for one in root.iter("system-err")] == ["warning: it is not; mend it"]


def test_junit_holds_whatever_a_service_says() -> None:
    hostile = "\x00\x1b[31m <failure> & ]]> \ud800 é \U0001f600"
    checks = [Check(hostile, ok=False, found=hostile, todo=hostile), Check("fine", ok=True, found=hostile)]
    verdict = Preflight([Found("flag services", check, "checkout-1") for check in checks])

    root = ET.fromstring(as_junit(verdict))  # noqa: S314

    (suite,) = root
    assert suite.attrib == {
        "name": "flag services",
        "tests": "2",
        "failures": "1",
        "errors": "0",
        "skipped": "0",
        "time": "0",
    }
    (failure,) = root.iter("failure")
    assert "<failure> & ]]>" in (failure.get("message") or "")
    assert json.loads(json.dumps(verdict.as_data()))["passed"] is False


def test_the_page_shows_every_area_with_its_weight() -> None:
    shown = re.findall(r"^\| ([a-z ]+) \| (\d+) \|", PAGE, re.MULTILINE)
    assert {name: int(weight) for name, weight in shown} == WEIGHTS
    assert [name for name, _ in shown] == [name for name, _ in AREAS], "in the order in which they are looked at"
