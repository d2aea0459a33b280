"""Slack after an attempt whose end nobody knows, and the report that follows its message."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.answering import Reply, reply
from tests.channels import NOON, Notes, record, told, traits
from tests.slacking import deliver, moved, opened
from tests.slackserver import SlackServer, lost
from watchdog.errors import NotifierError
from watchdog.messages import Message
from watchdog.notifiers.slack import Slack


@pytest.fixture
def server() -> Iterator[SlackServer]:
    with SlackServer(wall=lambda: NOON) as server:
        yield server


@pytest.fixture
def slack(server: SlackServer) -> Slack:
    return opened(server)


# --- repeats ------------------------------------------------------------------------------------------------------


def test_a_reply_that_got_through_unheard_is_not_posted_again(server: SlackServer) -> None:
    slack, memo = opened(server, timeout=0.3), Notes()
    slack.refresh(moved(), memo, NOON)
    server.fail("chat.postMessage", lost(Reply(hang=True)))
    with pytest.raises(NotifierError) as timeout:
        slack.send(told(), memo, NOON + 2, again=False)
    assert traits(timeout.value) == (False, True, None)
    assert "gave no answer within 0.3 s" in str(timeout.value)
    deliver(opened(server), told(), memo, NOON + 40, again=True)
    assert len(server.thread(server.top()[0].ts)) == 1


def test_a_reply_that_did_not_get_through_is_posted(server: SlackServer, slack: Slack) -> None:
    memo = Notes()
    deliver(slack, record(), memo)
    deliver(slack, told(), memo, NOON + 60, again=True)
    assert len(server.thread(server.top()[0].ts)) == 2


def test_the_key_is_found_on_a_later_page(server: SlackServer, slack: Slack) -> None:
    memo = Notes()
    server.page = 2
    for count in range(4):
        deliver(slack, record(key=f"{count}"), memo, NOON + 60 * count)
    memo.values.pop("sent")
    before = len(server.messages)
    deliver(slack, record(key="3"), memo, NOON + 900, again=True)
    assert len(server.messages) == before
    assert len(server.of("conversations.replies")) > 1


def test_what_is_remembered_is_not_even_looked_for(server: SlackServer, slack: Slack) -> None:
    memo = Notes()
    deliver(slack, told(), memo)
    before = len(server.calls)
    assert "posted in" in slack.send(told(), memo, NOON + 60, again=True)
    assert len(server.calls) == before


def test_without_the_scope_to_look_it_is_sent_again_and_not_asked_twice(server: SlackServer, slack: Slack) -> None:
    memo = Notes()
    server.scopes.discard("channels:history")
    slack.refresh(moved(), memo, NOON)
    for count in range(3):
        deliver(slack, record(key=f"{count}"), memo, NOON + 60 * count + 60, again=True)
    assert len(server.thread(server.top()[0].ts)) == 3
    assert len(server.of("conversations.replies")) == 1


def test_a_parent_that_got_through_unheard_is_found_where_the_channel_is_an_id(server: SlackServer) -> None:
    slack, memo = opened(server, channel=server.channels["deploys"].id, timeout=0.3), Notes()
    server.fail("chat.postMessage", lost(Reply(hang=True)))
    with pytest.raises(NotifierError):
        slack.send(told(), memo, NOON, again=False)
    deliver(opened(server, channel=server.channels["deploys"].id), told(), memo, NOON + 40, again=True)
    assert len(server.top()) == 1
    assert len(server.thread(server.top()[0].ts)) == 1


# --- the report ---------------------------------------------------------------------------------------------------


@pytest.fixture
def signed_off(tmp_path: Path) -> Message:
    report = tmp_path / "checkout-2.14.0.html"
    report.write_text("<h1>signed off</h1>")
    return record("signed_off", report=str(report))


def test_the_report_follows_its_message_into_the_thread(server: SlackServer, slack: Slack, signed_off: Message) -> None:
    assert "with its report" in deliver(slack, signed_off, Notes())
    (parent,) = server.top()
    message, file = server.thread(parent.ts)
    assert signed_off.summary in message.words
    assert file.files == ["checkout-2.14.0.html"]
    assert list(server.files.values()) == [b"<h1>signed off</h1>"]


def test_a_report_that_is_not_there_is_said(server: SlackServer, slack: Slack, signed_off: Message) -> None:
    Path(signed_off.report).unlink()
    deliver(slack, signed_off, Notes())
    assert "not attached: the file is not there" in server.messages[-1].words
    assert not server.of("files.getUploadURLExternal")


def test_a_token_that_may_not_upload_loses_no_message_and_says_so_once(
    server: SlackServer, slack: Slack, signed_off: Message
) -> None:
    memo = Notes()
    server.scopes.discard("files:write")
    deliver(slack, signed_off, memo)
    assert "the token lacks the scope files:write" in server.messages[-1].words
    deliver(slack, replace(signed_off, key="later"), memo, NOON + 60)
    assert "files:write" not in server.messages[-1].words
    assert len(server.of("files.getUploadURLExternal")) == 1
    assert len(server.messages) == 3


def test_an_upload_is_tried_three_times_and_the_message_only_once(
    server: SlackServer, slack: Slack, signed_off: Message
) -> None:
    memo = Notes()
    server.fail("upload", *[reply(503)] * 3)
    for minute in range(2):
        with pytest.raises(NotifierError) as failed:
            deliver(slack, signed_off, memo, NOON + 60 * minute)
        assert traits(failed.value) == (False, False, None)
    assert "not attached" in deliver(slack, signed_off, memo, NOON + 180)
    assert len(server.messages) == 2
    assert "refused the file with status 503" in server.messages[-1].words


def test_a_report_that_is_shown_already_is_not_shown_twice(
    server: SlackServer, slack: Slack, signed_off: Message
) -> None:
    memo = Notes()
    server.fail("files.completeUploadExternal", lost(reply(500)))
    with pytest.raises(NotifierError):
        deliver(slack, signed_off, memo)
    assert "with its report" in deliver(slack, signed_off, memo, NOON + 60, again=True)
    assert len([message for message in server.messages if message.files]) == 1
