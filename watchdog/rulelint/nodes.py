"""What a PromQL expression is: a tree of our own. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

COMPARISONS = frozenset({"==", "!=", ">", "<", ">=", "<="})
SET_OPERATORS = frozenset({"and", "or", "unless"})


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition of a selector, such as `code=~"5.."`."""

    label: str
    operator: str
    value: str

    def __str__(self) -> str:
        escaped = self.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'{self.label}{self.operator}"{escaped}"'

    @property
    def demands(self) -> bool:
        """Whether only series that have the label can meet it."""
        if self.operator == "=":
            return bool(self.value)
        if self.operator == "!=":
            return not self.value
        try:
            empty = re.fullmatch(self.value, "") is not None
        except re.error:
            return False  # the dialect is Go's; nobody knows here
        return empty == (self.operator == "!~")


@dataclass(frozen=True, slots=True)
class Selector:
    """Series by name and conditions. `span` is the range in seconds, None at an instant; `pinned` an `@`."""

    metric: str
    matchers: tuple[Matcher, ...] = ()
    span: float | None = None
    offset: float = 0.0
    pinned: str = ""

    def __str__(self) -> str:
        inside = ",".join(map(str, self.matchers))
        return f"{self.metric}{{{inside}}}" if inside or not self.metric else self.metric

    def narrowed(self, matchers: Sequence[Matcher]) -> Selector:
        """The same metric with these conditions only, at an instant."""
        return Selector(self.metric, tuple(matchers))


@dataclass(frozen=True, slots=True)
class Call:
    """A function and its arguments; `-` is the sign before an expression."""

    name: str
    args: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class Aggregate:
    """An aggregation `by` (or `without`) labels; without either, by none."""

    op: str
    inner: Node
    labels: tuple[str, ...] = ()
    without: bool = False
    param: Node | None = None


@dataclass(frozen=True, slots=True)
class Binary:
    """Two sides and an operator. `many` is the side with several series for one of the other, empty for one to one.

    `matching` is `on`, `ignoring` or empty; `labels` are those of it, `include` those of group_left or group_right.
    """

    op: str
    left: Node
    right: Node
    matching: str = ""
    labels: tuple[str, ...] = ()
    many: str = ""
    include: tuple[str, ...] = ()
    as_bool: bool = False


@dataclass(frozen=True, slots=True)
class Subquery:
    """An expression over a range, in seconds; `step` None is the server's."""

    inner: Node
    span: float
    step: float | None = None
    offset: float = 0.0
    pinned: str = ""


@dataclass(frozen=True, slots=True)
class Number:
    """A number."""

    value: float


@dataclass(frozen=True, slots=True)
class Text:
    """A quoted text."""

    value: str


Node = Selector | Call | Aggregate | Binary | Subquery | Number | Text


def parts(node: Node) -> tuple[Node, ...]:
    """The expressions directly inside a node."""
    if isinstance(node, Call):
        return node.args
    if isinstance(node, Aggregate):
        return (node.inner,) if node.param is None else (node.inner, node.param)
    if isinstance(node, Binary):
        return (node.left, node.right)
    if isinstance(node, Subquery):
        return (node.inner,)
    return ()


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it, each before what it holds."""
    pending = [node]
    while pending:
        one = pending.pop()
        yield one
        pending.extend(reversed(parts(one)))


def selectors(node: Node) -> list[Selector]:
    """Every selector, in the order in which they are written."""
    return [one for one in walk(node) if isinstance(one, Selector)]


def ranged(node: Node) -> Iterator[tuple[str, Selector | Subquery]]:
    """Every function over a range, with what it reads."""
    for one in walk(node):
        if isinstance(one, Call):
            for arg in one.args:
                if isinstance(arg, Subquery) or (isinstance(arg, Selector) and arg.span is not None):
                    yield one.name, arg


def is_vector(node: Node) -> bool:
    """Whether it gives series, and not one number or text."""
    while isinstance(node, Call) and node.name == "-":
        node = node.args[0]
    if isinstance(node, Binary):
        pending: list[Node] = [node]
        while pending:
            one = pending.pop()
            if isinstance(one, Binary):
                pending += [one.left, one.right]
            elif is_vector(one):
                return True
        return False
    return not isinstance(node, Number | Text) and not (
        isinstance(node, Call) and node.name in {"time", "scalar", "pi", "start", "end", "step", "range"}
    )


def shape(node: Node) -> list[tuple[object, ...]]:
    """What a tree is, flat: two expressions are the same, however they are written, when their shapes are equal.

    Trees themselves are not compared: that recurses, and they may be deep.
    """
    return [_own(one) for one in walk(node)]


def _own(node: Node) -> tuple[object, ...]:
    kind = type(node).__name__
    if isinstance(node, Selector):
        matchers = tuple(sorted(map(str, node.matchers)))
        return kind, node.metric, matchers, node.span, node.offset, node.pinned
    if isinstance(node, Aggregate):
        return kind, node.op, frozenset(node.labels), node.without, node.param is None
    if isinstance(node, Binary):
        sides = (node.matching, frozenset(node.labels), node.many, frozenset(node.include), node.as_bool)
        return kind, node.op, *sides
    if isinstance(node, Subquery):
        return kind, node.span, node.step, node.offset, node.pinned
    if isinstance(node, Call):
        return kind, node.name, len(node.args)
    return kind, str(node.value)
