"""One POST to a channel over HTTP: bounded in time and in what is read of the answer, never repeated, signed.

A redirect is never followed: it would take a signature or a token to an address that nobody wrote down. Of the
environment only the proxy settings count, and never for a loopback address. Each call has a connection of its own.
"""

from __future__ import annotations

import hashlib
import json
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

import requests
import urllib3

from watchdog.errors import NotifierError
from watchdog.exchange.answer import asked_wait, without_query
from watchdog.exchange.wire import Deadline, Wire, innermost
from watchdog.messages import Message
from watchdog.notifiers.texts import cut, one_line, plain, whole
from watchdog.signing import SIGNATURE, TIMESTAMP, signature

ID = "X-Slo-Watchdog-Id"
"""The header with the message's key: the same at every repeat."""

LARGEST = 256 * 1024
"""Bytes of one document, unless a channel takes less."""

SHOWN = 300
"""Characters of somebody else's answer that a sentence shows."""

READ = 64 * 1024
"""Bytes of an answer that are looked at."""

LIKE_A_SECRET = 16
"""Characters from which on a part of an address is taken for a secret, and hidden wherever somebody says it back."""

_LIMITS = (20_000, 2_000, 200)
_TEMPORARY = (408, 423, 425, 429)
_CHANNEL_IS_WRONG = {
    401: "check the token or secret",
    403: "give the token the right to do this",
    404: "check the address",
    405: "check the address",
    407: "check the proxy's credentials in the environment",
    410: "the receiver is gone for good: take the channel out of the settings, or write its new address",
}


@dataclass(frozen=True)
class Answer:
    """What a receiver said. `headers` ignore case; `text` is the beginning of the body, fit for a sentence."""

    status: int
    headers: Mapping[str, str]
    text: str = ""


class Post:
    """POSTs to one address of a channel, each of them answered within `timeout` seconds, connecting included.

    `secrets` never appear in a sentence, and of the address only its host does. `alone` says that the address is the
    channel's only one: where it is not, its bad hours hold up nothing that goes elsewhere. Reaches nothing when made.
    """

    def __init__(
        self,
        url: str,
        *,
        channel: str,
        timeout: float,
        secrets: Sequence[str] = (),
        alone: bool = True,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        parts = urlsplit(url)
        self._url = url
        self._host = parts.hostname or ""
        self._timeout = timeout
        self._alone = alone
        self._tls = (tls or ssl.create_default_context()) if parts.scheme == "https" else None
        self.who = f"{channel}: {parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        # The path and query of such an address are often what makes it secret.
        path = url.split(parts.netloc, 1)[-1]
        pieces = (piece for piece in re.split("[/?&=#]", path) if len(piece) >= LIKE_A_SECRET)
        hidden = [*secrets, url, path, parts.path, *pieces]
        looks = [(text, quote(text, safe=""), json.dumps(text)[1:-1], repr(text)[1:-1]) for text in hidden]
        self._secrets = sorted({look for each in looks for look in each if len(look) > 3}, key=len, reverse=True)

    def send(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """One request, whatever its status says. Raises NotifierError when there is no answer."""
        given = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "slo-watchdog",
            **headers,
        }
        for name, text in given.items():
            if not (text.isascii() and text.isprintable()):
                # The library's own complaint would print the value.
                found = f"the header {name} would hold a line break or a letter that HTTP does not allow (not shown)"
                raise self.error(f"{found}; correct the token", permanent=True, everything=True)
        deadline = Deadline(self._timeout)
        try:
            with self._session(deadline) as session:
                response = session.post(
                    self._url, data=body, headers=given, timeout=deadline.left(), allow_redirects=False, stream=True
                )
                with response:
                    text = self._text(response, deadline)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise self._broken(error, deadline) from error
        return Answer(response.status_code, response.headers, text)

    def refused(self, answer: Answer) -> NotifierError:
        """The error that an answer is, by its status."""
        status = answer.status
        said = f": {answer.text}" if answer.text else ""
        wait = asked_wait(answer.headers)
        if 300 <= status < 400:
            to = self.redacted(without_query(answer.headers.get("Location") or "nowhere"))
            found = f"redirects to {to} ({status}), and redirects are never followed"
            return self.error(f"{found}; write the final address", permanent=True, everything=True)
        if status == 429:
            pause = "" if wait is None else f" for {wait:g} s"
            return self.error(f"was asked too often (429), waiting{pause}{said}", retry_after=wait, everything=True)
        if status in _TEMPORARY or status >= 500:
            # 500 may be this message's doing; the others say that nobody is there.
            found = f"failed with status {status}{said}; it is sent again"
            return self.error(found, retry_after=wait, everything=status in (502, 503, 504))
        if 200 <= status < 300:
            found = f"answered with status {status}, which was not expected; check the address"
            return self.error(found, permanent=True, everything=True)
        todo = _CHANNEL_IS_WRONG.get(status)
        found = f"refused with status {status}{said}; {todo or 'this message is not sent again'}"
        return self.error(found, permanent=True, everything=todo is not None)

    def error(
        self, found: str, *, permanent: bool = False, retry_after: float | None = None, everything: bool = False
    ) -> NotifierError:
        """A sentence that names the channel and its host."""
        return NotifierError(
            f"{self.who} {found}.",
            permanent=permanent,
            retry_after=retry_after,
            everything=everything and (permanent or self._alone),
        )

    def redacted(self, text: str) -> str:
        """The text on one line, shortened, without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return cut(one_line(text), SHOWN)

    def _session(self, deadline: Deadline) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        if not (self._host == "localhost" or self._host.startswith("127.") or self._host == "::1"):
            session.proxies.update(requests.utils.get_environ_proxies(self._url))
        wire = Wire(deadline, self._tls)
        for scheme in ("http://", "https://"):
            session.mount(scheme, wire)
        return session

    def _text(self, response: requests.Response, deadline: Deadline) -> str:
        """The beginning of the body. Where it breaks off the status has said what matters: the message was taken."""
        pieces: list[bytes] = []
        try:
            while piece := response.raw.read1(READ, decode_content=False):
                deadline.left()
                pieces.append(piece)
                if sum(map(len, pieces)) >= READ:
                    break
        except (urllib3.exceptions.HTTPError, OSError, ValueError):
            pass
        raw = b"".join(pieces)
        text = raw[: 64 * SHOWN].decode(errors="replace")
        try:
            found = json.loads(raw)
        except (ValueError, RecursionError):
            found = None
        own = found.get("message") if isinstance(found, dict) else None
        return self.redacted(own if isinstance(own, str) and own else text).rstrip(".")

    def _broken(self, error: Exception, deadline: Deadline) -> NotifierError:
        if deadline.passed or isinstance(error, requests.Timeout | TimeoutError | urllib3.exceptions.TimeoutError):
            found = f"gave no answer within {self._timeout:g} s; it is sent again, under the same key"
            return self.error(found, everything=True)
        cause = innermost(error)
        text = self.redacted(getattr(cause, "strerror", None) or str(cause) or type(cause).__name__).rstrip(".")
        if isinstance(cause, ssl.SSLError):
            found = f"failed in TLS: {text}; check the address, and which certificates this machine trusts"
        elif isinstance(error, requests.ConnectionError | OSError) and isinstance(cause, OSError):
            found = f"could not be reached: {text}; it is sent again"
        else:
            found = f"broke the exchange off: {text}; it is sent again, under the same key"
        return self.error(found, everything=True)


def signed(secret: str, body: bytes, message: Message, now: float) -> dict[str, str]:
    """The headers by which a receiver knows sender, time and repeats; without a secret only those of the repeats."""
    key = message.key
    fits = key.isascii() and key.isprintable() and key == key.strip() and 0 < len(key) <= 200
    headers = {ID: key if fits else hashlib.sha256(whole(key).encode()).hexdigest()}
    if secret:
        timestamp = str(int(now))
        headers |= {TIMESTAMP: timestamp, SIGNATURE: f"v1={signature(secret.encode(), timestamp, body)}"}
    return headers


def document(value: Mapping[str, Any], largest: int = LARGEST) -> bytes:
    """The value as JSON of at most `largest` bytes, where texts are cut shorter and shorter until it fits.

    What cannot be made to fit by that loses its `details`.
    """
    body = b""
    for most in _LIMITS:
        body = json.dumps(plain(value, most), allow_nan=False).encode()
        if len(body) <= largest:
            return body
    shortest = {**value, "details": {"left_out": f"{len(body)} bytes were too many"}}
    return json.dumps(plain(shortest, _LIMITS[-1]), allow_nan=False).encode()


def instant(at: float) -> str:
    """Wall time as RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
