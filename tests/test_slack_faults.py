"""Every way in which Slack says no, or nothing, and what must never be seen of a token."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.answering import Reply, reply
from tests.channels import NOON, Notes, record, refusal, told, traits
from tests.slacking import deliver, moved, opened, to
from tests.slackserver import SlackServer, failing, limited
from watchdog.errors import ConfigError, NotifierError, NotYet
from watchdog.notifiers.slack import Slack


@pytest.fixture
def server() -> Iterator[SlackServer]:
    with SlackServer(wall=lambda: NOON) as server:
        yield server


@pytest.fixture
def slack(server: SlackServer) -> Slack:
    return opened(server)


# --- what Slack refuses -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "expected", "words"),
    [
        (failing("channel_not_found"), (True, True, None), "invite the app"),
        (failing("is_archived"), (True, True, None), "archived"),
        (failing("not_in_channel"), (True, True, None), "invite the app"),
        (failing("invalid_auth"), (True, True, None), "check the token"),
        (failing("token_revoked"), (True, True, None), "install the app again"),
        (failing("account_inactive"), (True, True, None), "install it again"),
        (failing("missing_scope", needed="chat:write"), (True, True, None), "(scope chat:write)"),
        (limited(7), (False, True, 7.0), "waiting for 7 s"),
        (limited(), (False, True, 30.0), "waiting for 30 s"),
        (failing("ratelimited"), (False, True, 30.0), "ratelimited"),
        (reply(429, b"slow down", headers={"retry-after": "3"}), (False, True, 3.0), "waiting for 3 s"),
        (failing("internal_error"), (False, True, None), "it is tried again"),
        (failing("fatal_error"), (False, True, None), "it is tried again"),
        (reply(500), (False, True, None), "status 500"),
        (reply(503, headers={"Retry-After": "9"}), (False, True, 9.0), "status 503"),
        (reply(503, b"<html>"), (False, True, None), "status 503"),
        (reply(403, b"<html>"), (True, True, None), "check the address and the token"),
        (reply(302, headers={"Location": "http://evil.example/"}), (True, True, None), "never followed"),
        (reply(200, b"<html>sign in</html>"), (False, True, None), "no JSON"),
        (reply(200, b"[]"), (False, True, None), "no document"),
        (reply(200, b'{"ok": tr', length=500), (False, True, None), "broke the exchange off"),
        (reply(200, b"[" * 100_000), (False, True, None), "no JSON"),
        (reply(json={"ok": True}), (False, True, None), "no channel and ts"),
        (failing("some_new_word"), (True, False, None), "not sent again"),
        (failing("x" * 9000), (True, False, None), "not sent again"),
        (Reply(), (False, True, None), "it is tried again"),
    ],
)
def test_every_no_says_whose_trouble_it_is(
    server: SlackServer, slack: Slack, answer: Reply, expected: Any, words: str
) -> None:
    server.fail("chat.postMessage", answer)
    error = refusal(slack)
    assert traits(error) == expected
    assert words in str(error)
    assert "#deploys" in str(error)
    assert len(server.calls) == 1


def test_a_wrong_channel_of_one_rollout_is_told_as_its_own(slack: Slack) -> None:
    error = refusal(slack, to("#nowhere"))
    assert traits(error) == (True, True, None)
    assert "#nowhere" in str(error)
    assert "notify.slack_channel" in str(error)
    deliver(slack, told(), Notes())


@pytest.mark.parametrize("code", ["msg_too_long", "invalid_blocks", "msg_blocks_too_long", "no_text"])
def test_a_layout_that_slack_refuses_is_sent_as_text_once(server: SlackServer, slack: Slack, code: str) -> None:
    memo = Notes()
    slack.refresh(moved(), memo, NOON)
    server.fail("chat.postMessage", failing(code))
    with pytest.raises(NotYet):
        slack.send(told(), memo, NOON + 2, again=False)
    deliver(slack, told(), memo, NOON + 4)
    assert not server.messages[-1].blocks
    assert told().todo in server.messages[-1].text
    server.fail("chat.postMessage", failing(code), failing(code))
    with pytest.raises(NotifierError) as refused:
        deliver(slack, record(), memo, NOON + 60)
    assert traits(refused.value) == (True, False, None)


def test_a_state_that_slack_refuses_is_written_as_text(server: SlackServer, slack: Slack) -> None:
    memo = Notes()
    slack.refresh(moved(), memo, NOON)
    server.fail("chat.update", failing("invalid_blocks"))
    slack.refresh(moved(current=3), memo, NOON + 60)
    assert not server.top()[0].blocks
    assert "3 of 48" in server.top()[0].text


def test_a_server_that_nobody_reaches_is_temporary(server: SlackServer) -> None:
    error = refusal(opened(server, url="http://127.0.0.1:9/api"))
    assert traits(error) == (False, True, None)
    assert "could not be reached" in str(error)


def test_a_server_that_drips_is_given_up_in_time(server: SlackServer) -> None:
    server.fail("chat.postMessage", Reply([b"HTTP/1.1 200 OK\r\n", *[b"x"] * 100], pause=0.1))
    assert "within 0.5 s" in str(refusal(opened(server, timeout=0.5)))


def test_a_redirect_takes_the_token_nowhere(server: SlackServer, slack: Slack) -> None:
    with SlackServer() as elsewhere:
        server.fail("chat.postMessage", reply(307, headers={"Location": f"{elsewhere.url}chat.postMessage"}))
        refusal(slack)
        assert not elsewhere.calls


def test_a_storm_of_429_is_met_with_one_request_at_a_time(server: SlackServer, slack: Slack) -> None:
    server.fail("chat.postMessage", *[limited(2)] * 3)
    memo, now = Notes(), NOON
    for count in range(3):
        error = refusal(slack, memo=memo, now=now)
        assert error.retry_after == 2.0
        assert len(server.calls) == count + 1
        now += 2.0
    deliver(slack, told(), memo, now)


def test_a_backlog_never_meets_the_limit(server: SlackServer) -> None:
    instant = [NOON]
    with SlackServer(paced=True, clock=lambda: instant[0], wall=lambda: instant[0]) as paced:
        slack, memo = opened(paced), Notes()
        for count in range(25):
            message = record(key=f"{count}")
            for _ in range(5):
                instant[0] += slack.ready_in(message, instant[0])
                try:
                    slack.send(message, memo, instant[0], again=False)
                    break
                except NotYet as wait:
                    instant[0] += wait.retry_after or 0.0
        assert len(paced.of("chat.postMessage")) == 26
        assert len(paced.thread(paced.top()[0].ts)) == 25
        assert instant[0] - NOON == pytest.approx(25)


# --- settings and secrets -----------------------------------------------------------------------------------------


def test_a_token_that_no_header_can_hold_is_refused_unseen(server: SlackServer) -> None:
    with pytest.raises(ConfigError) as caught:
        opened(server, token="xoxb-s3cret\nX-Evil: 1")
    assert "s3cret" not in str(caught.value)


def test_the_token_is_in_no_error_and_no_repr(server: SlackServer, capfd: Any, caplog: Any) -> None:
    caplog.set_level("DEBUG")
    slack = opened(server, token="xoxb-a-s3cret")
    refusal(slack)
    server.fail("chat.postMessage", failing("wrong token xoxb-a-s3cret"), Reply(hang=False), reply(500))
    for _ in range(3):
        refusal(slack)
    assert "s3cret" not in repr(slack) + repr(vars(slack))
    out = capfd.readouterr()
    logged = [entry.getMessage() for entry in caplog.records]
    assert not [text for text in [out.out, out.err, *logged] if "s3cret" in text]
    assert server.received[0].headers["authorization"] == "Bearer xoxb-a-s3cret"
