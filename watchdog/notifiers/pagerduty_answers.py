"""What PagerDuty answers, as the errors that the sender knows; and the routing key, which appears in none of them."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

import requests
import urllib3

from watchdog.errors import NotifierError
from watchdog.exchange.answer import asked_wait, without_query
from watchdog.exchange.wire import Deadline, innermost
from watchdog.notifiers.texts import cut, one_line

TOO_MANY = 60.0
"""Seconds to stay away after a 429 that does not say how long."""
_READ = 64 * 1024
"""Bytes of an answer that are looked at."""
_SHOWN = 300
"""Characters of somebody else's text that a sentence shows."""
_KEY = re.compile("[A-Za-z0-9]{32}")


@dataclass(frozen=True, slots=True)
class Key:
    """A routing key, and the place it comes from. `shared`: the daemon's own, so that its limit is everybody's."""

    secret: str = field(repr=False)
    place: str
    shared: bool

    @property
    def mark(self) -> str:
        """What tells it from other keys and gives nothing away."""
        return sha256(self.secret.encode()).hexdigest()[:16]

    @property
    def takes_changes(self) -> bool:
        """Whether it belongs to a service; a ruleset's takes no change events."""
        return not self.secret.startswith("R")

    def hidden(self, text: str) -> str:
        """The text on one line, shortened, without the key."""
        return cut(one_line(re.sub(re.escape(self.secret), "***", text, flags=re.IGNORECASE)), _SHOWN)


def unlike_a_key(found: str) -> str:
    """Why it cannot be a routing key, without showing it; empty when it can."""
    if _KEY.fullmatch(found):
        return ""
    odd = "" if found.isascii() and (found.isalnum() or not found) else ", some of them neither letter nor digit"
    return f"holds {len(found)} characters{odd} (not shown), expected an integration key of 32 letters and digits"


def beginning(response: requests.Response, deadline: Deadline) -> bytes:
    """The first bytes of the body. Where it breaks off, the status has said what matters."""
    pieces: list[bytes] = []
    try:
        while sum(map(len, pieces)) < _READ and (piece := response.raw.read1(_READ, decode_content=False)):
            deadline.left()
            pieces.append(piece)
    except (urllib3.exceptions.HTTPError, OSError, ValueError):
        pass
    return b"".join(pieces)[:_READ]


def refused(address: str, status: int, headers: Mapping[str, str], raw: bytes, key: Key) -> NotifierError:
    """The error that an answer is, by its status."""
    who, wait, text = f"PagerDuty ({address})", asked_wait(headers), key.hidden(_said(raw))
    said = f": {text}" if text else ""
    if 300 <= status < 400:
        to = key.hidden(without_query(headers.get("Location") or "nowhere"))
        todo = "set notify.pagerduty.url to the final address"
        found = f"{who} redirects to {to} ({status}), and redirects are never followed; {todo}."
        return NotifierError(found, permanent=True, everything=True)
    if status in (401, 403) or (status == 400 and "routing" in text.lower() and "key" in text.lower()):
        found = f"{who} does not take the routing key of {key.place} ({status}){said}; correct the key."
        return NotifierError(found, permanent=True, everything=True)
    if status in (400, 413):
        return NotifierError(f"{who} refuses this event ({status}){said}; it is not sent again.", permanent=True)
    if status == 429:
        wait = TOO_MANY if wait is None else wait
        found = f"{who} was asked too often (429), waiting for {wait:g} s{said}."
        return NotifierError(found, retry_after=wait, everything=key.shared)
    if status >= 500:
        found = f"{who} failed with status {status}{said}; it is sent again."
        return NotifierError(found, retry_after=wait, everything=True)
    found = f"{who} answered with status {status} where 202 was expected{said}; check notify.pagerduty.url."
    return NotifierError(found, retry_after=wait, everything=True)


def broken(address: str, error: Exception, key: Key, deadline: Deadline, timeout: float) -> NotifierError:
    """The error of an exchange that ended without an answer."""
    cause = innermost(error)
    if deadline.passed or isinstance(cause, TimeoutError | urllib3.exceptions.TimeoutError | requests.Timeout):
        found = f"PagerDuty ({address}) gave no answer within {timeout:g} s; it is sent again."
        return NotifierError(found, everything=True)
    text = key.hidden(getattr(cause, "strerror", None) or str(cause) or type(cause).__name__).rstrip(".")
    what = "failed in TLS" if isinstance(cause, ssl.SSLError) else "could not be reached"
    return NotifierError(f"PagerDuty ({address}) {what}: {text}; it is sent again.", everything=True)


def _said(raw: bytes) -> str:
    """What an answer says: its message and errors, or the beginning of whatever it is."""
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        return raw[: 8 * _SHOWN].decode(errors="replace").rstrip(".")
    errors = found.get("errors")
    listed = [errors] if isinstance(errors, str) else errors if isinstance(errors, list) else []
    parts = [found.get("message") or found.get("status"), *listed]
    return ": ".join(part.rstrip(".") for part in parts if isinstance(part, str))
