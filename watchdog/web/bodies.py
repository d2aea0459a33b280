"""What a request brings: its body within bounds, an operator's order, who may give one, and times in a query."""

from __future__ import annotations

import asyncio
import hmac
import json
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request

from watchdog.quantities import parse_time, shown
from watchdog.web.problems import Problem

LARGEST_BODY = 64 * 1024
_DRAINED = 1024 * 1024
"""A body that is too large is read up to here and thrown away, so that its sender gets to read the answer."""
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


def authorize(request: Request, token: str | None) -> None:
    """Let the request pass, or raise 403 (no token is configured at all) or 401 (it brings none, or another)."""
    if not token:
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
            f"the request brings {what} that http.token or http.token_file of the daemon names",
            {"WWW-Authenticate": 'Bearer realm="slo-watchdog"'},
        )


async def read_body(request: Request) -> bytes:
    """The body, at most `LARGEST_BODY` bytes of it; 413 when it is larger, 408 when it does not arrive in time."""
    too_large = Problem(
        "too-large",
        f"the body is larger than {LARGEST_BODY // 1024} KiB; a reason is a sentence",
        {"Connection": "close"},
    )
    announced = request.headers.get("content-length", "0")
    if int(announced) > _DRAINED:
        raise too_large
    try:
        async with asyncio.timeout(BODY_WITHIN):
            body = await _read(request)
    except TimeoutError as error:
        detail = f"the body did not arrive within {BODY_WITHIN:g} s"
        raise Problem("too-slow", detail, {"Connection": "close"}) from error
    except ClientDisconnect as error:
        raise Problem("bad-request", "the body broke off") from error
    if body is None:
        raise too_large
    return body


async def _read(request: Request) -> bytes | None:
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size <= LARGEST_BODY:
            pieces.append(piece)
        elif size > _DRAINED:
            return None
    return b"".join(pieces) if size <= LARGEST_BODY else None


def order_of(content_type: str, body: bytes) -> Order:
    """The order in a body. 415 unless it is declared as JSON, 400 unless it is, 422 unless it says what is expected."""
    return _order_in(_object_of(content_type, body))


def wish_of(content_type: str, body: bytes, key: str | None) -> Wish:
    """An order with one value more: `percent` (0 to 100), `version` (from 1), `on` (true or false); None: no value."""
    found = _object_of(content_type, body)
    if key is None:
        return Wish(_order_in(found))
    order = _order_in({name: value for name, value in found.items() if name != key}, also=key)
    value = found.get(key)
    expected, fits = {
        "percent": ("a number from 0 to 100", _is_number(value) and 0 <= value <= 100),  # type: ignore[operator]
        "version": ("a whole number from 1", _is_number(value) and isinstance(value, int) and 1 <= value < 2**31),
        "on": ("true or false", isinstance(value, bool)),
    }[key]
    if not fits:
        raise Problem("bad-body", f"{key} is {shown(value)}, expected {expected}")
    return Wish(order, value)  # type: ignore[arg-type]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _object_of(content_type: str, body: bytes) -> dict[str, object]:
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


def _order_in(found: dict[str, object], also: str | None = None) -> Order:
    if strangers := sorted(found.keys() - {"reason", "by"}):
        expected = "reason" if also is None else f"reason, {also}"
        raise Problem("bad-body", f"{shown(strangers[0])} is not a known key; expected {expected}, and by if you like")
    reason = _text(found, "reason", LONGEST_REASON)
    if reason is None:
        raise Problem("bad-body", 'reason is missing; say why, for example {"reason": "errors in the EU region"}')
    return Order(reason, _text(found, "by", LONGEST_BY))


def _text(found: dict[str, object], key: str, longest: int) -> str | None:
    if key not in found:
        return None
    written = found[key]
    if not isinstance(written, str):
        raise Problem("bad-body", f"{key} is {shown(written)}, expected text")
    # JSON can write half of a surrogate pair and NUL, which no database and no answer can.
    text = written.replace("\0", "\ufffd").encode("utf-8", "replace").decode().strip()
    if not text:
        raise Problem("bad-body", f"{key} is empty; it is recorded and read by people, so write a few words")
    if len(text) > longest:
        raise Problem("bad-body", f"{key} has {len(text)} characters, expected at most {longest}")
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
