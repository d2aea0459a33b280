"""Reading one mapping key by key: every problem is kept, with its place, and reading goes on with a stand-in."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from watchdog.errors import Problem
from watchdog.quantities import parse_decimal, parse_duration, shown

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)
Parse = Callable[[Any], T]
"""Turns a written value into what it means; raises ValueError with a sentence."""


@dataclass(slots=True)
class Findings:
    """Every problem of one file, in the order in which they were met."""

    file: str
    problems: list[Problem] = field(default_factory=list)

    def add(self, place: str, message: str) -> None:
        """Keep one problem of this file."""
        self.problems.append(Problem(f"{self.file}: {place}" if place else self.file, message))


class Section:
    """A mapping at `place` of a file. Every key that is read is known; `close` refuses the others."""

    def __init__(self, data: Mapping[str, Any], place: str, findings: Findings) -> None:
        self.data = data
        self.place = place
        self.findings = findings
        self._known: set[str] = set()
        self._failed: set[str] = set()

    def at(self, key: str) -> str:
        """The full place of a key."""
        return f"{self.place}.{key}" if self.place else key

    def problem(self, key: str, message: str) -> None:
        """Keep a problem with a key of this section."""
        self._failed.add(key)
        self.findings.add(self.at(key) if key else self.place, message)

    def sound(self, *keys: str) -> bool:
        """Whether none of the keys had a problem, so that judging them together makes sense."""
        return self._failed.isdisjoint(keys)

    def has(self, key: str) -> bool:
        """Whether the key is written."""
        self._known.add(key)
        return key in self.data

    def take(self, key: str, parse: Parse[T], default: T) -> T:
        """The parsed value; `default` when the key is absent or its value has a problem."""
        if not self.has(key):
            return default
        try:
            return parse(self.data[key])
        except ValueError as error:
            self.problem(key, str(error))
            return default

    def need(self, key: str, parse: Parse[T], standin: T, expected: str) -> T:
        """Like `take` for a key that must be there; `expected` completes "is missing; write ..."."""
        if not self.has(key):
            self.problem(key, f"is missing; write {expected}")
            return standin
        return self.take(key, parse, standin)

    def section(self, key: str) -> Section:
        """The mapping under `key`; an empty one when it is absent or is not a mapping."""
        found: dict[str, Any] = self.take(key, mapping, {})
        return Section(found, self.at(key), self.findings)

    def sections(self, key: str) -> list[Section]:
        """The mappings of the list under `key`, each with its index in its place."""
        sections = []
        items: list[Any] = self.take(key, listing, [])
        for index, item in enumerate(items):
            place = f"{self.at(key)}[{index}]"
            if isinstance(item, dict):
                sections.append(Section(item, place, self.findings))
            else:
                self._failed.add(key)
                self.findings.add(place, f"found {shown(item)}, expected a mapping")
        return sections

    def close(self, also: Iterable[str] = ()) -> None:
        """Refuse every key that nobody read; `also` are names worth suggesting."""
        known = self._known | set(also)
        for key in self.data:
            if key not in known:
                self.problem(key, unknown("key", key, known))


def unknown(what: str, found: str, known: Iterable[str]) -> str:
    """The sentence for a name that nobody knows, with the nearest known one or all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(found, names, n=1, cutoff=0.6)
    if near:
        return f"unknown {what} {found!r}; did you mean {near[0]!r}?"
    return f"unknown {what} {found!r}; known are {', '.join(names)}"


def mapping(found: Any) -> dict[str, Any]:
    """A mapping, or ValueError."""
    if not isinstance(found, dict):
        raise ValueError(f"found {shown(found)}, expected a mapping of keys")  # noqa: TRY004
    return found


def listing(found: Any) -> list[Any]:
    """A list, or ValueError."""
    if not isinstance(found, list):
        raise ValueError(f"found {shown(found)}, expected a list")  # noqa: TRY004
    return found


def text(found: Any) -> str:
    """Text that says something, on one or several lines; ValueError otherwise."""
    if isinstance(found, (int, float)) and not isinstance(found, bool):
        found = str(found)
    if not isinstance(found, str) or not found.strip():
        raise ValueError(f"found {shown(found)}, expected text")
    return found.strip()


def flag(found: Any) -> bool:
    """True or false, written so; ValueError otherwise."""
    if isinstance(found, str) and found.lower() in {"true", "false"}:
        return found.lower() == "true"
    if not isinstance(found, bool):
        raise ValueError(f"found {shown(found)}, expected true or false")  # noqa: TRY004
    return found


def nullable(parse: Parse[T]) -> Parse[T | None]:
    """The parser that also takes null."""
    return lambda found: None if found is None else parse(found)


def named(pattern: str, expected: str) -> Parse[str]:
    """A parser for names that travel into URLs, paths and PromQL; `expected` says which characters it takes."""
    compiled = re.compile(pattern)

    def parse(found: Any) -> str:
        name = text(found)
        if not compiled.fullmatch(name):
            raise ValueError(f"found {shown(name)}, expected {expected}")
        return name

    return parse


def one_of(kind: type[E], allowed: Iterable[E] | None = None) -> Parse[E]:
    """A parser for the words of an enumeration, or for some of them."""
    words = [member.value for member in (allowed if allowed is not None else kind)]

    def parse(found: Any) -> E:
        if found not in words:
            raise ValueError(f"found {shown(found)}, expected {' or '.join(words)}")
        return kind(found)

    return parse


def word(*words: str) -> Parse[str]:
    """A parser for one of a few words."""

    def parse(found: Any) -> str:
        if found not in words:
            raise ValueError(f"found {shown(found)}, expected {' or '.join(words)}")
        return str(found)

    return parse


def whole(least: int, most: int) -> Parse[int]:
    """A parser for whole numbers between two bounds."""

    def parse(found: Any) -> int:
        number = parse_decimal(found)
        if number != number.to_integral_value() or not least <= number <= most:
            raise ValueError(f"found {shown(found)}, expected a whole number between {least} and {most:,}")
        return int(number)

    return parse


def positive_number(found: Any) -> float:
    """A number above zero, or ValueError."""
    number = float(parse_decimal(found))
    if number <= 0:
        raise ValueError(f"found {shown(found)}, expected a number above 0")
    return number


def positive_duration(found: Any) -> float:
    """Seconds above zero, or ValueError."""
    seconds = parse_duration(found)
    if seconds <= 0:
        raise ValueError(f"found {shown(found)}, expected a duration above 0")
    return seconds


def grid(found: Any) -> int:
    """Whole seconds, at least one: slots, steps and slices lie on grids of the epoch. ValueError otherwise."""
    seconds = parse_duration(found)
    if seconds < 1 or seconds != int(seconds):
        raise ValueError(
            f"found {shown(found)}, expected whole seconds, at least 1s: it spaces a grid that starts at the epoch"
        )
    return int(seconds)
