"""Slack by token: one parent that is edited, a thread, the report, and every way in which Slack says no."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.answering import Reply, Request
from tests.channels import NOON, ROLLOUT, Notes, record, told, traits
from tests.slacking import deliver, moved, opened, to
from tests.slackserver import SlackServer, failing
from watchdog.errors import NotifierError, NotYet
from watchdog.notifiers.base import Standing
from watchdog.notifiers.slack import Slack


@pytest.fixture
def server() -> Iterator[SlackServer]:
    with SlackServer(wall=lambda: NOON) as server:
        yield server


@pytest.fixture
def slack(server: SlackServer) -> Slack:
    return opened(server)


# --- parent and thread --------------------------------------------------------------------------------------------


def test_the_first_message_opens_a_thread_and_stands_in_it(server: SlackServer, slack: Slack) -> None:
    said = deliver(slack, told(), Notes())
    (parent,) = server.top()
    (answer,) = server.thread(parent.ts)
    assert ROLLOUT in parent.words
    assert told().summary in answer.words
    assert answer.ts in said
    assert answer.metadata == {"event_type": "slo_watchdog", "event_payload": {"key": told().key}}


def test_parent_and_first_reply_keep_the_channels_limit(server: SlackServer, slack: Slack) -> None:
    memo = Notes()
    with pytest.raises(NotYet) as wait:
        slack.send(told(), memo, NOON, again=False)
    assert wait.value.retry_after == 1.0
    assert slack.ready_in(told(), NOON) == 1.0
    assert slack.ready_in(told(), NOON + 1) == 0.0
    assert len(server.messages) == 1


def test_channels_do_not_wait_for_each_other(slack: Slack) -> None:
    deliver(slack, told(), Notes())
    assert slack.ready_in(told(), NOON + 1) > 0
    assert slack.ready_in(to("payments"), NOON + 1) == 0


def test_a_channel_by_name_and_by_id_is_one_channel(server: SlackServer, slack: Slack) -> None:
    deliver(slack, told(), Notes())
    assert slack.ready_in(to(server.channels["deploys"].id), NOON + 1) > 0


def test_all_messages_of_a_rollout_are_in_one_thread_after_a_restart_too(server: SlackServer, slack: Slack) -> None:
    memo = Notes()
    deliver(slack, told(), memo)
    deliver(opened(server), record(), memo)
    (parent,) = server.top()
    assert len(server.thread(parent.ts)) == 2


def test_only_what_concerns_everybody_is_shown_in_the_channel(server: SlackServer, slack: Slack) -> None:
    memo = Notes()
    deliver(slack, told(broadcast=True), memo)
    deliver(slack, record(), memo)
    assert [message.broadcast for message in server.messages] == [False, True, False]


def test_a_rollout_may_have_a_channel_of_its_own(server: SlackServer, slack: Slack) -> None:
    deliver(slack, to("#payments"), Notes())
    assert {message.channel for message in server.messages} == {server.channels["payments"].id}


def test_another_channel_in_the_settings_gets_a_thread_of_its_own(server: SlackServer, slack: Slack) -> None:
    memo = Notes()
    deliver(slack, told(), memo)
    deliver(opened(server, channel="payments"), record(), memo)
    assert [message.channel for message in server.top()] == [
        server.channels[name].id for name in ("deploys", "payments")
    ]


def test_a_test_message_stands_alone(server: SlackServer, slack: Slack) -> None:
    slack.send(record("test"), Notes(), NOON, again=False)
    (message,) = server.messages
    assert not message.thread
    assert record().summary in message.words


# --- the state, edited --------------------------------------------------------------------------------------------


def test_the_state_is_shown_by_editing_the_one_message(server: SlackServer, slack: Slack) -> None:
    memo = Notes()
    assert isinstance(slack, Standing)
    deliver(slack, told(), memo)
    slack.refresh(moved(), memo, NOON + 60)
    (parent,) = server.top()
    assert "2 of 48 good slices" in parent.words
    assert "error_rate: pass. 0.02% is at most 0.1%" in parent.words
    assert parent.metadata["event_payload"] == {"key": f"parent:{ROLLOUT}:0"}


def test_what_did_not_change_is_not_edited(server: SlackServer, slack: Slack) -> None:
    memo = Notes()
    slack.refresh(moved(), memo, NOON)
    slack.refresh(moved(at=NOON + 60), memo, NOON + 60)
    assert [call.method for call in server.calls] == ["chat.postMessage"]
    opened(server).refresh(moved(at=NOON + 120), memo, NOON + 120)
    assert len(server.calls) == 1
    slack.refresh(moved(current=3), memo, NOON + 180)
    assert [call.method for call in server.calls] == ["chat.postMessage", "chat.update"]


def test_edits_keep_their_limit_and_none_is_forgotten(server: SlackServer, slack: Slack) -> None:
    memo = Notes()
    slack.refresh(moved(), memo, NOON)
    for count in range(20):
        slack.refresh(moved(current=count + 3), memo, NOON)
    with pytest.raises(NotYet) as wait:
        slack.refresh(moved(current=40), memo, NOON)
    assert wait.value.retry_after == pytest.approx(2.0)
    slack.refresh(moved(current=40), memo, NOON + 2.0)
    assert "40 of 48" in server.top()[0].words


def test_a_rollout_that_is_over_gets_no_message_for_its_state_alone(server: SlackServer, slack: Slack) -> None:
    slack.refresh(moved(over=True), Notes(), NOON)
    assert not server.calls


def test_the_end_is_shown_in_the_message(server: SlackServer, slack: Slack) -> None:
    memo = Notes()
    slack.refresh(moved(), memo, NOON)
    slack.refresh(moved(phase="signed_off", over=True), memo, NOON + 60)
    assert "signed off" in server.top()[0].words


def test_a_new_message_waits_for_the_channels_limit(slack: Slack) -> None:
    slack.refresh(moved(), Notes(), NOON)
    with pytest.raises(NotYet) as wait:
        slack.refresh(moved(rollout="other"), Notes(), NOON)
    assert wait.value.retry_after == 1.0


def test_a_deleted_parent_is_posted_anew_for_its_state(server: SlackServer, slack: Slack) -> None:
    memo = Notes()
    slack.refresh(moved(), memo, NOON)
    server.delete(server.top()[0].ts)
    slack.refresh(moved(current=3), memo, NOON + 60)
    assert ["3 of 48" in message.words for message in server.top()] == [True]


def test_who_deletes_it_again_and_again_is_left_alone(server: SlackServer, slack: Slack) -> None:
    memo = Notes()
    slack.refresh(moved(), memo, NOON)
    for count in range(10):
        for message in server.top():
            server.delete(message.ts)
        slack.refresh(moved(current=count + 3), memo, NOON + 60 * count + 60)
    assert len(server.of("chat.postMessage")) == 4


def test_a_message_after_the_parent_was_deleted_gets_a_new_one(server: SlackServer, slack: Slack) -> None:
    memo = Notes()
    deliver(slack, told(), memo)
    server.delete(server.top()[0].ts)
    deliver(slack, record(), memo, NOON + 60)
    (parent,) = server.top()
    assert [message.metadata["event_payload"]["key"] for message in server.thread(parent.ts)] == [record().key]


def test_a_channel_without_threads_does_not_fill_with_parents(server: SlackServer, slack: Slack) -> None:
    def threadless(server: SlackServer, request: Request) -> Reply:
        return failing("cannot_reply_to_message") if b"thread_ts" in request.body else server.carried_out(request)

    server.fail("chat.postMessage", *[threadless] * 10)
    with pytest.raises(NotifierError) as refused:
        deliver(slack, told(), Notes())
    assert traits(refused.value) == (True, False, None)
    assert len(server.top()) == 2


def test_a_message_of_another_app_is_not_edited_for_ever(server: SlackServer, slack: Slack) -> None:
    memo = Notes()
    slack.refresh(moved(), memo, NOON)
    server.foreign.add(server.top()[0].ts)
    slack.refresh(moved(current=3), memo, NOON + 60)
    assert "3 of 48" in server.top()[-1].words


def test_where_nobody_may_edit_the_state_stays_as_it_was(server: SlackServer, slack: Slack) -> None:
    memo = Notes()
    slack.refresh(moved(), memo, NOON)
    server.fixed = True
    for minute in range(1, 4):
        slack.refresh(moved(current=minute + 2), memo, NOON + 60 * minute)
    assert len(server.of("chat.update")) == 1
    assert len(server.top()) == 1
