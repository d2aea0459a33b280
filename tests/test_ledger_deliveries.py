"""The outbox: a message waits on each channel until that has settled it, and one sender at a time is at it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ledgers import NOON, a_rollout, added, ledger_at, page
from watchdog.ledger import CLAIM, PIPELINES, Claim, Delivery, Ledger, Record, StoredRollout, Unsent
from watchdog.model import Notification, Severity


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = ledger_at(tmp_path / "watchdog.db")
    yield opened
    opened.close()


@pytest.fixture
def rollout(ledger: Ledger) -> StoredRollout:
    return added(ledger)


def record(ledger: Ledger, rollout: StoredRollout, *messages: Notification | str) -> None:
    stored = ledger.rollout(rollout.name)
    assert stored is not None
    found = [page(message) if isinstance(message, str) else message for message in messages]
    ledger.record(Record(stored.id, stored.revision, notifications=found))


def waiting(ledger: Ledger, channel: str = "slack", now: float = NOON, limit: int = 10, after: int = 0) -> list[int]:
    return [unsent.id for unsent in ledger.backlog(channel, now, limit, after).waiting]


def delivery(ledger: Ledger, rollout: StoredRollout, key: str, channel: str = "slack") -> Delivery | None:
    (item,) = (item for item in ledger.notifications_of(rollout.id) if item.notification.key == key)
    return next((found for found in item.deliveries if found.channel == channel), None)


def test_a_message_waits_on_every_channel_until_each_took_it(ledger: Ledger, rollout: StoredRollout) -> None:
    record(ledger, rollout, "a", "b")
    found = ledger.backlog("slack", NOON, 10)
    assert found.waiting[0] == Unsent(1, rollout.id, rollout.name, "rollback", NOON)
    assert (found.paused_until, found.newest) == (None, 2)
    assert ledger.claim(1, "slack", NOON) == Claim(again=False, earlier=())
    ledger.mark_sent(1, "slack", NOON + 1)
    assert (waiting(ledger), waiting(ledger, "email")) == ([2], [1, 2])
    expected = Delivery("slack", 1, NOON + 1, None, given_up=False, error="", started_at=NOON)
    assert delivery(ledger, rollout, "a") == expected


def test_a_backlog_can_be_read_in_pieces(ledger: Ledger, rollout: StoredRollout) -> None:
    record(ledger, rollout, *"abcd")
    assert waiting(ledger, limit=2) == [1, 2]
    assert waiting(ledger, after=2) == [3, 4]


def test_only_one_sender_gets_the_leave_to_send(ledger: Ledger, rollout: StoredRollout, tmp_path: Path) -> None:
    other = Ledger(f"sqlite:///{tmp_path / 'watchdog.db'}")
    record(ledger, rollout, "a")
    assert ledger.claim(1, "slack", NOON) is not None
    assert other.claim(1, "slack", NOON + CLAIM - 1) is None
    assert other.claim(1, "slack", NOON + CLAIM) == Claim(again=True, earlier=())
    assert ledger.claim(1, "slack", NOON + CLAIM) is None
    other.mark_sent(1, "slack", NOON + CLAIM)
    assert ledger.claim(1, "slack", NOON + 3 * CLAIM) is None
    other.close()


def test_a_failed_message_says_when_it_is_due_and_may_have_gone_through(ledger: Ledger, rollout: StoredRollout) -> None:
    record(ledger, rollout, "a")
    ledger.claim(1, "slack", NOON)
    ledger.mark_failed(1, "slack", NOON, "503", NOON + 30, permanent=False)
    (unsent,) = ledger.backlog("slack", NOON, 10).waiting
    assert (unsent.attempts, unsent.next_try_at, unsent.started_at) == (1, NOON + 30, NOON)
    assert ledger.claim(1, "slack", NOON + 29.9) is None, "whoever looked before that failure is too late"
    assert ledger.claim(1, "slack", NOON + 30) == Claim(again=True, earlier=())


def test_a_part_that_went_out_is_no_attempt_and_no_doubt(ledger: Ledger, rollout: StoredRollout) -> None:
    record(ledger, rollout, "a")
    ledger.claim(1, "slack", NOON)
    ledger.mark_partly(1, "slack", NOON + 5, doubt=False)
    (unsent,) = ledger.backlog("slack", NOON, 10).waiting
    assert (unsent.attempts, unsent.next_try_at) == (0, NOON + 5)
    assert ledger.claim(1, "slack", NOON + 5) == Claim(again=False, earlier=())
    ledger.mark_failed(1, "slack", NOON + 5, "timed out", NOON + 35, permanent=False)
    assert ledger.claim(1, "slack", NOON + 35) == Claim(again=True, earlier=())
    ledger.mark_partly(1, "slack", NOON + 40, doubt=True)
    assert ledger.claim(1, "slack", NOON + 40) == Claim(again=True, earlier=()), "the doubt stays"


def test_a_message_refused_for_good_waits_no_more(ledger: Ledger, rollout: StoredRollout) -> None:
    record(ledger, rollout, "a", "b")
    ledger.mark_failed(1, "slack", NOON, "no such channel\0", None, permanent=True)
    ledger.mark_not_told("slack", {2: "nobody wants it"})
    assert waiting(ledger) == []
    refused, withheld = delivery(ledger, rollout, "a"), delivery(ledger, rollout, "b")
    assert refused is not None
    assert withheld is not None
    assert (refused.given_up, refused.withheld, refused.error) == (True, False, "no such channel\ufffd")
    assert (withheld.given_up, withheld.withheld, withheld.error) == (True, True, "nobody wants it")


def test_a_pause_of_the_channel_is_known_to_every_sender(ledger: Ledger, rollout: StoredRollout) -> None:
    record(ledger, rollout, "a")
    assert ledger.backlog("slack", NOON, 10).paused_until is None
    ledger.mark_failed(1, "slack", NOON, "429", NOON + 120, permanent=False, pause=True)
    assert ledger.backlog("slack", NOON, 10).paused_until == NOON + 120
    assert ledger.backlog("email", NOON, 10).paused_until is None
    record(ledger, rollout, "b")
    assert ledger.claim(2, "slack", NOON + 119) is None
    ledger.pause("slack", NOON + 300)
    assert ledger.backlog("slack", NOON, 10).paused_until == NOON + 300


def test_a_message_that_a_newer_one_stands_for_waits_no_more(ledger: Ledger, rollout: StoredRollout) -> None:
    record(ledger, rollout, *"abcd")
    ledger.supersede("slack", {1: 2}, NOON)
    ledger.supersede("slack", {2: 4, 3: 4}, NOON)
    assert (waiting(ledger), waiting(ledger, "email")) == ([4], [1, 2, 3, 4])
    assert ledger.stood_for("slack") == {4: (1, 2, 3)}
    assert ledger.claim(4, "slack", NOON) == Claim(again=False, earlier=(1, 2, 3))
    assert ledger.stood_for("slack") == {4: (1, 2, 3)}
    ledger.mark_sent(4, "slack", NOON)
    assert ledger.stood_for("slack") == {}
    stood_for = delivery(ledger, rollout, "a")
    assert stood_for is not None
    assert (stood_for.superseded_by, stood_for.sent_at, stood_for.attempts) == (2, None, 0)


def test_what_somebody_is_sending_or_has_sent_is_not_stood_for(ledger: Ledger, rollout: StoredRollout) -> None:
    record(ledger, rollout, *"abc")
    ledger.claim(1, "slack", NOON)
    ledger.claim(2, "slack", NOON)
    ledger.mark_sent(2, "slack", NOON)
    ledger.supersede("slack", {1: 3, 2: 3}, NOON + 1)
    assert waiting(ledger) == [1, 3]
    ledger.supersede("slack", {1: 3}, NOON + CLAIM)
    assert waiting(ledger) == [3]
    assert ledger.claim(3, "slack", NOON + CLAIM) == Claim(again=False, earlier=(1,))


def test_pipelines_get_transitions_and_nobody_else_does(ledger: Ledger, rollout: StoredRollout) -> None:
    record(ledger, rollout, "a", Notification("transition", "t", Severity.INFO, "started", NOON))
    assert (waiting(ledger), waiting(ledger, PIPELINES)) == ([1], [2])


def test_a_channel_added_later_is_not_told_the_whole_past(ledger: Ledger, rollout: StoredRollout) -> None:
    record(ledger, rollout, page("old", NOON - 86_401.0), page("recent", NOON - 86_400.0))
    assert waiting(ledger) == [2]


def test_a_known_channel_is_told_however_late_it_is(tmp_path: Path) -> None:
    before = ledger_at(tmp_path / "watchdog.db")
    rollout = added(before)
    assert waiting(before) == []
    record(before, rollout, page("a", NOON + 1.0))
    before.close()
    restarted = ledger_at(tmp_path / "watchdog.db")
    assert waiting(restarted, now=NOON + 30 * 86_400) == [1]
    restarted.close()


def test_a_message_is_told_once_whichever_rollout_it_is_told_for(ledger: Ledger, rollout: StoredRollout) -> None:
    other = added(ledger, a_rollout("b"))
    assert ledger.tell_once(rollout.id, page("channel")) is True
    assert ledger.tell_once(other.id, page("channel")) is False
    assert [rollout_id for rollout_id, _ in ledger.of_kinds({"rollback"})] == [rollout.id]
    assert ledger.of_kinds({"step"}) == []


def test_what_a_channel_took_lately_can_be_counted(ledger: Ledger, rollout: StoredRollout) -> None:
    record(ledger, rollout, *"ab")
    for number, at in ((1, NOON + 1), (2, NOON + 5)):
        ledger.mark_sent(number, "pagerduty", at)
    assert ledger.sent_since("pagerduty", NOON) == [(1, rollout.id), (2, rollout.id)]
    assert ledger.sent_since("pagerduty", NOON + 1) == [(2, rollout.id)]
    assert ledger.sent_since("slack", NOON) == []


def test_a_channel_remembers_what_it_wants_to_of_each_rollout(ledger: Ledger, rollout: StoredRollout) -> None:
    other = added(ledger, a_rollout("b"))
    ledger.put_memo("slack", rollout.id, "parent", "1.1")
    ledger.put_memo("slack", rollout.id, "parent", "1.2")
    ledger.put_memo("slack", other.id, "parent", "2.1")
    found = [ledger.memo(*where, "parent") for where in (("slack", rollout.id), ("slack", other.id), ("email", 1))]
    assert found == ["1.2", "2.1", None]
    assert ledger.memo("slack", rollout.id, "thread") is None
