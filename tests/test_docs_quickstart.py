"""docs/quickstart.md and docs/upgrading.md: every file, command and option in their examples exists."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from watchdog.cli import app

ROOT = Path(__file__).parent.parent
PAGES = ("quickstart.md", "upgrading.md")
LINES = re.compile(r"^\$ (.*(?:\\\n.*)*)$", re.MULTILINE)


def commands(page: str) -> Iterator[str]:
    """What the page tells to type, each on one line and without the comment behind it."""
    for found in LINES.findall((ROOT / "docs" / page).read_text(encoding="utf-8")):
        yield re.sub(r"\s+# .*$", "", found.replace("\\\n", " ")).strip()


def ours(page: str) -> list[str]:
    """The calls of the program, without what starts them."""
    found = [re.search(r"\bslo-watchdog ((?!exec)[a-z].*)$", line) for line in commands(page) if "install" not in line]
    return [match[1] for match in found if match and not match[1].startswith(("get ", "version"))]


@pytest.mark.parametrize("page", PAGES)
def test_every_call_of_the_program_is_one_that_it_understands(page: str) -> None:
    """Parsed by the command itself, which is not run."""
    group: Any = typer.main.get_command(app)
    calls = ours(page)
    assert len(calls) >= 3
    for call in calls:
        name, *words = shlex.split(call)
        if name.startswith("-"):
            continue
        command = group.commands[name]
        if hasattr(command, "commands"):
            command, words = command.commands[words[0]], words[1:]
        with command.make_context(name, words) as context:
            assert context.params


@pytest.mark.parametrize("page", PAGES)
def test_every_file_of_the_repository_that_a_command_names_is_there(page: str) -> None:
    named = [word for line in commands(page) for word in line.split() if re.match(r"(deploy|scripts)/", word)]
    assert [name for name in named if not (ROOT / name).exists()] == []
