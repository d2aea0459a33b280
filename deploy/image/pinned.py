"""Print those lines of requirements.lock that an image needs, hashes included.

    python3 deploy/image/pinned.py tools                          pip, setuptools and wheel, which build the wheel
    python3 deploy/image/pinned.py program postgresql redis       what the program runs with, and these extras

The lock holds everything, the tests' tools too. Which of it belongs to the program is told by its own comments: each
line says for whose sake it is there. Nothing but the standard library: it runs before anything is installed.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("pip", "setuptools", "wheel")
PROJECT = "slo-watchdog"
ENTRY = re.compile(r"^(?P<name>[a-z0-9][a-z0-9.-]*)==.*\n(?:[ ]{4}.*\n?)*", re.MULTILINE)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def entries(lock: str) -> dict[str, str]:
    """The lock's entries by the name of the distribution, each with its hashes and comments."""
    return {found["name"]: found[0] for found in ENTRY.finditer(lock)}


def wanted_by(entry: str) -> set[str]:
    """For whose sake an entry is in the lock: the names after `via`."""
    _, _, told = entry.partition("# via")
    return {name[0] for line in told.splitlines() if (name := NAME.search(line.strip().lstrip("#")))}


def direct(project: dict[str, object], extras: Iterable[str]) -> set[str]:
    """The names that pyproject.toml's `project` asks for, with these extras. KeyError for an extra that it has not."""
    asked = list(_texts(project["dependencies"]))
    for extra in extras:
        optional = project["optional-dependencies"]
        assert isinstance(optional, dict)  # noqa: S101 - the form that the standard gives it
        asked += _texts(optional[extra])
    return {NAME.match(text)[0].lower().replace("_", "-").replace(".", "-") for text in asked}  # type: ignore[index]


def closure(locked: dict[str, str], roots: set[str]) -> list[str]:
    """The roots and everything that is in the lock for their sake, sorted. ValueError for a root that is not locked."""
    if absent := sorted(roots - set(locked)):
        raise ValueError(f"requirements.lock has no {', '.join(absent)}: write it anew with `make lock`.")
    found: set[str] = set()
    fresh = set(roots)
    while fresh:
        found |= fresh
        fresh = {name for name, entry in locked.items() if wanted_by(entry) & fresh} - found
    return sorted(found)


def _texts(value: object) -> list[str]:
    return [str(text) for text in value] if isinstance(value, list) else []


def main(what: str, extras: list[str]) -> int:
    """Print the entries; the exit status."""
    locked = entries((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    try:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        names = closure(locked, set(TOOLS) if what == "tools" else direct(project, extras))
    except KeyError as absent:
        print(f"pinned: pyproject.toml has no extra {absent}.", file=sys.stderr)
        return 2
    except ValueError as problem:
        print(f"pinned: {problem}", file=sys.stderr)
        return 2
    print("".join(locked[name] for name in names), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
