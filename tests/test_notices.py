"""Row by row: everything in the table is really recorded, at its moment, and makes the message that the table says.

`docs/notifications.md` shows the same table.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.drilling import FLAG, SleepyReader, a_plan, drill, with_active
from tests.ledgers import ledger_at
from tests.rollouts import NOON
from tests.telling import (
    ABOUT,
    RAMPING,
    RULE,
    Story,
    blinded,
    breached,
    changed_by_somebody,
    drifted,
    explained,
    held_and_resumed,
    recovered_late,
    signed_off,
    started,
    stepped,
    stopped,
    unreadable,
    waived,
    window_lost,
    with_a_deed,
)
from watchdog.errors import LedgerError
from watchdog.flags.memory import InMemoryFlags
from watchdog.messages import Effect, Message, incident_key
from watchdog.messages.advice import ADVICE
from watchdog.messages.notices import BY_KIND, NOTICES, Notice, cause_of
from watchdog.model import Notification, Severity
from watchdog.notify.health import SILENT, Health
from watchdog.outage import TOLD_AFTER, Outage
from watchdog.readers.service import ServiceReader

PAGE = (Path(__file__).parent.parent / "docs" / "notifications.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.splitlines() if re.match(r"\| `\w+` \| .* \| (critical|warning|info) \|", line)]


# --- the page -------------------------------------------------------------------------------------------------------


def row(notice: Notice) -> str:
    """The table's row of a kind, as the page has to have it."""
    pager = {Effect.OPEN: "opens", Effect.ESCALATE: "opens, again and louder", Effect.RESOLVE: "resolves"}
    done = [pager[notice.effect]] if notice.effect in pager else []
    done += ["change event"] if notice.change else []
    slack = "channel" if notice.broadcast else "thread"
    ends = "all but `deed`" if notice.ends_all else ", ".join(f"`{cause}`" for cause in notice.ends)
    cause = f"`{notice.cause}`" if notice.cause else ""
    incident = f"{cause}; ends {ends}" if cause and ends else (cause or (f"ends {ends}" if ends else "none"))
    cells = (f"`{notice.kind}`", notice.when, notice.severity.value, incident, ", ".join(done) or "nothing", slack)
    return f"| {' | '.join(cells)} |"


def test_the_page_shows_the_table_row_by_row() -> None:
    assert [row(notice) for notice in NOTICES] == ROWS


def test_every_kind_says_what_was_done_and_what_a_person_must_do() -> None:
    assert list(ADVICE) == [notice.kind for notice in NOTICES]
    for notice in NOTICES:
        done, todo = ADVICE[notice.kind]
        assert done, notice.kind
        assert todo or notice.severity is Severity.INFO, notice.kind


# --- each row happens -----------------------------------------------------------------------------------------------


SCENES: tuple[Callable[[], Story], ...] = (
    started,
    stepped,
    held_and_resumed,
    blinded,
    breached,
    explained,
    recovered_late,
    drifted,
    changed_by_somebody,
    with_a_deed,
    unreadable,
    waived,
    window_lost,
    signed_off,
    stopped,
)
FROM_ELSEWHERE = (
    *("drill_failed", "drill_passed", "ledger_failing", "ledger_working"),
    *("channel_failing", "channel_working", "page_budget", "test"),
)
"""Kinds that no tick decides: a drill, the ledger's own trouble, the sender and a command record them."""


@pytest.fixture(scope="module")
def happened() -> list[Message]:
    return [message for scene in SCENES for message in scene().messages]


@pytest.mark.parametrize("notice", [n for n in NOTICES if n.kind not in FROM_ELSEWHERE], ids=lambda n: n.kind)
def test_a_row_happens_and_makes_the_message_that_the_table_says(notice: Notice, happened: list[Message]) -> None:
    found = [message for message in happened if message.kind == notice.kind]
    assert found, "nothing that happened was recorded so"
    assert notice.severity in {message.severity for message in found}
    for message in found:
        check(message, notice)
    assert notice.effect in {message.effect for message in found}


def check(message: Message, notice: Notice) -> None:
    cause = cause_of(notice.kind, message.details)
    assert "unknown" not in cause
    assert message.incident == (incident_key(message.rollout, cause) if cause else "")
    assert (message.broadcast, message.change) == (notice.broadcast, notice.change)
    assert message.rollout in message.summary
    assert message.done
    assert message.todo or notice.severity is Severity.INFO
    assert "unknown" not in f"{message.done} {message.todo}"
    assert json.loads(json.dumps(dict(message.details))) == dict(message.details), "plain data, as the ledger keeps it"
    assert len(json.dumps(dict(message.details))) < 2000
    assert all(name and value for name, value in message.facts)
    assert [link.text for link in message.links][:3] == ["status", "report", "runbook"]
    assert message.links[2].url == f"https://wiki.example/runbooks/{notice.kind}"


def test_nothing_is_recorded_that_has_no_row(happened: list[Message]) -> None:
    assert {message.kind for message in happened} == {notice.kind for notice in NOTICES} - set(FROM_ELSEWHERE)


def test_every_message_of_a_story_has_a_key_of_its_own() -> None:
    """Two facts with one key would be one row of the ledger: the second would never be told."""
    for scene in SCENES:
        keys = [notification.key for notification in scene().told]
        assert len(set(keys)) == len(keys), scene


def test_a_drill_that_failed_is_told_and_the_one_that_passed_after_it(tmp_path: Path) -> None:
    ledger, flags = ledger_at(tmp_path / "watchdog.db"), InMemoryFlags((FLAG,))
    rollout = with_active(ledger)
    drill(flags, ServiceReader(flags, "memory"), ledger)
    assert ledger.notifications_of(rollout) == [], "one that passes is nobody's news"
    drill(flags, SleepyReader(), ledger, a_plan(within=0.1))
    drill(flags, ServiceReader(flags, "memory"), ledger)
    drill(flags, ServiceReader(flags, "memory"), ledger)
    told = [item.notification for item in ledger.notifications_of(rollout)]
    ledger.close()
    assert [notification.kind for notification in told] == ["drill_failed", "drill_passed"]
    story = Story(told=told)
    failed, over = story.messages
    assert (failed.effect, over.effect) == (Effect.OPEN, Effect.RESOLVE)
    assert failed.incident == over.incident == incident_key(ABOUT.rollout, f"drill:{FLAG}")
    assert failed.key.startswith(f"{ABOUT.rollout}:"), "the same drill is told to several rollouts"
    assert failed.todo
    assert story.open == []


def test_a_channel_that_fails_is_told_and_that_it_works_again(tmp_path: Path) -> None:
    ledger = ledger_at(tmp_path / "watchdog.db")
    rollout = with_active(ledger)
    health = Health(ledger)
    health.failing("slack", rollout, "checkout-2.14.0", SILENT, "connection refused", NOON)
    health.working("slack", rollout, NOON + 60.0)
    story = Story(told=[item.notification for item in ledger.notifications_of(rollout)])
    ledger.close()
    failing, working = story.messages
    assert (failing.kind, failing.severity, failing.effect) == ("channel_failing", Severity.WARNING, Effect.OPEN)
    assert (working.kind, working.effect) == ("channel_working", Effect.RESOLVE)
    assert failing.incident == working.incident == incident_key(ABOUT.rollout, "channel:slack")
    assert "notify test slack" in failing.todo
    assert story.open == []


def test_a_ledger_that_fails_is_told_before_it_is_recorded_and_that_it_works_again() -> None:
    handed: list[Notification] = []
    outage = Outage(RULE.name, lambda _id, _rollout, notification: handed.append(notification), None)
    error = LedgerError("the disk is full")
    for after in (0.0, TOLD_AFTER - 1, TOLD_AFTER, TOLD_AFTER + 60):
        outage.goes_on(1, RULE, RAMPING, NOON + after, error)
    recorded = outage.end(NOON + 600.0)
    assert handed == [recorded[0]], "once, and the record is of the same message"
    story = Story(told=list(recorded))
    failing, working = story.messages
    for message in story.messages:
        check(message, BY_KIND[message.kind])
    assert (failing.kind, failing.severity, failing.effect) == ("ledger_failing", Severity.CRITICAL, Effect.OPEN)
    assert (working.kind, working.effect) == ("ledger_working", Effect.RESOLVE)
    assert failing.incident == working.incident == incident_key(ABOUT.rollout, "ledger")
    assert failing.key != working.key
    assert story.open == []


@pytest.mark.parametrize("kind", ["page_budget", "test"])
def test_what_opens_nothing_is_for_the_record(kind: str) -> None:
    notice = BY_KIND[kind]
    (message,) = Story(told=[Notification(kind, kind, notice.severity, "made up", NOON)]).messages
    assert (message.effect, message.incident) == (Effect.TELL, "")
    assert message.done
