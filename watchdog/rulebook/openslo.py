"""OpenSLO v1 -> files of objectives. What has no meaning here is refused; what lives elsewhere becomes a note."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from watchdog.errors import ConfigError
from watchdog.quantities import parse_decimal, shown
from watchdog.rolloutfile.fields import Findings, Section, flag, listing, nullable, one_of, text, word
from watchdog.rolloutfile.yamltext import load_mapping, read_text
from watchdog.rulebook import openslo_query
from watchdog.rulebook.openslo_window import Method, slices, window
from watchdog.rulebook.promql import number

VERSION = "openslo/v1"
KINDS = ("SLO", "SLI", "DataSource", "Service", "AlertPolicy", "AlertCondition", "AlertNotificationTarget")
OPERATORS = {"lt": "below", "lte": "at_most", "gt": "above", "gte": "at_least"}
_DOCUMENT = re.compile(r"^---[ \t]*(?:#.*)?$", re.MULTILINE)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_VALUE_SLOTS = Decimal("0.95")
"""The share of an hour's slots in which a value has to be within its limit."""


@dataclass(frozen=True, slots=True)
class Imported:
    """One objective: the text of its file, and what a person should know of what is not in it."""

    name: str
    text: str
    notes: tuple[str, ...]

    def path(self, directory: Path) -> Path:
        """Its file in a directory of objectives."""
        return directory / f"{self.name}.yaml"


def import_openslo(path: Path) -> list[Imported]:
    """The objectives of a file of OpenSLO v1 documents. Raises ConfigError with everything that it cannot map."""
    findings = Findings(str(path))
    documents = list(_documents(read_text(path), findings))
    objects: dict[str, dict[str, Section]] = {kind: {} for kind in KINDS}
    for root in documents:
        version = root.need("apiVersion", text, "", f"apiVersion: {VERSION}")
        if version != VERSION:
            root.problem("apiVersion", f"is {shown(version)}; only {VERSION} is read here")
            continue
        kind = root.need("kind", word(*KINDS), "", "kind: SLO")
        name = root.section("metadata").need("name", text, "", "metadata.name")
        if kind:
            objects[kind][name] = root
    found = [one for name, root in objects["SLO"].items() for one in _objectives(root, name, objects)]
    if not objects["SLO"] and not findings.problems:
        findings.add("", "has no SLO; nothing to import")
    if findings.problems:
        raise ConfigError(findings.problems)
    return found


def _documents(written: str, findings: Findings) -> Iterator[Section]:
    number_of = 0
    for part in _DOCUMENT.split(written):
        if all(line.strip() == "" or line.lstrip().startswith("#") for line in part.splitlines()):
            continue
        number_of += 1
        data, duplicates = load_mapping(part, f"{findings.file} (document {number_of})")
        findings.problems += duplicates
        yield Section(data, f"document {number_of}", findings)


def _objectives(root: Section, slo: str, objects: dict[str, dict[str, Section]]) -> list[Imported]:
    spec = root.section("spec")
    service = spec.need("service", text, "unknown", "service: its name")
    description = spec.take("description", text, "")
    indicator = _indicator(spec, objects["SLI"])
    method = spec.need("budgetingMethod", one_of(Method), Method.OCCURRENCES, "budgetingMethod: Occurrences")
    period = window(spec)
    listed = spec.sections("objectives")
    if not listed:
        spec.problem("objectives", "is missing or empty; an SLO has at least one")
    found = []
    for index, section in enumerate(listed):
        name = _name(root, slo if len(listed) == 1 else f"{slo}-{index + 1}")
        keys, notes = _one(section, indicator, method, period, objects["DataSource"])
        head = [f"Imported from OpenSLO v1: the SLO {slo} of {service}.", *description.splitlines()]
        rules = {"by": [], "labels": {"service": service}}
        body = yaml.safe_dump({"name": name, **keys, "rules": rules}, sort_keys=False, width=110, allow_unicode=True)
        found.append(Imported(name, "".join(f"# {line}\n" for line in head) + body, tuple(notes)))
    if spec.take("alertPolicies", nullable(listing), None):
        said = (
            "its alert policies are not imported: burn alerts come from rules/windows.yaml, channels from the rollout"
        )
        found = [Imported(one.name, one.text, (*one.notes, said)) for one in found]
    spec.close()
    return found


def _name(root: Section, name: str) -> str:
    if not _NAME.fullmatch(name):
        root.problem(
            "metadata.name", f"is {shown(name)}; here a name is a letter and at most 63 letters, digits, . _ -"
        )
    return name


def _indicator(spec: Section, known: dict[str, Section]) -> Section:
    if spec.has("indicatorRef"):
        name = spec.take("indicatorRef", text, "")
        if spec.has("indicator"):
            spec.problem("indicatorRef", "stands beside indicator; keep one of them")
        if name in known:
            return known[name].section("spec")
        spec.problem("indicatorRef", f"is {shown(name)}, an SLI that is not in this file; put both into one file")
        return Section({}, spec.at("indicatorRef"), Findings(""))
    if not spec.has("indicator"):
        spec.problem("indicator", "is missing; write it, or indicatorRef")
        return Section({}, spec.at("indicator"), Findings(""))
    return spec.section("indicator").section("spec")


def _one(
    section: Section, indicator: Section, method: Method, period: int | None, sources: dict[str, Section]
) -> tuple[dict[str, Any], list[str]]:
    """The keys of one objective, and the notes that belong to it."""
    before = len(section.findings.problems)
    for key in ("indicator", "indicatorRef", "compositeWeight"):
        if section.has(key):
            section.problem(key, "makes this a composite SLO, which has no meaning here; write an SLO for each part")
    section.take("displayName", text, "")
    target = _target(section)
    notes: list[str] = []
    if indicator.has("thresholdMetric"):
        keys = _threshold(section, indicator, sources)
        if target > _VALUE_SLOTS:
            section.problem(
                "target", f"asks for {number(target)} of the time; a value is judged good in 95% of an hour"
            )
        notes.append(f"the target {number(target)} is of time; here an hour is good with the value met in 95% of it")
    else:
        keys = _ratio(indicator, target, sources, notes)
        if section.take("op", word(*OPERATORS), "gte") in {"lt", "lte"}:
            section.problem("op", "turns a ratio's target round; count the other events, and leave it out")
    share, said = slices(section, method, target, period)
    if share is not None and "total" in keys:
        keys["at_least"] = f"{number(share * 100)}%"
    elif share is not None:
        section.problem("timeSliceTarget", "is of a ratio's events; this indicator has none to count")
    section.close()
    good = len(section.findings.problems) == before
    return (keys, [*notes, *said]) if good else ({}, [])


def _target(section: Section) -> Decimal:
    if section.has("target") == section.has("targetPercent"):
        section.problem("target", "write exactly one of target and targetPercent")
        return Decimal("0.9")
    if section.has("target"):
        target = section.take("target", parse_decimal, Decimal("0.9"))
    else:
        target = section.take("targetPercent", parse_decimal, Decimal(90)) / 100
    if not 0 < target < 1:
        section.problem("target", f"is {shown(target)}, expected a share above 0 and below 1")
    return target


def _threshold(section: Section, indicator: Section, sources: dict[str, Section]) -> dict[str, Any]:
    operator = section.need("op", word(*OPERATORS), "lt", "op: lt, lte, gt or gte")
    limit = section.need("value", parse_decimal, Decimal(1), "value: the threshold")
    query = openslo_query.of(indicator.section("thresholdMetric"), sources)
    indicator.take("description", text, "")
    indicator.close()
    return {"value": query, OPERATORS.get(operator, "below"): number(limit)}


def _ratio(indicator: Section, target: Decimal, sources: dict[str, Section], notes: list[str]) -> dict[str, Any]:
    indicator.take("description", text, "")
    if not indicator.has("ratioMetric"):
        indicator.problem("ratioMetric", "is missing; an SLI has it or thresholdMetric")
        return {}
    indicator.close()
    ratio = indicator.section("ratioMetric")
    given = [key for key in ("good", "bad", "total", "raw") if ratio.has(key)]
    counter = ratio.take("counter", flag, False)  # noqa: FBT003
    if given == ["raw"]:
        kind = ratio.need("rawType", word("success", "failure"), "success", "rawType: success or failure")
        query = openslo_query.of(ratio.section("raw"), sources)
        ratio.close()
        notes.append("it reads a ratio that is already computed, so no events are counted and no budget can burn")
        return {"value": query} | (
            {"at_least": number(target)} if kind == "success" else {"at_most": number(1 - target)}
        )
    if given not in (["good", "total"], ["bad", "total"]):
        ratio.problem("", f"has {', '.join(given) or 'nothing'}; write good and total, or bad and total, or raw")
        return {}
    part, total = (
        openslo_query.counted(openslo_query.of(ratio.section(key), sources), counter, ratio, key) for key in given
    )
    ratio.close()
    # Without a single good event its series may not exist; then everything is bad, not nothing.
    bad = part if given[0] == "bad" else f"({total}) - (({part}) or 0 * ({total}))"
    return {"bad": bad, "total": total, "at_least": f"{number(target * 100)}%"}
