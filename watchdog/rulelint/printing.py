"""A tree -> PromQL text, and a check that it says the same. Pure."""

from __future__ import annotations

import json
import math
import re

from watchdog.quantities import promql_duration
from watchdog.rulelint.tree import (
    Aggregate,
    Binary,
    Call,
    Matcher,
    Node,
    NotPromql,
    Number,
    Selector,
    Subquery,
    parse,
    shape,
    walk,
)

MOST_NODES = 400
"""Parts of one expression; a longer one is not written anew."""
_NAME = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def printed(node: Node) -> str:
    """The expression as text. Raises NotPromql where it cannot be written so that it reads back to the same tree."""
    if sum(1 for _ in walk(node)) > MOST_NODES:
        raise NotPromql(f"has more than {MOST_NODES} parts; record parts of it first")
    text = _text(node)
    if shape(parse(text)) != shape(node):
        raise NotPromql("cannot be written anew so that it says the same")
    return text


def _text(node: Node) -> str:
    if isinstance(node, Selector):
        return _selector(node)
    if isinstance(node, Call):
        inside = ", ".join(_text(arg) for arg in node.args)
        return f"{node.name}({inside})"
    if isinstance(node, Aggregate):
        return _aggregate(node)
    if isinstance(node, Binary):
        return f"({_text(node.left)}) {_operator(node)} ({_text(node.right)})"
    if isinstance(node, Subquery):
        step = promql_duration(node.step) if node.step is not None else ""
        return f"({_text(node.inner)})[{promql_duration(node.span)}:{step}]{_shifted(node)}"
    if isinstance(node, Number):
        return _number(node.value)
    return json.dumps(node.value, ensure_ascii=False)


def _selector(node: Selector) -> str:
    matchers = list(node.matchers)
    if not _NAME.fullmatch(node.metric):
        matchers.insert(0, Matcher("__name__", "=", node.metric))
        if not node.metric:
            del matchers[0]
    if any(not _LABEL.fullmatch(matcher.label) for matcher in matchers):
        raise NotPromql("has a label whose name must be quoted")
    name = node.metric if _NAME.fullmatch(node.metric) else ""
    inside = ",".join(map(str, matchers))
    span = f"[{promql_duration(node.span)}]" if node.span is not None else ""
    return f"{name}{{{inside}}}{span}{_shifted(node)}"


def _shifted(node: Selector | Subquery) -> str:
    if node.pinned:
        raise NotPromql("is pinned to an instant with `@`")
    if not node.offset:
        return ""
    sign = "-" if node.offset < 0 else ""
    return f" offset {sign}{promql_duration(abs(node.offset))}"


def _aggregate(node: Aggregate) -> str:
    by = ""
    if node.labels or node.without:
        by = f" {'without' if node.without else 'by'} ({', '.join(node.labels)})"
    param = f"{_text(node.param)}, " if node.param is not None else ""
    return f"{node.op}{by} ({param}{_text(node.inner)})"


def _operator(node: Binary) -> str:
    words = [node.op]
    if node.as_bool:
        words.append("bool")
    if node.matching:
        words.append(f"{node.matching} ({', '.join(node.labels)})")
    if node.many:
        words.append(f"group_{node.many} ({', '.join(node.include)})")
    return " ".join(words)


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    return repr(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
