"""A strict and small YAML: mappings with unique text keys, lists, text, true/false and null; nothing else.

Plain scalars stay the text that was written (`2.10` is not 2.1, `no` is not false): whoever wants a number parses it,
exactly. Tags, merge keys, second documents, deep nesting and expanding aliases are refused, each in one sentence.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from watchdog.errors import ConfigError, Problem

LARGEST = 1024 * 1024
DEEPEST = 24
MOST_NODES = 50_000
"""Values in one document, every use of an alias counted: enough for any rule, too few for a bomb."""


def read_text(path: Path) -> str:
    """The file's text; ConfigError when it cannot be read, is larger than 1 MiB or is not UTF-8."""
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError([Problem(str(path), f"cannot be read ({reason}); check the path and its rights")]) from error
    if len(raw) > LARGEST:
        raise ConfigError([Problem(str(path), "is larger than 1 MiB; is this the right file?")])
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text (byte {error.start}); save it as UTF-8"
        raise ConfigError([Problem(str(path), message)]) from error


def load_mapping(text: str, name: str) -> tuple[dict[str, Any], list[Problem]]:
    """The document's mapping, and its duplicate keys as problems (the first of each is kept).

    Raises ConfigError, its place `name: line L, column C`, when the text is not one YAML mapping of this kind.
    """
    if len(text) > LARGEST:
        raise ConfigError([Problem(name, "is larger than 1 MiB; is this the right file?")])
    builder = _Builder(name)
    try:
        document = builder.document(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        raise ConfigError([_syntax(name, error)]) from error
    except yaml.reader.ReaderError as error:
        message = f"contains a character that YAML does not allow at offset {error.position}; remove it"
        raise ConfigError([Problem(name, message)]) from error
    if document is None:
        raise ConfigError([Problem(name, "is empty, expected a mapping of keys")])
    if not isinstance(document, dict):
        found = "a list" if isinstance(document, list) else f"the text {str(document)[:40]!r}"
        raise ConfigError([Problem(name, f"found {found}, expected a mapping of keys")])
    return document, builder.duplicates


def _syntax(name: str, error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    place = f"{name}: {_where(mark)}" if mark is not None else name
    parts = [part for part in (error.context, error.problem) if part]
    return Problem(place, f"is not valid YAML: {', '.join(parts)}; look for a missing quote, bracket or indentation")


def _where(mark: Any) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}"


class _Builder:
    """Turns parser events into values, by recursive descent no deeper than `DEEPEST`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.duplicates: list[Problem] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._nodes = 0

    def document(self, events: Iterator[Any]) -> Any:
        next(events)  # the start of the stream
        event = next(events)
        if isinstance(event, yaml.StreamEndEvent):
            return None
        value = self._value(next(events), events, "", 0)
        next(events)  # the end of the document
        after = next(events)
        if not isinstance(after, yaml.StreamEndEvent):
            self._refuse(after, "a second document starts here; a file holds exactly one")
        return value

    def _refuse(self, event: Any, message: str) -> None:
        raise ConfigError([Problem(f"{self.name}: {_where(event.start_mark)}", message)])

    def _value(self, event: Any, events: Iterator[Any], path: str, depth: int) -> Any:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        self._count(event, 1)
        if event.tag is not None:
            self._refuse(event, f"the tag {event.tag!r} is not used here; write the plain value")
        if depth > DEEPEST:
            self._refuse(event, f"is nested more than {DEEPEST} levels deep, which no key of this file needs")
        before = self._nodes
        value: Any
        if isinstance(event, yaml.ScalarEvent):
            value = _scalar(event)
        elif isinstance(event, yaml.MappingStartEvent):
            value = self._mapping(events, path, depth)
        else:
            value = self._sequence(events, path, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, self._nodes - before + 1)
        return value

    def _count(self, event: Any, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > MOST_NODES:
            self._refuse(event, f"the document expands to more than {MOST_NODES:,} values; write it without aliases")

    def _alias(self, event: Any) -> Any:
        if event.anchor not in self._anchors:
            self._refuse(event, f"the alias *{event.anchor} has no finished anchor &{event.anchor} before it")
        value, nodes = self._anchors[event.anchor]
        self._count(event, nodes)
        return value

    def _mapping(self, events: Iterator[Any], path: str, depth: int) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        lines: dict[str, int] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                self._refuse(event, "a key must be a word, not a collection; quote it if it starts with [, { or *")
            key = str(event.value)
            place = f"{path}.{key}" if path else key
            value = self._value(next(events), events, place, depth + 1)
            line = event.start_mark.line + 1
            if key in mapping:
                message = f"is written twice, at line {lines[key]} and at line {line}; keep one"
                self.duplicates.append(Problem(f"{self.name}: {place}", message))
            else:
                mapping[key], lines[key] = value, line
        return mapping

    def _sequence(self, events: Iterator[Any], path: str, depth: int) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            values.append(self._value(event, events, f"{path}[{len(values)}]", depth + 1))
        return values


def _scalar(event: Any) -> str | bool | None:
    text = str(event.value)
    if event.style is None and event.implicit[0]:
        if text in {"", "~", "null", "Null", "NULL"}:
            return None
        if text in {"true", "True", "TRUE"}:
            return True
        if text in {"false", "False", "FALSE"}:
            return False
    return text
