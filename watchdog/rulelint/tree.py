"""PromQL text -> a tree: the one place that speaks to promql_parser. Pure.

The parser recurses on the machine's stack, so what is too deep for it is refused before it is asked: a crash of the
process could not be caught.
"""

from __future__ import annotations

import re
from typing import Any

import promql_parser as parser

from watchdog.rulelint.nodes import (
    COMPARISONS,
    SET_OPERATORS,
    Aggregate,
    Binary,
    Call,
    Matcher,
    Node,
    Number,
    Selector,
    Subquery,
    Text,
    selectors,
    shape,
    walk,
)

__all__ = [
    "COMPARISONS",
    "SET_OPERATORS",
    "Aggregate",
    "Binary",
    "Call",
    "Matcher",
    "Node",
    "NotPromql",
    "Number",
    "Selector",
    "Subquery",
    "Text",
    "parse",
    "selectors",
    "shape",
    "walk",
]

DEEPEST = 800
"""Operators and opening brackets of one expression: nobody writes so many, and the parser's stack holds twice that."""
LONGEST = 100_000
"""Characters of one expression."""
_STRING_OR_COMMENT = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`|\#[^\n]*)""")
_DEEPENS = re.compile(r"[(\[{+\-*/%^<>=!]|\b(?:and|or|unless|atan2)\b", re.IGNORECASE)
_OPERATORS = {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}
_SIDES = {"OneToOne": "", "ManyToOne": "left", "OneToMany": "right", "ManyToMany": ""}


class NotPromql(ValueError):
    """The text is no PromQL; its words say why."""


def parse(text: str) -> Node:
    """The tree of an expression, without its parentheses. Raises NotPromql."""
    bare = _STRING_OR_COMMENT.sub('""', text)
    if len(text) > LONGEST or len(_DEEPENS.findall(bare)) > DEEPEST:
        raise NotPromql(f"is longer or deeper than {DEEPEST} operators and brackets; record parts of it first")
    try:
        raw = parser.parse(text)
    except ValueError as error:
        raise NotPromql(" ".join(str(error).split()).rstrip(".")) from error
    return _converted(raw)


def _inside(raw: Any) -> list[Any]:
    if isinstance(raw, parser.Call):
        return list(raw.args)
    if isinstance(raw, parser.AggregateExpr):
        return [raw.expr] if raw.param is None else [raw.expr, raw.param]
    if isinstance(raw, parser.BinaryExpr):
        return [raw.lhs, raw.rhs]
    if isinstance(raw, parser.UnaryExpr | parser.SubqueryExpr):
        return [raw.expr]
    return []


def _converted(raw: Any) -> Node:
    """Without recursion: a chain of two hundred `or` is as deep as it is long."""
    pending: list[tuple[Any, list[Any] | None]] = [(raw, None)]
    done: list[Node] = []
    while pending:
        one, inside = pending.pop()
        if isinstance(one, parser.ParenExpr):
            pending.append((one.expr, None))
            continue
        if inside is None:
            inside = _inside(one)
            pending.append((one, inside))
            pending.extend((part, None) for part in reversed(inside))
            continue
        count = len(inside)
        made = done[len(done) - count :]
        del done[len(done) - count :]
        done.append(_made(one, made))
    return done[0]


def _made(raw: Any, inside: list[Node]) -> Node:
    if isinstance(raw, parser.VectorSelector):
        return _selector(raw, None)
    if isinstance(raw, parser.MatrixSelector):
        return _selector(raw.vector_selector, raw.range.total_seconds())
    if isinstance(raw, parser.NumberLiteral):
        return Number(raw.val)
    if isinstance(raw, parser.StringLiteral):
        return Text(raw.val)
    if isinstance(raw, parser.Call):
        return Call(raw.func.name, tuple(inside))
    if isinstance(raw, parser.AggregateExpr):
        labels = tuple(raw.modifier.labels) if raw.modifier is not None else ()
        without = raw.modifier is not None and _word(raw.modifier.type) == "Without"
        return Aggregate(str(raw.op), inside[0], labels, without, inside[1] if len(inside) > 1 else None)
    if isinstance(raw, parser.BinaryExpr):
        return _binary(raw, *inside)
    if isinstance(raw, parser.UnaryExpr):
        return Call("-", tuple(inside))
    if isinstance(raw, parser.SubqueryExpr):
        step = raw.step.total_seconds() if raw.step is not None else None
        span = raw.range.total_seconds() if raw.range is not None else 0.0
        return Subquery(inside[0], span, step, _offset(raw.offset), _pinned(raw.at))
    raise NotPromql(f"has a {type(raw).__name__}, which this program does not know")


def _selector(raw: Any, span: float | None) -> Selector:
    if raw.matchers.or_matchers:
        raise NotPromql("has `or` between braces, which Prometheus does not take")
    found = [Matcher(m.name, _OPERATORS[_word(m.op)], m.value) for m in raw.matchers.matchers]
    named = [m.value for m in found if m.label == "__name__" and m.operator == "="]
    metric = raw.name or (named[0] if named else "")
    rest = tuple(m for m in found if not (m.label == "__name__" and m.operator == "=" and m.value == metric))
    return Selector(metric, rest, span, _offset(raw.offset), _pinned(raw.at))


def _binary(raw: Any, left: Node, right: Node) -> Binary:
    modifier = raw.modifier
    if modifier is None:
        return Binary(str(raw.op), left, right)
    matching = ""
    labels: tuple[str, ...] = ()
    if modifier.matching is not None:
        matching = "on" if _word(modifier.matching.type) == "Include" else "ignoring"
        labels = tuple(modifier.matching.labels)
    many, include = _SIDES[_word(modifier.card)], tuple(modifier.group_labels or ())
    return Binary(str(raw.op), left, right, matching, labels, many, include, modifier.return_bool)


def _word(member: Any) -> str:
    return str(member).rpartition(".")[2]


def _offset(raw: Any) -> float:
    return float(raw.total_seconds()) if raw is not None else 0.0


def _pinned(raw: Any) -> str:
    return _word(raw.type) if raw is not None else ""
