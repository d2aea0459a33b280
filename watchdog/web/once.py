"""Changes that are asked for once, however often they are sent: the header `Idempotency-Key`.

The same key from the same person with the same request is answered as it was the first time, for a day. Only what was
done is kept: after a refusal the key is free, so that the request can be corrected, or tried again when it can work.
Without a ledger nothing can be kept, and what works without one (killing a flag) is done all the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from watchdog.errors import LedgerConflict, LedgerError
from watchdog.ledger import Ledger, StoredRequest
from watchdog.quantities import rfc3339
from watchdog.web.problems import Problem

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
LONGEST_KEY = 255
LONGEST_WORK = 120.0
"""Seconds after which a request that was not answered is held to be broken off: this program died in it."""


def once(ledger: Ledger, request: Request, who: str, body: bytes, now: float, work: Callable[[], Response]) -> Response:
    """Do `work`, or give the answer that this request had before. Raises Problem, and what `work` raises."""
    key = _key(request)
    if key is None:
        return work()
    try:
        before = ledger.begin_request(who, key, _digest(request, body), now)
    except LedgerConflict as error:
        raise _under_way(key) from error
    except LedgerError:
        return work()
    if before is not None:
        return _again(before, key, _digest(request, body), now)
    done = False
    try:
        answer = work()
        done = 200 <= answer.status_code < 300
    finally:
        if not done:
            _forget(ledger, who, key)
    headers = {name: value for name, value in answer.headers.items() if name in ("location", "content-type")}
    _keep(ledger, who, key, answer, headers)
    return answer


def _key(request: Request) -> str | None:
    """The key, with or without the quotes that the draft of the IETF puts around it."""
    written = request.headers.get(HEADER)
    if written is None:
        return None
    key = written.strip(" \t")
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not key or len(key) > LONGEST_KEY or not (key.isascii() and key.isprintable()):
        expected = f"expected 1 to {LONGEST_KEY} printable ASCII characters that nobody used before, such as a UUID"
        raise Problem("bad-parameter", f"{HEADER}: found {len(key)} characters, {expected}")
    return key


def _digest(request: Request, body: bytes) -> str:
    asked = f"{request.method} {request.url.path}?{request.url.query}\n"
    return hashlib.sha256(asked.encode() + body).hexdigest()


def _again(before: StoredRequest, key: str, digest: str, now: float) -> Response:
    if before.digest != digest:
        found = f"{HEADER} {key} was given to another request at {rfc3339(before.at)}"
        raise Problem("key-reused", f"{found}; a new request needs a new key")
    if before.status is None:
        raise _under_way(key) if now - before.at < LONGEST_WORK else _broken_off(key, before.at)
    return Response(before.body, before.status, {**before.headers, REPLAYED: "true"})


def _under_way(key: str) -> Problem:
    return Problem("request-running", f"the request with {HEADER} {key} is under way", {"Retry-After": "1"})


def _broken_off(key: str, at: float) -> Problem:
    found = f"the request with {HEADER} {key} of {rfc3339(at)} was broken off, and may have been carried out or not"
    return Problem("request-running", f"{found}: look whether it was, and if not send it with a new key")


def _keep(ledger: Ledger, who: str, key: str, answer: Response, headers: dict[str, str]) -> None:
    try:
        ledger.answer_request(who, key, answer.status_code, headers, bytes(answer.body).decode())
    except LedgerError:
        return  # it was done, and says so; a repeat is told that it was broken off


def _forget(ledger: Ledger, who: str, key: str) -> None:
    try:
        ledger.drop_request(who, key)
    except LedgerError:
        return  # it stays as one that was broken off
