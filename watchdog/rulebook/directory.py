"""Reads a directory of sources over the shipped one: a file of the same name replaces, another one is added.

Of thresholds it is the entries that replace and are added, so that who wants another number does not copy them all.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from watchdog.errors import ConfigError, Problem
from watchdog.quantities import exact_share, parse_decimal, parse_duration, shown
from watchdog.rolloutfile.fields import Findings, Section, grid, positive_number, text, whole, word
from watchdog.rolloutfile.standard import rules_directory
from watchdog.rolloutfile.yamltext import load_mapping, read_text
from watchdog.rulebook.model import Budget, Burn, Indicator, Limit, Sources, Threshold, Windows
from watchdog.rulebook.objectives import read_objective
from watchdog.rulebook.pack import read_pack
from watchdog.rulebook.promql import span

T = TypeVar("T")
SHIPPED = rules_directory()


def read_sources(directory: Path | None = None) -> Sources:
    """Everything that rules are made of: the shipped sources with those of `directory` over them.

    Raises ConfigError with every problem of every file.
    """
    places = [SHIPPED] if directory is None else [SHIPPED, directory]
    problems: list[Problem] = []

    def each(files: list[Path], read: Callable[[Path, Findings], T]) -> list[T]:
        found = []
        for path in files:
            findings = Findings(str(path))
            try:
                found.append(read(path, findings))
            except ConfigError as error:
                problems.extend(error.problems)
            problems.extend(findings.problems)
        return found

    objectives = each(_files(places, "objectives"), read_objective)
    windows = each(_there(places, "windows.yaml")[-1:], _windows)
    thresholds = each(_there(places, "thresholds.yaml"), _thresholds)
    packs = each(_files(places, "alerts"), read_pack)
    if problems:
        raise ConfigError(problems)
    return Sources(
        indicators=tuple(item for item in objectives if isinstance(item, Indicator)),
        limits=tuple(item for item in objectives if isinstance(item, Limit)),
        windows=windows[0],
        thresholds=tuple({threshold.key: threshold for found in thresholds for threshold in found}.values()),
        packs=tuple(packs),
    )


def _files(places: list[Path], kind: str) -> list[Path]:
    files = {path.name: path for place in places for path in sorted((place / kind).glob("*.yaml"))}
    return [files[name] for name in sorted(files)]


def _there(places: list[Path], name: str) -> list[Path]:
    return [path for path in (place / name for place in places) if path.is_file()]


def _root(path: Path, findings: Findings) -> Section:
    data, duplicates = load_mapping(read_text(path), str(path))
    findings.problems += duplicates
    return Section(data, "", findings)


def _windows(path: Path, findings: Findings) -> Windows:
    root = _root(path, findings)
    budgets = []
    for section in root.sections("budgets"):
        period = section.need("period", grid, 2592000, "period: 30d")
        budgets.append(Budget(period, tuple(_burn(item, period) for item in section.sections("burns"))))
        section.close()
    if not budgets:
        root.problem("budgets", "is missing or empty; write at least one, see the shipped rules/windows.yaml")
    windows = Windows(
        tuple(budgets),
        Decimal(repr(root.take("min_bad", positive_number, 10.0))),
        root.take("absent_at_least", grid, 300),
        root.take("absent_memory", grid, 86400),
        root.take("faster", whole(1, 300), 1),
    )
    root.close()
    return windows


def _burn(section: Section, period: int) -> Burn:
    severity = section.need("severity", word("critical", "warning", "info"), "warning", "severity: warning")
    budget = section.need("budget", exact_share, Decimal("0.1"), "budget: 10%")
    long = section.need("long", _minutes, 3600, "long: 1h")
    short = section.need("short", _minutes, 300, "short: 5m")
    if not short < long < period:
        section.problem("long", f"is {span(long)}; it must be longer than short and shorter than the period")
    section.close()
    return Burn(severity, budget, long, short)


def _minutes(found: Any) -> int:
    """A range of whole times five minutes: longer ones are summed from those. ValueError otherwise."""
    seconds = grid(found)
    if seconds % 300:
        raise ValueError(f"found {shown(found)}, expected a multiple of 5m: ranges are put together from five minutes")
    return seconds


def _thresholds(path: Path, findings: Findings) -> tuple[Threshold, ...]:
    root = _root(path, findings)
    found = []
    listed = root.section("thresholds")
    for key in listed.data:
        section = listed.section(key)
        record = section.need("record", text, f"slo:{key}:ratio", "record: the name under which it is recorded")
        number, written, is_time = section.need(
            "value", _value, (Decimal(1), "1", False), "value: a number, a share or a duration"
        )
        why = section.need("why", text, "", "why: what it is")
        found.append(Threshold(key, record, number, written, why, is_time))
        section.close()
    root.close()
    return tuple(found)


def _value(found: Any) -> tuple[Decimal, str, bool]:
    written = text(found)
    if written.endswith("%"):
        share = parse_decimal(written[:-1]) / 100
        return share, f"{share:f}", False
    if _is_number(written):
        return parse_decimal(written), written, False
    seconds = parse_duration(written)
    return Decimal(repr(seconds)), span(seconds), True


def _is_number(written: str) -> bool:
    try:
        parse_decimal(written)
    except ValueError:
        return False
    return True
