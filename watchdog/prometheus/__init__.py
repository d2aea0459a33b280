"""The Prometheus source: PromQL at an instant or along the grid, in parallel, within a deadline.

The only module that imports prometheus_api_client. Measuring (`instants`, `ranges`) never raises: what went wrong is
a `Reason` with a sentence at the instants it concerns. The questions of commands (`build_info` and so on) raise
`SourceError`. Nothing is retried here; the next tick asks again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Self, TypeVar

import requests
from prometheus_api_client.exceptions import PrometheusApiClientException
from prometheus_api_client.prometheus_connect import PrometheusConnect
from urllib3.util.retry import Retry

from watchdog.errors import SourceError
from watchdog.model import Reason, Series
from watchdog.prometheus.answers import (
    MALFORMED,
    incomplete,
    intervals_in,
    labels_in,
    map_in,
    metadata_in,
    numbers,
    read,
)
from watchdog.prometheus.fanout import Call, Fanout, Outcome, Piece, Progress, cut
from watchdog.prometheus.ranges import Range, pieces
from watchdog.prometheus.redact import Redactor, split_credentials
from watchdog.prometheus.transport import NoAnswer, Skew, Wire, make_session

PARTIAL_SPAN = 3600
"""A partial range is asked again in pieces of at most this many seconds."""

PATIENT_POINTS = 2_500
"""A query may take one more `timeout` for each so many of its points."""

__all__ = ["Prometheus", "Range", "pieces"]

T = TypeVar("T")
_TOO_MUCH = "too many samples"
_RAW_ONLY = {"max_source_resolution": "0s"}  # Thanos: no downsampled data, rates would differ; others ignore it


class _Client:
    """One worker thread's connection: a session is not safe to share."""

    def __init__(self, source: Prometheus) -> None:
        self.wire = Wire(source.name, source.clock, source.redact)
        session = make_session(self.wire, source.url, source.headers, source.auth)
        session.verify, session.cert = source.verify, source.cert
        timeout: Any = source.timeout  # annotated as int there, taken as float
        self.api: Any = PrometheusConnect(source.url, session=session, retry=Retry(total=0), timeout=timeout)
        # The client has just mounted an adapter of its own for this address.
        session.mount(source.url, self.wire)
        self.session = session


class Prometheus:
    """A Prometheus (or Thanos, Mimir, VictoriaMetrics) server.

    `timeout` in seconds bounds one instant query to its last byte; long ranges get proportionally more. `verify`
    is False or the path of a CA file, `cert` a client certificate with its key. With `judge_skew`
    answers from a server whose clock is more than 5 s off are refused. `skew` is the last difference seen.
    `tell` hears of each query: its seconds, and the reason when the answer could not be used.
    Raises ValueError for a `url` that is no address at all.
    """

    def __init__(  # noqa: PLR0913 - each is one setting
        self,
        url: str,
        *,
        timeout: float = 5.0,
        headers: Mapping[str, str] | None = None,
        bearer_token: str | None = None,
        username: str | None = None,
        password: str | None = None,
        verify: bool | str = True,
        cert: str | tuple[str, str] | None = None,
        workers: int = 4,
        judge_skew: bool = True,
        now: Callable[[], float] = time.time,
        tell: Callable[[float, str | None], None] = lambda _seconds, _reason: None,
    ) -> None:
        self.url, in_url = split_credentials(url)
        self.name = f"Prometheus at {self.url}"
        self.timeout = timeout
        self.auth = (username, password or "") if username is not None else in_url
        self.headers = dict(headers or {})
        if bearer_token is not None:
            self.headers["Authorization"] = f"Bearer {bearer_token}"
        self.verify, self.cert = verify, cert
        # Short header values are tenants and the like; hiding them would garble every sentence.
        hidden = [value for value in self.headers.values() if len(value) >= 8]
        self.redact = Redactor([*hidden, bearer_token or "", (self.auth or ("", ""))[1]])
        self.clock = Skew(now, judge=judge_skew)
        self._workers = workers
        self._local = threading.local()
        self._clients: list[_Client] = []
        self._lock = threading.Lock()
        self._closed = False
        self._tell = tell
        self._fanout = Fanout(self.name, workers, self._ask)

    @property
    def skew(self) -> float | None:
        """Seconds by which the server's clock is ahead of this host's, as last seen."""
        return self.clock.seconds

    def instants(self, expressions: Sequence[str], at: int, deadline: float | None = None) -> list[Series]:
        """Ask each expression for the instant `at`, all within `deadline` seconds; answers in the same order.

        Never raises, and returns at most a moment after the deadline: what has not been answered by then is
        `unreachable`. An expression that occurs twice is asked once.
        """
        distinct = list(dict.fromkeys(expressions))
        wanted = [Piece(k, text, range(at, at + 1), over_range=False) for k, text in enumerate(distinct)]
        answers = dict(zip(distinct, self._fanout.run(wanted, len(distinct), deadline, None), strict=True))
        return [answers[text] for text in expressions]

    def ranges(
        self, requests: Sequence[Range], deadline: float | None = None, on_progress: Progress | None = None
    ) -> list[Series]:
        """Ask each range, in chunks that Prometheus accepts; answers in the same order. Never raises, as `instants`.

        `on_progress(points done, points in all)` is called in the caller's thread. A chunk with warnings is asked
        again in pieces of at most an hour, so that only the hours that lack data are `partial`. Without a deadline
        a source that answers nothing is given up after as many silent queries as there are workers.
        """
        distinct = list(dict.fromkeys(requests))
        wanted = pieces(distinct, self._workers)
        answers = dict(zip(distinct, self._fanout.run(wanted, len(distinct), deadline, on_progress), strict=True))
        return [answers[request] for request in requests]

    def close(self) -> None:
        """Let go of every connection. Queries under way are cut and end as `unreachable`."""
        self._closed = True
        with self._lock:
            clients = list(self._clients)
        for client in clients:
            client.wire.abort()
        self._fanout.close()
        for client in clients:
            client.session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Measuring, in the pool's threads.

    def _ask(self, call: Call, piece: Piece) -> Outcome:
        """Answer one piece (in a worker thread), or say into which smaller ones it must be cut."""
        if call.left() <= 0:
            return self._fanout.late(call, piece)
        if self._closed or (call.seconds is None and call.lost >= self._workers):
            why = "it is being closed" if self._closed else f"it answered none of {call.lost} queries before"
            return piece.failed(Reason.UNREACHABLE, f"{self.name} was not asked: {why}.")
        client = self._client()
        call.started[piece] = lambda: client.wire.abort(piece)
        began = time.monotonic()
        try:
            series = self._query(client, call, piece)
        except NoAnswer as error:
            self._tell(time.monotonic() - began, error.reason.value)
            call.lost = call.lost + 1 if error.reason is Reason.UNREACHABLE else 0
            return self._smaller(piece, error) or piece.failed(error.reason, error.detail)
        call.lost = 0
        self._tell(time.monotonic() - began, None)
        return series

    def _query(self, client: _Client, call: Call, piece: Piece) -> Series:
        asked, wire = piece.instants, client.wire
        patience = self.timeout * (1 + (len(asked) - 1) / PATIENT_POINTS)
        seconds, shown = min((patience, patience), (call.left(), call.seconds or 0.0))
        try:
            with wire.exchange(piece, seconds, shown), suppress(KeyError, TypeError):
                if piece.over_range:
                    start, end = (datetime.fromtimestamp(t, UTC) for t in (asked[0], asked[-1]))
                    step = str(asked.step)
                    client.api.custom_query_range(piece.expression, start, end, step, _RAW_ONLY, seconds)
                else:
                    client.api.custom_query(piece.expression, {"time": asked[0], **_RAW_ONLY}, seconds)
            series = read(wire.envelope, asked, over_range=piece.over_range)
        except NoAnswer as error:
            if wire.skewed is None or error.reason is Reason.UNREACHABLE:
                raise
        except (requests.RequestException, PrometheusApiClientException) as error:
            message = f"{self.name} cannot be asked, check the prometheus settings: {self.redact(str(error))}."
            raise NoAnswer(Reason.QUERY_ERROR, message) from error
        if wire.skewed is not None:
            raise NoAnswer(Reason.CLOCK_SKEW, f"{self.name} is not believed: {wire.skewed}.")
        if (warning := incomplete(wire.envelope)) is not None:
            raise NoAnswer(Reason.PARTIAL, f"{self.name} says its answer lacks data: {self.redact(warning)}.")
        return series

    def _smaller(self, piece: Piece, error: NoAnswer) -> list[Piece]:
        size = max(1, PARTIAL_SPAN // piece.instants.step)
        splits = error.reason is Reason.PARTIAL or _TOO_MUCH in error.detail
        if piece.last_try or not piece.over_range or not splits or len(piece.instants) <= size:
            return []
        return [replace(piece, instants=part, last_try=True) for part in cut(piece.instants, size)]

    def _client(self) -> _Client:
        client: _Client | None = getattr(self._local, "client", None)
        if client is None:
            client = self._local.client = _Client(self)
            with self._lock:
                self._clients.append(client)
        return client

    # Questions of commands: these raise SourceError.

    def told(self, path: str) -> Any:
        """What the server tells at a path of its API, for example of its rules."""
        return self._command(lambda client: self._get(client, path))

    def build_info(self) -> dict[str, Any]:
        """Version and build of the server."""
        return self._command(lambda client: map_in(self._get(client, "/api/v1/status/buildinfo")))

    def runtime_flags(self) -> dict[str, str]:
        """The server's command-line flags, for example its retention and lookback delta."""
        return self._command(lambda client: map_in(self._get(client, "/api/v1/status/flags")))

    def labels_of(self, expression: str, at: int) -> list[dict[str, str]]:
        """The label sets of the series that an expression gives at an instant."""
        how = {"time": at}
        return self._command(lambda client: labels_in(client.api.custom_query(expression, how, self.timeout)))

    def rows(self, expression: str, at: int) -> list[tuple[dict[str, str], float]]:
        """The series that an expression gives at an instant: the labels of each, and its value."""
        how = {"time": at, **_RAW_ONLY}
        return self._command(
            lambda client: numbers(client.api.custom_query(expression, how, self.timeout)), _Client(self)
        )

    def series_of(self, selector: str, start: int, end: int) -> list[dict[str, str]]:
        """The label sets of all series that match a selector (no functions) and have a sample in [start, end]."""
        first, last = (datetime.fromtimestamp(t, UTC) for t in (start, end))
        return self._command(
            lambda client: [map_in(row) for row in client.api.get_series(first, last, {"match[]": selector})]
        )

    def metrics_of(self, job: str, start: int, end: int) -> list[str]:
        """The names of the metrics that a job exported in [start, end]."""
        quoted = job.replace("\\", "\\\\").replace('"', '\\"')
        params = {"match[]": f'{{job="{quoted}"}}', "start": start, "end": end}
        return self._command(lambda client: sorted(map(str, client.api.get_label_values("__name__", params))))

    def metadata(self) -> dict[str, dict[str, str]]:
        """Type, help and unit of each metric that is being scraped, by name."""
        return self._command(lambda client: metadata_in(client.api.get_metric_metadata(None)))

    def scrape_intervals(self) -> dict[str, float]:
        """Seconds between two scrapes of each job; the longest where its targets differ."""
        return self._command(lambda client: intervals_in(client.api.get_targets("active")))

    def _get(self, client: _Client, path: str) -> Any:
        return client.session.get(self.url + path, verify=self.verify).json()["data"]

    def _command(self, ask: Callable[[_Client], T], own: _Client | None = None) -> T:
        """Ask and read with this thread's connection, or with one of its `own` that is closed after it."""
        client = own or self._client()
        try:
            with client.wire.exchange(ask, self.timeout, self.timeout):
                return ask(client)
        except NoAnswer as error:
            raise SourceError(error.detail, permanent=error.reason is not Reason.UNREACHABLE) from error
        except (requests.RequestException, PrometheusApiClientException, *MALFORMED) as error:
            message = f"{self.name} sent something that is not understood: {self.redact(str(error))}"
            raise SourceError(message, permanent=True) from error
        finally:
            if own is not None:
                own.session.close()
