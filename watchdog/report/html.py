"""The report as one self-contained HTML page: no script, nothing loaded, readable in grey and on four A4 pages."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from watchdog.report import words
from watchdog.report.causes import causes_of
from watchdog.report.charts import objective_chart
from watchdog.report.exposure import exposure_chart
from watchdog.report.facts import basis_of, facts, figures_of
from watchdog.report.noise import noise_of
from watchdog.report.strip import strip

if TYPE_CHECKING:
    from jinja2 import Environment

Json = dict[str, Any]

PRINTED = {"waits": 4, "gaps": 7, "breaches": 6, "timeline": 14, "notifications": 5, "days": 10, "noise": 6}
"""How many rows (lines, for the rule) of each list are printed; the screen and the JSON report have all."""


RULE_COLUMN = 54
"""Characters that fit a line of the printed rule, which is set in three columns."""


@cache
def environment() -> Environment:
    """Templates escape everything; a name that is not there is an error, never an empty place.

    There is one: the templates are compiled for the first report, which takes longer than all else that a report takes.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - heavy, and most ticks render nothing

    made = Environment(
        loader=PackageLoader("watchdog.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        auto_reload=False,
    )
    made.filters |= {
        "when": words.when,
        "lasted": words.lasted,
        "percent": words.percent,
        "share": words.share,
        "figure": words.figure,
        "number": words.number,
        "listed": words.listed,
        "clean": clean,
        "breaks": breaks,
    }
    made.globals |= {"counted": words.counted, "clock": words.clock}
    return made


def picked(rows: list[Json], most: int, weight: Callable[[Json], Any]) -> list[Json]:
    """The rows in their order, marked: the `most` weightiest are `printed`, three times as many are `shown` at once."""
    ranks = sorted(range(len(rows)), key=lambda place: weight(rows[place]), reverse=True)
    printed, shown = set(ranks[:most]), set(ranks[: 3 * most])
    return [{**row, "printed": place in printed, "shown": place in shown} for place, row in enumerate(rows)]


def _rule_printed(report: Json, lines: list[str]) -> int:
    """How many lines of the rule are printed: as many as the tables before them leave room for on the fourth page."""
    rows = len(report["waivers"])
    rows += sum(min(len(report[name]), PRINTED[name]) for name in ("breaches", "gaps", "timeline", "notifications"))
    rows += min(len((report["noise"] or {}).get("episodes", ())), PRINTED["noise"])
    room = min(max(24, 240 - 5 * rows), 132)
    for place, line in enumerate(lines):
        room -= 1 + len(line) // RULE_COLUMN
        if room < 0:
            return place
    return len(lines)


def clean(text: str) -> str:
    """Text without the control characters that HTML forbids."""
    return "".join(sign for sign in text if sign in "\n\t" or ord(sign) >= 32)


def breaks(query: str) -> Markup:
    """A query that may break after its braces and commas rather than in the middle of a name."""
    return Markup(re.sub(r"(?<=[{,])(?=\S)", "<wbr>", str(escape(query))))  # noqa: S704 - escaped here


def render_html(report: Json) -> str:
    """The page for a report built by `build` (or read back from its JSON)."""
    lines = report["rule"]["text"].splitlines()
    return (
        environment()
        .get_template("report.html")
        .render(
            report=report,
            verdict=report["verdict"],
            facts=facts(report),
            basis=basis_of(report),
            strip=strip(report),
            exposure_chart=exposure_chart(report),
            objectives=[
                {**objective, "svg": objective_chart(report, objective, place), "shown": figures_of(objective)}
                for place, objective in enumerate(report["objectives"], 1)
            ],
            waits=picked(report["waits"], PRINTED["waits"], lambda row: (row["kind"] == "hold", row["seconds"])),
            gaps=picked(report["gaps"], PRINTED["gaps"], lambda row: (bool(row["reset_at"]), row["seconds"])),
            noise=noise_of(report),
            causes=causes_of(report),
            printed=PRINTED,
            rule_lines=lines,
            rule_printed=_rule_printed(report, lines),
        )
    )
