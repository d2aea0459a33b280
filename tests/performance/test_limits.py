"""The limits themselves: each has its unit and its reason, and an environment replaces what it names, and no more."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.performance.limits import FILE, PREFIX, load

HERE = Path(__file__).parent


def test_every_limit_says_its_unit_and_why_it_is_what_it_is() -> None:
    for limit in load({}).values():
        assert limit.unit
        assert len(limit.rationale) > 40, limit.name


def test_every_limit_is_judged_by_a_test_and_every_test_has_its_limit() -> None:
    judged = set()
    for path in HERE.glob("test_*.py"):
        judged.update(re.findall(r'limits\["(\w+)"\]\.judge', path.read_text()))
    assert judged == set(load({}))


def test_an_environment_replaces_what_it_names(tmp_path: Path) -> None:
    elsewhere = tmp_path / "slow.yaml"
    elsewhere.write_text("decide: 500\nstart: 7\n")
    found = load({f"{PREFIX}FILE": str(elsewhere), f"{PREFIX}START": "9.5", "PATH": "/bin"})
    assert (found["decide"].value, found["decide"].origin) == (500, str(elsewhere))
    assert (found["start"].value, found["start"].origin) == (9.5, f"{PREFIX}START"), "a variable wins"
    assert found["replay_slot"] == load({})["replay_slot"]


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({f"{PREFIX}DECIED": "3"}, "there is no limit 'decied'"),
        ({f"{PREFIX}DECIDE": "much"}, "found 'much', expected a number above 0"),
        ({f"{PREFIX}DECIDE": "0"}, "expected a number above 0"),
        ({f"{PREFIX}DECIDE": "inf"}, "expected a number above 0"),
        ({f"{PREFIX}DECIDE": "nan"}, "expected a number above 0"),
    ],
)
def test_a_typing_error_switches_no_test_off(environ: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        load(environ)


def test_a_measure_above_its_limit_fails_with_both_numbers() -> None:
    limit = load({f"{PREFIX}DECIDE": "2"})["decide"]
    limit.judge(2.0)
    with pytest.raises(AssertionError, match=rf"decide: 2\.01 .*, at most 2 by {PREFIX}DECIDE"):
        limit.judge(2.01)


def test_all_limits_are_in_one_file() -> None:
    assert [path.name for path in HERE.glob("*.yaml")] == [FILE.name]
