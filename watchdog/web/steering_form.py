"""Forms that change something: shown with what they would do, and done once, however often they are sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response

from watchdog.ledger import Ledger
from watchdog.web.access import NEEDED, may, recorded
from watchdog.web.bodies import LONGEST_REASON, text_in
from watchdog.web.layout import page
from watchdog.web.once import HEADER, once
from watchdog.web.problems import KINDS, Problem
from watchdog.web.rolloutpage_text import marked, sentence

Fields = Mapping[str, str]
KEY = "key"
"""The field that makes a form that is sent twice one order."""
SHOWN = frozenset(
    {
        "bad-body",
        "drill-running",
        "flag-conflict",
        "flag-refused",
        "flag-service",
        "ledger",
        "no-drill",
        "no-preflight",
        "preflight-running",
        "rollout-refused",
        "unknown-episode",
    }
)
"""Problems with what was written, or with how things stand: the form is shown again with them."""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What a person confirms. `verb` is a key of `NEEDED`, `about` what it is done to, `href` the page of that.

    `change` is what a flag serves before and after, `refused` why it cannot be done, `until` the end that is proposed
    where one is asked for.
    """

    verb: str
    title: str
    does: str
    about: str
    href: str
    action: str
    sentences: Sequence[str] = ()
    change: Mapping[str, str] | None = None
    refused: str | None = None
    until: str | None = None
    danger: bool = False


def ask(
    request: Request, asked: Confirmation, problem: Problem | None = None, fields: Fields | None = None
) -> Response:
    """The page that asks for it; again, with what was wrong and what was written, after a `problem`."""
    told = fields or {}
    return page(
        request,
        "confirm.html",
        status=200 if problem is None else KINDS[problem.kind][0],
        **{name: getattr(asked, name) for name in Confirmation.__dataclass_fields__ if name not in ("verb", "until")},
        verb=asked.verb,
        until=None if asked.until is None else told.get("until", asked.until),
        problem=None if problem is None else problem.detail,
        reason=told.get("reason", ""),
        may=may(request, asked.verb),
        needed=str(NEEDED[asked.verb]),
        longest=LONGEST_REASON,
        key=new_key(),
        marked=marked,
        sentence=sentence,
    )


def new_key() -> str:
    """A key that no form had before."""
    return uuid4().hex


def done_once(ledger: Ledger, request: Request, fields: Fields, now: float, work: Callable[[], Response]) -> Response:
    """Do the work of a form, or give the answer that the same form had when it was sent before. Raises Problem."""
    body = "\n".join(f"{name}={fields[name]}" for name in sorted(fields)).encode()
    return once(ledger, _keyed(request, fields.get(KEY, "")), recorded(request), body, now, work)


def _keyed(request: Request, key: str) -> Request:
    """The request with the key of its form where a client of the API would put it."""
    if not key:
        return request
    given = (HEADER.lower().encode(), key.encode("latin-1", "replace"))
    return Request({**request.scope, "headers": [*request.scope["headers"], given]})


def reason_of(fields: Fields) -> str:
    """The reason that a form gives. Raises Problem for none, and for one that is too long."""
    said: dict[str, Any] = {"reason": fields.get("reason", "").strip()}
    if not said["reason"]:
        raise Problem("bad-body", "The reason is missing: say why in a few words; it is recorded and read by people.")
    return text_in(said, "reason", LONGEST_REASON) or ""
