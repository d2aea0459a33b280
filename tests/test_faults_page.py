"""docs/faults.md names a test for every fault, and each of them exists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "faults.md"


def test_every_fault_on_the_page_has_a_test_that_exists() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and "| ---" not in line]
    heads = [row for row in rows if row.endswith("| test |")]
    assert len(heads) == 4, "a table each for the start, disks, signals and clocks"
    written = "\n".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    tests = set(re.findall(r"^def (test_\w+)\(", written, re.MULTILINE))
    for row in rows:
        if row not in heads:
            named = re.findall(r"`(test_\w+)` \|$", row)
            assert named, f"no test: {row}"
            assert named[0] in tests, f"no such test: {named[0]}"
