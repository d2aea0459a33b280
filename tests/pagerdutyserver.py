"""PagerDuty's Events API v2 on a loopback port: strict about what it takes, and it does what a test tells it to.

with PagerDutyServer(KEY) as server:
    server.next(busy(2), down(503), hang())       # the next three requests; the others are answered as PagerDuty would
    ...
    assert server.incident("slo-watchdog:checkout-1:blind").open
    assert server.wakes == 1
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Self
from urllib.parse import urlsplit

from tests.pagerdutycontract import LARGEST, SEVERITIES, errors
from tests.scripted import _Server

KEY = "0123456789abcdef0123456789abcdef"
"""A routing key of a service."""
Event = dict[str, Any]


@dataclass(frozen=True)
class Fault:
    """What happens to one request in place of PagerDuty's answer; `taken`: the event arrives all the same."""

    status: int = 0  # 0: no answer at all, the connection is closed
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    taken: bool = False
    hang: bool = False
    cut: int | None = None  # send so many bytes of the announced body


def busy(retry_after: float | str | None = None) -> Fault:
    """429, with or without a Retry-After."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return Fault(429, b'{"status":"throttle exceeded","message":"Too many API calls"}', headers)


def down(status: int = 503, **headers: str) -> Fault:
    return Fault(status, b"<html>upstream is unwell</html>", headers)


def refusing(status: int, text: str) -> Fault:
    return Fault(status, json.dumps({"status": "refused", "message": text}).encode())


def redirect(to: str, status: int = 307) -> Fault:
    return Fault(status, b"", {"Location": to})


def hang() -> Fault:
    return Fault(hang=True)


def closed() -> Fault:
    return Fault()


def lost() -> Fault:
    """The event arrives; the answer does not."""
    return Fault(taken=True)


def truncated() -> Fault:
    """The event is taken, and the body of the answer ends in the middle."""
    return Fault(202, b'{"status":"success","message":"Event processed"}', taken=True, cut=10)


@dataclass(frozen=True)
class Asked:
    """One request: when it came (by the server's clock), what it was, how it was answered (0: not at all)."""

    at: float
    path: str
    headers: Mapping[str, str]
    body: bytes
    status: int

    @property
    def event(self) -> Event:
        return json.loads(self.body)  # type: ignore[no-any-return]


@dataclass
class Incident:
    """An incident from its first trigger to its end; `severity` is that of the newest trigger."""

    routing_key: str
    dedup_key: str
    severity: str
    events: list[Event] = field(default_factory=list)
    open: bool = True

    @property
    def summaries(self) -> list[str]:
        return [event["payload"]["summary"] for event in self.events]

    @property
    def details(self) -> dict[str, str]:
        """The newest event's."""
        return self.events[-1]["payload"]["custom_details"]  # type: ignore[no-any-return]


class PagerDutyServer:
    """The server. `keys` are the routing keys it knows; another is answered with `unknown_key` (400 or 403).

    `per_minute` calls are taken from one key in 60 s, the others get a 429; None for no limit. `incidents` are all
    that ever were, `dropped` the events that met none, `changes` the change events; `wakes` counts how often somebody
    would be woken: by a new incident, or because an open one got louder. `clock` is what the limit goes by, in seconds.
    """

    def __init__(
        self,
        *keys: str,
        per_minute: int | None = None,
        unknown_key: int = 400,
        port: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock = clock
        self.keys = set(keys or (KEY,))
        self.per_minute = per_minute
        self.unknown_key = unknown_key
        self.port = port
        self.asked: list[Asked] = []
        self.incidents: list[Incident] = []
        self.changes: list[Event] = []
        self.dropped: list[Event] = []
        self.wakes = 0
        self._next: deque[Fault | None] = deque()
        self._always: Fault | None = None
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def open(self) -> list[str]:
        """The keys of the incidents that are open."""
        return [incident.dedup_key for incident in self.incidents if incident.open]

    @property
    def summaries(self) -> list[str]:
        """Those of the change events."""
        return [event["payload"]["summary"] for event in self.changes]

    def incident(self, dedup_key: str) -> Incident:
        """The newest incident of that key."""
        return next(incident for incident in reversed(self.incidents) if incident.dedup_key == dedup_key)

    def next(self, *faults: Fault | None) -> Self:
        """Let these happen to the next requests, one each; None: what PagerDuty does."""
        self._next.extend(faults)
        return self

    def always(self, fault: Fault | None) -> Self:
        """Let this happen to every request that `next` has nothing for; None: be PagerDuty again."""
        self._always = fault
        return self

    def start(self) -> Self:
        """Listen, on the same port as before when there was one."""
        self._over.clear()
        self._server = _Server(("127.0.0.1", self.port), type("Handler", (_Handler,), {"pagerduty": self}))
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="pagerduty")
        self._thread.start()
        return self

    def stop(self) -> None:
        """Refuse connections from now on, and let go of whoever hangs. Harmless when it does not run."""
        if self._server is None or self._thread is None:
            return
        self._over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.drop_connections()
        self._server.server_close()
        self._server = self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def answer(self, path: str, headers: Mapping[str, str], body: bytes) -> Fault:
        """Record one request and choose its answer (called by the handler)."""
        with self._lock:
            fault = self._next.popleft() if self._next else self._always
            reply = fault if fault is not None and not fault.taken else self._processed(path, headers, body)
            if fault is not None and reply.status == 202:
                reply = fault  # the event has arrived
            self.asked.append(Asked(self.clock(), path, headers, body, reply.status))
            return reply

    def wait(self) -> None:
        """Wait until the server stops."""
        self._over.wait()

    def _processed(self, path: str, headers: Mapping[str, str], body: bytes) -> Fault:
        if path not in ("/v2/enqueue", "/v2/change/enqueue"):
            return _json(404, status="not found", message=f"nothing is at {path}")
        if len(body) > LARGEST:
            return _json(413, status="too large", message="the event is larger than 512 KB")
        change = path == "/v2/change/enqueue"
        try:
            event = json.loads(body)
        except ValueError:
            return _invalid("JSON parse error")
        found = errors(event, change=change)
        if headers.get("content-type", "").partition(";")[0] != "application/json":
            found.append("Content-Type is not application/json")
        if found:
            return _invalid(*found)
        key = event["routing_key"]
        if key not in self.keys:
            return _json(self.unknown_key, status="invalid event", message="Invalid routing key", errors=[])
        if change and key.startswith("R"):
            return _invalid("change events cannot be sent to a ruleset")
        recent = [asked for asked in self.asked if asked.at > self.clock() - 60 and asked.status == 202]
        if self.per_minute is not None and sum(a.event["routing_key"] == key for a in recent) >= self.per_minute:
            return busy()
        return self._took_change(event) if change else self._took_alert(event)

    def _took_change(self, event: Event) -> Fault:
        self.changes.append(event)
        return _json(202, status="success", message="Change event processed")

    def _took_alert(self, event: Event) -> Fault:
        key, dedup = event["routing_key"], event.get("dedup_key") or f"made-up-{len(self.asked)}"
        mine = [each for each in self.incidents if (each.routing_key, each.dedup_key, each.open) == (key, dedup, True)]
        if event["event_action"] == "trigger":
            severity = event["payload"]["severity"]
            if not mine:
                mine = [Incident(key, dedup, severity)]
                self.incidents += mine
                self.wakes += 1
            self.wakes += SEVERITIES.index(severity) > SEVERITIES.index(mine[0].severity)
            mine[0].severity = severity
        elif not mine:
            self.dropped.append(event)
        for incident in mine:
            incident.events.append(event)
            incident.open = event["event_action"] != "resolve"
        return _json(202, status="success", message="Event processed", dedup_key=dedup)


def _json(code: int, /, **body: Any) -> Fault:
    return Fault(code, json.dumps(body).encode(), {"Content-Type": "application/json"})


def _invalid(*errors: str) -> Fault:
    return _json(400, status="invalid event", message="Event object is invalid", errors=list(errors))


class _Handler(BaseHTTPRequestHandler):
    """Speaks for one `PagerDutyServer`, which is set on a subclass."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    pagerduty: PagerDutyServer

    def do_POST(self) -> None:
        headers = {name.lower(): text for name, text in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", "0")))
        reply = self.pagerduty.answer(urlsplit(self.path).path, headers, body)
        if reply.hang:
            self.pagerduty.wait()
        if not reply.status:
            self.close_connection = True
            return
        self.send_response_only(reply.status)
        for name, text in {**reply.headers, "Content-Length": str(len(reply.body))}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(reply.body[: reply.cut])
        self.close_connection = self.close_connection or reply.cut is not None

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        pass
