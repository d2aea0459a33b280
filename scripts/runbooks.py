"""Writes what runbooks repeat from the rules: the facts of each page and the index; with --check it only compares.

A page of an alert that has none is begun with its facts; the rest of it people write.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from watchdog.quantities import format_number, format_share
from watchdog.rulebook import read_sources
from watchdog.rulebook.model import Sources

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "docs" / "runbooks"
INDEX = PAGES / "README.md"
RULES = ROOT / "rules"
BEGIN, END = "<!-- facts: python scripts/runbooks.py -->", "<!-- end of facts -->"
SEVERITIES = ("critical", "warning", "info", "none")
AREAS = ("service", "rollout", "flags", "noise", "cost", "security", "meta")
_KEY = re.compile(r"\$(?!value|labels)([a-z_]+)")
_BURN = re.compile(r'slo:burn_limit:ratio\{objective="([^"]+)",budget="([^"]+)",long="([^"]+)",short="([^"]+)"')
_RECORD = re.compile(r"slo:[a-z_]+:[a-z]+")
_MARKED = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)


@cache
def loaded(file: Path) -> Any:
    """What a file of YAML holds; the fast parser, since the rules are long."""
    return yaml.load(file.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe


def alerts() -> dict[str, list[dict[str, Any]]]:
    """The rules of each alert, as they are generated; a burn alert has one for each severity and budget."""
    found: dict[str, list[dict[str, Any]]] = {}
    for file in sorted((RULES / "prometheus").glob("*.yaml")):
        for group in loaded(file)["groups"]:
            for rule in group["rules"]:
                if "alert" in rule:
                    found.setdefault(rule["alert"], []).append(rule)
    return found


def written() -> dict[str, str]:
    """Each hand-written alert's expression and `for`, with its `$keys` still in it."""
    texts = {}
    for file in sorted((RULES / "alerts").glob("*.yaml")):
        for alert in loaded(file)["alerts"]:
            texts[alert["alert"]] = f"{alert['expr']} {alert.get('for', '')}"
    return texts


def facts(name: str, rules: list[dict[str, Any]], source: str, sources: Sources) -> str:
    """What the rules say of one alert, with the thresholds as they are now."""
    lines = [BEGIN]
    limits = {
        (rule["labels"]["objective"], *(rule["labels"].get(key, "") for key in ("budget", "long", "short"))): rule
        for rule in recorded()
        if "objective" in rule.get("labels", {})
    }
    for rule in rules:
        labels = rule["labels"]
        budget = f" for the budget of {labels['budget']}" if "budget" in labels else ""
        after = f", fires after `{rule['for']}`" if "for" in rule else ", fires at once"
        lines.append(f"- Severity `{labels['severity']}`{budget}, area `{labels['area']}`{after}.")
        for burn in _BURN.findall(rule["expr"])[::2] if "budget" in labels else ():
            share = format_share(float(limits[burn]["expr"].removeprefix("vector(").removesuffix(")")))
            lines.append(f"  - more than {share} bad in {burn[2]} and in {burn[3]}")
    lines += _thresholds(name, rules, source, sources)
    return "\n".join([*lines, END])


def _thresholds(name: str, rules: list[dict[str, Any]], source: str, sources: Sources) -> Iterator[str]:
    if name.endswith("BudgetBurn"):
        (objective,) = {rule["labels"]["objective"] for rule in rules}
        (indicator,) = [one for one in sources.indicators if one.name == objective]
        allowed = format_share(float(indicator.limit))
        yield f'- `slo:error_budget:ratio{{objective="{objective}"}}` is {allowed}: what is allowed.'
        least = format_number(float(sources.windows.min_bad))
        yield f"- `slo:burn_min_bad:count` is {least}: fewer bad events are no burn."
        return
    keys, records = _KEY.findall(source), _RECORD.findall(source)
    for key, threshold in loaded(RULES / "thresholds.yaml")["thresholds"].items():
        if key in keys or threshold["record"] in records:
            why = threshold["why"][0].lower() + threshold["why"][1:]
            yield f"- `{threshold['record']}` is {threshold['value']}: {why}"


def recorded() -> list[dict[str, Any]]:
    """The recordings of thresholds.yaml, as they are generated."""
    file = loaded(RULES / "prometheus" / "thresholds.yaml")
    return [rule for group in file["groups"] for rule in group["rules"] if "record" in rule]


def index(found: dict[str, list[dict[str, Any]]]) -> str:
    """All pages by area, the loudest first."""
    lines = [BEGIN]
    for area in AREAS:
        rows = sorted(
            (SEVERITIES.index(severity), name, rules[0]["annotations"]["summary"])
            for name, rules in found.items()
            for severity in [min((rule["labels"]["severity"] for rule in rules), key=SEVERITIES.index)]
            if rules[0]["labels"]["area"] == area
        )
        lines += ["", f"### {area}", "", "| alert | severity | says |", "| --- | --- | --- |"]
        lines += [f"| [{name}]({name}.md) | {SEVERITIES[rank]} | {summary} |" for rank, name, summary in rows]
    return "\n".join([*lines, "", END])


def pages() -> dict[Path, str]:
    """Every page as it should be, by its file."""
    found, sources, by_name = alerts(), read_sources(RULES), written()
    texts = {}
    for name, rules in found.items():
        path = PAGES / f"{name}.md"
        block = facts(name, rules, by_name.get(name, ""), sources)
        text = path.read_text() if path.exists() else f"# {name}\n\n## Meaning\n\n{BEGIN}{END}\n"
        texts[path] = _MARKED.sub(lambda _: block, text, count=1)  # noqa: B023 - used before the loop goes on
    text = INDEX.read_text() if INDEX.exists() else f"# Runbooks\n\n{BEGIN}{END}\n"
    texts[INDEX] = _MARKED.sub(lambda _: index(found), text, count=1)
    return texts


if __name__ == "__main__":
    differing = {path: text for path, text in pages().items() if not path.exists() or path.read_text() != text}
    if "--check" in sys.argv:
        names = ", ".join(sorted(path.name for path in differing))
        sys.exit(f"docs/runbooks: {names} out of date: run scripts/runbooks.py" if differing else 0)
    for path, text in differing.items():
        path.write_text(text)
