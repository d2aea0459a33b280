"""What a request brings: its body within bounds, an operator's order, who may give one, and times in a query."""

from __future__ import annotations

import asyncio
import hmac
import json
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request

from watchdog.noise.episodes import Label
from watchdog.quantities import parse_time, shown
from watchdog.web.problems import Problem

LARGEST_BODY = 64 * 1024
_DRAINED = 1024 * 1024
"""So much of a body that is too large is read and thrown away, so that its sender gets to read the answer."""
BODY_WITHIN = 5.0
"""Seconds for a body to arrive."""
LONGEST_REASON = 2000
LONGEST_BY = 200


@dataclass(frozen=True, slots=True)
class Order:
    """What the body of a changing call says. `by` is None when nobody is named."""

    reason: str
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """An order that says to what a flag is to be changed, where that is not clear from its verb."""

    order: Order
    value: float = 0.0


def authorize(request: Request, token: str | None, setting: str = "http.token") -> None:
    """Let the request pass, or raise 403 (no token is configured at all) or 401 (it brings none, or another)."""
    if not token:
        if setting == "alerts.token":
            raise Problem(
                "alerts-closed",
                "no token is configured for the receiver of alerts, so none are taken: set alerts.token_file (or the "
                "environment variable WATCHDOG_ALERTS__TOKEN_FILE) to a file that holds one and restart the daemon",
            )
        raise Problem(
            "no-token",
            "no token is configured, so nobody may change anything over HTTP: set http.token_file (or the "
            "environment variable WATCHDOG_HTTP__TOKEN_FILE) to a file that holds one and restart the daemon",
        )
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    same = hmac.compare_digest(given.strip().encode("latin-1"), token.encode())
    if scheme.lower() != "bearer" or not same:
        what = "another token than the one" if given else "no `Authorization: Bearer ...`, the token"
        raise Problem(
            "unauthorized",
            f"the request brings {what} that {setting} or {setting}_file of the daemon names",
            {"WWW-Authenticate": 'Bearer realm="slo-watchdog"'},
        )


async def read_body(request: Request, largest: int = LARGEST_BODY, hint: str = "a reason is a sentence") -> bytes:
    """The body, at most `largest` bytes of it; 413 when it is larger, 408 when it does not arrive in time.

    `hint` tells the sender of a body that is too large what was expected.
    """
    too_large = Problem("too-large", f"the body is larger than {largest // 1024} KiB; {hint}", {"Connection": "close"})
    announced = request.headers.get("content-length", "0")
    if int(announced) > largest + _DRAINED:
        raise too_large
    try:
        async with asyncio.timeout(BODY_WITHIN):
            body = await _read(request, largest)
    except TimeoutError as error:
        detail = f"the body did not arrive within {BODY_WITHIN:g} s"
        raise Problem("too-slow", detail, {"Connection": "close"}) from error
    except ClientDisconnect as error:
        raise Problem("bad-request", "the body broke off") from error
    if body is None:
        raise too_large
    return body


async def _read(request: Request, largest: int) -> bytes | None:
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size <= largest:
            pieces.append(piece)
        elif size > largest + _DRAINED:
            return None
    return b"".join(pieces) if size <= largest else None


def order_of(content_type: str, body: bytes) -> Order:
    """The order in a body. 415 unless it is declared as JSON, 400 unless it is, 422 unless it says what is expected."""
    return order_in(object_of(content_type, body))


def wish_of(content_type: str, body: bytes, key: str | None) -> Wish:
    """An order with one value more: `percent` (0 to 100), `version` (from 1), `on` (true or false); None: no value."""
    found = object_of(content_type, body)
    if key is None:
        return Wish(order_in(found))
    order = order_in({name: value for name, value in found.items() if name != key}, also=key)
    value = whole_of(found.get(key)) if key == "version" else found.get(key)
    expected, fits = {
        "percent": ("a number from 0 to 100", is_number(value) and 0 <= value <= 100),  # type: ignore[operator]
        "version": ("a whole number from 1", is_number(value) and isinstance(value, int) and 1 <= value < 2**31),
        "on": ("true or false", isinstance(value, bool)),
    }[key]
    if not fits:
        raise Problem("bad-body", f"{key} is {shown(value)}, expected {expected}")
    return Wish(order, value)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Labelled:
    """An order that says what an alert was, and when that was so, where it was not now."""

    order: Order
    label: Label
    at: float | None = None


def labelled_of(content_type: str, body: bytes) -> Labelled:
    """A label for an episode: `label`, `reason`, and `by` and `at` if given."""
    found = object_of(content_type, body)
    order = order_in({name: value for name, value in found.items() if name not in ("label", "at")}, also="label")
    word = found.get("label")
    if not isinstance(word, str) or word not in list(Label):
        raise Problem("bad-body", f"label is {shown(word)}, expected one of {', '.join(Label)}")
    at = None
    if "at" in found:
        try:
            at = parse_time(found["at"])
        except ValueError as error:
            raise Problem("bad-body", f"at: {error}") from error
    return Labelled(order, Label(word), at)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is wanted of a preflight. `image` and `commit` are those of the release, empty where nobody says."""

    by: str
    drill: bool = True
    image: str = ""
    commit: str = ""

    @property
    def options(self) -> list[str]:
        """The same on a command line."""
        found = ["--by", self.by, *([] if self.drill else ["--no-drill"])]
        for name, value in (("--image", self.image), ("--commit", self.commit)):
            found += [name, value] if value else []
        return found


def preflight_of(content_type: str, body: bytes) -> Asked:
    """What is wanted of a preflight; nothing, or an object with `by`, `drill`, `image` and `commit`, each if you like.

    `by` is empty where nobody is named.
    """
    found = object_of(content_type, body) if body.strip() else {}
    if strangers := sorted(found.keys() - {"by", "drill", "image", "commit"}):
        raise Problem("bad-body", f"{shown(strangers[0])} is not a known key; expected by, drill, image or commit")
    drill = found.get("drill", True)
    if not isinstance(drill, bool):
        raise Problem("bad-body", f"drill is {shown(drill)}, expected true or false")
    named = {name: text_in(found, name, LONGEST_BY) or "" for name in ("by", "image", "commit")}
    return Asked(named["by"], drill, named["image"], named["commit"])


def whole_of(value: object) -> object:
    """A number that is whole as an int, however JSON wrote it; anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def is_number(value: object) -> bool:
    """Whether JSON wrote a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def object_of(content_type: str, body: bytes) -> dict[str, object]:
    """The object in a body. 415 unless it is declared as JSON, 400 unless it is, 422 unless it is an object."""
    if content_type.partition(";")[0].strip().lower() != "application/json":
        found = f"found Content-Type {shown(content_type)}" if content_type else "found no Content-Type"
        raise Problem("not-json", f"{found}, expected application/json")
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Problem("bad-request", 'the body is not JSON; expected {"reason": "..."}') from error
    if not isinstance(found, dict):
        raise Problem("bad-body", f'the body is {shown(found)}, expected an object such as {{"reason": "..."}}')
    return found


def order_in(found: dict[str, object], also: str | None = None) -> Order:
    """The order in an object; any other key is refused. `also` names what its caller takes besides."""
    if strangers := sorted(found.keys() - {"reason", "by"}):
        expected = "reason" if also is None else f"reason, {also}"
        raise Problem("bad-body", f"{shown(strangers[0])} is not a known key; expected {expected}, and by if you like")
    reason = text_in(found, "reason", LONGEST_REASON)
    if reason is None:
        raise Problem("bad-body", 'reason is missing; say why, for example {"reason": "errors in the EU region"}')
    return Order(reason, text_in(found, "by", LONGEST_BY))


def text_in(found: dict[str, object], key: str, longest: int) -> str | None:
    """A text that is not empty; None where there is none. 422 for what is no such text."""
    if key not in found:
        return None
    written = found[key]
    if not isinstance(written, str):
        raise Problem("bad-body", f"{key} is {shown(written)}, expected text")
    if len(written) > longest:  # as it was sent, blanks and all: so the description says it, too
        raise Problem("bad-body", f"{key} has {len(written)} characters, expected at most {longest}")
    # JSON can write half of a surrogate pair and NUL, which no database and no answer can.
    text = written.replace("\0", "\ufffd").encode("utf-8", "replace").decode().strip()
    if not text:
        raise Problem("bad-body", f"{key} is empty; it is recorded and read by people, so write a few words")
    return text


def time_of(request: Request, name: str, default: float) -> float:
    """A time in the query; 400 unless it is RFC 3339 with its zone."""
    written = request.query_params.get(name)
    if written is None:
        return default
    try:
        return parse_time(written)
    except ValueError as error:
        raise Problem("bad-parameter", f"{name}: {error}") from error
