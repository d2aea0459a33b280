"""What the forms of our pages send, read within bounds."""

from __future__ import annotations

from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.types import Message, Receive

from watchdog.web.bodies import read_body
from watchdog.web.problems import Problem

FORM = "csrf"
"""The field by which a form shows that it is one of ours."""
FORM_TYPE = "application/x-www-form-urlencoded"
MOST_FIELDS = 50


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form, without `csrf`. Raises Problem for another kind of body, and one that is too large."""
    found = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if found != FORM_TYPE:
        raise Problem("not-json", f"expected the fields of a form ({FORM_TYPE}); the API below /api/v1 takes JSON")
    fields = fields_of(await read_body(request))
    fields.pop(FORM, None)
    return fields


def fields_of(body: bytes) -> dict[str, str]:
    """The fields in a form's body, each at most once. Raises Problem."""
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError as error:
        raise Problem("bad-request", "the body does not hold the fields of a form in UTF-8") from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Problem("bad-request", "a field of the form stands there twice; send each once")
    return fields


def read_again(body: bytes, receive: Receive) -> Receive:
    """A body that was read, for who reads it next."""
    given = False

    async def receiving() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receiving
