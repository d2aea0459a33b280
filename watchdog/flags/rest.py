"""One HTTP exchange with a flag service: bounded in time, size and depth, never retried, errors in sentences.

Each call has a connection of its own. A kept one may have died in silence (a firewall, a restarted service), and then
the first call that pays for it with its whole timeout could be a kill. So any number of threads may share a `Rest`.

Of the environment only the proxy settings count, and never for a loopback address: a stray netrc would replace the
token. Names are resolved by the system, whose resolver has a time limit of its own.
"""

from __future__ import annotations

import json as jsonlib
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, urlsplit

import requests
import urllib3

from watchdog.errors import ConfigError, FlagConflict, FlagServiceError, Problem
from watchdog.exchange.answer import asked_wait, parsed, without_query
from watchdog.exchange.wire import Deadline, Wire, innermost

MAX_BODY = 4 * 1024 * 1024
"""Bytes of one answer."""

SHOWN = 300
"""Characters of somebody else's text that a sentence shows."""

_PIECE = 1 << 16
_TEMPORARY = (408, 423, 425, 429)
_TODO = {
    401: "check the token",
    403: "give the token the right to do this",
    404: "check the names and the address; a missing flag is created by `slo-watchdog flags init`",
    407: "check the proxy's credentials in the environment",
}


@dataclass(frozen=True)
class Answer:
    """What a service said. `headers` ignore case; `body` is parsed JSON, None when empty.

    Outside 2xx a body need not be JSON: it is then None. `text` is the beginning of any body, fit for a sentence.
    """

    status: int
    headers: Mapping[str, str]
    body: Any
    text: str = ""


class Rest:
    """Calls to the service at `base`, of which each ends within `timeout` seconds, connecting included.

    `headers` go with every call. `secrets` never appear in a sentence. `verify` as a path names certificates to trust
    besides the usual ones; certificates are always checked. Reaches nothing when it is made. Raises ConfigError.
    """

    def __init__(
        self,
        base: str,
        *,
        service: str,
        timeout: float,
        headers: Mapping[str, str],
        secrets: Sequence[str] = (),
        verify: Literal[True] | str = True,
    ) -> None:
        for name, text in headers.items():
            # The library's own complaint would print the value.
            if not (text.isascii() and text.isprintable()):
                found = f"the header {name} would hold a line break or a letter that HTTP does not allow"
                raise ConfigError([Problem(f"flags ({service})", f"{found}; correct the token or key (not shown)")])
        self._base = base.rstrip("/")
        parts = urlsplit(self._base)
        self._host = parts.hostname or ""
        self._address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._service = service
        self._timeout = timeout
        self._headers = {"Accept": "application/json", "Accept-Encoding": "identity", **headers}
        # As they are, and as they look in an address, in JSON and in Python's own quotes.
        looks = [(text, quote(text, safe=""), jsonlib.dumps(text)[1:-1], repr(text)[1:-1]) for text in secrets if text]
        self._secrets = sorted({look for each in looks for look in each}, key=len, reverse=True)
        self._tls = _tls(service, verify) if parts.scheme == "https" else None

    def call(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        place: str,
        expected: Sequence[int] = (200,),
    ) -> Answer:
        """Send one request and give back what is answered with one of the `expected` statuses.

        `json` (or `data`, bytes as they are) is the body; names in `path` go through `segment`. `place` says in
        sentences what the call is about. Raises FlagServiceError, and FlagConflict for a 409 that is not expected.
        """
        deadline = Deadline(self._timeout)
        given = {
            **self._headers,
            **({"Content-Type": "application/json"} if json is not None else {}),
            **(headers or {}),
        }
        body = jsonlib.dumps(json, allow_nan=False).encode() if json is not None else data
        try:
            with self._session(deadline) as session:
                response = session.request(
                    method,
                    self._base + path,
                    params=params,
                    data=body,
                    headers=given,
                    timeout=deadline.left(),
                    allow_redirects=False,
                    stream=True,
                )
                with response:
                    raw = self._read(response, deadline, place)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise self._broken(error, deadline, place) from error
        answer = self._answer(response, raw, place)
        if answer.status not in expected:
            raise self.refused(answer, place)
        return answer

    def refused(self, answer: Answer, place: str) -> FlagServiceError:
        """The error that an answer is, by its status; for adapters that look at an expected status first."""
        status, who = answer.status, self._who(place)
        said = f": {answer.text}" if answer.text else ""
        wait = asked_wait(answer.headers)
        if 300 <= status < 400:
            to = self.redacted(without_query(answer.headers.get("Location") or "nowhere"))
            message = f"{who}: {self._address} redirects to {to} ({status}), and redirects are never followed"
            return FlagServiceError(f"{message}; set url to the final address.", permanent=True)
        if status == 409:
            return FlagConflict(f"{who}: refused as a conflict (409){said}; it is read and decided again.")
        if status == 429:
            pause = "" if wait is None else f" for {wait:g} s"
            return FlagServiceError(f"{who}: asked too often (429), waiting{pause}{said}.", retry_after=wait)
        if status >= 500:
            return FlagServiceError(f"{who}: failed with status {status}{said}; it is asked again.", retry_after=wait)
        if 200 <= status < 300:
            message = f"{who}: answered with status {status}, which was not expected; check the address"
            return FlagServiceError(f"{message}.", permanent=True)
        todo = _TODO.get(status, "check the settings of the flag service")
        permanent = status not in _TEMPORARY
        return FlagServiceError(
            f"{who}: refused with status {status}{said}; {todo}.", permanent=permanent, retry_after=wait
        )

    def redacted(self, text: str) -> str:
        """The text on one line, shortened, without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        flat = "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))
        return flat if len(flat) <= SHOWN else flat[: SHOWN - 6] + " [...]"

    def _session(self, deadline: Deadline) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        if not (self._host == "localhost" or self._host.startswith("127.") or self._host == "::1"):
            session.proxies.update(requests.utils.get_environ_proxies(self._base))
        wire = Wire(deadline, self._tls)
        for scheme in ("http://", "https://"):
            session.mount(scheme, wire)
        return session

    def _read(self, response: requests.Response, deadline: Deadline, place: str) -> bytes:
        """The body; of an error no more than is shown of it."""
        good = 200 <= response.status_code < 300
        coding = response.headers.get("Content-Encoding", "identity")
        if good and coding.strip().lower() not in {"identity", ""}:
            raise self._strange(place, f"packed as {self.redacted(coding)}, though nothing of the kind was offered")
        pieces: list[bytes] = []
        size = 0
        while piece := response.raw.read1(_PIECE, decode_content=False):
            deadline.left()
            pieces.append(piece)
            size += len(piece)
            if size > MAX_BODY and good:
                raise self._strange(place, f"longer than {MAX_BODY // 1024 // 1024} MiB")
            if size > _PIECE and not good:
                break
        return b"".join(pieces)

    def _answer(self, response: requests.Response, raw: bytes, place: str) -> Answer:
        status, headers = response.status_code, response.headers
        text = self.redacted(raw[: 64 * SHOWN].decode(errors="replace")).rstrip(".")
        good = 200 <= status < 300
        if not raw.strip():
            return Answer(status, headers, None)
        kind = headers.get("Content-Type", "json").partition(";")[0].lower()
        if good and "json" not in kind:
            raise self._strange(place, f"not JSON but {self.redacted(kind)}: {text}")
        try:
            body = parsed(raw)
        except ValueError as error:
            if good:
                raise self._strange(place, f"not understood ({self.redacted(str(error))}): {text}") from error
            body = None
        own = body.get("message") if isinstance(body, dict) else None
        return Answer(status, headers, body, self.redacted(own).rstrip(".") if isinstance(own, str) and own else text)

    def _strange(self, place: str, found: str) -> FlagServiceError:
        return FlagServiceError(f"{self._who(place)}: the answer of {self._address} is {found}; expected short JSON.")

    def _broken(self, error: Exception, deadline: Deadline, place: str) -> FlagServiceError:
        who = self._who(place)
        if deadline.passed or isinstance(error, requests.Timeout | TimeoutError | urllib3.exceptions.TimeoutError):
            message = f"{who}: {self._address} gave no whole answer within {self._timeout:g} s"
            return FlagServiceError(f"{message}; whether it did what was asked shows when it is read again.")
        cause = innermost(error)
        text = self.redacted(getattr(cause, "strerror", None) or str(cause) or type(cause).__name__).rstrip(".")
        if isinstance(cause, ssl.SSLError):
            return FlagServiceError(f"{who}: TLS with {self._address} failed: {text}; check the address and ca_file.")
        if isinstance(error, requests.ConnectionError | OSError) and isinstance(cause, OSError):
            return FlagServiceError(f"{who}: {self._address} could not be reached: {text}; it is asked again.")
        return FlagServiceError(f"{who}: the exchange with {self._address} broke off: {text}; it is asked again.")

    def _who(self, place: str) -> str:
        return f"{self._service}, {self.redacted(place)}"


def segment(name: str) -> str:
    """A name as one segment of a path. Raises FlagServiceError for one that would lead to another address."""
    if not name or not name.strip(".") or not name.isprintable():
        message = f"the name {name!r} cannot be part of an address; expected letters, digits and dashes"
        raise FlagServiceError(f"{message}; correct it.", permanent=True)
    return quote(name, safe="")


def _tls(service: str, verify: Literal[True] | str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if isinstance(verify, str):
        try:
            context.load_verify_locations(verify)
        except (OSError, ssl.SSLError) as error:
            found = f"{verify} holds no certificates that can be read ({error}); expected a PEM file"
            raise ConfigError([Problem(f"flags ({service}).ca_file", found)]) from error
    return context
