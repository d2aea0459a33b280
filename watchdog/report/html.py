"""The report as one self-contained HTML page: no script, nothing loaded, readable in grey and on four A4 pages."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from watchdog.report import words
from watchdog.report.charts import exposure_chart, objective_chart
from watchdog.report.facts import facts, figures_of
from watchdog.report.strip import strip

Json = dict[str, Any]

PRINTED = {"waits": 6, "gaps": 8, "breaches": 6, "timeline": 12, "notifications": 5, "waivers": 7, "rule": 96, "days": 10}
"""How many rows (lines, for the rule) of each list are printed; the screen and the JSON report have all."""


def environment() -> Environment:
    """Templates escape everything; a name that is not there is an error, never an empty place."""
    made = Environment(
        loader=PackageLoader("watchdog.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
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
    }
    made.globals |= {"counted": words.counted, "clock": words.clock}
    return made


def clean(text: str) -> str:
    """Text without the control characters that HTML forbids."""
    return "".join(sign for sign in text if sign in "\n\t" or ord(sign) >= 32)


def render_html(report: Json) -> str:
    """The page for a report built by `build` (or read back from its JSON)."""
    lines = report["rule"]["text"].splitlines()
    return environment().get_template("report.html").render(
        report=report,
        verdict=report["verdict"],
        facts=facts(report),
        strip=strip(report),
        exposure_chart=exposure_chart(report),
        objectives=[
            {**objective, "svg": objective_chart(report, objective, place), "shown": figures_of(objective)}
            for place, objective in enumerate(report["objectives"], 1)
        ],
        printed=PRINTED,
        rule_lines=lines,
    )
