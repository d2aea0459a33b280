"""Objectives' files -> what the generator makes of them: an `Indicator`, a `Limit`, or nothing."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

from watchdog.quantities import exact_share, parse_decimal, parse_limit, shown
from watchdog.rolloutfile.fields import Findings, Section, listing, mapping, named, text, unknown
from watchdog.rolloutfile.standard import LABEL, RULES
from watchdog.rolloutfile.yamltext import load_mapping, read_text
from watchdog.rulebook.model import Indicator, Limit, Shown
from watchdog.rulebook.promql import bucket, leveled, unlabeled

COMPARISONS = ("below", "at_most", "above", "at_least")
BY = ("environment", "job")
"""The labels of a service's series. Who has no `environment` gets series without it: an empty label is none."""
_PARAMETER = re.compile(r"\$\{?(\w+)")
_METRIC = named(r"[a-z_][a-z0-9_]*", "a metric's name in small letters, without a level and a colon")
_CAMEL = named(r"[A-Z][A-Za-z0-9]*", "the first word of alerts' names, such as ErrorRate")


def read_objective(path: Path, findings: Findings) -> Indicator | Limit | None:
    """What rules can be made of an objective's file; problems go to `findings`.

    A file without `rules:` only gives a `Limit`, if it has one that nobody else measures.
    """
    data, duplicates = load_mapping(read_text(path), str(path))
    findings.problems += duplicates
    root = Section(data, "", findings)
    name = root.need("name", text, path.stem, f"name: {path.stem}")
    if root.has("internal"):
        return _limit(root, name)
    if not root.has(RULES):
        return None
    return _indicator(root, name)


def _limit(root: Section, name: str) -> Limit | None:
    written = [key for key in COMPARISONS if root.has(key)]
    return Limit(name, root.take(written[0], parse_decimal, Decimal(0))) if written else None


def _indicator(root: Section, name: str) -> Indicator | None:
    before = len(root.findings.problems)
    rules = root.section(RULES)
    by = tuple(rules.take("by", _labels, BY))
    labels: dict[str, str] = rules.take("labels", _pairs, {})
    if labels and by:
        rules.problem("labels", "name series that have no labels of their own; write by: [] too, or remove them")
    if not labels and not by:
        rules.problem("by", "is empty, so nothing tells whose series they are; write labels: {service: ...} too")
    queries = {key: root.take(key, _query, "") for key in ("bad", "total", "value")}
    counts = bool(queries["total"])
    if counts == bool(queries["value"]) or (counts and not queries["bad"]):
        root.problem("", "an objective with rules: has bad and total, or value")
    for key, query in queries.items():
        if query and by and root.sound(key):
            queries[key] = root.take(key, lambda found: leveled(str(found).strip(), by), query)
        elif query:
            queries[key] = unlabeled(query)
    comparison, limit = _target(root, counts=counts)
    service = rules.take("service", text, "job" if by else next(iter(labels), ""))
    if service not in (*by, *labels):
        rules.problem("service", f"is {shown(service)}, which is none of {', '.join((*by, *labels))}")
    metric = re.sub(r"\W", "_", name).lower()
    indicator = Indicator(
        name=name,
        **queries,
        comparison=comparison,
        limit=limit,
        by=by,
        labels=labels,
        service=service,
        total_name=rules.take("total", _METRIC, f"{metric}_events" if counts else metric),
        bad_name=rules.take("bad", _METRIC, f"{metric}_bad_events"),
        alert=rules.take("alert", _CAMEL, "".join(part.title() for part in re.split(r"[^A-Za-z0-9]+", name))),
        first=rules.take("first", text, "look at what the service answers, and whether a rollout is under way."),
        silence_fails=root.data.get("no_data") == "fail",
        shown=tuple(_shown(rules)),
        latency=bucket(queries["bad"]),
    )
    rules.close()
    return indicator if len(root.findings.problems) == before else None


def _shown(rules: Section) -> list[Shown]:
    found = []
    for section in rules.sections("show"):
        record = section.need("record", text, "", "record: the recording's name without its level")
        found.append(Shown(record, section.need("expr", text, "", "expr: its expression")))
        section.close()
    return found


def _labels(found: Any) -> list[str]:
    names = [text(item) for item in listing(found)]
    for name in names:
        if not LABEL.fullmatch(name):
            raise ValueError(f"found the label {shown(name)}, expected letters, digits and underscores")
    return names


def _pairs(found: Any) -> dict[str, str]:
    pairs = mapping(found)
    _labels(list(pairs))
    return {name: text(value) for name, value in pairs.items()}


def _query(found: Any) -> str:
    query = text(found)
    for name in _PARAMETER.findall(query):
        if name == "cohort":
            raise ValueError("uses $cohort, which is a rollout's; rules judge everybody, so leave it out here")
        if name not in {"labels", "range"}:
            raise ValueError(unknown("parameter", f"${name}", ["$labels", "$range"]))
    return query


def _target(root: Section, *, counts: bool) -> tuple[str, Decimal]:
    written = [key for key in COMPARISONS if root.has(key)]
    if len(written) != 1:
        root.problem("", f"has {len(written)} targets; write exactly one of {', '.join(COMPARISONS)}")
        return "below", Decimal(1)
    key = written[0]
    if not counts:
        return key, root.take(key, lambda found: Decimal(repr(parse_limit(found))), Decimal(1))
    share = root.take(key, exact_share, Decimal("0.5"))
    allowed = 1 - share if key in {"above", "at_least"} else share
    if not 0 < allowed < 1:
        root.problem(key, f"allows {shown(allowed)} of the events to be bad, so there is no budget that could burn")
    return key, allowed
