"""The webhook channel, against scripted receivers; and with it every fault that the channels over HTTP share."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.answering import Answering, Reply, reply
from tests.channels import HOSTILE, INCIDENT, NOON, ROLLOUT, SECRET, Notes, record, refusal, told, traits
from tests.mailserver import made_certificate
from watchdog.config.notifysettings import WebhookSettings
from watchdog.messages import Effect, Link, Message
from watchdog.model import NotifyRule, TransitionHook
from watchdog.notifiers.webhook import WebhookChannel, open_webhook_channel
from watchdog.notifiers.wire import LARGEST, Post
from watchdog.signing import signature

SCHEMA = json.loads((Path(__file__).parent.parent / "docs/notify/webhook.schema.json").read_text())
TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
}
Traits = tuple[bool, bool, float | None]
GONE, LATER, AGAIN, NEVER = (True, True, None), (False, True, None), (False, False, None), (True, False, None)


@pytest.fixture
def server() -> Iterator[Answering]:
    with Answering() as server:
        yield server


def channel(server: Answering | str, timeout: float = 5.0) -> WebhookChannel:
    url = server if isinstance(server, str) else f"{server.url}/hooks/s3cret-path"
    return WebhookChannel(url, SECRET, timeout)


def sent(server: Answering, message: Message | None = None) -> dict[str, Any]:
    """The document of one message."""
    channel(server).send(message or told(), Notes(), NOON, again=False)
    document: dict[str, Any] = server.asked[-1].json
    return document


def unlike(value: Any, schema: dict[str, Any], place: str = "document") -> list[str]:
    """Where the value differs from a schema, as far as ours goes."""
    problems = []
    if "const" in schema and value != schema["const"]:
        problems.append(f"{place} is {value!r}")
    if "enum" in schema and value not in schema["enum"]:
        problems.append(f"{place} is {value!r}")
    if (kind := schema.get("type")) and (not isinstance(value, TYPES[kind]) or (kind == "integer" and value is True)):
        return [*problems, f"{place} is no {kind}"]
    if isinstance(value, list):
        problems += [each for k, item in enumerate(value) for each in unlike(item, schema["items"], f"{place}[{k}]")]
    if isinstance(value, dict) and "properties" in schema:
        problems += [f"{place} has no {key}" for key in schema["required"] if key not in value]
        for key, item in value.items():
            if key not in schema["properties"]:
                problems.append(f"{place} has the unknown {key}")
            else:
                problems += unlike(item, schema["properties"][key], f"{place}.{key}")
    return problems


# --- the document -------------------------------------------------------------------------------------------------


def test_a_message_is_one_document_with_everything_in_it(server: Answering) -> None:
    closed = "slo-watchdog:checkout-2.14.0:drift"
    message = told(closes=(closed,), earlier=("the first", "the second"), report="/var/lib/report.html")
    assert sent(server, message) == {
        "format": 1,
        "key": f"{ROLLOUT}:rollback:1",
        "id": 7,
        "kind": "rollback",
        "severity": "critical",
        "effect": "open",
        "incident": INCIDENT,
        "closes": [closed],
        "rollout": ROLLOUT,
        "service": "checkout",
        "version": "2.14.0",
        "flag": "new-checkout",
        "at": "2027-01-15T08:00:00.250Z",
        "summary": "error_rate_exposed is 2.1 %, at most 0.1 % is allowed: rolled back from 25 %",
        "done": "The flag new-checkout is set to 0 %.",
        "todo": "Find the cause, then start a new release.",
        "facts": [
            {"name": "Value", "value": "2.1 %"},
            {"name": "Target", "value": "at most 0.1 %"},
            {"name": "Window", "value": "5 m"},
        ],
        "links": [
            {"text": "status", "url": "https://watchdog.example/rollouts/checkout-2.14.0"},
            {"text": "runbook", "url": "https://runbooks.example/rollback"},
        ],
        "broadcast": True,
        "change": True,
        "earlier": ["the first", "the second"],
        "report": "/var/lib/report.html",
        "details": {"objective": "error_rate", "bad": 21, "total": 1000},
    }


def test_its_schema_names_exactly_what_it_has(server: Answering) -> None:
    assert unlike(sent(server), SCHEMA) == []
    assert SCHEMA["required"] == list(SCHEMA["properties"])
    assert unlike({**sent(server), "more": 1, "id": "7"}, SCHEMA) == [
        "document.id is no integer",
        "document has the unknown more",
    ]


@pytest.mark.parametrize("message", [record("step", change=True), record("test"), told(effect=Effect.RESOLVE)])
def test_every_kind_of_message_is_sent(server: Answering, message: Message) -> None:
    document = sent(server, message)
    assert unlike(document, SCHEMA) == []
    assert document["kind"] == message.kind


def test_where_else_a_message_goes_is_not_told(server: Answering) -> None:
    hook = TransitionHook("https://ci.example/s3cret", "plain", "/etc/secret")
    rule = NotifyRule("/etc/routing-key", "#private", ("boss@example.com",), on_transition=hook)
    sent(server, told(rule=rule))
    assert not [part for part in ("s3cret", "/etc", "#private", "boss") if part in server.asked[0].body.decode()]


def test_it_is_signed_over_its_time_and_its_bytes(server: Answering) -> None:
    sent(server)
    [asked] = server.asked
    assert (asked.method, asked.target) == ("POST", "/hooks/s3cret-path")
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["x-slo-watchdog-id"] == f"{ROLLOUT}:rollback:1"
    assert asked.headers["x-slo-watchdog-timestamp"] == "1800000000"
    expected = signature(SECRET.encode(), "1800000000", asked.body)
    assert asked.headers["x-slo-watchdog-signature"] == f"v1={expected}"


def test_a_repeat_has_the_same_id_and_bytes_and_a_new_signature(server: Answering) -> None:
    channel(server).send(told(), Notes(), NOON, again=False)
    channel(server).send(told(), Notes(), NOON + 30, again=True)
    first, second = server.asked
    assert first.body == second.body
    assert first.headers["x-slo-watchdog-id"] == second.headers["x-slo-watchdog-id"]
    assert first.headers["x-slo-watchdog-signature"] != second.headers["x-slo-watchdog-signature"]


def test_a_key_that_no_header_can_hold_is_hashed_there(server: Answering) -> None:
    assert sent(server, told(key="grüße:\r\nX: 1"))["key"] == "grüße:\r\nX: 1"
    sent(server, told(key="x" * 201))
    ids = [asked.headers["x-slo-watchdog-id"] for asked in server.asked]
    assert [len(each) for each in ids] == [64, 64]
    assert ids[0] != ids[1]


def test_without_a_secret_nothing_is_signed(server: Answering) -> None:
    settings = WebhookSettings.model_validate({"url": server.url})
    open_webhook_channel(settings).send(told(), Notes(), NOON, again=False)
    assert "x-slo-watchdog-signature" not in server.asked[0].headers
    assert server.asked[0].headers["x-slo-watchdog-id"] == f"{ROLLOUT}:rollback:1"


def test_it_is_opened_from_the_settings_which_print_neither_secret_nor_path(server: Answering) -> None:
    settings = WebhookSettings.model_validate({"url": f"{server.url}/s3cret", "secret": SECRET, "timeout": "3s"})
    assert open_webhook_channel(settings).send(told(), Notes(), NOON, again=False) == "took it (200): {}"
    assert "s3cret" not in repr(settings)
    assert "x-slo-watchdog-signature" in server.asked[0].headers


# --- long and hostile texts -----------------------------------------------------------------------------------------


def test_hostile_texts_arrive_as_valid_unicode_and_otherwise_as_they_are(server: Answering) -> None:
    document = sent(server, told(summary=HOSTILE, details={HOSTILE: [HOSTILE, float("nan"), {"x": (1, None, True)}]}))
    assert document["summary"].encode()
    assert document["summary"].startswith("x\r\nBcc: thief@evil.example\r\n\r\n<script>")
    assert "😀 \ufffd Grüße 日本語" in document["summary"]
    [value] = document["details"].values()
    assert value[1:] == ["nan", {"x": [1, None, True]}]


def test_a_text_of_100_kb_is_cut_and_says_so(server: Answering) -> None:
    document = sent(server, told(summary="é" * 100_000, done="short"))
    assert len(document["summary"]) <= 20_000
    assert document["summary"].endswith(" more characters]")
    left_out = int(document["summary"].rsplit("[", 1)[1].split()[0])
    assert document["summary"].count("é") + left_out == 100_000
    assert document["done"] == "short"


def test_many_long_texts_are_cut_until_the_document_fits(server: Answering) -> None:
    facts = tuple((f"fact {k}", "€" * 100_000) for k in range(300))
    document = sent(server, told(facts=facts, earlier=tuple("z" * 9_000 for _ in range(500))))
    assert len(server.asked[0].body) <= LARGEST
    assert unlike(document, SCHEMA) == []
    assert len(document["earlier"]) == 100
    assert document["details"] == {"objective": "error_rate", "bad": 21, "total": 1000}


def test_details_that_cannot_be_cut_are_left_out_and_the_rest_is_told(server: Answering) -> None:
    document = sent(server, told(details={f"key {k}": k for k in range(100_000)}))
    assert list(document["details"]) == ["left_out"]
    assert document["summary"] == told().summary


def test_links_that_lead_nowhere_are_the_receivers_affair(server: Answering) -> None:
    assert sent(server, told(links=(Link("x", "javascript:alert(1)"),)))["links"][0]["url"] == "javascript:alert(1)"


# --- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (reply(200), "took it (200)"),
        (reply(202, b"queued as 7\n"), "took it (202): queued as 7"),
        (reply(204), "took it (204)"),
        (reply(201, json={"message": "filed"}), "took it (201): filed"),
        (reply(200, SECRET.encode() + b"\x00\xff" * 999), "took it (200): ***"),
        (reply(409, b"seen"), "had it already (409): seen"),
    ],
)
def test_what_was_taken_is_said_in_the_receivers_words(server: Answering, answer: Reply, expected: str) -> None:
    said = channel(server.next(answer)).send(told(), Notes(), NOON, again=False)
    assert said.startswith(expected)
    assert len(said) < 400


@pytest.mark.parametrize(
    "answer",
    [
        reply(200, b"half", length=5000),
        Reply([b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n" + b"x" * 900_000]),
        Reply([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nbroken"]),
        reply(200, b"[" * 60_000),
        reply(200, b"\x1f\x8b nonsense", headers={"Content-Encoding": "gzip"}),
    ],
    ids=["short", "endless", "chunks", "deep", "packed"],
)
def test_a_message_is_taken_once_the_status_says_so_whatever_follows(server: Answering, answer: Reply) -> None:
    assert channel(server.next(answer)).send(told(), Notes(), NOON, again=False).startswith("took it (200)")
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("answer", "expected", "part"),
    [
        (reply(400, json={"message": "no such kind"}), NEVER, "no such kind"),
        (reply(413), NEVER, "this message is not sent again"),
        (reply(422), NEVER, "this message is not sent again"),
        (reply(401, SECRET.encode()), GONE, "check the token or secret"),
        (reply(403), GONE, "the right to do this"),
        (reply(404, b"/hooks/s3cret-path not found"), GONE, "check the address"),
        (reply(405), GONE, "check the address"),
        (reply(407), GONE, "check the proxy's credentials"),
        (reply(410), GONE, "gone for good"),
        (reply(300), GONE, "redirects to nowhere"),
        (
            reply(301, headers={"Location": "https://u:pw@other.example/a?k=s3cret"}),
            GONE,
            "to https://other.example/a (",
        ),
        (reply(307, headers={"Location": "/elsewhere"}), GONE, "never followed"),
        (reply(408), AGAIN, "status 408"),
        (reply(425), AGAIN, "status 425"),
        (reply(429), LATER, "too often (429), waiting"),
        (reply(429, headers={"Retry-After": "2"}), (False, True, 2.0), "waiting for 2 s"),
        (reply(429, headers={"Retry-After": "999999"}), (False, True, 3600.0), "waiting for 3600 s"),
        (reply(429, headers={"Retry-After": "soon"}), LATER, "waiting"),
        (reply(500, SECRET.encode()), AGAIN, "status 500"),
        (reply(502), LATER, "status 502"),
        (reply(503, headers={"Retry-After": "120"}), (False, True, 120.0), "status 503"),
        (reply(504), LATER, "status 504"),
    ],
)
def test_an_answer_that_is_no_2xx_is_an_error_of_its_kind(
    server: Answering, answer: Reply, expected: Traits, part: str
) -> None:
    error = refusal(channel(server.next(answer)))
    assert traits(error) == expected
    assert part in str(error)
    assert len(server.asked) == 1


def test_a_429_with_a_date_is_waited_for_by_the_receivers_own_clock(server: Answering) -> None:
    headers = {"Date": "Fri, 15 Jan 2027 08:00:00 GMT", "Retry-After": "Fri, 15 Jan 2027 08:00:30 GMT"}
    assert refusal(channel(server.next(reply(429, headers=headers)))).retry_after == 30


# --- faults of the wire -----------------------------------------------------------------------------------------------


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    error = refusal(channel(f"http://127.0.0.1:{port}/s3cret"))
    assert traits(error) == LATER
    assert "could not be reached: Connection refused; it is sent again" in str(error)


def test_a_name_that_nobody_has() -> None:
    assert traits(refusal(channel("http://nobody.invalid/s3cret"))) == LATER


@pytest.mark.parametrize(
    "answer",
    [
        Reply(hang=True),
        Reply([b"HTTP/1.1 200 OK\r\nX-"], hang=True),
        Reply([b"x"] * 1000, pause=0.05),
    ],
    ids=["silence", "half a header", "drops"],
)
def test_a_receiver_that_never_finishes_its_status_is_left_in_time(server: Answering, answer: Reply) -> None:
    error = refusal(channel(server.next(answer), timeout=0.3))
    assert traits(error) == LATER


def test_a_receiver_that_drips_its_headers_is_left_in_time(server: Answering) -> None:
    drops = Reply([b"HTTP/1.1 200 OK\r\n", *([b"X-Drop: 1\r\n"] * 90)], pause=0.05)
    error = refusal(channel(server.next(drops), timeout=0.3))
    assert traits(error) == LATER
    assert "gave no answer within 0.3 s; it is sent again, under the same key" in str(error)


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [b"HTTP/1.1 20"],
        [b"nonsense\r\n\r\n"],
        [b"HTTP/1.1 abc OK\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200],
    ],
)
def test_an_answer_that_is_no_http_is_an_error_that_passes(server: Answering, pieces: list[bytes]) -> None:
    assert traits(refusal(channel(server.next(Reply(pieces))))) == LATER


def test_a_certificate_is_always_checked(tmp_path: Path) -> None:
    certificate = made_certificate(tmp_path)
    with Answering(tls=certificate.server) as server:
        error = refusal(channel(server))
        assert server.asked == []
        trusting = Post(f"{server.url}/hook", channel="webhook", timeout=5.0, tls=certificate.client)
        assert trusting.send(b"{}", {}).status == 200
    assert traits(error) == LATER
    assert "failed in TLS" in str(error)
    assert "CERTIFICATE_VERIFY_FAILED" in str(error)
    assert server.asked[0].target == "/hook"
