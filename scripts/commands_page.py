"""Writes docs/commands.md from the command line itself; with --check it only says whether the page is up to date."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import typer

from watchdog.cli import app

PAGE = Path(__file__).parent.parent / "docs" / "commands.md"
HEAD = """# Commands

`slo-watchdog` and `python -m watchdog` are the same program. `--config FILE` names the daemon's `watchdog.yaml`, before
or after the command; without it `WATCHDOG_CONFIG`, then `./watchdog.yaml`. Errors are one sentence each on standard
error. Commands that change something record who (`--by`, default: the system user) and why.

This page is written by `python scripts/commands_page.py`.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            for inner, leaf in command.commands.items():
                parts.append(_section(f"{name} {inner}", leaf))
        else:
            parts.append(_section(name, command))
    return "\n".join(parts)


def _section(name: str, command: Any) -> str:
    usage = " ".join(param.metavar or param.name.upper() for param in command.params if not hasattr(param, "is_flag"))
    lines = [f"## `{name}{' ' + usage if usage else ''}`", "", inspect.cleandoc(command.help or ""), ""]
    options = [param for param in command.params if getattr(param, "opts", None) and param.opts[0].startswith("-")]
    if options:
        lines += ["| option | meaning |", "| --- | --- |"]
        lines += [f"| `{'`, `'.join(option.opts)}` | {option.help or ''} |" for option in options]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.read_text() == page() else "docs/commands.md is out of date: run scripts/commands_page.py")
    PAGE.write_text(page())
