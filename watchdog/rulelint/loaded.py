"""Checks of the rules that Prometheus has loaded: the same as the files, and without an error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from watchdog.quantities import format_duration, parse_duration
from watchdog.rulelint.model import Finding, Pack, Read, Severity
from watchdog.rulelint.nodes import shape
from watchdog.rulelint.tree import NotPromql, parse

Group = Mapping[str, Any]


def loaded(pack: Pack, groups: Sequence[Group]) -> Iterator[Finding]:
    """Every rule of the files is loaded as it is written, and no other in its group."""
    files: dict[tuple[str, str], list[Read]] = {}
    for one in pack.read:
        if one.expression.rule is not None:
            files.setdefault((one.rule.file, one.rule.group), []).append(one)
    for (file, name), rules in files.items():
        group = _nearest(file, name, groups)
        if group is None:
            message = f"is not loaded: Prometheus has no group of this name ({len(rules)} rules)"
            todo = "add the file to rule_files and reload, or see in its log why it refuses the file"
            yield Finding("loaded", "error", f"{file}: group {name}", f"{message}; {todo}")
        else:
            yield from _compared(f"{file}: group {name}", rules, group)


def _nearest(file: str, name: str, groups: Sequence[Group]) -> Group | None:
    """The loaded group of that name; where several files have one, that of the file of the same name."""
    same = [group for group in groups if group["name"] == name]
    own = [group for group in same if PurePath(group["file"]).name == PurePath(file).name]
    return next(iter(own or same), None)


def _compared(place: str, rules: Sequence[Read], group: Group) -> Iterator[Finding]:
    there = list(group["rules"])
    todo = "load this file and reload Prometheus, or repair the file"
    for one in rules:
        same = [rule for rule in there if rule["name"] == one.rule.name]
        exact = [rule for rule in same if _different(one, rule) is None]
        if exact:
            there.remove(exact[0])
        elif same:
            there.remove(same[0])
            other = _different(one, same[0])
            yield Finding("loaded", "error", one.place, f"Prometheus has another one: {other}; {todo}")
        else:
            yield Finding("loaded", "error", one.place, f"Prometheus does not have it in this group; {todo}")
    for rule in there:
        message = f"Prometheus has {rule['name']} in this group, the file has not"
        yield Finding("loaded", "error", place, f"{message}; {todo}")


def _different(one: Read, rule: Mapping[str, Any]) -> str | None:
    """What differs between a rule of a file and a loaded one; None when nothing that counts does."""
    if not _same_query(one, rule["query"]):
        return f"its expression is {' '.join(rule['query'].split())[:120]}"
    held, written = float(rule.get("duration") or 0.0), parse_duration(one.rule.hold or "0s")
    if one.expression.role == "alert" and held != written:
        return f"its for is {format_duration(held)}, here it is {format_duration(written)}"
    labels = dict(rule.get("labels") or {})
    if labels != dict(one.rule.labels):
        return f"its labels are {labels}"
    return None


def _same_query(one: Read, query: str) -> bool:
    if one.tree is None:
        return one.expression.text == query
    try:
        return shape(parse(query)) == shape(one.tree)
    except NotPromql:
        return False


def health(pack: Pack, groups: Sequence[Group]) -> Iterator[Finding]:
    """Every loaded rule evaluates. One that is in no file of ours is somebody else's: a warning."""
    ours = {one.rule.group for one in pack.read if one.expression.rule is not None}
    for group in groups:
        for rule in group["rules"]:
            if rule.get("lastError") or rule.get("health") == "err":
                severity: Severity = "error" if group["name"] in ours else "warning"
                place = f"{group['file']}: group {group['name']}: {rule['name']}"
                said = " ".join(str(rule.get("lastError") or "Prometheus does not say why").split()).rstrip(".")
                message = f"fails to evaluate: {said}; until that is repaired it is silent"
                yield Finding("health", severity, place, message)
