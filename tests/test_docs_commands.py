"""docs/commands.md tells of every command: how it is used, with an example that is one, and with its exit statuses."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from watchdog.cli import app

PAGE = (Path(__file__).parent.parent / "docs" / "commands.md").read_text(encoding="utf-8")
SECTIONS: dict[str, str] = {
    found[1]: found[0] for found in re.findall(r"^(## `([^`]+)`\n.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
}
EXAMPLE = re.compile(r"`slo-watchdog ([^`]+)`")


def commands() -> Iterator[tuple[str, Any]]:
    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        inner = getattr(command, "commands", {"": command})
        yield from ((f"{name} {one}".strip(), leaf) for one, leaf in inner.items())


NAMES = [name for name, _ in commands()]


def section(name: str) -> str:
    (found,) = [text for usage, text in SECTIONS.items() if f"{usage} ".startswith(f"{name} ")]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_command_has_an_example_and_its_exit_statuses(name: str) -> None:
    found = [example for example in EXAMPLE.findall(section(name)) if example.startswith(name)]
    assert found
    assert "Exit: " in section(name)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_uses_options_that_the_command_has(name: str) -> None:
    """Parsed by the command itself, which is not run."""
    command = dict(commands())[name]
    for example in EXAMPLE.findall(section(name)):
        if example.startswith(name):
            words = shlex.split(example.removeprefix(name))
            with command.make_context(name, words) as context:
                assert context.params


def test_every_command_is_in_the_list_at_the_top() -> None:
    assert re.findall(r"^\| \[`([^`]+)`\]\(#", PAGE, re.MULTILINE) == NAMES


def test_every_link_of_the_list_leads_to_a_section() -> None:
    """Anchors as GitHub makes them: lower case, letters, digits, dashes and underscores, a dash for each space."""
    anchors = {re.sub(r"[^\w -]", "", usage.lower()).replace(" ", "-") for usage in SECTIONS}
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) == anchors
