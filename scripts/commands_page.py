"""Writes docs/commands.md from the command line itself; with --check it only says whether the page is up to date."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from watchdog.cli import app

PAGE = Path(__file__).parent.parent / "docs" / "commands.md"
HEAD = """# Commands

`slo-watchdog` and `python -m watchdog` are the same program. `--config FILE` names the daemon's `watchdog.yaml`, before
or after the command; without it `WATCHDOG_CONFIG`, then `./watchdog.yaml`. Errors are one sentence each on standard
error. Commands that change something record who (`--by`, default: the system user) and why.

| exit status | means |
| --- | --- |
| 0 | Done; where a question was asked, the answer is yes. |
| 1 | The answer is no, or a service did not do it. |
| 2 | An option, the settings or a rollout file is wrong, the ledger cannot be read, or what was asked is refused. |
| 3 | Only `gate`: not decided yet. |
| 4 | Prometheus, or the Pushgateway, cannot be reached. |

This page is written by `python scripts/commands_page.py`.
"""
PLAIN = "Exit: 0, or 2."
"""For commands that say nothing of it."""
FLAGS = "Exit: 0, 1 when a flag service or the ledger fails, or 2."


def commands() -> Iterator[tuple[str, Any]]:
    """Every command by its whole name, in the order of the program's own help."""
    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from ((f"{name} {inner}", leaf) for inner, leaf in command.commands.items())
        else:
            yield name, command


def page() -> str:
    """The whole page."""
    rows = ["| command | does |", "| --- | --- |"]
    for name, command in commands():
        first = inspect.cleandoc(command.help or "").partition("\n")[0].partition(" Exit: ")[0]
        rows.append(f"| [`{name}`](#{_anchor(name, command)}) | {first} |")
    sections = [_section(name, command) for name, command in commands()]
    return "\n".join([HEAD, *rows, "", *sections])


def _usage(name: str, command: Any) -> str:
    arguments = " ".join(
        param.metavar or param.name.upper() for param in command.params if not hasattr(param, "is_flag")
    )
    return f"{name} {arguments}".strip()


def _anchor(name: str, command: Any) -> str:
    """As GitHub makes it from the heading."""
    return re.sub(r"[^\w -]", "", _usage(name, command).lower()).replace(" ", "-")


def _section(name: str, command: Any) -> str:
    about = inspect.cleandoc(command.help or "")
    lines = [f"## `{_usage(name, command)}`", "", about, ""]
    if "Exit: " not in about:
        lines += [FLAGS if name.startswith("flags ") else PLAIN, ""]
    options = [param for param in command.params if getattr(param, "opts", None) and param.opts[0].startswith("-")]
    if options:
        lines += ["| option | default | meaning |", "| --- | --- | --- |"]
        lines += [f"| `{'`, `'.join(option.opts)}` | {_default(option)} | {option.help or ''} |" for option in options]
        lines.append("")
    return "\n".join(lines)


def _default(option: Any) -> str:
    if option.required:
        return "required"
    if option.is_flag or option.default in (None, "", (), []):
        return ""
    return f"`{option.default}`"


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.read_text() == page() else "docs/commands.md is out of date: run scripts/commands_page.py")
    PAGE.write_text(page())
