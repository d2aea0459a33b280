"""Checks of labels: those that an expression has lost, never had, or that two sides do not share. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from watchdog.rulelint.labels import KEEP_SERIES, Labels, is_mixed, possible
from watchdog.rulelint.model import Finding, Pack, Read, listed
from watchdog.rulelint.naming import templated
from watchdog.rulelint.nodes import SET_OPERATORS, Aggregate, Binary, Selector, is_vector, walk

NEAR = 0.86
"""How alike two names are when one is taken for a slip of the other."""


def lost_label(pack: Pack) -> Iterator[Finding]:
    """A text shows a label that no series of the expression can have."""
    for one, tree in pack.parsed:
        there = possible(tree, pack.recorded)
        for key, label in dict.fromkeys(templated(one.expression)):
            if label not in there:
                yield Finding("lost-label", "error", one.place, _lost(f"{key} shows {{{{ $labels.{label} }}}}", there))
        for label in one.expression.shows:
            if label not in there:
                shower = "its legend" if one.expression.role == "panel" else "the variable"
                yield Finding("lost-label", "error", one.place, _lost(f"{shower} shows {label}", there))


def _lost(what: str, there: Labels) -> str:
    kept = f"keeps {listed(there.names)}" if not there.others and there.names else "keeps no label of that name"
    return (
        f"{what}, which is always empty: the expression {kept}; add it to by (...) or group_left (...), or name another"
    )


def no_such_label(pack: Pack) -> Iterator[Finding]:
    """A recording of the pack is asked for a label that it cannot have."""
    for one, tree in pack.parsed:
        for node in walk(tree):
            if isinstance(node, Selector) and node.metric in pack.recorded:
                there = pack.recorded[node.metric]
                for matcher in node.matchers:
                    if matcher.label not in there and matcher.demands and matcher.label != "__name__":
                        yield Finding("no-such-label", "error", one.place, _never(node, matcher.label, there))
            elif isinstance(node, Aggregate) and not node.without and node.op not in KEEP_SERIES:
                there = possible(node.inner, pack.recorded)
                for label in node.labels:
                    if label not in there:
                        yield Finding("no-such-label", "warning", one.place, _by(node, label, there))


def _never(node: Selector, label: str, there: Labels) -> str:
    has = listed(there.names) if not there.others else f"everything but {listed(there.names)}"
    return (
        f"wants {label} of {node.metric}, whose recording has {has}: nothing can match; take the condition away, or "
        f"keep {label} in the recording"
    )


def _by(node: Aggregate, label: str, there: Labels) -> str:
    has = listed(there.names) if not there.others else f"everything but {listed(there.names)}"
    return f"has {node.op} by ({label}) over series with {has}: the label is never there; take it out of by (...)"


def unmatched(pack: Pack) -> Iterator[Finding]:
    """Two sides that share no labels to be matched by, so the result is empty for ever."""
    for one, tree in pack.parsed:
        for node in walk(tree):
            if isinstance(node, Binary) and node.op != "or" and is_vector(node.left) and is_vector(node.right):
                yield from _sides(one, node, pack)


def _sides(one: Read, node: Binary, pack: Pack) -> Iterator[Finding]:
    left, right = (possible(side, pack.recorded) for side in (node.left, node.right))
    sure = not is_mixed(node.left, pack.mixed) and not is_mixed(node.right, pack.mixed)
    if node.matching == "on":
        for label in node.labels:
            if (label in left) != (label in right) and sure:
                side, has = ("left", left) if label not in left else ("right", right)
                yield Finding("unmatched", "error", one.place, _no_match(node, f"on ({label})", label, side, has))
    elif sure and not left.others and not right.others:
        ignored = frozenset(node.labels) if node.matching == "ignoring" else frozenset()
        ours, theirs = left.names - ignored, right.names - ignored
        if ours != theirs:
            what = f"`{node.op}` compares series with {_has(ours)} and series with {_has(theirs)}"
            effect = "takes nothing away" if node.op == "unless" else "gives nothing"
            message = f"{what}, so it {effect}; say with on (...) or ignoring (...) which labels are to be equal"
            yield Finding("unmatched", "error", one.place, message)
    if node.op in SET_OPERATORS or not node.many:
        return
    single = right if node.many == "left" else left
    for label in node.include:
        if label not in single:
            message = (
                f"group_{node.many} ({label}) takes a label that the other side does not have ({_has(single.names)})"
            )
            yield Finding("unmatched", "error", one.place, f"{message}; take it out, or keep it there")


def _no_match(node: Binary, where: str, label: str, side: str, has: Labels) -> str:
    there = f"has {_has(has.names)}" if not has.others else "has lost it"
    effect = "takes nothing away" if node.op == "unless" else "gives nothing"
    return (
        f"`{node.op} {where}` matches by {label}, and the {side} side {there}, so it {effect}; keep {label} on both "
        "sides, or take it out"
    )


def _has(names: frozenset[str]) -> str:
    return listed(names) if names else "no labels"


def near_name(pack: Pack) -> Iterator[Finding]:
    """A name that looks like a recording of the pack and is none."""
    known = sorted(pack.recorded)
    for one, tree in pack.parsed:
        for metric in sorted({s.metric for s in walk(tree) if isinstance(s, Selector)} - pack.recorded.keys()):
            near = difflib.get_close_matches(metric, known, n=1, cutoff=NEAR) if ":" in metric else []
            if near:
                message = f"reads {metric}, which no rule records; did you mean {near[0]}?"
                yield Finding("near-name", "error", one.place, message)
