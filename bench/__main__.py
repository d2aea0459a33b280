"""`make bench`: measure every promised figure, print one table, and fail when a promise is missed.

    python -m bench [--quick] [GROUP ...]

Groups are the modules of this package that measure something; without a name all of them run. The table goes to
standard output and, with the numbers behind it, to build/bench.json.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from bench import (
    attribution,
    detectors,
    evidence,
    feasibility,
    kill,
    notify,
    ofrep,
    pages,
    process,
    replay,
    rules,
    sticky,
    ticks,
    week,
)
from bench.figure import Figure

GROUPS: dict[str, Callable[..., Iterator[Figure]]] = {
    "process": process.figures,
    "replay": replay.figures,
    "ticks": ticks.figures,
    "ofrep": ofrep.figures,
    "week": week.figures,
    "evidence": evidence.figures,
    "detectors": detectors.figures,
    "attribution": attribution.figures,
    "feasibility": feasibility.figures,
    "kill": kill.figures,
    "sticky": sticky.figures,
    "notify": notify.figures,
    "rules": rules.figures,
    "pages": pages.figures,
}
"""Name -> `figures(*, quick: bool)`, in the order in which they are run."""

RESULTS = Path("build/bench.json")
VERDICTS = {True: "ok", False: "MISSED", None: "-"}


def main(arguments: list[str] | None = None) -> int:
    """Run the groups asked for; 1 when a promised figure was missed, else 0."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the promised figures.")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"one of: {', '.join(GROUPS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="leave out what takes minutes")
    chosen = parser.parse_args(arguments)
    unknown = [group for group in chosen.groups if group not in GROUPS]
    if unknown:
        parser.error(f"no group is called {', '.join(unknown)}; there are {', '.join(GROUPS)}")
    found = {group: _measure(group, quick=chosen.quick) for group in chosen.groups or GROUPS}
    figures = [figure for group in found.values() for figure in group]
    print(table(figures))
    _write(found, quick=chosen.quick)
    missed = sum(figure.ok is False for figure in figures)
    print(f"\n{len(figures)} figures, {missed} missed; written to {RESULTS}")
    return 1 if missed else 0


def _measure(group: str, *, quick: bool) -> list[Figure]:
    figures, began = [], time.monotonic()
    for figure in GROUPS[group](quick=quick):
        figures.append(figure)
        print(f"{group}, {time.monotonic() - began:.0f} s: {figure.name}: {figure.measured}", file=sys.stderr)
    return figures


def table(figures: list[Figure]) -> str:
    """The figures as aligned text: what, what it must reach, what was measured, whether it holds."""
    rows = [("figure", "must reach", "measured", "ok")]
    rows += [(figure.name, figure.must, figure.measured, VERDICTS[figure.ok]) for figure in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-+-".join("-" * width for width in widths), *lines[1:]])


def _write(found: dict[str, list[Figure]], *, quick: bool) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    document = {
        "quick": quick,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "figures": [{"group": group} | asdict(figure) for group, figures in found.items() for figure in figures],
    }
    RESULTS.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
