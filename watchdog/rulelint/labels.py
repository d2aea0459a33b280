"""Which labels the series of an expression can have. Pure.

A set of label names is either a list of them, or every name but a list: nobody knows what an exporter attaches.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from watchdog.rulelint.nodes import (
    SET_OPERATORS,
    Aggregate,
    Binary,
    Call,
    Node,
    Selector,
    Subquery,
    Text,
    is_vector,
    parts,
    walk,
)

KEEP_SERIES = frozenset({"topk", "bottomk", "limitk", "limit_ratio"})
"""Aggregations that choose among series and leave their labels alone."""
WITHOUT_LABELS = frozenset({"vector", "scalar", "time", "pi"})
ABSENT = frozenset({"absent", "absent_over_time"})


@dataclass(frozen=True, slots=True)
class Labels:
    """A set of label names: exactly `names`, or with `others` every name but these."""

    names: frozenset[str] = frozenset()
    others: bool = False

    def __contains__(self, name: str) -> bool:
        return (name in self.names) != self.others

    def __or__(self, other: Labels) -> Labels:
        if self.others and other.others:
            return Labels(self.names & other.names, others=True)
        if self.others:
            return Labels(self.names - other.names, others=True)
        if other.others:
            return Labels(other.names - self.names, others=True)
        return Labels(self.names | other.names)

    def __and__(self, other: Labels) -> Labels:
        if self.others and other.others:
            return Labels(self.names | other.names, others=True)
        if self.others:
            return Labels(other.names - self.names)
        if other.others:
            return Labels(self.names - other.names)
        return Labels(self.names & other.names)

    def __sub__(self, names: frozenset[str]) -> Labels:
        return Labels(self.names | names, others=True) if self.others else Labels(self.names - names)


ANY = Labels(others=True)
Recorded = Mapping[str, Labels]
"""The labels that each recording of the pack can have."""


def possible(node: Node, recorded: Recorded) -> Labels:
    """The labels that the series of an expression can have; `__name__` is not among what is asked."""
    done: list[Labels] = []
    pending: list[tuple[Node, bool]] = [(node, False)]
    while pending:
        one, opened = pending.pop()
        inside = parts(one)
        if inside and not opened:
            pending.append((one, True))
            pending.extend((part, False) for part in reversed(inside))
            continue
        count = len(inside)
        of_parts = done[len(done) - count :]
        del done[len(done) - count :]
        done.append(_of(one, of_parts, recorded))
    return done[0]


def is_mixed(node: Node, recordings: Container[str]) -> bool:
    """Whether some series of it may lack labels that others have; `recordings` are known to be so."""
    for one in walk(node):
        if isinstance(one, Call) and one.name in {"label_replace", "label_join", "info"}:
            return True
        if isinstance(one, Binary) and (one.op == "or" or one.include):
            return True
        if isinstance(one, Selector) and one.metric in recordings:
            return True
    return False


def texts(call: Call) -> list[str]:
    """The quoted arguments of a call."""
    return [arg.value for arg in call.args if isinstance(arg, Text)]


def _of(node: Node, inside: Sequence[Labels], recorded: Recorded) -> Labels:
    if isinstance(node, Selector):
        never = frozenset(m.label for m in node.matchers if m.operator == "=" and not m.value)
        return recorded.get(node.metric, ANY) - never
    if isinstance(node, Subquery):
        return inside[0]
    if isinstance(node, Aggregate):
        return _aggregated(node, inside[0])
    if isinstance(node, Binary):
        return _joined(node, inside[0], inside[1])
    if isinstance(node, Call):
        return _called(node, inside)
    return Labels()


def _aggregated(node: Aggregate, inner: Labels) -> Labels:
    if node.op in KEEP_SERIES:
        return inner
    kept = inner - frozenset(node.labels) if node.without else inner & Labels(frozenset(node.labels))
    if node.op == "count_values" and isinstance(node.param, Text):
        return kept | Labels(frozenset({node.param.value}))
    return kept


def _called(node: Call, inside: Sequence[Labels]) -> Labels:
    if node.name in WITHOUT_LABELS:
        return Labels()
    if node.name in ABSENT:
        selector = node.args[0]
        if not isinstance(selector, Selector):
            return Labels()
        return Labels(frozenset(m.label for m in selector.matchers if m.operator == "=" and m.value))
    if node.name == "info":
        return ANY
    vectors = [labels for arg, labels in zip(node.args, inside, strict=True) if not isinstance(arg, Text)]
    if node.name in {"label_replace", "label_join"}:
        made = texts(node)[:1]
        return inside[0] | Labels(frozenset(made))
    if node.name in {"histogram_quantile", "histogram_fraction"}:
        return vectors[-1] - frozenset({"le"})
    for arg, labels in zip(node.args, inside, strict=True):
        if is_vector(arg):
            return labels
    return Labels()


def _joined(node: Binary, left: Labels, right: Labels) -> Labels:
    if not is_vector(node.left) or not is_vector(node.right):
        return left if is_vector(node.left) else right
    if node.op in SET_OPERATORS:
        return left | right if node.op == "or" else left
    if node.many:
        most, one = (left, right) if node.many == "left" else (right, left)
        return (most - frozenset(node.include)) | (one & Labels(frozenset(node.include)))
    both = left & right
    if node.matching == "on":
        return both & Labels(frozenset(node.labels))
    return both - frozenset(node.labels)
