"""One GET to another server of the monitoring: bounded in time and size, never repeated, never redirected."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

from watchdog.errors import SourceError
from watchdog.exchange.answer import parsed
from watchdog.exchange.wire import Deadline, Wire, innermost

WITHIN = 5.0
LARGEST = 16 * 1024 * 1024
"""Bytes of an answer: tens of thousands of alerts."""
_PIECE = 1 << 16


def get(url: str, name: str, token: str | None = None, params: dict[str, str] | None = None) -> Any:
    """The JSON at `url`, within five seconds. Raises SourceError, a sentence that begins with `name`."""
    deadline = Deadline(WITHIN)
    headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    try:
        with requests.Session() as session:
            session.trust_env = False
            host = urlsplit(url).hostname or ""
            if host != "localhost" and not host.startswith("127."):
                session.proxies.update(requests.utils.get_environ_proxies(url))
            for scheme in ("http://", "https://"):
                session.mount(scheme, Wire(deadline, None))
            how = {"timeout": deadline.left(), "allow_redirects": False, "stream": True}
            with session.get(url, headers=headers, params=params, **how) as answer:  # type: ignore[arg-type]
                body = b"".join(_pieces(answer, name))
                status = answer.status_code
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        why = f"gave no answer within {WITHIN:g} s" if deadline.passed else f"could not be reached: {innermost(error)}"
        raise SourceError(f"{name} {why}") from error
    if status != 200:
        raise SourceError(f"{name} answered with status {status}", permanent=True)
    try:
        return parsed(body)
    except ValueError as error:
        raise SourceError(f"{name} sent something that is not JSON: {error}", permanent=True) from error


def _pieces(answer: requests.Response, name: str) -> list[bytes]:
    found, size = [], 0
    for piece in answer.iter_content(_PIECE):
        found.append(piece)
        size += len(piece)
        if size > LARGEST:
            raise SourceError(f"{name} sent more than {LARGEST // 1024 // 1024} MiB", permanent=True)
    return found
