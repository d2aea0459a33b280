"""What a PromQL expression selects: its plain vector selectors and the functions around them. Pure.

A tokenizer, not a parser: Prometheus itself says whether an expression is valid. Of one that is, this finds every
metric name and every `{...}`, and nothing inside strings, comments, ranges or lists of labels.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
    (?P<blank>\s+|\#[^\n]*)
  | (?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)
  | (?P<number>\.?\d[\w.]*)
  | (?P<word>[A-Za-z_:][A-Za-z0-9_:]*)
  | (?P<sign>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_LISTS = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
"""Words that a list of labels may follow."""
_AGGREGATIONS = frozenset(
    {
        *("sum", "min", "max", "avg", "count", "group", "stddev", "stdvar", "topk", "bottomk", "count_values"),
        *("quantile", "limitk", "limit_ratio"),
    }
)
_OPERATORS = frozenset({"and", "or", "unless", "bool", "offset", "atan2", "inf", "nan"})


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition of a selector. `value` is what the quotes enclose, `raw` the condition as written."""

    label: str
    operator: str
    value: str
    raw: str


@dataclass(frozen=True, slots=True)
class Selector:
    """One plain vector selector, without range, offset or `@`."""

    metric: str
    matchers: tuple[Matcher, ...] = ()

    def __str__(self) -> str:
        inside = ",".join(matcher.raw for matcher in self.matchers)
        return f"{self.metric}{{{inside}}}" if inside or not self.metric else self.metric

    @property
    def name(self) -> str:
        """The metric's name, also where it is written as a condition; empty when there is none."""
        named = [m.value for m in self.matchers if m.label == "__name__" and m.operator == "="]
        return self.metric or (named[0] if named else "")

    def without(self, *labels: str) -> Selector:
        """The same selector with no condition on the labels."""
        return Selector(self.metric, tuple(m for m in self.matchers if m.label not in labels))


def selectors(expression: str) -> list[Selector]:
    """Every vector selector of an expression, each once, in the order in which they are written."""
    return _Reader(expression).read()[0]


def functions(expression: str) -> set[str]:
    """The functions and aggregations that an expression calls."""
    return _Reader(expression).read()[1]


class _Reader:
    """One pass over the tokens of an expression."""

    def __init__(self, expression: str) -> None:
        found = ((match.lastgroup or "", match[0]) for match in _TOKEN.finditer(expression))
        self.tokens = [token for token in found if token[0] != "blank"]
        self.at = 0

    def read(self) -> tuple[list[Selector], set[str]]:
        found: dict[Selector, None] = {}
        called: set[str] = set()
        while self.at < len(self.tokens):
            kind, text = self.tokens[self.at]
            self.at += 1
            if kind == "word":
                self._word(text, found, called)
            elif text == "{":
                found[Selector("", tuple(self._matchers()))] = None
            elif text == "[":
                self._skip_to("]")
        return list(found), called

    def _word(self, text: str, found: dict[Selector, None], called: set[str]) -> None:
        following, low = self._peek(), text.lower()
        if low in _LISTS:
            if following == "(":
                self._skip_to(")")
        elif low in _OPERATORS:
            return
        elif following == "(" or (low in _AGGREGATIONS and following.lower() in _LISTS):
            called.add(low)
        elif following == "{":
            self.at += 1
            found[Selector(text, tuple(self._matchers()))] = None
        else:
            found[Selector(text)] = None

    def _peek(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def _skip_to(self, sign: str) -> None:
        while self.at < len(self.tokens) and self.tokens[self.at][1] != sign:
            self.at += 1
        self.at += 1

    def _matchers(self) -> Iterable[Matcher]:
        """The conditions up to the closing brace, which is passed."""
        pieces: list[tuple[str, str]] = []
        while self.at < len(self.tokens):
            kind, text = self.tokens[self.at]
            self.at += 1
            if text in {"}", ","}:
                if pieces:
                    yield _matcher(pieces)
                if text == "}":
                    return
                pieces = []
            else:
                pieces.append((kind, text))


def _matcher(pieces: list[tuple[str, str]]) -> Matcher:
    raw = "".join(text for _, text in pieces)
    if len(pieces) == 1:  # a quoted metric name, as Prometheus 3 writes those that need it
        return Matcher("__name__", "=", _unquoted(raw), raw)
    operator = "".join(text for kind, text in pieces[1:] if kind == "sign")
    return Matcher(_unquoted(pieces[0][1]), operator, _unquoted(pieces[-1][1]), raw)


def _unquoted(text: str) -> str:
    if text[:1] == "`":
        return text[1:-1]
    if text[:1] in {'"', "'"}:
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return text
