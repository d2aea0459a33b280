"""One HTTP exchange with Slack, below its client library: an end in time, a bounded answer, no redirect, no retry.

The library would follow a redirect and take the token along, and wait anew for every byte that arrives. Each exchange
has a connection of its own. Of the environment only the proxy settings count, and never for a loopback address.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import requests
import urllib3

from watchdog.exchange.wire import Deadline, Wire, innermost

LARGEST = 4 * 1024 * 1024
"""Bytes of one answer."""
_PIECE = 1 << 16


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status; `headers` ignore case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NoAnswer(Exception):
    """Nothing came back; the text is fit for a sentence and holds neither address nor secret."""


def posted(url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> Answer:
    """POST the bytes; the whole exchange ends within `timeout` seconds. Raises NoAnswer."""
    deadline = Deadline(timeout)
    given = {**headers, "Accept-Encoding": "identity"}
    try:
        with _session(url, deadline) as session:
            response = session.post(
                url, data=body, headers=given, timeout=deadline.left(), allow_redirects=False, stream=True
            )
            with response:
                return Answer(response.status_code, response.headers, _read(response, deadline))
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        # Not chained: the library's own words hold the address, which is a secret where it is a webhook's.
        raise NoAnswer(_words(error, deadline, timeout)) from None


def _session(url: str, deadline: Deadline) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not (host == "localhost" or host.startswith("127.") or host == "::1"):
        session.proxies.update(requests.utils.get_environ_proxies(url))
    tls = ssl.create_default_context() if parts.scheme == "https" else None
    for scheme in ("http://", "https://"):
        session.mount(scheme, Wire(deadline, tls))
    return session


def _read(response: requests.Response, deadline: Deadline) -> bytes:
    pieces: list[bytes] = []
    while piece := response.raw.read1(_PIECE, decode_content=False):
        deadline.left()
        pieces.append(piece)
        if len(pieces) * _PIECE > LARGEST and sum(map(len, pieces)) > LARGEST:
            raise ValueError(f"its answer is longer than {LARGEST // 1024 // 1024} MiB")
    return b"".join(pieces)


def _words(error: Exception, deadline: Deadline, timeout: float) -> str:
    timed_out = isinstance(error, requests.Timeout | TimeoutError | urllib3.exceptions.TimeoutError)
    if deadline.passed or timed_out:
        return f"gave no answer within {timeout:g} s"
    cause = innermost(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"has a certificate that is not trusted: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError):
        return f"failed in TLS: {cause.reason or 'no reason given'}"
    if isinstance(cause, OSError) and cause.strerror:
        return f"could not be reached: {cause.strerror}"
    return f"broke the exchange off ({type(cause).__name__})"
