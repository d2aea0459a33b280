"""The documentation says what the program is: every command, every link, every decision."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from watchdog.model import Reason

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


def test_the_commands_page_is_what_the_program_says() -> None:
    """docs/commands.md is generated; this fails when an option changed and the page did not."""
    checked = subprocess.run(
        [sys.executable, "scripts/commands_page.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_local_link_of_a_page_leads_somewhere(page: Path) -> None:
    """A reader who follows a link finds a file."""
    broken = [
        target
        for target in LINK.findall(page.read_text())
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert not broken


def test_the_readme_links_every_page_of_the_documentation() -> None:
    """Nothing is written that nobody finds."""
    readme = (ROOT / "README.md").read_text()
    missing = [page.name for page in (ROOT / "docs").glob("*.md") if f"docs/{page.name}" not in readme]
    assert not missing


def test_every_reason_and_phase_is_explained() -> None:
    """The words of the program are in the page that explains them."""
    page = (ROOT / "docs" / "how-it-works.md").read_text()
    assert [reason.value for reason in Reason if f"`{reason.value}`" not in page] == []
