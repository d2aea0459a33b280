"""What is linted: expressions with their places, their trees, and what was found. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from watchdog.rulelint.labels import ANY, Labels, Recorded, is_mixed, possible
from watchdog.rulelint.nodes import Node
from watchdog.rulelint.tree import NotPromql, parse

Severity = Literal["error", "warning"]
Role = Literal["record", "alert", "panel", "variable", "objective"]
NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `place` is where, `message` what was found, what was expected and what to do."""

    check: str
    severity: Severity
    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"

    def as_data(self) -> dict[str, str]:
        """The finding as plain data."""
        return {"check": self.check, "severity": self.severity, "place": self.place, "message": self.message}


@dataclass(frozen=True, slots=True)
class Rule:
    """What a rule is beside its expression: its file, its group with the seconds between two evaluations, its texts.

    `hold` is its `for` as written; `every` None where only the server knows.
    """

    file: str
    group: str
    every: float | None
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    hold: str = ""

    @property
    def texts(self) -> list[tuple[str, str]]:
        """Every text that may have `{{ $labels... }}` in it, with its key."""
        return [*self.labels.items(), *self.annotations.items()]


@dataclass(frozen=True, slots=True)
class Expression:
    """One PromQL text, variables filled in. `shows` are labels that something around it shows: a legend, a variable."""

    place: str
    role: Role
    text: str
    rule: Rule | None = None
    shows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Read:
    """An expression with its tree; `trouble` is why it has none."""

    expression: Expression
    tree: Node | None
    trouble: str = ""

    @property
    def place(self) -> str:
        """Where it stands."""
        return self.expression.place

    @property
    def rule(self) -> Rule:
        """Of a rule: what it is. ValueError for other roles."""
        if self.expression.rule is None:
            raise ValueError(f"{self.place} is no rule")
        return self.expression.rule


@dataclass(frozen=True, slots=True)
class Pack:
    """Everything that is linted together. `interval` is the seconds between two scrapes."""

    read: Sequence[Read]
    interval: float
    recorded: Recorded
    every: Mapping[str, float]
    """Seconds between two samples of a recording, the longest where it is recorded twice."""
    mixed: frozenset[str] = frozenset()
    """Recordings whose series do not all have the same labels, as far as can be known."""

    @property
    def parsed(self) -> list[tuple[Read, Node]]:
        """The expressions that have a tree."""
        return [(one, one.tree) for one in self.read if one.tree is not None]

    def alerts(self) -> list[tuple[Read, Node]]:
        """The alerting rules among them."""
        return [(one, tree) for one, tree in self.parsed if one.expression.role == "alert"]

    def records(self) -> list[tuple[Read, Node]]:
        """The recording rules among them."""
        return [(one, tree) for one, tree in self.parsed if one.expression.role == "record"]


def make_pack(expressions: Sequence[Expression], interval: float) -> Pack:
    """Parse them, and work out which labels each recording can have."""
    read = [_read(one) for one in expressions]
    every: dict[str, float] = {}
    for one in read:
        if one.expression.role == "record" and one.rule.every is not None:
            every[one.rule.name] = max(one.rule.every, every.get(one.rule.name, 0.0))
    recorded = _recorded(read)
    return Pack(read, interval, recorded, every, _mixed(read, recorded))


def _mixed(read: Sequence[Read], recorded: Recorded) -> frozenset[str]:
    """Upwards from nothing, as for labels: what is made of mixed series is mixed."""
    rules = [(one.rule, one.tree) for one in read if one.expression.role == "record" and one.tree is not None]
    found: frozenset[str] = frozenset()
    while True:
        more = {
            rule.name
            for rule, tree in rules
            if is_mixed(tree, found)
            or (possible(tree, recorded) - frozenset(rule.labels)) | Labels(_given(rule)) != recorded[rule.name]
        }
        if more <= found:
            return found
        found |= more


def _read(expression: Expression) -> Read:
    try:
        return Read(expression, parse(expression.text))
    except NotPromql as error:
        return Read(expression, None, str(error))


def _recorded(read: Sequence[Read]) -> Recorded:
    """From nothing upwards until nothing is added: recordings may be made of each other, in any order."""
    rules = [(one.rule, one.tree) for one in read if one.expression.role == "record"]
    found: dict[str, Labels] = {rule.name: Labels() for rule, _ in rules}
    for _ in range(len(found) + 1):
        before = dict(found)
        for rule, tree in rules:
            own = possible(tree, found) if tree is not None else ANY
            found[rule.name] |= (own - frozenset(rule.labels)) | Labels(_given(rule))
        if found == before:
            break
    return found


def _given(rule: Rule) -> frozenset[str]:
    return frozenset(name for name, value in rule.labels.items() if value)


def listed(names: Any, most: int = 8) -> str:
    """Names for a sentence, sorted; the first few of many."""
    ordered = sorted(names)
    more = f" and {len(ordered) - most} more" if len(ordered) > most else ""
    return (", ".join(ordered[:most]) or "none") + more
