"""The report as Markdown and as JSON text."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from watchdog.report import words
from watchdog.report.causes import causes_of
from watchdog.report.facts import basis_of, facts, figures_of
from watchdog.report.noise import noise_of
from watchdog.report.strip import strip

if TYPE_CHECKING:
    from jinja2 import Environment

Json = dict[str, Any]

MARKUP = re.compile(r"([\\`*\[\]<>|~#&$]|(?<![^\W_])_|_(?![^\W_]))")
"""What Markdown could take for markup; an underscore only where it is not inside a word."""


class Written(str):
    """Markdown that is meant as such and is not escaped again."""

    __slots__ = ()


def render_json(report: Json) -> str:
    """The report as JSON: sorted keys, two spaces, a final newline; equal reports give equal bytes."""
    return json.dumps(report, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def render_markdown(report: Json) -> str:
    """The report in GitHub's Markdown, with everything but the charts."""
    rows = strip(report)
    text = (
        _environment()
        .get_template("report.md.j2")
        .render(
            report=report,
            verdict=report["verdict"],
            facts=facts(report),
            basis=basis_of(report),
            noise=noise_of(report),
            causes=causes_of(report),
            strip=rows,
            strip_text=_fenced("\n".join(_row(row) for row in rows["rows"])),
            objectives=[{**objective, "shown": figures_of(objective)} for objective in report["objectives"]],
        )
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


@cache
def _environment() -> Environment:
    # One, as for HTML: compiling the template takes longer than filling it.
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - heavy, and most ticks render nothing

    made = Environment(
        loader=PackageLoader("watchdog.report"),
        autoescape=False,  # noqa: S701 - it is Markdown, escaped by `finalize`
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=_safe,
        auto_reload=False,
    )
    made.filters |= {
        "when": words.when,
        "lasted": words.lasted,
        "listed": words.listed,
        "code": _code,
        "fenced": _fenced,
        "promql": _promql,
    }
    made.globals |= {"counted": words.counted, "clock": words.clock}
    return made


def _safe(value: Any) -> Any:
    """Every outside text on one line, with nothing that Markdown would act on."""
    if isinstance(value, Written) or not isinstance(value, str):
        return value
    return MARKUP.sub(r"\\\1", " ".join(value.split()) if "\n" in value else value)


def _code(text: str) -> Written:
    shown = " ".join(text.split()).replace("|", "\\|")
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    return Written(f"{ticks}{shown}{ticks}" if "`" not in shown else f"{ticks} {shown} {ticks}")


def _fenced(text: str, language: str = "") -> Written:
    ticks = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return Written(f"{ticks}{language}\n{text.rstrip()}\n{ticks}\n")


def _promql(queries: dict[str, str]) -> Written:
    return _fenced("\n".join(f"# {role}\n{query}" for role, query in queries.items()), "promql")


def _row(row: Json) -> str:
    signs = "".join(cell["sign"] if cell else "·" for cell in row["cells"])
    last = next((cell["under"] for cell in reversed(row["cells"]) if cell), "")
    return f"{row['label']}  {signs}  {last} %"
