"""Every alert of the pack is in tests/stack/fast/seen.yaml once, and docs/alertmanager.md says the same."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from tests.alertpack import alerts

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "alertmanager.md"
LIST = yaml.safe_load((HERE / "stack" / "fast" / "seen.yaml").read_text())
SEEN = [(alert, how) for part in LIST["seen"].values() for alert, how in part.items()]
NOT_SEEN = list(LIST["not seen"].items())
ROW = re.compile(r"^\| `(\w+)` \| (.+) \|$", re.MULTILINE)


def rows(heading: str) -> list[tuple[str, str]]:
    """The table below a heading of the page."""
    return ROW.findall(PAGE.read_text().split(f"{heading}\n", 1)[1].split("\n#", 1)[0])


def test_every_alert_is_listed_once_as_seen_firing_or_with_a_reason() -> None:
    listed = [alert for alert, _ in (*SEEN, *NOT_SEEN)]
    assert sorted(listed) == sorted({rule["alert"] for rule in alerts()})


def test_the_page_says_how_each_was_seen() -> None:
    assert rows("## Seen firing") == sorted(SEEN)
    assert rows("### Not seen") == sorted(NOT_SEEN)


def test_every_part_of_the_list_has_a_test_that_makes_it_fire() -> None:
    """The drill names the alerts of a fault, the others are looked up by the name of their part."""
    tests = "".join((HERE / "stack" / "fast" / name).read_text() for name in ("test_drill.py", "test_every_alert.py"))
    for part, listed in LIST["seen"].items():
        assert f'SEEN["{part}"]' in tests or all(f'"{alert}"' in tests for alert in listed), part
