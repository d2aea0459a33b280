"""How documents are spoilt: a value in them replaced by a nasty one, a part doubled, dropped or moved; bytes likewise.

`choose(n)` gives a number below n: from a fuzzer's bytes, from hypothesis, or from chance.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from tests.fuzz.target import Target

Choose = Callable[[int], int]
Place = tuple[str | int, ...]

DEEP = 3000
NASTY: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    2**63,
    10**400,
    -0.0,
    1e308,
    float("nan"),
    float("inf"),
    "",
    " ",
    "\0",
    "\ud800",
    "\u202e\N{COMBINING ACUTE ACCENT}",
    "a\nb: c",
    "x" * 5000,
    "9" * 400,
    "NaN",
    "-Inf",
    "1e400",
    "0001-01-01T00:00:00Z",
    "2026-11-22T09:00:00Z",
    "99999-99-99T99:99:99Z",
    "1h",
    "1e9y",
    "100%",
    [],
    {},
    [None],
    {"": None},
    {"$ref": "x"},
    [[[[[[[[]]]]]]]],
)
"""Values where others are expected."""
TOKENS: tuple[bytes, ...] = (
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"null",
    b"NaN",
    b"1e999",
    b"9" * 5000,
    b"[" * DEEP,
    b'{"a":' * DEEP,
    b'"\\ud800"',
    b"&a [*a]",
    b"*a",
    b"<<: ",
    b"!!python/object ",
    b"---\n",
    b"\r\n",
    b"\xc2\x85",
    b"%",
    b"\\",
)
"""Bytes that mean something to one format or another."""


def spoilt(target: Target, raw: bytes, choose: Choose) -> bytes:
    """The bytes with one to three things wrong with them."""
    document, form = _document(target, raw)
    if document is None or choose(4) == 0:
        for _ in range(1 + choose(3)):
            raw = _bytes(raw, (*TOKENS, *target.words, *target.seeds), choose)
        return raw
    for _ in range(1 + choose(3)):
        document = _value(document, choose)
    return written(document, form)


def written(document: Any, form: str) -> bytes:
    """A document as its format writes it; JSON where YAML cannot."""
    if form == "yaml":
        try:
            return yaml.safe_dump(document, sort_keys=False).encode("utf-8", "surrogatepass")
        except (yaml.YAMLError, UnicodeError, ValueError):
            pass
    return json.dumps(document).encode("utf-8", "surrogatepass")


def _document(target: Target, raw: bytes) -> tuple[Any, str]:
    try:
        if target.form == "json":
            return json.loads(raw), "json"
        if target.form == "yaml" and len(raw) < 20_000 and b"*" not in raw:
            return yaml.load(raw, getattr(yaml, "CSafeLoader", yaml.SafeLoader)), "yaml"  # noqa: S506 - both are safe
    except (ValueError, RecursionError, yaml.YAMLError):
        pass
    return None, ""


def _places(value: Any, above: Place = (), depth: int = 0) -> Iterator[Place]:
    yield above
    if depth < 20 and isinstance(value, dict):
        for key, inner in value.items():
            yield from _places(inner, (*above, key), depth + 1)
    elif depth < 20 and isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _places(inner, (*above, index), depth + 1)


def _value(document: Any, choose: Choose) -> Any:
    """The document with one value replaced, dropped, doubled, renamed or put elsewhere."""
    places = list(_places(document))
    place = places[choose(len(places))]
    if not place:
        return NASTY[choose(len(NASTY))] if choose(8) == 0 else document
    changed = copy.deepcopy(document)
    owner = _at(changed, place[:-1])
    key: Any = place[-1]
    how = choose(6)
    if how <= 1:
        owner[key] = copy.deepcopy(NASTY[choose(len(NASTY))])
    elif how == 2:
        del owner[key]
    elif how == 3:
        owner[key] = copy.deepcopy(_at(document, places[choose(len(places))]))
    elif how == 4 and isinstance(owner, list):
        owner.extend([copy.deepcopy(owner[key])] * (1 + choose(3)))
    else:
        name = NASTY[choose(len(NASTY))]
        value = owner[key]
        if isinstance(owner, dict):
            owner[name if isinstance(name, str) else f"{key}x"] = value
        else:
            owner[key] = [value]
    return changed


def _at(document: Any, place: Place) -> Any:
    for step in place:
        document = document[step]
    return document


def _bytes(raw: bytes, tokens: tuple[bytes, ...], choose: Choose) -> bytes:
    at, how = choose(len(raw) + 1), choose(5)
    until = min(len(raw), at + 1 + choose(16))
    if how == 0:
        return raw[:at] + raw[until:]
    if how == 1:
        return raw[:at] + tokens[choose(len(tokens))] + raw[at:]
    if how == 2:
        return raw[:at] + tokens[choose(len(tokens))] + raw[until:]
    if how == 3:
        return raw[:until] + raw[at:]
    return raw[:at] + bytes([choose(256)]) + raw[at + 1 :]


def monsters(target: Target) -> dict[str, bytes]:
    """What is large, deep or endless, whatever the format: each must be refused or taken in a moment."""
    seed = target.seeds[0]
    return {
        "nothing": b"",
        "a line of 10 MB": b"a" * 10_000_000,
        "a string of 10 MB": b'"' + b"a" * 10_000_000 + b'"',
        "digits": b"9" * 1_000_000,
        "lists within lists": b"[" * 200_000 + b"]" * 200_000,
        "maps within maps": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        "flow within flow": b"{a: " * 5_000 + b"1" + b"}" * 5_000,
        "aliases of aliases": b"a0: &a0 [x]\n"
        + b"".join(b"a%d: &a%d [%s]\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 12)),
        "blanks": b" " * 2_000_000,
        "line breaks": b"\n" * 2_000_000,
        "colons": b"a: " * 100_000,
        "quotes": b'"' * 100_001,
        "NUL": b"\0" * 100_000,
        "not UTF-8": b"\xff\xfe\xed\xa0\x80" * 1000,
        "UTF-16": seed.decode("latin-1").encode("utf-16"),
        "twice": seed + seed,
        "cut off": seed[: len(seed) // 2],
        "a long number": b'{"version": %s}' % (b"1" * 100_000),
    }
