"""An objective's query, split by a label: one series for each of its values. Pure.

Counts are split so that the parts add up to the whole: a sum is taken by the label, and so are the sums inside it.
What would not add up (a maximum, a comparison, a match on other labels) is refused with a sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from watchdog.rulelint.nodes import is_vector
from watchdog.rulelint.printing import printed
from watchdog.rulelint.tree import (
    COMPARISONS,
    SET_OPERATORS,
    Aggregate,
    Binary,
    Call,
    Node,
    NotPromql,
    Number,
    Selector,
    Subquery,
    parse,
    shape,
    walk,
)

ELEMENTWISE = frozenset(
    {"abs", "ceil", "floor", "round", "clamp", "clamp_min", "clamp_max", "histogram_count", "histogram_sum"}
)
"""Functions that take a series for a series, by its value alone."""
LABELLESS = frozenset({"absent", "absent_over_time", "scalar", "vector", "time", "pi"})
"""Functions whose answer has none of the labels that went in."""
MOST_SUMS = 4
"""Additions and subtractions: each writes its left side twice."""
FOLDS = frozenset({"sum", "avg", "min", "max", "count", "group", "stddev", "stdvar", "quantile"})
"""Aggregations that leave only the labels of their `by`."""


Way = Callable[[Node, str], Node]


class CannotSplit(ValueError):
    """The query cannot be split by the label; its words say why and what to do."""


def split_count(query: str, label: str) -> str:
    """A count, as it is sent, split so that its parts add up to it. Raises CannotSplit."""
    return _split(query, label, _counted)


def split_number(query: str, label: str) -> str:
    """A number such as a quantile, as it is sent, for each value of the label. Raises CannotSplit."""
    return _split(query, label, _measured)


def _split(query: str, label: str, way: Way) -> str:
    try:
        node = parse(query)
        if sum(isinstance(one, Binary) and one.op in {"+", "-"} for one in walk(node)) > MOST_SUMS:
            raise CannotSplit(f"the query adds up more than {MOST_SUMS + 1} parts; record their sum first")
        return printed(way(node, label))
    except NotPromql as error:
        raise CannotSplit(f"the query {error}") from error
    except RecursionError as error:
        raise CannotSplit("the query is too deep to be written anew; record parts of it first") from error


def _counted(node: Node, label: str) -> Node:
    """Only what adds up: sums, sums of sums, sums less sums, and those times a number."""
    if isinstance(node, Aggregate):
        if node.op not in {"sum", "count"} or node.without or node.labels:
            raise CannotSplit(f"only sum(...) of all can be split by {label}, the query has {_named(node)}")
        return replace(node, inner=_kept(node.inner, label, sums=node.op == "sum"), labels=(label,))
    if isinstance(node, Call) and node.name in ELEMENTWISE:
        return replace(node, args=(_counted(node.args[0], label), *node.args[1:]))
    if isinstance(node, Binary):
        return _counted_both(node, label)
    if isinstance(node, Selector) or (isinstance(node, Call) and node.name not in LABELLESS):
        return Aggregate("sum", _kept(node, label, sums=True), (label,))
    raise CannotSplit(f"the query has a part without labels, which cannot be split by {label}")


def _counted_both(node: Binary, label: str) -> Node:
    if node.op == "or" and _constant(node.right):
        return _counted(node.left, label)  # `or vector(0)`: a value of the label that is not there has none
    vectors = is_vector(node.left), is_vector(node.right)
    if node.op in {"*", "/"} and vectors == (True, False):
        return replace(node, left=_counted(node.left, label))
    if node.op == "*" and vectors == (False, True):
        return replace(node, right=_counted(node.right, label))
    if node.op in {"+", "-"} and vectors == (True, True) and not node.labels and not node.many:
        left, right = _counted(node.left, label), _counted(node.right, label)
        # A value of the label that only one side has counts there; only what is taken away of nothing is nothing.
        found = Binary("or", Binary(node.op, left, right), left)
        return found if node.op == "-" else Binary("or", found, right)
    raise CannotSplit(f"the query has a `{node.op}` whose parts by {label} would not add up; write sums")


def _measured(node: Node, label: str) -> Node:
    """A number for each value: every aggregation keeps the label, too."""
    if isinstance(node, Aggregate) and node.op in FOLDS:
        if node.without:
            if label in node.labels:
                raise CannotSplit(f"the query leaves {label} out by `without`")
            return replace(node, inner=_kept(node.inner, label, sums=False))
        labels = node.labels if label in node.labels else (*node.labels, label)
        return replace(node, inner=_kept(node.inner, label, sums=False), labels=labels)
    if isinstance(node, Call) and node.name in {"histogram_quantile", "histogram_fraction"}:
        return replace(node, args=(*node.args[:-1], _measured(node.args[-1], label)))
    if isinstance(node, Call) and (node.name in ELEMENTWISE or node.name == "-"):
        return replace(node, args=(_measured(node.args[0], label), *node.args[1:]))
    if isinstance(node, Binary):
        return _measured_both(node, label)
    raise CannotSplit(f"the query has no aggregation whose `by` could be given {label}")


def _measured_both(node: Binary, label: str) -> Node:
    if node.op == "or" and _constant(node.right):
        return _measured(node.left, label)
    if node.op in COMPARISONS | SET_OPERATORS or node.matching or node.many:
        raise CannotSplit(f"the query matches series by `{node.op}`, which cannot be split by {label}")
    sides = [_measured(side, label) if is_vector(side) else side for side in (node.left, node.right)]
    if not any(is_vector(side) for side in sides):
        raise CannotSplit(f"the query has a part without labels, which cannot be split by {label}")
    return replace(node, left=sides[0], right=sides[1])


def _kept(node: Node, label: str, *, sums: bool) -> Node:
    """What is inside an aggregation, so that it has the label. `sums`: it is summed, so sums inside may be split."""
    if isinstance(node, Aggregate):
        return _kept_inside(node, label, sums=sums)
    if isinstance(node, Call):
        if node.name in LABELLESS:
            raise CannotSplit(f"{node.name}() leaves no label, so the query cannot be split by {label}")
        return replace(node, args=tuple(_unchanged(arg, label) for arg in node.args))
    if isinstance(node, Binary):
        return _kept_both(node, label)
    return replace(node, inner=_unchanged(node.inner, label)) if isinstance(node, Subquery) else node


def _kept_inside(node: Aggregate, label: str, *, sums: bool) -> Node:
    if node.op not in FOLDS:  # topk and the like keep every label
        return replace(node, inner=_unchanged(node.inner, label))
    lost = (label in node.labels) if node.without else (label not in node.labels)
    if not lost:
        return replace(node, inner=_kept(node.inner, label, sums=sums and node.op == "sum"))
    if not sums or node.op != "sum":
        raise CannotSplit(f"{_named(node)} inside the query leaves {label} out; let it keep that label")
    inner = _kept(node.inner, label, sums=True)
    if node.without:
        return replace(node, inner=inner, labels=tuple(one for one in node.labels if one != label))
    return replace(node, inner=inner, labels=(*node.labels, label))


def _kept_both(node: Binary, label: str) -> Node:
    if not is_vector(node.right):
        return replace(node, left=_unchanged(node.left, label))
    if not is_vector(node.left):
        return replace(node, right=_unchanged(node.right, label))
    if node.many == "right":
        return replace(node, right=_unchanged(node.right, label))
    if node.many == "left" or node.op in {"and", "unless"}:
        return replace(node, left=_unchanged(node.left, label))
    lost = (label not in node.labels) if node.matching == "on" else (label in node.labels)
    if lost and node.op != "or":
        raise CannotSplit(f"the query matches series without {label}; let it match on that label, too")
    return replace(node, left=_unchanged(node.left, label), right=_unchanged(node.right, label))


def _unchanged(node: Node, label: str) -> Node:
    """A part that must have the label as it is: a change of it would change what it is held against."""
    if not is_vector(node):
        return node
    if shape(_kept(node, label, sums=False)) != shape(node):
        raise CannotSplit(f"the query cannot be split by {label} without changing what it compares")
    return node


def _constant(node: Node) -> bool:
    return isinstance(node, Number) or (
        isinstance(node, Call) and node.name == "vector" and all(isinstance(arg, Number) for arg in node.args)
    )


def _named(node: Aggregate) -> str:
    labels = f" {'without' if node.without else 'by'} ({', '.join(node.labels)})" if node.labels or node.without else ""
    return f"{node.op}{labels}(...)"
