"""Targets: what callers send to the daemon: readers of flags, browsers, Alertmanager, proxies, anybody at all."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from functools import cache
from typing import Any

from prometheus_client import CollectorRegistry

from tests.fuzz.documents import FLAGS
from tests.fuzz.target import target
from watchdog.access.model import Role
from watchdog.access.proxy import BadHeader, Proxy
from watchdog.access.sessions import Sessions
from watchdog.serving import Counts, Readers
from watchdog.serving.answers import BadContext, context_of
from watchdog.serving.sets import FlagSet
from watchdog.web.access_forms import fields_of
from watchdog.web.bodies import labelled_of, order_of, preflight_of, wish_of
from watchdog.web.payload import Labels, payload_of
from watchdog.web.problems import Problem
from watchdog.web.wishes import drill_of, waiver_of

NOW = 1_763_800_200.0
JSON = "application/json"
SUBJECT = "ada:0123456789abcdef"
LARGEST_HEAD = 64 * 1024
"""Bytes of headers that the server lets through."""


@target("ofrep-context", BadContext, [{"context": {"targetingKey": "ada", "v": "1.2.3"}}, {}])
def ofrep_context(raw: bytes) -> None:
    """The context in a reader's request."""
    context_of(raw)


@cache
def _readers() -> Readers:
    document: dict[str, Any] = FLAGS
    return Readers([FlagSet("checkout", lambda: ("1", document), "flagd-v3", lambda: 1)], Counts(CollectorRegistry()))


@target(
    "ofrep",
    (),
    [
        {"context": {"targetingKey": "ada", "email": "a@example.com", "v": "1.2.3"}},
        {"context": {"v": [1, None, 1e308]}},
    ],
    words=[b'"targetingKey"', b'"context"', b'"$flagd"', b'"$slo-watchdog-outcome"'],
)
def ofrep(raw: bytes) -> None:
    """A whole evaluation, of one flag and of all: an answer in JSON whatever is asked."""
    readers = _readers()
    for key in ("new-checkout", "other", raw[:50].decode("latin-1")):
        answer = readers.at_once(key, raw)
        assert answer.status in {200, 400, 404}
        json.loads(answer.body)
    answer = asyncio.run(readers.bulk(raw, raw[:50].decode("latin-1")))
    assert answer.status in {200, 304, 400}


ALERT = {
    "status": "firing",
    "labels": {"alertname": "ErrorsHigh", "service": "checkout", "severity": "critical"},
    "annotations": {"summary": "x"},
    "startsAt": "2026-11-22T09:00:00.123456789Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://prometheus.example/graph",
    "fingerprint": "0123456789abcdef",
}


@target(
    "alerts",
    Problem,
    [{"version": "4", "groupKey": "{}:{a=1}", "status": "firing", "truncatedAlerts": 1, "alerts": [ALERT]}],
)
def alerts(raw: bytes) -> None:
    """Alertmanager's webhook message; what is taken can be written down."""
    found = payload_of(raw, Labels())
    for alert in found.alerts:
        json.dumps([alert.alertname, dict(alert.labels), alert.group_key], allow_nan=False).encode()
        f"{alert.fingerprint}{alert.alertname}{alert.service}{alert.group_key}".encode()


@target(
    "orders",
    Problem,
    [
        {"reason": "errors in the EU region", "by": "ada"},
        {"reason": "x", "percent": 25},
        {"reason": "x", "label": "noise", "at": "2026-11-22T09:00:00Z"},
        {"by": "ada", "drill": False, "image": "a", "commit": "b"},
        {"reason": "x", "until": "48h"},
        {"reason": "x", "flag": "new-checkout", "runs": 3},
    ],
)
def orders(raw: bytes) -> None:
    """Bodies of changing calls; the names and reasons of those that are taken can be written down."""
    refusals, taken = [], []
    for parse in (
        lambda: order_of(JSON, raw),
        lambda: wish_of(JSON, raw, "percent").order,
        lambda: wish_of(JSON, raw, "version").order,
        lambda: wish_of(JSON, raw, "on").order,
        lambda: labelled_of(JSON, raw).order,
        lambda: preflight_of(JSON, raw),
        lambda: waiver_of(JSON, raw, NOW).order,
        lambda: drill_of(JSON, raw).order,
    ):
        try:
            taken.append(parse())
        except Problem as error:
            refusals.append(error)
    for one in taken:
        f"{one.by}{getattr(one, 'reason', '')}".encode()
    for refusal in refusals:
        json.dumps(str(refusal)).encode()
    if not taken:
        raise refusals[0]


@target(
    "form",
    Problem,
    [b"reason=errors+in+the+EU&csrf=abc&by=", b"a=1&b=%F0%9F%98%80&c=%00"],
    form="bytes",
    words=[b"&", b"=", b"%", b"%ff", b"%00", b"+", b"&a=1" * 60, b";"],
)
def form(raw: bytes) -> None:
    """The fields of a page's form."""
    "".join(text for pair in fields_of(raw).items() for text in pair).encode()


@cache
def _sessions() -> Sessions:
    return Sessions("0123456789abcdef0123456789abcdef")


@cache
def _cookie() -> str:
    return _sessions().issue(SUBJECT, NOW)


@target("session-cookie", (), lambda: [_cookie(), "YWRh.1.x.y", "..."], form="bytes", words=[b".", b"=", b"-1", b"1e9"])
def session_cookie(raw: bytes) -> None:
    """A signed cookie: one that we did not sign, or that was changed, is no session and no trouble."""
    for text in (raw.decode("latin-1"), raw.decode("utf-8", "surrogateescape")):
        session = _sessions().read(text, NOW)
        assert session is None or session.subject == SUBJECT
        assert not _sessions().carries("login", "x", text)


@target(
    "proxy-headers",
    BadHeader,
    [b"X-User: ada@shop.example\nX-Groups: sre, dev\nX-Forwarded-For: 203.0.113.7, 10.0.0.1", b"X-User: a\nX-User: b"],
    form="bytes",
    words=[b"\nX-User: ", b"\nX-Groups: ", b"\nX-Forwarded-For: ", b"::ffff:10.0.0.1", b"[fe80::1%eth0]", b","],
)
def proxy_headers(raw: bytes) -> None:
    """What a trusted proxy says of who asks."""
    networks = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))
    roles = {"sre": Role.APPROVER, "dev": Role.VIEWER}
    proxy = Proxy(networks, "X-User", "X-Groups", roles, Role.VIEWER, "X-Forwarded-For")
    raw = raw[:LARGEST_HEAD]
    pairs = (line.partition(b":")[::2] for line in raw.split(b"\n"))
    headers = [(name.strip().lower(), value.strip()) for name, value in pairs]
    assert proxy.trusts(raw.decode("latin-1")) in {True, False}
    ipaddress.ip_address(proxy.client("10.0.0.1", headers))
    principal = proxy.principal(headers)
    if principal is not None:
        principal.name.encode()
