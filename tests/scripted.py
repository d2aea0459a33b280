"""A loopback HTTP server that speaks Prometheus' format and does what a test tells it to, request by request.

with ScriptedPrometheus() as server:
    server.always(scripted.value(1.5, warnings=["a store is down"]))
    server.next(scripted.status(503), scripted.hang())          # the next two requests, before `always`
    ...
    assert server.asked[0].params["query"] == "up"
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Self
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Asked:
    """One request as it arrived; GET and POST parameters together."""

    method: str
    path: str
    params: Mapping[str, str]
    headers: Mapping[str, str]

    @property
    def expression(self) -> str:
        return self.params.get("query", "")

    @property
    def is_range(self) -> bool:
        return self.path.endswith("/query_range")

    @property
    def instants(self) -> list[int]:
        """The instants asked for: one, or start, start+step .. end."""
        if not self.is_range:
            return [round(float(self.params.get("time", "0")))]
        start, end, step = (round(float(self.params[key])) for key in ("start", "end", "step"))
        return list(range(start, end + 1, step))


@dataclass(frozen=True)
class Reply:
    """What is sent, and how badly. `clock` is seconds added to the Date header (None: no Date header)."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    clock: float | None = 0.0
    hang: bool = False  # accept, read, and never answer
    drip: float = 0.0  # seconds between pieces of 64 bytes
    endless_headers: float = 0.0  # never come to the body: one more header line every so many seconds
    raw: bytes = b""  # sent in place of everything, headers too
    cut: int | None = None  # send this many bytes of the announced body, then close

    def skewed(self, seconds: float) -> Reply:
        return replace(self, clock=seconds)


Script = Callable[[Asked], Reply]


def _json(payload: object, status: int = 200) -> Reply:
    return Reply(json.dumps(payload).encode(), status)


def _result(asked: Asked, series: Sequence[tuple[Mapping[str, str], Mapping[int, str]]]) -> dict[str, object]:
    if asked.is_range:
        rows = [{"metric": m, "values": [[t, v] for t, v in values.items()]} for m, values in series if values]
        return {"resultType": "matrix", "result": rows}
    vector = [{"metric": m, "value": [t, v]} for m, values in series for t, v in values.items()]
    return {"resultType": "vector", "result": vector}


def series(
    *many: tuple[Mapping[str, str], Callable[[int], float | str | None]],
    warnings: Sequence[str] = (),
    infos: Sequence[str] = (),
) -> Script:
    """A good answer with these series; a function that gives None has no sample at that instant."""

    def reply(asked: Asked) -> Reply:
        rows = [(m, {t: str(v) for t in asked.instants if (v := value(t)) is not None}) for m, value in many]
        extra = {**({"warnings": list(warnings)} if warnings else {}), **({"infos": list(infos)} if infos else {})}
        return _json({"status": "success", "data": _result(asked, rows), **extra})

    return reply


def value(number: float | str, warnings: Sequence[str] = (), infos: Sequence[str] = ()) -> Script:
    """A good answer with one series that reads `number` everywhere."""
    return series(({}, lambda _t: number), warnings=warnings, infos=infos)


def per_expression(table: Mapping[str, Script]) -> Script:
    """Choose the script by the query text."""
    return lambda asked: table[asked.expression](asked)


def json_body(payload: object, status: int = 200) -> Script:
    """Any JSON."""
    return lambda _asked: _json(payload, status)


def error(status: int = 400, kind: str = "bad_data", text: str = "parse error") -> Script:
    """An error as Prometheus words it."""
    return json_body({"status": "error", "errorType": kind, "error": text}, status)


def page(text: Callable[[], str]) -> Script:
    """A page of metrics for a real Prometheus to scrape: `text` is called at each scrape."""
    return lambda _asked: Reply(text().encode(), headers={"Content-Type": "text/plain; version=0.0.4"})


def status(code: int, body: bytes = b"out of order") -> Script:
    """A bare status with a body that is not JSON."""
    return lambda _asked: Reply(body, code, {"Content-Type": "text/plain"})


def garbage() -> Script:
    return lambda _asked: Reply(b"\x00\xff\xfe{]not json at all", 200)


def not_http() -> Script:
    return lambda _asked: Reply(raw=b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n")


def html() -> Script:
    return lambda _asked: Reply(b"<html><body>Please sign in</body></html>", 200, {"Content-Type": "text/html"})


def big(size: int) -> Script:
    """A syntactically valid answer of at least `size` bytes that is no answer to any query."""
    head, tail = b'{"status":"success","data":{"resultType":"vector","result":["', b'"]}}'
    return lambda _asked: Reply(head + b"x" * size + tail)


def redirect(to: str, code: int = 302) -> Script:
    return lambda _asked: Reply(b"", code, {"Location": to})


def hang() -> Script:
    return lambda _asked: Reply(hang=True)


def truncated(inner: Script, keep: int = 20) -> Script:
    """Announce the whole body, send `keep` bytes, close."""
    return lambda asked: replace(inner(asked), cut=keep)


def cut_short(inner: Script, keep: int = 20) -> Script:
    """A complete HTTP answer whose JSON ends in the middle."""

    def reply(asked: Asked) -> Reply:
        whole = inner(asked)
        return replace(whole, body=whole.body[:keep])

    return reply


def drip(inner: Script, pause: float = 0.1) -> Script:
    """Send 64 bytes at a time with `pause` seconds between."""
    return lambda asked: replace(inner(asked), drip=pause)


def endless_headers(pause: float = 0.1) -> Script:
    """Begin at once and send header after header, `pause` seconds apart: each of them resets a naive timeout."""
    return lambda _asked: Reply(endless_headers=pause)


def skewed(inner: Script, seconds: float | None) -> Script:
    """The Date header is `seconds` off (None: no Date header)."""
    return lambda asked: replace(inner(asked), clock=seconds)


def closed() -> Script:
    """Close the connection without an answer."""
    return lambda _asked: Reply(cut=0, status=0)


scripted = SimpleNamespace(
    series=series,
    value=value,
    per_expression=per_expression,
    json=json_body,
    error=error,
    status=status,
    page=page,
    garbage=garbage,
    html=html,
    not_http=not_http,
    big=big,
    redirect=redirect,
    hang=hang,
    truncated=truncated,
    cut_short=cut_short,
    drip=drip,
    endless_headers=endless_headers,
    skewed=skewed,
    closed=closed,
)
"""The scripts by short names: `scripted.value(1)`, `scripted.hang()`, ..."""


class ScriptedPrometheus:
    """The server. `always(script)` answers every request for which `next(...)` has queued nothing.

    `stop()` closes the port (connections are refused), `start()` opens the same port again.
    """

    def __init__(self, script: Script | None = None) -> None:
        self.asked: list[Asked] = []
        self._script = script or value(1)
        self._queue: deque[Script] = deque()
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """The base address, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def always(self, script: Script) -> Self:
        """Answer like this from now on."""
        self._script = script
        return self

    def next(self, *scripts: Script) -> Self:
        """Answer the next requests like this, one script each, before `always`."""
        self._queue.extend(scripts)
        return self

    def start(self) -> Self:
        """Listen, on the same port as before when there was one."""
        self._released.clear()
        self._server = _Server(("127.0.0.1", self.port), type("Handler", (_Handler,), {"scripted": self}))
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="scripted")
        self._thread.start()
        return self

    def stop(self) -> None:
        """Refuse from now on, and let go of whoever hangs. Harmless when it does not run."""
        if self._server is None or self._thread is None:
            return
        self._released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.drop_connections()
        self._server.server_close()
        self._server = self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def reply_to(self, asked: Asked) -> Reply:
        """Record one request and choose its answer (called by the handler)."""
        with self._lock:
            self.asked.append(asked)
            script = self._queue.popleft() if self._queue else self._script
        return script(asked)

    def wait(self, seconds: float | None) -> bool:
        """Wait until the server stops; True when it did."""
        return self._released.wait(seconds)


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self.open: set[socket.socket] = set()

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        connection, address = super().get_request()
        self.open.add(connection)
        return connection, address

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        self.open.discard(request)
        super().shutdown_request(request)

    def drop_connections(self) -> None:
        for connection in list(self.open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    """Speaks for one `ScriptedPrometheus`, which is set on a subclass."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    scripted: ScriptedPrometheus

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        pass

    def _serve(self) -> None:
        target = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        params = dict(parse_qsl(target.query) + parse_qsl(body))
        reply = self.scripted.reply_to(Asked(self.command, target.path, params, dict(self.headers.items())))
        if reply.hang:
            self.scripted.wait(None)
        if reply.hang or reply.status == 0:
            self.close_connection = True
            return
        if reply.raw:
            self.close_connection = True
            self.wfile.write(reply.raw)
            return
        self.send_response_only(reply.status)
        if reply.endless_headers:
            self._drone(reply.endless_headers)
            return
        if reply.clock is not None:
            self.send_header("Date", formatdate(time.time() + reply.clock, usegmt=True))
        for name, text in {**reply.headers, "Content-Length": str(len(reply.body))}.items():
            self.send_header(name, text)
        self.end_headers()
        self._send(reply)

    def _drone(self, pause: float) -> None:
        self.close_connection = True
        while not self.scripted.wait(pause):
            self.send_header("X-Patience", "please")
            self.flush_headers()

    def _send(self, reply: Reply) -> None:
        body = reply.body if reply.cut is None else reply.body[: reply.cut]
        self.close_connection = self.close_connection or reply.cut is not None
        if not reply.drip:
            self.wfile.write(body)
            return
        for k in range(0, len(body), 64):
            self.wfile.write(body[k : k + 64])
            if self.scripted.wait(reply.drip):
                return
