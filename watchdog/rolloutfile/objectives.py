"""The `objectives:` of a rollout's file -> Objective, with `use:` expanded and every default written out."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from watchdog.model import (
    EMERGENCY_FLAGS,
    Kind,
    Objective,
    OnBreach,
)
from watchdog.quantities import shown
from watchdog.rolloutfile.causes import explained_by
from watchdog.rolloutfile.detectors import Surroundings, read_confirm, read_detector
from watchdog.rolloutfile.fields import (
    Section,
    flag,
    mapping,
    named,
    nullable,
    one_of,
    positive_duration,
    positive_number,
    text,
    unknown,
    word,
)
from watchdog.rolloutfile.internals import EVENTS_ONLY, PROMETHEUS_ONLY, internal_objective
from watchdog.rolloutfile.standard import LABEL, needs_labels, standard_names, standard_objective, with_labels
from watchdog.rolloutfile.targets import COMPARISONS, ONE, refuse, share_target, value_target

MEASURES = ("bad", "total", "value", "internal")
DETECTORS = ("sequential", "confirm")
KEYS = (
    "name",
    "use",
    "labels",
    "on_breach",
    "emergency",
    *MEASURES,
    *COMPARISONS,
    *DETECTORS,
    *PROMETHEUS_ONLY,
    *EVENTS_ONLY,
)
_NAME = named(
    r"[A-Za-z_][A-Za-z0-9_.-]{0,63}", "a letter, then at most 63 letters, digits, underscores, dots or dashes"
)
_PARAMETER = re.compile(r"\$([A-Za-z_]\w*)")


def read_objectives(root: Section, around: Surroundings) -> tuple[Objective, ...]:
    """Every objective that can be read; problems with the others are in the section's findings."""
    sections = root.sections("objectives")
    if not sections and root.sound("objectives"):
        root.problem("objectives", "is missing or empty; write at least one objective, or use: a standard one")
    objectives: list[Objective] = []
    places: dict[str, str] = {}
    for section in sections:
        expanded = _expanded(section)
        if expanded is None:
            continue
        name = expanded.data.get("name")
        if isinstance(name, str) and name.strip() in places:
            expanded.problem("name", f"{shown(name)} is already the name of {places[name.strip()]}; names are unique")
        elif isinstance(name, str):
            places[name.strip()] = section.place
        objective = _objective(expanded, around)
        if objective is not None:
            objectives.append(objective)
    return tuple(objectives)


def _expanded(section: Section) -> Section | None:
    """The objective with the standard one that it uses written out beneath the keys it gives itself."""
    if not section.has("use"):
        if section.has("labels"):
            section.problem("labels", "fills in a standard objective; write use: as well, or the labels in the query")
        return section
    use = section.take("use", text, "")
    if use not in standard_names():
        if section.sound("use"):
            section.problem("use", unknown("standard objective", use, standard_names()))
        return None
    labels: dict[str, str] = section.take("labels", _labels, {})
    standard = standard_objective(use)
    if needs_labels(standard) and not labels and section.sound("labels"):
        section.problem("labels", f"is missing; {use} needs to know whose series it counts, e.g. {{job: checkout}}")
        return None
    if labels and not needs_labels(standard):
        section.problem("labels", f"{use} asks no query, so it takes no labels; remove them")
    own = {key: value for key, value in section.data.items() if key not in {"use", "labels"}}
    measures: tuple[tuple[str, ...], ...] = (("bad", "total"), ("value",), ("internal",))
    for group in measures:
        rivals = set(MEASURES) - set(group)
        if any(key in own for key in group):
            standard = {key: value for key, value in standard.items() if key not in rivals}
    for group in (COMPARISONS, DETECTORS):
        if any(key in own for key in group):
            standard = {key: value for key, value in standard.items() if key not in group}
    return Section({"name": use} | with_labels(standard, labels) | own, section.place, section.findings)


def _labels(found: Any) -> dict[str, str]:
    labels = {}
    for name, value in mapping(found).items():
        if not LABEL.fullmatch(name):
            raise ValueError(f"found the label {shown(name)}, expected letters, digits and underscores")
        if not isinstance(value, str) or not value:
            raise ValueError(f"the label {name} is {shown(value)}, expected text (quote true, false and null)")
        labels[name] = value
    return labels


def _objective(section: Section, around: Surroundings) -> Objective | None:
    before = len(section.findings.problems)
    name = section.need("name", _NAME, "", "a name, for example name: error_rate")
    on_breach = section.take("on_breach", one_of(OnBreach), None)
    emergency = section.take("emergency", nullable(word(*EMERGENCY_FLAGS)), None)
    kind = _kind(section)
    objective = None
    if kind is Kind.INTERNAL:
        objective = internal_objective(section, name, on_breach, around)
    elif kind is not None:
        objective = _measured(section, kind, name, on_breach, around)
    section.close(KEYS)
    if objective is None or len(section.findings.problems) != before:
        return None
    return dataclasses.replace(objective, emergency=emergency)


def _kind(section: Section) -> Kind | None:
    found = tuple(key for key in MEASURES if section.has(key))
    if found == ("bad", "total"):
        return Kind.EVENT
    if found == ("value",):
        return Kind.VALUE
    if found == ("internal",):
        return Kind.INTERNAL
    given = f"found {' and '.join(found)}" if found else "found no measure"
    missing = {"bad": "; total is missing", "total": "; bad is missing"}.get("".join(found), "")
    section.problem("", f"{given}{missing}; an objective has bad and total, or value, or internal")
    return None


def _measured(
    section: Section, kind: Kind, name: str, on_breach: OnBreach | None, around: Surroundings
) -> Objective | None:
    event = kind is Kind.EVENT
    queries: dict[str, Any] = {
        key: section.take(key, _query, "") for key in (("bad", "total") if event else ("value",))
    }
    split = _cohorts(section, queries, around)
    if not event:
        refuse(section, EVENTS_ONLY, "a value objective (it counts no events)")
    target, allowed = share_target(section) if event else (value_target(section), ONE)
    detector = read_detector(section, allowed, around) if event else read_confirm(section, around)
    options = queries | _options(section, around, split=split)
    fewest = float(3 / allowed) if event and allowed else 1.0
    if event:
        options["min_events"] = section.take("min_events", positive_number, 1.0)
        options["min_slice_events"] = section.take("min_slice_events", positive_number, fewest)
        options["pool_window"] = section.take("pool", word("slice", "window"), "slice") == "window"
        options["allowed"] = float(allowed)
    if target is None:
        return None
    return Objective(name, kind, target, detector, on_breach or OnBreach.ROLLBACK, **options)


def _options(section: Section, around: Surroundings, *, split: bool) -> dict[str, Any]:
    """What event and value objectives have in common."""
    silence_fails = section.take("no_data", word("unknown", "fail"), "unknown") == "fail"
    if silence_fails and split:
        section.problem("no_data", "is fail in a query with $cohort, where silence means that nobody is in the cohort")
    if section.has("present") and not silence_fails:
        section.problem("present", "is only asked with no_data: fail; write that too, or remove it")
    if section.has("max_age") and not section.has("fresh"):
        section.problem("max_age", "needs fresh: the PromQL for the newest sample's time; write it, or remove this")
    return {
        "range": section.take("range", positive_duration, 300.0),
        "silence_fails": silence_fails,
        "present": section.take("present", _plain_query, around.present),
        "outside": section.take("outside", flag, False),  # noqa: FBT003
        "fresh": section.take("fresh", _plain_query, "") or None,
        "max_age": section.take("max_age", positive_duration, 120.0),
        "explain_by": section.take("explain_by", explained_by, around.explain_by),
    }


def _query(found: Any) -> str:
    query = text(found)
    for name in _PARAMETER.findall(query):
        if name == "labels":
            raise ValueError("uses $labels, which only standard objectives fill in (use:); write the matchers out")
        if name not in {"range", "cohort"}:
            raise ValueError(f"uses ${name}; known are $range and $cohort (write ${{{name}}} for a named group)")
    return query


def _plain_query(found: Any) -> str:
    query = text(found)
    names = _PARAMETER.findall(query)
    if names:
        raise ValueError(f"uses ${names[0]}, which this query does not know; write it out")
    return query


def _cohorts(section: Section, queries: dict[str, str], around: Surroundings) -> bool:
    """Whether the objective is split by cohort; half of one, or cohorts that nobody named, are problems."""
    split = [key for key, query in queries.items() if "$cohort" in query]
    for key in queries:
        if split and key not in split and section.sound(key):
            section.problem(key, f"has no $cohort while {split[0]} has; both must count the same events")
    if split and not around.cohorts:
        message = "uses $cohort, but the rollout has no cohorts; write cohorts: {exposed: 'variant=\"on\"', ...}"
        section.problem(split[0], message)
    return bool(split)
