"""Other people's texts, made fit for a channel: valid Unicode, without control characters, cut where they are long."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def whole(text: str) -> str:
    """The text with a replacement sign for each half of a surrogate pair, which nothing could write down."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def readable(text: str) -> str:
    """The text without control characters; line breaks and tabs stay."""
    text = whole(text).replace("\r\n", "\n").replace("\r", "\n")
    return "".join(letter if letter in "\n\t" or not _controls(letter) else " " for letter in text)


def one_line(text: str) -> str:
    """The text on one line, its blanks single."""
    return " ".join(readable(text).split())


def cut(text: str, most: int) -> str:
    """At most so many characters; what is longer ends with an ellipsis and says how many characters are left out."""
    if len(text) <= most:
        return text
    kept = max(0, most - len(f"… [{len(text)} more characters]"))
    return f"{text[:kept]}… [{len(text) - kept} more characters]"[:most]


def plain(value: Any, most: int) -> Any:
    """The value as JSON can hold it, each text in it valid and at most `most` characters long."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return cut(whole(value), most)
    if isinstance(value, Mapping):
        return {cut(whole(str(key)), most): plain(part, most) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(part, most) for part in value]
    return cut(whole(str(value)), most)


def _controls(letter: str) -> bool:
    """Whether a letter is a control character, or turns the direction of what follows it."""
    return (
        ord(letter) < 0x20
        or 0x7F <= ord(letter) < 0xA0
        or letter in "\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    )
