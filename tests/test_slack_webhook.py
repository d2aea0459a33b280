"""Slack by incoming webhook: single messages, plain words of refusal, and an address that is a secret."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.answering import Reply, reply
from tests.channels import NOON, Notes, record, refusal, told, traits
from tests.slacking import PATIENCE, deliver, to
from tests.slackserver import HOOK, SlackServer
from watchdog.config.notifysettings import SlackSettings
from watchdog.errors import ConfigError, NotYet
from watchdog.notifiers.base import Standing
from watchdog.notifiers.slack import open_slack
from watchdog.notifiers.slack_hook import SlackWebhook


@pytest.fixture
def server() -> Iterator[SlackServer]:
    with SlackServer(wall=lambda: NOON) as server:
        yield server


def opened(url: str, timeout: float = PATIENCE) -> SlackWebhook:
    channel = open_slack(SlackSettings.model_validate({"webhook_url": url, "timeout": timeout}))
    assert isinstance(channel, SlackWebhook)
    return channel


@pytest.fixture
def hook(server: SlackServer) -> SlackWebhook:
    return opened(server.hook_url)


def test_each_message_stands_by_itself(server: SlackServer, hook: SlackWebhook) -> None:
    memo = Notes()
    deliver(hook, told(), memo)
    deliver(hook, record(), memo)
    assert len(server.top()) == 2
    assert told().summary in server.top()[0].words
    assert not isinstance(hook, Standing)


def test_it_keeps_slacks_limit(hook: SlackWebhook) -> None:
    hook.send(told(), Notes(), NOON, again=False)
    assert hook.ready_in(record(), NOON) == 1.0
    assert hook.ready_in(record(), NOON + 1) == 0.0


def test_what_was_posted_and_remembered_is_not_posted_again(server: SlackServer, hook: SlackWebhook) -> None:
    memo = Notes()
    deliver(hook, told(), memo)
    assert deliver(hook, told(), memo, NOON + 60, again=True) == "posted before"
    assert len(server.messages) == 1


def test_a_channel_that_a_webhook_cannot_reach_is_said_once(server: SlackServer, hook: SlackWebhook) -> None:
    memo = Notes()
    deliver(hook, to("#payments"), memo)
    deliver(hook, to("#payments", key="later"), memo, NOON + 60)
    assert ["asks for #payments" in message.words for message in server.messages] == [True, False]


@pytest.mark.parametrize(
    ("answer", "expected", "words"),
    [
        (reply(404, b"no_service"), (True, True, None), "make a new one"),
        (reply(404, b"no_team"), (True, True, None), "check the webhook's address"),
        (reply(403, b"invalid_token"), (True, True, None), "check the webhook's address"),
        (reply(403, b"action_prohibited"), (True, True, None), "administrators"),
        (reply(404, b"channel_not_found"), (True, True, None), "check the channel"),
        (reply(410, b"channel_is_archived"), (True, True, None), "archived"),
        (reply(404, b"<html>"), (True, True, None), "check the address"),
        (reply(302, headers={"Location": "http://evil.example/"}), (True, True, None), "never followed"),
        (reply(429, b"rate_limited", headers={"Retry-After": "4"}), (False, True, 4.0), "waiting for 4 s"),
        (reply(429), (False, True, 30.0), "waiting for 30 s"),
        (reply(500, b"rollup_error"), (False, True, None), "it is tried again"),
        (reply(503), (False, True, None), "status 503"),
        (reply(200, b"<html>sign in</html>"), (False, True, None), "something else than ok"),
        (reply(200, b"o", length=5), (False, True, None), "it is sent again"),
        (Reply(), (False, True, None), "it is sent again"),
    ],
)
def test_every_no_says_whose_trouble_it_is(
    server: SlackServer, hook: SlackWebhook, answer: Reply, expected: Any, words: str
) -> None:
    server.fail("webhook", answer)
    error = refusal(hook)
    assert traits(error) == expected
    assert words in str(error)
    assert len(server.calls) == 1


@pytest.mark.parametrize("said", [b"invalid_payload", b"invalid_blocks", b"no_text"])
def test_a_layout_that_slack_refuses_is_sent_as_text_once(server: SlackServer, hook: SlackWebhook, said: bytes) -> None:
    memo = Notes()
    server.fail("webhook", reply(400, said))
    with pytest.raises(NotYet):
        hook.send(told(), memo, NOON, again=False)
    deliver(hook, told(), memo, NOON + 1)
    assert not server.messages[0].blocks
    server.fail("webhook", reply(400, said))
    memo.put("plain", record().key)
    assert traits(refusal(hook, record(), memo)) == (True, False, None)


def test_a_silent_server_is_temporary(server: SlackServer) -> None:
    server.fail("webhook", Reply(hang=True))
    error = refusal(opened(server.hook_url, 0.3))
    assert traits(error) == (False, True, None)
    assert "within 0.3 s" in str(error)


def test_a_removed_webhook_is_told_without_its_address(server: SlackServer) -> None:
    error = refusal(opened(server.hook_url + "x"))
    assert "no_service" in str(error)
    assert HOOK not in str(error)


def test_the_address_is_in_no_error_no_log_and_no_repr(server: SlackServer, capfd: Any, caplog: Any) -> None:
    caplog.set_level("DEBUG")
    hook = opened(server.hook_url)
    said = [repr(hook), repr(vars(hook))]
    answers = [reply(404, server.hook_url.encode()), reply(500), Reply(), reply(302, headers={"Location": HOOK})]
    server.fail("webhook", *answers)
    errors = [refusal(hook) for _ in answers]
    errors.append(refusal(opened(f"http://127.0.0.1:9{HOOK}")))
    causes = [f"{error} {error.__cause__} {error.__context__}" for error in errors]
    out = capfd.readouterr()
    # What urllib3 says on DEBUG names what it asks for; the daemon's level for libraries is always WARNING.
    logged = [entry.getMessage() for entry in caplog.records if not entry.name.startswith("urllib3")]
    everything = [*said, *causes, out.out, out.err, *logged]
    assert not [text for text in everything if "staplebattery" in text]


@pytest.mark.parametrize("url", ["hooks.slack.com/s3cret", "ftp://hooks/s3cret", "https://hooks.slack.com/s3 cret"])
def test_an_address_that_is_none_is_refused_unseen(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        opened(url)
    assert "s3" not in str(caught.value)
