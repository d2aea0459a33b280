"""Files of hand-written alerts -> groups of rules. What every alert must have is checked here; links come later."""

from __future__ import annotations

import re
from pathlib import Path

from watchdog.rolloutfile.fields import Findings, Section, grid, named, text, word
from watchdog.rolloutfile.yamltext import load_mapping, read_text
from watchdog.rulebook.model import SEVERITIES, Group, Pack, Rule
from watchdog.rulebook.promql import span

DASHBOARD = "dashboard_url"
_NAME = named(r"[A-Z][A-Za-z0-9]+", "a name in CamelCase, such as ServiceDown")
_RECORD = named(r"[a-z_][a-z0-9_]*:[a-z0-9_]+:[a-z0-9_]+", "level:metric:operations")
_FIRST = re.compile(r"\bFirst: ")


def read_pack(path: Path, findings: Findings) -> Pack:
    """The alerts of one area; problems go to `findings`.

    An alert with an `interval` of its own is evaluated so often: together with those that have the same one.
    """
    data, duplicates = load_mapping(read_text(path), str(path))
    findings.problems += duplicates
    root = Section(data, "", findings)
    area = root.need("area", text, path.stem, f"area: {path.stem}")
    dashboard = root.need("dashboard", text, "", "dashboard: the path of its dashboard below the base")
    interval = root.take("interval", grid, 30)
    records = tuple(_record(section) for section in root.sections("records"))
    alerts: dict[int, list[Rule]] = {interval: []}
    for section in root.sections("alerts"):
        alerts.setdefault(section.take("interval", grid, interval), []).append(_alert(section, area, dashboard))
    root.close()
    groups = [Group(f"{area} recordings", interval, records)] if records else []
    for seconds, rules in alerts.items():
        name = f"{area} alerts" if seconds == interval else f"{area} alerts each {span(seconds)}"
        groups += [Group(name, seconds, tuple(rules))] if rules else []
    return Pack(area, tuple(groups))


def _record(section: Section) -> Rule:
    rule = Rule(
        record=section.need("record", _RECORD, "", "record: level:metric:operations"),
        expr=section.need("expr", text, "vector(0)", "expr: PromQL"),
    )
    section.close()
    return rule


def _alert(section: Section, area: str, dashboard: str) -> Rule:
    name = section.need("alert", _NAME, "Nameless", "alert: its name")
    expr = section.need("expr", text, "vector(0)", "expr: PromQL")
    hold = section.take("for", text, "")
    severity = section.need("severity", word(*SEVERITIES), "info", f"severity: one of {', '.join(SEVERITIES)}")
    labels = {"severity": severity, "area": area}
    if section.has("service"):
        labels["service"] = f"{{{{ $labels.{section.take('service', text, 'job')} }}}}"
    summary = section.need("summary", _sentence, "", "summary: one sentence")
    description = section.need("description", _sentence, "", "description: what it means, and First: what to do")
    if not _FIRST.search(description):
        section.problem("description", "does not say what to do first; write a sentence that begins with First:")
    path = section.take("dashboard", text, dashboard)
    section.close()
    annotations = {"summary": summary, "description": description, DASHBOARD: path}
    return Rule(alert=name, expr=expr, hold=hold, labels=labels, annotations=annotations)


def _sentence(found: object) -> str:
    said = text(found)
    if not said.endswith((".", "!", ")")):
        raise ValueError("does not end with a full stop")
    return said
