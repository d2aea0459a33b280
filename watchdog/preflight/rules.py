"""The rules: generated files as their sources say, the same in force in Prometheus, and lint against what is there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from watchdog.errors import ConfigError
from watchdog.flags.base import Check
from watchdog.preflight.ground import Ground, Looked, Sight
from watchdog.preflight.verdict import Level
from watchdog.quantities import parse_duration
from watchdog.rolloutfile.standard import rules_directory
from watchdog.rolloutfile.yamltext import load_mapping, read_text

SHOWN = 3
LINT = "lint.yaml"
OUT = "prometheus"
"""Where the generated files are, below the sources."""
_RUNBOOK = re.compile(r"runbook_url: (\S+)/[A-Za-z0-9_]+$", re.MULTILINE)
_DASHBOARD = re.compile(r"dashboard_url: (\S+)/[A-Za-z0-9_-]+$", re.MULTILINE)

Key = tuple[str, str, str, float, str]
"""What makes two rules the same: kind, name, expression, `for`, severity."""


def rules(ground: Ground) -> Looked:
    """Generated files, what of them is in force, and lint."""
    sources = _sources(ground)
    if sources is None:
        found = "no directory of rules sources here (preflight.rules), so none are compared with Prometheus"
        yield None, Check("generated rules", ok=True, found=found)
    else:
        yield from _generated(ground, sources)
    yield from _lint(ground, sources)


def _sources(ground: Ground) -> Path | None:
    """The directory of the settings; the one beside them where that is not written."""
    written = ground.settings.preflight.rules
    beside = ground.settings.directory / "rules"
    return written if written is not None else beside if beside.is_dir() else None


def _generated(ground: Ground, sources: Path) -> Looked:
    from watchdog import rulebook  # noqa: PLC0415 - heavy, and only for who has rules

    name, out = "generated rules are what their sources say", sources / OUT
    if not sources.is_dir():
        todo = "write the directory that holds objectives/, windows.yaml and prometheus/"
        yield None, Check(name, ok=False, found=f"preflight.rules: there is no directory {sources}", todo=todo)
        return
    files = rulebook.generate(rulebook.read_sources(sources), _links(out, rulebook.Links()))
    differ = rulebook.differences(files, out)
    told = f"{len(files)} files in {out}"
    todo = f"run `slo-watchdog rules generate --from {sources} --out {out}`"
    yield None, Check(name, not differ, _first(differ) or told, "" if not differ else todo)
    wanted = [key for text in files.values() for key in _keys(yaml.safe_load(text), "groups")]
    loaded = set(_keys({"groups": ground.groups}, "groups"))
    lacking = [f"{key[0]} {key[1]}" for key in wanted if key not in loaded]
    found = f"{len(wanted)} rules are loaded as they are generated"
    if lacking:
        found = f"{len(lacking)} of {len(wanted)} are not loaded as they are generated: {_first(lacking)}"
    todo = "" if not lacking else f"let rule_files: of Prometheus name {out}/*.yaml, and reload it"
    yield None, Check("generated rules are in force", not lacking, found, todo)


def _links(out: Path, usual: Any) -> Any:
    """The addresses with which the files were generated: those of the first one that has any."""
    for path in sorted(out.glob("*.yaml")):
        text = path.read_text(encoding="utf-8", errors="replace")
        runbook, dashboard = _RUNBOOK.search(text), _DASHBOARD.search(text)
        if runbook is not None and dashboard is not None:
            return type(usual)(runbook[1].strip("'\""), dashboard[1].strip("'\""))
    return usual


def _keys(document: Mapping[str, Any], part: str) -> Iterator[Key]:
    """The rules of a file, or of what Prometheus tells, in one form."""
    for group in document[part]:
        for rule in group["rules"]:
            kind = "alert" if "alert" in rule or rule.get("type") == "alerting" else "record"
            name = str(rule.get("alert") or rule.get("record") or rule.get("name"))
            wait = rule.get("duration", rule.get("for", 0))
            seconds = float(wait) if isinstance(wait, int | float) else parse_duration(wait)
            severity = str((rule.get("labels") or {}).get("severity", ""))
            yield kind, name, _same(str(rule.get("expr") or rule.get("query"))), seconds, severity


def _same(expression: str) -> str:
    """One spelling for all that mean the same; what cannot be read stays as it is."""
    from watchdog.rulelint.tree import NotPromql, parse, shape  # noqa: PLC0415 - heavy

    try:
        parts = shape(parse(expression))
    except NotPromql:
        return expression
    return repr([tuple(sorted(part) if isinstance(part, frozenset) else part for part in one) for one in parts])


def _lint(ground: Ground, sources: Path | None) -> Looked:
    """What the objectives, and the generated rules of a directory, name, against what Prometheus has."""
    from watchdog.rulelint import lint_configuration  # noqa: PLC0415 - heavy

    files = sorted((sources / OUT).glob("*.yaml")) if sources is not None else []
    reasons = _reasons(sources) if sources is not None else {}
    found = lint_configuration(
        ground.settings, ground.rollouts, ground.source, ground.clock(), rules=files, waivers=reasons
    )
    for severity, level in (("error", Level.BLOCKER), ("warning", Level.WARNING)):
        said = [str(one) for one in found if one.severity == severity]
        name = "rules lint" if level is Level.BLOCKER else "rules lint: worth a look"
        if said or level is Level.BLOCKER:
            told = f"{len(said)} findings: {_first(said)}" if said else "every metric and label that is named is there"
            todo = "see `slo-watchdog rules lint --online`" if said else ""
            yield Sight(None, Check(name, not said, told, todo), level)


def _reasons(sources: Path) -> dict[str, str]:
    """Why which metric need not be there: as the directory's own lint.yaml says, else the shipped one."""
    path = next((place / LINT for place in (sources, rules_directory()) if (place / LINT).is_file()), None)
    if path is None:
        return {}
    data, problems = load_mapping(read_text(path), str(path))
    if problems:
        raise ConfigError(problems)
    return {str(name): str(reason) for name, reason in data.items()}


def _first(sentences: list[str]) -> str:
    more = f"; and {len(sentences) - SHOWN} more" if len(sentences) > SHOWN else ""
    return "; ".join(sentences[:SHOWN]) + more
