"""What a target is: a parser, the errors that it declares, and documents to begin with.

A target takes bytes and is sound when nothing but its declared errors comes out of it, in bounded time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

Form = Literal["json", "yaml", "bytes"]
Parser = Callable[[bytes], object]


@dataclass(frozen=True)
class Target:
    """One parser under test. `form` says how its seeds can be taken apart, `words` what else to strew in."""

    name: str
    parse: Parser
    errors: tuple[type[Exception], ...]
    sown: Callable[[], Sequence[Any]]
    form: Form
    words: tuple[bytes, ...] = ()

    @cached_property
    def seeds(self) -> tuple[bytes, ...]:
        """Documents to begin with, made when they are first wanted."""
        return tuple(map(_raw, self.sown()))

    def __call__(self, raw: bytes) -> bool:
        """Whether the bytes were taken. Anything but a declared error comes out."""
        try:
            self.parse(raw)
        except self.errors:
            return False
        return True


def each(errors: type[Exception], *asks: Callable[[], object]) -> None:
    """Ask all of these; raises the last refusal where all of them were refused."""
    refusals = []
    for ask in asks:
        try:
            ask()
        except errors as error:
            refusals.append(error)
    if len(refusals) == len(asks):
        raise refusals[-1]


TARGETS: dict[str, Target] = {}


def target(
    name: str,
    errors: type[Exception] | tuple[type[Exception], ...],
    seeds: Sequence[Any] | Callable[[], Sequence[Any]],
    *,
    form: Form = "json",
    words: Sequence[bytes] = (),
) -> Callable[[Parser], Parser]:
    """Register a parser. Seeds are bytes, text, or what JSON can write; or what makes them."""

    def register(parse: Parser) -> Parser:
        if name in TARGETS:
            raise ValueError(f"there are two targets called {name}")
        known = errors if isinstance(errors, tuple) else (errors,)
        sown = seeds if callable(seeds) else lambda: seeds
        TARGETS[name] = Target(name, parse, known, sown, form, tuple(words))
        return parse

    return register


def _raw(seed: Any) -> bytes:
    if isinstance(seed, bytes):
        return seed
    return seed.encode() if isinstance(seed, str) else json.dumps(seed).encode()
