"""Groups of rules -> the text of a rules file, the same bytes for the same groups, for Prometheus 2.42 and up. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from watchdog.rulebook.model import Group, Rule
from watchdog.rulebook.promql import span

WIDTH = 110


class _Dumper(yaml.SafeDumper):
    """Expressions of several lines as they are, lists set in, nothing shared."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the form yaml wants
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
        return super().increase_indent(flow, indentless=False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def rules_file(head: Sequence[str], groups: Sequence[Group]) -> str:
    """The file's text below a comment of these lines."""
    data = {"groups": [_group(group) for group in groups]}
    comment = "".join(f"# {line}\n" for line in head)
    return comment + yaml.dump(data, Dumper=_Dumper, sort_keys=False, width=WIDTH, allow_unicode=True)


def _group(group: Group) -> dict[str, Any]:
    return {"name": group.name, "interval": span(group.interval), "rules": [_rule(rule) for rule in group.rules]}


def _rule(rule: Rule) -> dict[str, Any]:
    written: dict[str, Any] = {"record": rule.record} if rule.record else {"alert": rule.alert}
    written["expr"] = rule.expr
    if rule.hold:
        written["for"] = rule.hold
    if rule.keep:
        written["keep_firing_for"] = rule.keep
    if rule.labels:
        written["labels"] = _plain(rule.labels)
    if rule.annotations:
        written["annotations"] = _plain(rule.annotations)
    return written


def _plain(pairs: Mapping[str, str]) -> dict[str, str]:
    return dict(pairs)
