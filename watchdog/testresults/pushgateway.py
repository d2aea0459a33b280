"""The series of a suite in a Pushgateway: read back over its API, added to, pushed as one group.

A gateway cannot add, and it has no lock: two runs of one suite at the same time may count one of them only. The group
is the suite's labels. A push (POST) replaces the series of these names in it and leaves others alone.
"""

from __future__ import annotations

import base64
import re
import ssl
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import requests
import urllib3

from watchdog.errors import ConfigError, Problem, SourceError
from watchdog.exchange.answer import parsed, without_query
from watchdog.exchange.wire import Deadline, Wire, innermost
from watchdog.testresults.model import Run, Suite
from watchdog.testresults.series import FAMILIES, NOTHING, State, added, begun, checked, died, same, text, unfinished

TIMEOUT = 10.0
"""Seconds for one exchange with the gateway."""
LARGEST = 32 * 1024 * 1024
"""Bytes of all that a gateway holds, of all its groups: its API gives nothing less."""
SHOWN = 300
"""Characters of an answer that a sentence shows."""


class Pushgateway:
    """The group of one suite in the gateway at `url`.

    Every method that reaches it raises SourceError, and answers notes for people. Making one raises ConfigError.
    """

    def __init__(self, url: str, suite: Suite) -> None:
        try:
            parts = urlsplit(url)
            sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            sound = False
        if not sound or parts.query or parts.fragment:
            expected = "http(s)://HOST:PORT, with the path of a proxy if there is one, without a query"
            raise ConfigError([Problem("pushgateway", f"expected {expected} (found an address that is not shown)")])
        self._url = url.rstrip("/")
        self._host = parts.hostname or ""
        self._labels = suite.all_labels
        self.where = f"{without_query(self._url)}, job {suite.job!r}, suite {suite.name!r}"

    def begin(self, at: float) -> list[str]:
        """Say that a run has started; one that started before it and has not ended counts as failed."""

        def change(state: State) -> tuple[State, list[str]]:
            if not unfinished(state):
                return begun(state, at), []
            return begun(died(state, 0), at), ["the run before this one never ended; it counts as failed"]

        return self._change(change)

    def collected(self, tests: int) -> None:
        """Nothing: it would be a push for the rare case of a run that dies."""

    def finish(self, run: Run) -> list[str]:
        """Add the run that `begin` has begun."""
        return self._change(lambda state: (added(state, run), []))

    def add(self, run: Run) -> list[str]:
        """Add a run that ended elsewhere, unless it was the last one to be added already."""

        def change(state: State) -> tuple[State, list[str]]:
            if same(state, run):
                return state, ["these very results were added before; they are not counted again"]
            return added(state, run), []

        return self._change(change)

    def _change(self, change: Callable[[State], tuple[State, list[str]]]) -> list[str]:
        state, notes = change(self._read())
        path = "/metrics" + "".join(_segment(name, value) for name, value in self._labels.items())
        self._ask("POST", path, text(state, {}).encode(), "take the push")
        return notes

    def _read(self) -> State:
        """What the gateway has of this group. Without an answer nothing can be added, and 0 would be a lie."""
        said = self._ask("GET", "/api/v1/metrics", None, "say what it holds")
        try:
            groups = parsed(said)["data"]
            found = [group for group in groups if group["labels"] == self._labels]
            return checked(_numbers(found[0])) if found and "smoke_tests_total" in found[0] else NOTHING
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise self._error(f"holds something else than this program pushes ({error})", permanent=True) from error

    def _ask(self, method: str, path: str, body: bytes | None, what: str) -> bytes:
        deadline = Deadline(TIMEOUT)
        tls = ssl.create_default_context() if self._url.startswith("https") else None
        try:
            with requests.Session() as session:
                session.trust_env = False
                if not (self._host in ("localhost", "::1") or self._host.startswith("127.")):
                    session.proxies.update(requests.utils.get_environ_proxies(self._url))
                for scheme in ("http://", "https://"):
                    session.mount(scheme, Wire(deadline, tls))
                headers = {"Content-Type": "text/plain; version=0.0.4", "Accept-Encoding": "identity"}
                response = session.request(
                    method, self._url + path, data=body, headers=headers,
                    timeout=deadline.left(), allow_redirects=False, stream=True,
                )  # fmt: skip
                with response:
                    said = _body(response, deadline)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            cause = innermost(error)
            reason = getattr(cause, "strerror", None) or ("" if deadline.passed else type(cause).__name__)
            if deadline.passed or not reason:
                reason = f"no answer within {TIMEOUT:g} s"
            raise self._error(f"did not {what}: {reason}") from error
        if response.status_code != 200:
            shown = re.sub(r"\s+", " ", said[:SHOWN].decode(errors="replace")).strip()
            found = f"did not {what}: status {response.status_code}{': ' if shown else ''}{shown}"
            raise self._error(found, permanent=response.status_code < 500)
        return said

    def _error(self, found: str, *, permanent: bool = False) -> SourceError:
        return SourceError(f"pushgateway {without_query(self._url)} {found}.", permanent=permanent)


def _body(response: requests.Response, deadline: Deadline) -> bytes:
    pieces, size = [], 0
    while piece := response.raw.read1(64 * 1024, decode_content=False):
        deadline.left()
        pieces.append(piece)
        size += len(piece)
        if size > LARGEST:
            raise ValueError(f"more than {LARGEST} bytes")
    return b"".join(pieces)


def _numbers(group: Mapping[str, Any]) -> dict[tuple[str, str], float]:
    """Our series out of one group of the API, where each number is a text."""
    return {
        (family.name, metric["labels"].get(family.label, "") if family.label else ""): float(metric["value"])
        for family in FAMILIES
        for metric in group.get(family.name, {"metrics": []})["metrics"]
    }


def _segment(name: str, value: str) -> str:
    """A label of the group in the path of a push; base64 where a slash would end it."""
    if "/" in value:
        return f"/{name}@base64/{base64.urlsafe_b64encode(value.encode()).decode().rstrip('=')}"
    return f"/{name}/{quote(value, safe='')}"
