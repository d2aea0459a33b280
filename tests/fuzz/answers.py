"""Targets: what other services answer. Each goes over a real exchange, so that its bounds are at work, too."""

from __future__ import annotations

from functools import cache
from typing import Any

from tests.fuzz.speaker import speaker
from tests.fuzz.target import each, target
from watchdog.errors import FlagServiceError, NotifierError, SourceError
from watchdog.exchange.answer import asked_wait
from watchdog.flags.base import Change
from watchdog.flags.launchdarkly import LaunchDarkly
from watchdog.flags.rest import Rest
from watchdog.flags.unleash_api import UnleashApi
from watchdog.flags.webhook import Webhook
from watchdog.model import Exposure
from watchdog.notifiers.pagerduty_answers import Key, refused
from watchdog.notifiers.slack_api import SlackApi, SlackHook
from watchdog.prometheus import Prometheus, Range
from watchdog.testresults.model import Counts, Run, Suite
from watchdog.testresults.pushgateway import Pushgateway
from watchdog.testresults.series import RESULTS

AT = 1_763_800_200
TIMEOUT = 10.0
ON, OFF = "a1b2c3d4-on", "a1b2c3d4-off"


def _ok(data: Any, **more: Any) -> dict[str, Any]:
    return {"status": "success", "data": data, **more}


@cache
def _prometheus() -> Prometheus:
    return Prometheus(speaker().url, timeout=TIMEOUT, judge_skew=False)


# --- Prometheus -------------------------------------------------------------------------------------------------------


@target(
    "prometheus-instant",
    (),
    [
        _ok({"resultType": "vector", "result": [{"metric": {"job": "a"}, "value": [AT, "1.5"]}]}),
        _ok({"resultType": "scalar", "result": [AT, "NaN"]}, warnings=["store is missing", "PromQL info: x"]),
        _ok({"resultType": "vector", "result": [{"metric": {}, "histogram": [AT, {"count": "1"}]}]}),
        {"status": "error", "errorType": "bad_data", "error": "invalid parameter"},
    ],
)
def prometheus_instant(raw: bytes) -> None:
    """One expression at an instant: what went wrong is a reason, never an exception."""
    speaker().says(raw)
    (series,) = _prometheus().instants(["up"], AT)
    assert all(isinstance(value, float) for value in series.values.values())


@target(
    "prometheus-range",
    (),
    [
        _ok({"resultType": "matrix", "result": [{"metric": {}, "values": [[AT, "1"], [AT + 30, "+Inf"]]}]}),
        _ok(
            {
                "resultType": "matrix",
                "result": [
                    {"metric": {"a": "1"}, "values": [[AT, "1"], [AT + 30, "2"]]},
                    {"metric": {"a": "2"}, "values": [[AT + 30, "2"], [AT + 60.0, "3"]]},
                ],
            }
        ),
    ],
)
def prometheus_range(raw: bytes) -> None:
    """One expression along the grid."""
    speaker().says(raw)
    (series,) = _prometheus().ranges([Range("up", AT, AT + 60, 30)])
    assert all(isinstance(value, float) for value in series.values.values())


@target(
    "prometheus-told",
    SourceError,
    [
        _ok({"version": "2.42.0", "revision": "x"}),
        _ok([{"metric": {"job": "a"}, "value": [AT, "1"]}]),
        _ok({"resultType": "vector", "result": [{"metric": {"job": "a"}, "value": [AT, "1"]}]}),
        _ok({"activeTargets": [{"labels": {"job": "a"}, "scrapeInterval": "1m30s"}]}),
        _ok({"up": [{"type": "gauge", "help": "x", "unit": ""}]}),
        _ok(["up", "http_requests_total"]),
        _ok({"activeTargets": [{"labels": {"job": "a"}, "scrapeInterval": "1.2.3s"}]}),
    ],
)
def prometheus_told(raw: bytes) -> None:
    """What commands ask besides; all of them get the same answer, and each is for itself."""
    speaker().says(raw)
    source = _prometheus()
    each(
        SourceError,
        source.build_info,
        source.runtime_flags,
        source.scrape_intervals,
        source.metadata,
        lambda: source.labels_of("up", AT),
        lambda: source.series_of("up", AT, AT + 60),
        lambda: source.metrics_of("a", AT, AT + 60),
    )


@target(
    "prometheus-http",
    (),
    [
        b'HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n{"status":"success"',
        b"HTTP/1.1 503 No\r\nRetry-After: 5\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbusy\r\n0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://u:p@h/?secret=1\r\nDate: Sat, 22 Nov 2026 09:00:00 GMT\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\0",
    ],
    form="bytes",
    words=[b"Content-Length: ", b"\r\n\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Encoding: deflate\r\n"],
)
def prometheus_http(raw: bytes) -> None:
    """The bytes of the exchange itself."""
    speaker().says_raw(raw)
    _prometheus().instants(["up"], AT)


# --- flag services ----------------------------------------------------------------------------------------------------


def _rest() -> Rest:
    return Rest(speaker().url, service="Unleash", timeout=TIMEOUT, headers={}, secrets=["s3cret"])


UNLEASH = {
    "name": "new-checkout",
    "archived": False,
    "environments": [
        {
            "name": "production",
            "enabled": True,
            "strategies": [
                {
                    "id": "1",
                    "name": "flexibleRollout",
                    "title": 'slo-watchdog: {"latch":"checkout-1"}',
                    "parameters": {"rollout": "25", "stickiness": "userId", "groupId": "new-checkout"},
                    "constraints": [],
                },
                {
                    "id": "2",
                    "name": "flexibleRollout",
                    "title": "slo-watchdog cohort",
                    "parameters": {"rollout": "100"},
                    "constraints": [{"contextName": "userId", "operator": "IN", "values": ["qa-1"]}],
                },
            ],
        }
    ],
}


@target("unleash", FlagServiceError, [UNLEASH, [{"environment": "production", "changeRequestEnabled": True}]])
def unleash(raw: bytes) -> None:
    """A flag, the rights of a token and the settings of change requests."""
    speaker().says(raw)
    api = UnleashApi(_rest(), "default", "production")
    each(FlagServiceError, lambda: api.state("new-checkout").reading("x"), api.change_requests, api.may_switch)


LAUNCHDARKLY = {
    "key": "new-checkout",
    "kind": "boolean",
    "tags": ["a"],
    "variations": [{"_id": ON, "value": True}, {"_id": OFF, "value": False}],
    "environments": {
        "production": {
            "on": True,
            "version": 7,
            "targets": [{"values": ["qa-1"], "variation": 0, "contextKind": "user"}],
            "contextTargets": [],
            "rules": [{"variation": 1, "clauses": []}],
            "prerequisites": [],
            "fallthrough": {
                "rollout": {
                    "contextKind": "user",
                    "variations": [{"variation": 0, "weight": 25_000}, {"variation": 1, "weight": 75_000}],
                }
            },
            "offVariation": 1,
        }
    },
}


@target("launchdarkly", FlagServiceError, [LAUNCHDARKLY, {"items": [{"_id": "1"}], "approvalSettings": {}}])
def launchdarkly(raw: bytes) -> None:
    """A flag, its approvals and its scheduled changes."""
    url = speaker().says(raw)
    service = LaunchDarkly("api-token", "default", "production", TIMEOUT, url=url)
    each(
        FlagServiceError,
        lambda: service.read("new-checkout"),
        service.approval_settings,
        lambda: service.scheduled("new-checkout"),
        lambda: service.set("new-checkout", Change(Exposure(30.0), (), "watchdog", "because", None, "k", None)),
    )


@target(
    "flag-webhook",
    FlagServiceError,
    [
        {"percent": 25, "cohort": ["qa-1"], "audiences": ["beta"], "version": "7", "latch": "checkout-1"},
        {"actions": ["check", "read", "set", "kill"]},
    ],
)
def flag_webhook(raw: bytes) -> None:
    """What a receiver of flag changes says that the flag reads, and its preflight."""
    service = Webhook(speaker().says(raw), "s3cret", TIMEOUT)
    service.preflight("new-checkout")
    service.read("new-checkout")


@target(
    "flag-service-http",
    FlagServiceError,
    [
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 429 Slow\r\nRetry-After: Sat, 22 Nov 2026 09:00:00 GMT\r\nX-RateLimit-Reset: 1763800200123\r\n\r\n",
        b"HTTP/1.1 301 Moved\r\nLocation: https://elsewhere/?token=s3cret\r\n\r\n",
    ],
    form="bytes",
    words=[b"Retry-After: ", b"Date: ", b"\r\n\r\n", b"Content-Type: text/html\r\n", b"Transfer-Encoding: chunked\r\n"],
)
def flag_service_http(raw: bytes) -> None:
    """The bytes of the exchange itself."""
    speaker().says_raw(raw)
    _rest().call("GET", "/api", place="flag new-checkout", expected=(200,))


# --- channels ---------------------------------------------------------------------------------------------------------

SAID = {
    "ok": True,
    "channel": "C1",
    "ts": "1763800200.000100",
    "messages": [
        {"ts": "1.2", "metadata": {"event_type": "slo_watchdog", "event_payload": {"key": "checkout-1:started:1"}}}
    ],
    "response_metadata": {"next_cursor": ""},
    "upload_url": "http://127.0.0.1:9/1",
    "file_id": "F1",
}


@target("slack", NotifierError, [SAID, {"ok": False, "error": "missing_scope", "needed": "chat:write"}])
def slack(raw: bytes) -> None:
    """Every call of the Web API that reads something from its answer."""
    url = f"{speaker().says(raw)}/"
    api = SlackApi("xoxb-1", url=url, timeout=TIMEOUT)
    each(
        NotifierError,
        lambda: api.post("C1", "text", (), key="k"),
        lambda: api.find("C1", "other", since=0.0),
        lambda: api.find("C1", "checkout-1:started:1", thread="1.2", since=0.0),
        lambda: api.upload("report.md", b"x"),
    )


@target("slack-hook", NotifierError, [b"ok", b"invalid_payload", b"no_service"], form="bytes")
def slack_hook(raw: bytes) -> None:
    """An incoming webhook, that takes the message or says a word."""
    SlackHook(speaker().says(raw, 200 + 200 * (len(raw) % 2)), timeout=TIMEOUT).post("text", ())


@target(
    "pagerduty",
    (),
    [
        {"status": "invalid event", "message": "Event object is invalid", "errors": ["'routing_key' is missing"]},
        {"status": "throttle exceeded"},
    ],
)
def pagerduty(raw: bytes) -> None:
    """What PagerDuty refuses becomes a sentence that does not hold the key, at every status."""
    secret = "R0123456789abcdefghijklmnopqrstuv"[:32]
    key = Key(secret, "notify.pagerduty", shared=True)
    headers = {"Retry-After": raw[:40].decode("latin-1"), "Location": raw[:200].decode("latin-1")}
    for status in (200, 302, 400, 401, 413, 429, 500, 999):
        error = refused("https://events.pagerduty.example", status, headers, raw, key)
        assert secret.lower() not in str(error).lower()
        assert error.retry_after is None or error.retry_after >= 0.0


@target(
    "retry-after",
    (),
    [b"120", b"Sat, 22 Nov 2026 09:00:00 GMT", b"1763800200", b"Fri, 31 Dec 99999 23:59:59 +9999"],
    form="bytes",
    words=[b"GMT", b"+0000", b"-9999", b"31 Dec 9999"],
)
def retry_after(raw: bytes) -> None:
    """The headers that ask for patience: never negative, never without end."""
    text = raw.decode("latin-1")
    for headers in ({"Retry-After": text}, {"X-RateLimit-Reset": text}, {"Retry-After": text, "Date": text}):
        wait = asked_wait(headers)
        assert wait is None or 0.0 <= wait <= 3600.0


@target(
    "pushgateway",
    SourceError,
    [
        {
            "status": "success",
            "data": [
                {
                    "labels": {"job": "smoke", "suite": "checkout"},
                    "smoke_tests_total": {
                        "metrics": [{"labels": {"result": result}, "value": "3"} for result in RESULTS]
                    },
                }
            ],
        }
    ],
)
def pushgateway(raw: bytes) -> None:
    """The series of a suite, read back before more is added."""
    gateway = Pushgateway(speaker().says(raw), Suite("checkout", "smoke"))
    gateway.add(Run(Counts(passed=1), 0, 1, AT, AT + 1.0, 1.0))
