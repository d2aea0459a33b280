"""Which labels an expression names of which metric: from what is shown down to the selectors. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from watchdog.rulelint.labels import ABSENT, KEEP_SERIES, WITHOUT_LABELS, texts
from watchdog.rulelint.model import Expression, Pack, Read
from watchdog.rulelint.nodes import SET_OPERATORS, Aggregate, Binary, Call, Matcher, Node, Selector, Subquery, Text

HOWS = ("matcher", "group_left", "le", "on", "by", "chosen", "shown", "excluded", "ignoring", "without")
"""How a label can be named, the most demanding first. `chosen` is a condition that a series without the label meets,
too; the last three take something away, so the label need not be there."""
TAKEN_AWAY = frozenset({"excluded", "ignoring", "without"})
_BLOCK = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_OF_SAMPLE = re.compile(r"""(?:\$labels|\.Labels)\.(\w+)|index\s+\$labels\s+["`](\w+)["`]""")
Wanted = Mapping[str, str]
"""Label -> how it is named."""


@dataclass(slots=True)
class Metric:
    """One metric as the expressions name it: where, and each label with how and where."""

    name: str
    places: list[str] = field(default_factory=list)
    labels: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def add(self, label: str, how: str, place: str) -> None:
        """Keep one naming of a label."""
        places = self.labels.setdefault(label, {}).setdefault(how, [])
        if place not in places:
            places.append(place)

    def strongest(self, label: str) -> str:
        """The most demanding of the ways in which a label is named."""
        return min(self.labels[label], key=HOWS.index)


def metrics(pack: Pack) -> dict[str, Metric]:
    """Every metric that the expressions name, by name. Selectors without a name of a metric are left out."""
    found: dict[str, Metric] = {}
    for one, tree in pack.parsed:
        for selector, wanted in named(tree, dict.fromkeys(shown(one), "shown")):
            if not selector.metric:
                continue
            metric = found.setdefault(selector.metric, Metric(selector.metric))
            if one.place not in metric.places:
                metric.places.append(one.place)
            for label, how in wanted.items():
                metric.add(label, how, one.place)
    return dict(sorted(found.items()))


def shown(read: Read) -> list[str]:
    """The labels that the surroundings of an expression show: annotations, a legend, a variable."""
    return list(dict.fromkeys([*read.expression.shows, *(label for _, label in templated(read.expression))]))


def templated(expression: Expression) -> Iterator[tuple[str, str]]:
    """Each label of the sample that a template of a rule names: (key of the text, label)."""
    if expression.rule is None or expression.role != "alert":
        return
    for key, text in expression.rule.texts:
        for block in _BLOCK.findall(text):
            for dotted, indexed in _OF_SAMPLE.findall(block):
                yield key, dotted or indexed


def named(tree: Node, wanted: Wanted) -> Iterator[tuple[Selector, Wanted]]:
    """Each selector with the labels that are named of it, in the order in which they are written."""
    pending: list[tuple[Node, Wanted]] = [(tree, wanted)]
    while pending:
        one, asked = pending.pop()
        if isinstance(one, Selector):
            yield one, {**asked, **{m.label: _condition(m) for m in one.matchers if m.label != "__name__"}}
            continue
        pending.extend(reversed(list(_below(one, asked))))


def _condition(matcher: Matcher) -> str:
    if matcher.demands:
        return "matcher"
    return "chosen" if matcher.operator in {"=", "=~"} else "excluded"


def _below(node: Node, wanted: Wanted) -> Iterator[tuple[Node, Wanted]]:
    if isinstance(node, Subquery):
        yield node.inner, wanted
    elif isinstance(node, Aggregate):
        yield node.inner, _of_aggregate(node, wanted)
        if node.param is not None:
            yield node.param, {}
    elif isinstance(node, Binary):
        yield node.left, _of_side(node, wanted, left=True)
        yield node.right, _of_side(node, wanted, left=False)
    elif isinstance(node, Call):
        asked = _of_call(node, wanted)
        for arg in node.args:
            yield arg, asked


def _of_aggregate(node: Aggregate, wanted: Wanted) -> Wanted:
    made = {node.param.value} if node.op == "count_values" and isinstance(node.param, Text) else set()
    above = {label: how for label, how in wanted.items() if label not in made}
    if node.op in KEEP_SERIES:
        return above | dict.fromkeys(node.labels, "by")
    if node.without:
        kept = {label: how for label, how in above.items() if label not in node.labels}
        return kept | dict.fromkeys(node.labels, "without")
    return {label: "le" if above.get(label) == "le" else "by" for label in node.labels}


def _of_side(node: Binary, wanted: Wanted, *, left: bool) -> Wanted:
    own = dict.fromkeys(node.labels, node.matching or "on")
    if node.op in SET_OPERATORS:
        return {**wanted, **own} if left or node.op == "or" else own
    if node.many:
        if (node.many == "left") != left:
            return own | dict.fromkeys(node.include, "group_left")
        return {label: how for label, how in wanted.items() if label not in node.include} | own
    if node.matching == "on":
        return own
    return {label: how for label, how in wanted.items() if label not in node.labels} | own


def _of_call(node: Call, wanted: Wanted) -> Wanted:
    if node.name in ABSENT or node.name in WITHOUT_LABELS:
        return {}
    if node.name == "label_replace":
        words = texts(node)
        rest = {label: how for label, how in wanted.items() if label not in words[:1]}
        return rest | {source: "by" for source in words[2:3] if source}
    if node.name == "label_join":
        words = texts(node)
        return {label: how for label, how in wanted.items() if label not in words[:1]} | dict.fromkeys(words[2:], "by")
    if node.name.startswith("sort_by_label"):
        return {**wanted, **dict.fromkeys(texts(node), "by")}
    if node.name in {"histogram_quantile", "histogram_fraction"}:
        return {**wanted, "le": "le"}
    return wanted
