"""One exchange with a daemon: bounded in time and size, never redirected, never retried, errors in sentences."""

from __future__ import annotations

import json
import ssl
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import requests
import urllib3

from watchdog.client.errors import PREFIX, ClientError, Unreachable, problem_of
from watchdog.exchange.answer import asked_wait, parsed
from watchdog.exchange.wire import Deadline, Wire, innermost

PROBLEM = "application/problem+json"
LARGEST = 64 * 1024 * 1024
"""Bytes of an answer: a report of a long watch has some."""
_PIECE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What a daemon said. `json` is None where the body is none."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON. Raises Unreachable when it is not."""
        try:
            return parsed(self.body)
        except ValueError as error:
            raise Unreachable(f"the answer is not JSON ({error}); is this address a slo-watchdog?") from error


class Connection:
    """A daemon's address with a token and a timeout in seconds for each exchange, connecting included.

    Reaches nothing when made. Raises ClientError for an address or a token that cannot be one.
    """

    def __init__(
        self, url: str, token: str | None = None, *, timeout: float = 10.0, tls: ssl.SSLContext | None = None
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query:
            raise ClientError("the address is not one; expected http://HOST:PORT or https://HOST, without a user in it")
        token = token.strip() if token is not None else None
        if token is not None and not (token and token.isascii() and token.isprintable()):
            raise ClientError("the token (not shown) is empty, or holds what HTTP does not allow; correct its file")
        if timeout <= 0:
            raise ClientError(f"the timeout is {timeout:g} s, expected more than 0")
        self.url = url.rstrip("/")
        self._host = parts.hostname
        self._token = token
        self._timeout = timeout
        self._tls = (tls or ssl.create_default_context()) if parts.scheme == "https" else None

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        plain: bool = False,
    ) -> Answer:
        """Ask once. Raises ApiProblem for a problem document, Unreachable where nothing usable came.

        `plain` leaves the status to the caller, unless the answer is a problem document.
        """
        given = {"Accept": "application/json, */*;q=0.5", "User-Agent": "slo-watchdog", **(headers or {})}
        if body is not None:
            given["Content-Type"] = "application/json"
        if self._token is not None:
            given["Authorization"] = f"Bearer {self._token}"
        answer = self._exchanged(method, self.url + path, query, body, given)
        if answer.headers.get("Content-Type", "").partition(";")[0] == PROBLEM:
            raise self._problem(answer)
        if not plain and not 200 <= answer.status < 300:
            raise Unreachable(f"{self.url} answered with status {answer.status}, which a slo-watchdog does not")
        return answer

    def change(
        self, path: str, body: object, *, query: Mapping[str, str] | None = None, key: str | None = None
    ) -> Answer:
        """Ask for a change, with a key that makes a repeat harmless: `key`, or one that was never used before."""
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        return self.ask("POST", path, query=query, body=json.dumps(body).encode(), headers=headers)

    def order(self, path: str, reason: str, by: str | None, key: str | None, /, **more: object) -> Answer:
        """A change with its reason, and who wants it where somebody is named."""
        return self.change(path, {"reason": reason, **({"by": by} if by is not None else {}), **more}, key=key)

    def every(self, path: str, field: str, query: Mapping[str, str] | None = None) -> Iterator[Any]:
        """The items of a list, page by page, each page asked for when it is wanted."""
        seen: set[str] = set()
        asked = dict(query or {})
        while True:
            page = self.ask("GET", path, query=asked).json
            yield from page[field]
            following = page.get("next")
            if following is None:
                return
            if following in seen:
                raise Unreachable(f"{self.url}: the pages of {path} go round in a circle")
            seen.add(following)
            # Only the query is taken from the answer: the token goes to the address that was configured, nowhere else.
            asked = dict(parse_qsl(urlsplit(following).query))

    def _exchanged(
        self, method: str, url: str, query: Mapping[str, str] | None, body: bytes | None, headers: Mapping[str, str]
    ) -> Answer:
        deadline = Deadline(self._timeout)
        try:
            with self._session(deadline) as session:
                response = session.request(
                    method,
                    url,
                    params=query,
                    data=body,
                    headers=headers,
                    timeout=deadline.left(),
                    allow_redirects=False,
                    stream=True,
                )
                with response:
                    found = self._body(response, deadline)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            if isinstance(error, ClientError):
                raise
            why = f"no answer within {self._timeout:g} s" if deadline.passed else _said(innermost(error))
            raise Unreachable(f"{self.url} cannot be asked: {why}") from error
        return Answer(response.status_code, response.headers, found)

    def _session(self, deadline: Deadline) -> requests.Session:
        session = requests.Session()
        session.trust_env = False  # a stray netrc must not replace the token
        if not (self._host == "localhost" or self._host.startswith("127.") or self._host == "::1"):
            session.proxies.update(requests.utils.get_environ_proxies(self.url))
        wire = Wire(deadline, self._tls)
        for scheme in ("http://", "https://"):
            session.mount(scheme, wire)
        return session

    def _body(self, response: requests.Response, deadline: Deadline) -> bytes:
        pieces, size = [], 0
        for piece in response.iter_content(_PIECE):
            deadline.left()
            pieces.append(piece)
            size += len(piece)
            if size > LARGEST:
                raise Unreachable(f"{self.url} answers with more than {LARGEST // 1024 // 1024} MiB, which is too much")
        return b"".join(pieces)

    def _problem(self, answer: Answer) -> ClientError:
        found = answer.json
        told = found if isinstance(found, dict) else {}
        kind = str(told.get("type", "")).removeprefix(PREFIX) or "unknown"
        title, detail = str(told.get("title", "")), str(told.get("detail", "") or told.get("title", "no reason given"))
        return problem_of(kind, answer.status, title, detail, retry_after=asked_wait(answer.headers))


def part(text: str) -> str:
    """One part of an address: a name may hold anything. Raises ClientError for one that addresses cannot hold."""
    if not text or text in {".", ".."}:
        raise ClientError(f"{text!r} is not a name that an address can hold; write the name as `status` shows it")
    return quote(text, safe="")


def _said(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error) or type(error).__name__
