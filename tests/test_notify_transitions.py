"""Transitions for pipelines: signed documents, GitHub's dispatches, secrets from files, repeats that are dropped."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.answering import Answering, Reply, Request, reply
from tests.channels import HOSTILE, NOON, ROLLOUT, SECRET, Notes, record, refusal, told, traits
from watchdog.config.notifysettings import TransitionSettings
from watchdog.messages import Effect, Message
from watchdog.messages.transition import of_transitions
from watchdog.model import Exposure, NotifyRule, Phase, Transition, TransitionHook
from watchdog.notifiers.transitions import GITHUB_LARGEST, Transitions, open_transitions
from watchdog.signing import signature

TOKEN = "ghp_s3cret-token"
DETAILS = {
    "kind": "rolled_back",
    "from": "rolling_back",
    "to": "rolled_back",
    "why": "the flag reads 0 %",
    "by": "watchdog",
    "objective": "error_rate",
    "mode": "act",
    "exposure": {"percent": 0.0, "cohort": False, "audiences": []},
}
SNIPPET = re.compile(r"```python\n(.*?)```", re.DOTALL)
PAGE = (Path(__file__).parent.parent / "docs/notify/transitions.md").read_text()


@pytest.fixture
def server() -> Iterator[Answering]:
    with Answering() as server:
        yield server


def moved(**changes: Any) -> Message:
    """A transition of a rollout that was rolled back."""
    return record("transition", **{"details": DETAILS, "summary": "the flag reads 0 %", **changes})


def settings(url: str, **changes: object) -> TransitionSettings:
    return TransitionSettings.model_validate({"url": url, "secret": SECRET, "timeout": "5s"} | changes)


def plain(server: Answering, **changes: object) -> Transitions:
    return open_transitions(settings(f"{server.url}/hook", **changes))


def github(server: Answering, **changes: object) -> Transitions:
    url = f"{server.url}/repos/acme/checkout/dispatches"
    return open_transitions(settings(url, **{"style": "github", "token": TOKEN, "secret": None, **changes}))


def send(channel: Transitions, message: Message | None = None, now: float = NOON) -> str:
    return channel.send(message or moved(), Notes(), now, again=False)


# --- our own document ---------------------------------------------------------------------------------------------


def test_a_transition_is_a_signed_document(server: Answering) -> None:
    assert send(plain(server)) == "took it (200)"
    [asked] = server.asked
    assert (asked.method, asked.target) == ("POST", "/hook")
    assert asked.json == {
        "format": 1,
        "key": f"{ROLLOUT}:transition:1",
        "rollout": ROLLOUT,
        "service": "checkout",
        "flag": "new-checkout",
        "version": "2.14.0",
        "at": "2027-01-15T08:00:00.250Z",
        "mode": "act",
        "from": "rolling_back",
        "to": "rolled_back",
        "kind": "rolled_back",
        "why": "the flag reads 0 %",
        "by": "watchdog",
        "objective": "error_rate",
        "exposure": {"percent": 0.0, "cohort": False, "audiences": []},
    }
    assert asked.headers["x-slo-watchdog-id"] == f"{ROLLOUT}:transition:1"
    expected = signature(SECRET.encode(), "1800000000", asked.body)
    assert asked.headers["x-slo-watchdog-signature"] == f"v1={expected}"
    assert "authorization" not in asked.headers


def test_it_says_what_the_ledger_records_of_a_transition(server: Answering) -> None:
    transition = Transition(NOON, "step", Phase.RAMPING, Phase.RAMPING, "5 % to 25 %", "ana", None)
    [recorded] = of_transitions(ROLLOUT, [transition], Exposure(25.0, audiences=("beta",)))
    assert recorded.kind == moved().kind
    send(plain(server), moved(key=recorded.key, details=recorded.details))
    document = server.asked[0].json
    assert [document[key] for key in ("kind", "from", "to", "why", "by", "mode")] == [
        "step",
        "ramping",
        "ramping",
        "5 % to 25 %",
        "ana",
        "act",
    ]
    assert document["exposure"] == {"percent": 25.0, "cohort": False, "audiences": ["beta"]}


def test_the_page_names_every_key_of_the_document(server: Answering) -> None:
    send(plain(server))
    assert [key for key in server.asked[0].json if f"`{key}`" not in PAGE] == []


class Pipeline:
    """A receiver that does what the page tells it to: verify, then drop what came before."""

    def __init__(self) -> None:
        names: dict[str, Any] = {}
        [snippet] = SNIPPET.findall(PAGE)
        exec(snippet, names)  # noqa: S102 - the page's own lines, to see that they work
        self.trusted: Callable[[bytes, Mapping[str, str], bytes], bool] = names["trusted"]
        self.seen: list[str] = []

    def __call__(self, request: Request) -> Reply:
        names = {"timestamp": "Timestamp", "signature": "Signature", "id": "Id"}
        headers = {f"X-Slo-Watchdog-{name}": request.headers[f"x-slo-watchdog-{key}"] for key, name in names.items()}
        if not self.trusted(SECRET.encode(), headers, request.body):
            return reply(401)
        if headers["X-Slo-Watchdog-Id"] in self.seen:
            return reply(409)
        self.seen.append(headers["X-Slo-Watchdog-Id"])
        return reply(204)


def test_a_receiver_verifies_and_drops_repeats_with_the_lines_of_the_page(server: Answering) -> None:
    pipeline = Pipeline()
    server.always(pipeline)
    now = time.time()
    assert send(plain(server), now=now) == "took it (204)"
    assert send(plain(server), now=now) == "had it already (409)"
    assert send(plain(server), moved(key="another"), now) == "took it (204)"
    assert pipeline.seen == [f"{ROLLOUT}:transition:1", "another"]


def test_a_receiver_refuses_another_secret_and_an_old_message_with_the_lines_of_the_page(server: Answering) -> None:
    server.always(Pipeline())
    now = time.time()
    other = plain(server, secret="another key, which is as long as ours")
    assert traits(refusal(other, moved(), now=now)) == (True, True, None)
    assert traits(refusal(plain(server), moved(), now=now - 400)) == (True, True, None)


def test_a_token_goes_along_with_our_own_document(server: Answering) -> None:
    send(plain(server, token=TOKEN))
    assert server.asked[0].headers["authorization"] == f"Bearer {TOKEN}"


def test_what_is_not_recorded_is_null_and_the_summary_says_why(server: Answering) -> None:
    send(plain(server), moved(details={}))
    document = server.asked[0].json
    assert (document["kind"], document["why"], document["to"]) == ("transition", "the flag reads 0 %", None)


# --- whose hook ---------------------------------------------------------------------------------------------------


def test_without_any_hook_nothing_is_sent() -> None:
    assert send(open_transitions(None)) == "there is no hook"


@pytest.mark.parametrize("message", [told(), told(effect=Effect.RESOLVE), record("step", change=True)])
def test_other_messages_are_not_for_pipelines(server: Answering, message: Message) -> None:
    assert send(plain(server), message) == f"not sent: {message.kind} is no transition"
    assert server.asked == []


def test_a_test_is_sent_as_one(server: Answering) -> None:
    assert send(plain(server), record("test", details={})) == "took it (200)"
    assert server.asked[0].json["kind"] == "test"


def rule(server: Answering, tmp_path: Path, **changes: Any) -> NotifyRule:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    (tmp_path / "token").write_text(TOKEN)
    hook = {"url": f"{server.url}/own", "secret_file": str(tmp_path / "secret"), **changes}
    return NotifyRule(on_transition=TransitionHook(**hook))


def test_a_rollouts_own_hook_comes_first_with_its_own_secret(server: Answering, tmp_path: Path) -> None:
    channel = plain(server, secret="the daemon's own secret")
    send(channel, moved(rule=rule(server, tmp_path)))
    send(channel, moved(rule=NotifyRule()))
    own, daemons = server.asked
    assert (own.target, daemons.target) == ("/own", "/hook")
    assert own.headers["x-slo-watchdog-signature"] == f"v1={signature(SECRET.encode(), '1800000000', own.body)}"


def test_a_rollouts_own_hook_needs_no_settings_of_the_daemon(server: Answering, tmp_path: Path) -> None:
    own = rule(server, tmp_path, style="github", token_file=str(tmp_path / "token"))
    server.next(reply(204))
    assert send(open_transitions(None), moved(rule=own)) == "GitHub took the event slo-watchdog-rolled_back (204)"
    assert server.asked[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert "x-slo-watchdog-signature" in server.asked[0].headers


def test_a_secret_is_read_anew_for_each_message(server: Answering, tmp_path: Path) -> None:
    message = moved(rule=rule(server, tmp_path))
    channel = open_transitions(None)
    send(channel, message)
    (tmp_path / "secret").write_text("the next secret")
    send(channel, message)
    asked = server.asked[1]
    assert asked.headers["x-slo-watchdog-signature"] == f"v1={signature(b'the next secret', '1800000000', asked.body)}"


@pytest.mark.parametrize(
    ("content", "part"),
    [(None, "cannot be read: No such file or directory"), (b" \n", "is empty"), (b"\xff\xfe", "it is not text")],
)
def test_a_secret_that_cannot_be_read_is_said_and_nothing_is_sent(
    server: Answering, tmp_path: Path, content: bytes | None, part: str
) -> None:
    message = moved(rule=rule(server, tmp_path, secret_file=str(tmp_path / "other")))
    if content is not None:
        (tmp_path / "other").write_bytes(content)
    error = refusal(open_transitions(None), message)
    assert traits(error) == (True, True, None)
    assert f"secret_file {tmp_path / 'other'} of the rollout's hook" in str(error)
    assert part in str(error)
    assert server.asked == []


def test_a_token_of_several_lines_is_refused_and_not_shown(server: Answering, tmp_path: Path) -> None:
    own = rule(server, tmp_path, style="github", token_file=str(tmp_path / "token"))
    (tmp_path / "token").write_text("s3cret\nX-Injected: yes")
    error = refusal(open_transitions(None), moved(rule=own))
    assert traits(error) == (True, True, None)
    assert "the header Authorization would hold a line break" in str(error)
    assert server.asked == []


def test_the_bad_hours_of_a_rollouts_own_hook_are_not_everybodys(server: Answering, tmp_path: Path) -> None:
    own = moved(rule=rule(server, tmp_path))
    server.next(reply(503), reply(429, headers={"Retry-After": "9"}), reply(503), reply(401))
    assert traits(refusal(plain(server), own)) == (False, False, None)
    assert traits(refusal(plain(server), own)) == (False, False, 9.0)
    assert traits(refusal(plain(server), moved())) == (False, True, None)
    assert traits(refusal(plain(server), own)) == (True, True, None)


# --- GitHub -------------------------------------------------------------------------------------------------------


def test_a_dispatch_is_githubs_document_with_ours_under_one_key(server: Answering) -> None:
    server.next(reply(204))
    assert send(github(server)) == "GitHub took the event slo-watchdog-rolled_back (204)"
    [asked] = server.asked
    assert (asked.method, asked.target) == ("POST", "/repos/acme/checkout/dispatches")
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"
    assert asked.headers["accept"] == "application/vnd.github+json"
    assert asked.headers["x-github-api-version"] == "2022-11-28"
    assert asked.headers["user-agent"] == "slo-watchdog"
    assert "x-slo-watchdog-signature" not in asked.headers
    assert sorted(asked.json) == ["client_payload", "event_type"]
    assert asked.json["event_type"] == "slo-watchdog-rolled_back"
    assert list(asked.json["client_payload"]) == ["transition"]
    assert asked.json["client_payload"]["transition"]["why"] == "the flag reads 0 %"


def test_where_the_phase_stays_the_event_is_what_happened(server: Answering) -> None:
    server.always(reply(204))
    send(github(server), moved(details=DETAILS | {"kind": "step", "from": "ramping", "to": "ramping"}))
    send(github(server), record("test", details={}))
    assert [asked.json["event_type"] for asked in server.asked] == ["slo-watchdog-step", "slo-watchdog-test"]


def test_long_and_hostile_texts_fit_githubs_limits(server: Answering) -> None:
    server.always(reply(204))
    send(github(server), moved(details=DETAILS | {"why": HOSTILE * 1000, "by": "€" * 100_000}, summary="x" * 100_000))
    send(github(server), moved(details=DETAILS | {"to": HOSTILE * 9}))
    for asked in server.asked:
        assert len(asked.body) <= GITHUB_LARGEST
        assert len(asked.json["event_type"]) <= 100
        assert asked.json["event_type"].isprintable()
    assert server.asked[0].json["client_payload"]["transition"]["by"].endswith("more characters]")


@pytest.mark.parametrize(
    ("answer", "expected", "part"),
    [
        (reply(200, b"<html>sign in"), (True, True, None), "check that the address ends in /dispatches"),
        (
            reply(301, headers={"Location": "https://api.github.com/repositories/1/dispatches"}),
            (True, True, None),
            "/1/",
        ),
        (reply(401, json={"message": "Bad credentials"}), (True, True, None), "Bad credentials; check the token"),
        (reply(403, json={"message": "Resource not accessible"}), (True, True, None), "Resource not accessible"),
        (
            reply(403, headers={"X-RateLimit-Remaining": "4999", "X-RateLimit-Reset": "1800003600"}),
            (True, True, None),
            "",
        ),
        (reply(403, headers={"Retry-After": "61"}), (False, True, 61.0), "waiting for 61 s"),
        (
            reply(
                403,
                headers={
                    "X-RateLimit-Remaining": "0",
                    "X-RateLimit-Reset": "1800000030",
                    "Date": "Fri, 15 Jan 2027 08:00:00 GMT",
                },
            ),
            (False, True, 30.0),
            "waiting for 30 s",
        ),
        (reply(403, headers={"X-RateLimit-Remaining": "0"}), (False, True, 60.0), "waiting for 60 s"),
        (reply(404, json={"message": "Not Found"}), (True, True, None), "Not Found; check the address"),
        (reply(409), (True, False, None), "status 409"),
        (reply(422, json={"message": "Invalid request"}), (True, False, None), "Invalid request"),
        (reply(429, headers={"Retry-After": "5"}), (False, True, 5.0), "waiting for 5 s"),
        (reply(500), (False, False, None), "status 500"),
        (reply(503), (False, True, None), "status 503"),
        (Reply([]), (False, True, None), "is sent again"),
    ],
)
def test_an_answer_that_is_no_204_is_an_error_of_its_kind(
    server: Answering, answer: Reply, expected: tuple[bool, bool, float | None], part: str
) -> None:
    error = refusal(github(server.next(answer)), moved())
    assert traits(error) == expected
    assert part in str(error)
    assert TOKEN not in str(error)


def test_github_without_a_token_is_not_asked(server: Answering, tmp_path: Path) -> None:
    message = moved(rule=rule(server, tmp_path, style="github"))
    assert "has no token" in str(refusal(open_transitions(None), message))
    assert server.asked == []


def test_with_a_secret_the_payload_itself_is_signed_because_a_workflow_sees_nothing_else(server: Answering) -> None:
    server.always(reply(204))
    send(github(server, secret=SECRET))
    payload = server.asked[0].json["client_payload"]
    mark = payload["signed"]
    expected = hmac.new(SECRET.encode(), f"{mark['timestamp']}.{mark['text']}".encode(), hashlib.sha256).hexdigest()
    assert mark["signature"] == f"v1={expected}"
    vouched = json.loads(mark["text"])
    assert {name: payload["transition"][name] for name in vouched} == vouched
    assert {"rollout", "to", "key", "format"} <= set(vouched)
    assert "why" not in vouched, "other people's sentences decide nothing"
