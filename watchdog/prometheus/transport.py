"""One HTTP exchange with Prometheus: bounded in time and size, never retried, never redirected, errors in sentences.

`Wire` is the adapter below the session that prometheus_api_client uses. That client forgets the answer's warnings
and its Date header, waits for ever and raises two families of errors; so all of that is settled here, and
only a decoded, successful envelope passes upwards. Everything else is `NoAnswer`, with a reason.
"""

from __future__ import annotations

import contextlib
import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from watchdog.model import Reason
from watchdog.prometheus.redact import SHOWN, Redactor, causes, said, without_query

MAX_BODY = 64 * 1024 * 1024
"""Bytes of one answer, unpacked. The largest chunk that is asked for (10,000 points) is under 1 MB."""

MAX_SKEW = 5.0
"""Seconds that the source's clock may differ from this host's."""

LONG_URL = 4000
"""Queries that would make a longer URL are sent as a POST: proxies cut URLs at 8 KB."""

_PIECE = 1 << 18


class NoAnswer(Exception):
    """There is no usable answer; `reason` and `detail` (a sentence without secrets) say why."""

    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(detail)


class Skew:
    """Compares each answer's Date with the host clock. One answer may be off by accident, two in a row are not.

    Shared by the threads of one source. `seconds` is the last difference seen, positive when the source is ahead;
    Date is truncated to whole seconds, so it is the smallest difference that explains the header.
    """

    def __init__(self, now: Callable[[], float], *, judge: bool) -> None:
        self.seconds: float | None = None
        self._now = now
        self._judge = judge
        self._off_in_a_row = 0
        self._lock = threading.Lock()

    def heard(self, date: str | None) -> str | None:
        """Take note of one answer's Date; a sentence if this is the second or a later one in a row that is off."""
        try:
            stamp = parsedate_to_datetime(date or "").timestamp()
        except (ValueError, OverflowError):
            return None
        late = self._now() - stamp
        seconds = -late if late < 0 else min(0.0, 1 - late)
        with self._lock:
            self.seconds = seconds
            self._off_in_a_row = self._off_in_a_row + 1 if abs(seconds) > MAX_SKEW else 0
            if not self._judge or self._off_in_a_row < 2:
                return None
        side = "ahead of" if seconds > 0 else "behind"
        return (
            f"its clock (the Date header) is {abs(seconds):.0f} s {side} this host's, and at most {MAX_SKEW:g} s "
            "are allowed: check time synchronisation on both"
        )


class Answer(requests.Response):
    """A response whose body has been read within bounds and decoded once."""

    envelope: Mapping[str, Any]

    def json(self, **_: Any) -> Any:
        """The envelope that was decoded on receipt."""
        return self.envelope


class _TimedRaw(io.RawIOBase):
    """The bytes from a socket, each of them within the time that is left.

    A socket's own timeout starts anew with each byte: a server that drips headers or body would never end.
    """

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, left: Callable[[], float]) -> None:
        self._raw, self._sock, self._time_left = raw, sock, left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._time_left())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class Wire(HTTPAdapter):
    """Sends one request at a time, for one thread; `abort` may come from another one."""

    def __init__(self, name: str, skew: Skew, redact: Redactor) -> None:
        self._name = name
        self._skew = skew
        self._redact = redact
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self._exchange: object = None
        self._expires = 0.0
        self._shown = 0.0
        self.envelope: Mapping[str, Any] = {}
        self.skewed: str | None = None
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    @contextlib.contextmanager
    def exchange(self, token: object, seconds: float, shown: float) -> Iterator[None]:
        """All requests inside must be answered, to the last byte, within `seconds`; sentences say `shown` instead."""
        with self._lock:
            self._exchange = token
        self._shown = shown
        self._expires = time.monotonic() + seconds
        self.envelope, self.skewed = {}, None
        try:
            yield
        finally:
            with self._lock:
                self._exchange = None

    def abort(self, token: object = None) -> None:
        """Cut the connection of the exchange with that token (or of any), if it is under way: its thread comes free."""
        with self._lock:
            if self._exchange is not None and token in (None, self._exchange) and self._socket is not None:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make connections that tell us their socket, so that it can be cut."""
        super().init_poolmanager(*args, **kwargs)
        schemes = self.poolmanager.pool_classes_by_scheme
        self.poolmanager.pool_classes_by_scheme = {
            scheme: type(pool.__name__, (pool,), {"ConnectionCls": self._telling(pool.ConnectionCls)})
            for scheme, pool in schemes.items()
        }

    def _telling(self, base: Any) -> Any:
        wire = self

        class Timed(HTTPResponse):
            def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
                super().__init__(sock, *args, **kwargs)
                self.fp = io.BufferedReader(_TimedRaw(self.fp.detach(), sock, wire._left))

        class Telling(base):  # type: ignore[misc]
            response_class = Timed

            def connect(self) -> None:
                super().connect()
                wire._socket = self.sock

        return Telling

    def send(self, request: requests.PreparedRequest, *_: Any, **how: Any) -> Answer:
        """Send and receive within the exchange's time. Raises NoAnswer for everything but a good answer."""
        _long_query_to_post(request)
        left = self._left()
        how.update(stream=True, timeout=left)
        try:
            response = super().send(request, **how)
            # Before the body: the header was written when the answer was ready, not when we have read it.
            self.skewed = self._skew.heard(response.headers.get("Date"))
            answer = Answer()
            answer.__dict__.update(response.__dict__)
            answer._content = self._body(response)  # noqa: SLF001 - read, as Session wants it
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise self._translated(error) from error
        answer._content_consumed = True  # type: ignore[attr-defined]  # noqa: SLF001
        answer.envelope = self.envelope = self._judged(answer)
        return answer

    def _left(self) -> float:
        left = self._expires - time.monotonic()
        if left <= 0:
            raise self._too_late()
        return left

    def _too_late(self) -> NoAnswer:
        return NoAnswer(Reason.UNREACHABLE, f"{self._name} gave no answer within {self._shown:g} s.")

    def _body(self, response: requests.Response) -> bytes:
        pieces: list[bytes] = []
        size, whole = 0, False
        try:
            while piece := response.raw.read1(_PIECE, decode_content=True):
                pieces.append(piece)
                size += len(piece)
                self._within(size)
            whole = True
        finally:
            if not whole:
                response.close()
        response.raw.release_conn()
        return b"".join(pieces)

    def _within(self, size: int) -> None:
        if size > MAX_BODY:
            most = f"{MAX_BODY // 1024 // 1024} MiB"
            raise NoAnswer(Reason.QUERY_ERROR, f"{self._name} sent more than {most}: ask for fewer series.")

    def _translated(self, error: Exception) -> NoAnswer:
        slow = (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)
        if isinstance(error, slow) or time.monotonic() >= self._expires:
            return self._too_late()
        wrapped = causes(error)
        text = self._redact(said(wrapped[-1]))
        if any(isinstance(cause, HTTPException) and not isinstance(cause, OSError) for cause in wrapped):
            return NoAnswer(Reason.QUERY_ERROR, f"{self._name} does not speak proper HTTP, or broke off: {text}.")
        if isinstance(error, requests.exceptions.SSLError):
            return NoAnswer(Reason.UNREACHABLE, f"{self._name} could not be reached: TLS failed ({text}).")
        if isinstance(error, requests.ConnectionError):
            return NoAnswer(Reason.UNREACHABLE, f"{self._name} could not be reached: {text}.")
        if isinstance(error, urllib3.exceptions.HTTPError):
            return NoAnswer(Reason.QUERY_ERROR, f"{self._name} broke off in the middle of its answer: {text}.")
        return NoAnswer(Reason.QUERY_ERROR, f"{self._name} cannot be asked, check the prometheus settings: {text}.")

    def _judged(self, answer: Answer) -> Mapping[str, Any]:
        status = answer.status_code
        if answer.is_redirect or 300 <= status < 400:
            where = without_query(answer.headers.get("Location") or "nowhere")
            message = f"{self._name} redirects to {self._redact(where)} ({status}), and redirects are not followed"
            raise NoAnswer(Reason.QUERY_ERROR, f"{message}: set prometheus.url to the final address.")
        envelope = _decoded(answer.content)
        good = isinstance(envelope, dict) and envelope.get("status") == "success" and "data" in envelope
        if status == 200 and isinstance(envelope, dict) and good:
            return envelope
        own = envelope.get("error") if isinstance(envelope, dict) else None
        text = self._redact(str(own) if own else answer.content[: 4 * SHOWN].decode(errors="replace")).rstrip(".")
        if status >= 500:
            raise NoAnswer(Reason.UNREACHABLE, f"{self._name} failed with status {status}: {text or 'no text'}.")
        if status != 200:
            hint = " Check its credentials." if status in (401, 403) else ""
            raise NoAnswer(Reason.QUERY_ERROR, f"{self._name} refused with status {status}: {text or 'no text'}.{hint}")
        message = f"{self._name} sent something that is not a Prometheus answer: {text or 'nothing'}"
        raise NoAnswer(Reason.QUERY_ERROR, f"{message}. Check that prometheus.url is its base address.")


def _decoded(body: bytes) -> object:
    try:
        decoded: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return decoded


def _long_query_to_post(request: requests.PreparedRequest) -> None:
    """Move the query of an over-long URL into a form body; only the query endpoints take one."""
    url = str(request.url)
    parts = urlsplit(url)
    if len(url) <= LONG_URL or not parts.path.endswith(("/query", "/query_range", "/series")):
        return
    request.method = "POST"
    request.url = urlunsplit(parts._replace(query=""))
    request.body = parts.query.encode()
    request.headers["Content-Type"] = "application/x-www-form-urlencoded"
    request.headers["Content-Length"] = str(len(request.body))


def make_session(wire: Wire, url: str, headers: Mapping[str, str], auth: tuple[str, str] | None) -> requests.Session:
    """A session that speaks only through `wire`.

    Of the environment it takes the proxy settings and nothing else: a stray netrc would replace the configured
    credentials. A loopback address never goes through a proxy, and its answers are not compressed: that would only
    cost both sides time.
    """
    session = requests.Session()
    session.trust_env = False
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.startswith("127.") or host == "::1":
        session.headers["Accept-Encoding"] = "identity"
    else:
        session.proxies.update(requests.utils.get_environ_proxies(url))
    session.headers.update(headers)
    session.auth = auth
    for prefix in ("http://", "https://"):
        session.mount(prefix, wire)
    return session
