"""The sign-off report: evidence in, one JSON-ready dict out; HTML and Markdown are views of that dict.

Pure: no clock, no I/O but the package's own templates. The same evidence gives the same bytes.
"""

from __future__ import annotations

from watchdog.report.build import SCHEMA, build
from watchdog.report.evidence import ACTUAL, DESIRED, REAL, BreachFact, Evidence
from watchdog.report.html import render_html
from watchdog.report.markdown import render_json, render_markdown

__all__ = [
    "ACTUAL",
    "DESIRED",
    "REAL",
    "SCHEMA",
    "BreachFact",
    "Evidence",
    "build",
    "render_html",
    "render_json",
    "render_markdown",
]
