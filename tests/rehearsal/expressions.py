"""GitHub's expressions, as far as our workflows use them: what is not understood fails, nothing is guessed.

evaluate("inputs.reason != '' && always()", contexts) -> bool
filled("deployment-${{ github.sha }}", contexts)      -> text
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Contexts = Mapping[str, Any]
_TOKEN = re.compile(
    r"\s*(?:('(?:[^']|'')*')|(-?\d+(?:\.\d+)?)|([A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)*)|(&&|\|\||==|!=|[!(),]))"
)
_WHOLE = re.compile(r"^\s*\$\{\{(.*?)\}\}\s*$", re.DOTALL)
_PART = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
LITERALS: Mapping[str, Any] = {"true": True, "false": False, "null": None}
LENIENT = ("steps", "needs", "event")
"""Contexts whose parts may be missing: a step that was left out has no outputs, an event only what its kind has."""


class NotUnderstood(Exception):
    """An expression that this runner does not know, or a name that nobody defines."""


def evaluate(text: str, contexts: Contexts) -> Any:
    """The value of one expression, with or without its braces."""
    whole = _WHOLE.match(text)
    return _Parser(whole[1] if whole else text, contexts).whole()


def filled(text: str, contexts: Contexts) -> str:
    """A text with its expressions replaced, as GitHub writes them out."""
    return _PART.sub(lambda found: written(evaluate(found[1], contexts)), text)


def written(value: Any) -> str:
    """A value as GitHub writes it into a text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


class _Parser:
    def __init__(self, text: str, contexts: Contexts) -> None:
        self._contexts = contexts
        self._text = text
        self._tokens = list(self._read(text))
        self._at = 0

    def whole(self) -> Any:
        value = self._or()
        if self._at != len(self._tokens):
            raise NotUnderstood(f"{self._text!r}: {self._tokens[self._at][1]!r} is too much")
        return value

    def _read(self, text: str) -> Any:
        place = 0
        while text[place:].strip():
            found = _TOKEN.match(text, place)
            if found is None:
                raise NotUnderstood(f"{text!r}: {text[place:]!r} is not understood")
            kind = next(number for number in (1, 2, 3, 4) if found[number] is not None)
            yield kind, found[kind]
            place = found.end()

    def _next(self, *signs: str) -> str | None:
        if self._at < len(self._tokens):
            kind, text = self._tokens[self._at]
            if kind == 4 and text in signs:
                self._at += 1
                return str(text)
        return None

    def _or(self) -> Any:
        value = self._and()
        while self._next("||"):
            other = self._and()
            value = value or other
        return value

    def _and(self) -> Any:
        value = self._equal()
        while self._next("&&"):
            other = self._equal()
            value = value and other
        return value

    def _equal(self) -> Any:
        value = self._one()
        while sign := self._next("==", "!="):
            same = _same(value, self._one())
            value = same if sign == "==" else not same
        return value

    def _one(self) -> Any:
        if self._next("!"):
            return not self._one()
        if self._next("("):
            value = self._or()
            if not self._next(")"):
                raise NotUnderstood(f"{self._text!r}: a bracket is not closed")
            return value
        if self._at >= len(self._tokens):
            raise NotUnderstood(f"{self._text!r} ends too early")
        kind, text = self._tokens[self._at]
        self._at += 1
        if kind == 1:
            return text[1:-1].replace("''", "'")
        if kind == 2:
            return float(text) if "." in text else int(text)
        if kind != 3:
            raise NotUnderstood(f"{self._text!r}: {text!r} is in the wrong place")
        if self._next("("):
            return self._call(text)
        return LITERALS[text] if text in LITERALS else self._name(text)

    def _call(self, name: str) -> Any:
        given = []
        while not self._next(")"):
            given.append(self._or())
            self._next(",")
        functions: Mapping[str, Callable[..., Any]] = self._contexts.get("functions", {})
        if name not in functions:
            raise NotUnderstood(f"{self._text!r}: this runner has no function {name}")
        return functions[name](*given)

    def _name(self, text: str) -> Any:
        value: Any = self._contexts
        lenient = False
        for part in text.split("."):
            if isinstance(value, Mapping) and part in value:
                value = value[part]
            elif lenient:
                return ""
            else:
                raise NotUnderstood(f"{text}: nobody defines {part}")
            lenient = lenient or part in LENIENT
        return value


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        return one.lower() == other.lower()  # as GitHub compares texts
    return bool(one == other)
