"""One event, one page: what happens to a rollout wakes people once, and its incident ends."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.rollouts import NOON
from tests.telling import (
    ABOUT,
    RULE,
    SOAKING,
    Story,
    blind,
    breach,
    breached,
    guarded,
    held_and_resumed,
    reads,
    recovered_late,
    rolled_back_late,
    unreadable,
)
from watchdog.control import Control
from watchdog.messages import Effect, incident_key
from watchdog.model import Deed, Mode, Severity
from watchdog.window import Reset, Window


def test_a_breach_that_rolls_back_is_one_page_and_one_incident_that_ends() -> None:
    story = Story()
    story.tick(opened=((breach(), False),), open_objectives=frozenset({"error_rate"}))
    assert story.open == ["breach:error_rate"]
    story.settled(1, reading=reads(0.0), open_objectives=frozenset({"error_rate"}))
    assert story.open == ["breach:error_rate"]
    story.tick(360)
    assert [m.kind for m in story.messages] == ["rollback", "rolled_back", "recovered"]
    assert [m.effect for m in story.messages] == [Effect.OPEN, Effect.OPEN, Effect.RESOLVE]
    assert story.pages == [("rollback", "breach:error_rate")]
    assert len({m.incident for m in story.messages}) == 1
    assert story.open == []


def test_a_rollback_that_is_not_seen_wakes_people_again_over_the_same_incident() -> None:
    story = recovered_late()
    assert story.pages == [
        (kind, "breach:error_rate") for kind in ("rollback", "rollback_unconfirmed", "rollback_late", "errors_continue")
    ]
    assert story.of("rollback_late")[0].effect is Effect.ESCALATE
    assert story.open == [], "errors that continued and then stopped are over, too"


def test_errors_that_continue_keep_the_incident_open() -> None:
    story = rolled_back_late()
    for after in (3000, 3030):
        story.tick(after, open_objectives=frozenset({"error_rate"}))
    assert [m.kind for m in story.messages][-1] == "errors_continue"
    assert story.open == ["breach:error_rate"]


def test_whoever_cannot_see_whether_it_helped_is_told_to_look() -> None:
    story = rolled_back_late()
    story.tick(3000, open_objectives=frozenset({"error_rate"}), verdicts=blind())
    told = story.messages[-1]
    assert "cannot see whether errors stopped" in told.summary
    assert told.todo.startswith("Look at the service yourself")


def test_a_breach_that_holds_is_one_page() -> None:
    story = held_and_resumed()
    assert story.pages == [("hold", "hold")]
    assert story.open == []


def test_a_breach_that_pages_ends_when_it_is_over() -> None:
    story = breached()
    assert [m.kind for m in story.messages] == ["breach", "recovered"]
    assert story.pages == [("breach", "breach:noise")]
    assert story.open == []


def test_a_breach_that_was_found_late_and_is_over_ends_at_the_next_tick() -> None:
    story = Story()
    story.tick(opened=((breach("noise"), True),))
    assert story.open == ["breach:noise"]
    story.tick(30)
    assert story.open == []


def test_a_paged_breach_that_takes_the_flag_back_later_stays_one_incident() -> None:
    """It pages while the ramp is held; after a resume and a new breach the rollback tells of it."""
    story, burning = Story(), frozenset({"error_rate"})
    story.control = replace(story.control, breached=("error_rate",))
    story.tick(60, opened=((breach(at=NOON + 60), False),), open_objectives=burning)
    story.settled(61, reading=reads(0.0), open_objectives=burning)
    story.tick(400)
    assert [m.kind for m in story.messages].count("recovered") == 1
    assert story.open == []


def test_a_rollback_ends_the_hold_before_it() -> None:
    story = Story()
    story.tick(opened=((breach("latency_p95"), False),))
    assert story.open == ["hold"]
    story.tick(30, opened=((breach(at=NOON + 30), False),), open_objectives=frozenset({"error_rate"}))
    assert story.of("rollback")[0].closes == (incident_key(ABOUT.rollout, "hold"),)
    assert story.open == ["breach:error_rate"]


def test_who_orders_a_rollback_knows_of_it_and_nobody_is_woken() -> None:
    story = Story()
    story.command("rollback", reading=reads(50.0))
    story.settled(1, reading=reads(0.0))
    assert [(m.kind, m.severity, m.effect) for m in story.messages] == [
        ("rollback", Severity.INFO, Effect.TELL),
        ("rolled_back", Severity.INFO, Effect.RESOLVE),
    ]
    assert all(m.broadcast and m.change for m in story.messages), "the others hear of it all the same"
    assert "ada" in story.messages[0].summary
    assert dict(story.messages[0].facts)["by"] == "ada"


def test_a_rollback_by_hand_that_does_not_work_wakes_people_until_it_does() -> None:
    story = Story()
    story.command("rollback", reading=reads(50.0))
    story.tick(61, reading=reads(50.0))
    assert story.pages == [("rollback_unconfirmed", "rollback")]
    assert story.open == ["rollback"]
    story.settled(63, reading=reads(0.0))
    assert story.open == []


def test_an_unreadable_flag_is_told_once_also_while_a_rollback_waits_for_it() -> None:
    assert [m.kind for m in unreadable().messages] == ["flag_unreadable", "flag_readable"]
    story, burning = Story(), frozenset({"error_rate"})
    for second in (0, 30, 62, 90, 120):
        opened = ((breach(), False),) if second == 0 else ()
        story.tick(second, opened=opened, open_objectives=burning, reading=None, reading_error="connection refused")
    assert story.pages == [("rollback", "breach:error_rate"), ("rollback_unconfirmed", "breach:error_rate")]
    assert dict(story.messages[-1].facts)["flag reads"] == "connection refused"


def test_a_flag_that_is_away_for_less_than_a_minute_wakes_nobody() -> None:
    story = Story()
    for second in (30, 60, 89):
        story.tick(second, reading=None, reading_error="connection refused")
    story.tick(120)
    story.tick(150, reading=None, reading_error="connection refused")
    assert story.messages == []
    assert story.control.unread_since == NOON + 150.25


def test_what_is_known_of_an_unreadable_flag_survives_a_restart() -> None:
    story = Story()
    story.tick(30, reading=None, reading_error="gone")
    story.control = Control.from_dict(json.loads(json.dumps(story.control.to_dict())))
    story.tick(92, reading=None, reading_error="gone")
    assert [m.kind for m in story.messages] == ["flag_unreadable"]
    old = {k: v for k, v in story.control.to_dict().items() if k not in ("unread_since", "unread_told", "breached")}
    assert Control.from_dict(old).unread_since is None, "a ledger of an older version"


def test_an_emergency_flag_that_goes_with_a_breach_is_not_a_second_page() -> None:
    story = Story(rule=guarded("ops.read-only", "noise"))
    story.tick(opened=((breach("noise"), False),), open_objectives=frozenset({"noise"}))
    assert story.pages == [("breach", "breach:noise")]
    assert dict(story.messages[0].facts)["emergency flag"] == "ops.read-only"
    assert story.of("deed")[0].effect is Effect.TELL
    story.tick(62, open_objectives=frozenset({"noise"}))
    assert story.pages[1:] == [("deed_unconfirmed", "deed:emergency:ops.read-only")], "one that fails is"


def test_a_reset_that_a_breach_explains_is_for_the_record() -> None:
    story, reset = Story(), Reset(NOON, "noise", "noise breached: 1% bad")
    story.tick(opened=((breach("noise"), False),), interim=Window(48, 0, resets=(reset,)))
    assert [(m.kind, m.severity) for m in story.of("window_reset")] == [("window_reset", Severity.INFO)]
    rolled = Story()
    rolled.tick(opened=((breach(), False),), interim=Window(48, 0, resets=(replace(reset, objective="error_rate"),)))
    assert rolled.of("window_reset") == [], "a rollout that is taken back has no window any more"


def test_blindness_ends_when_everything_is_seen() -> None:
    story = Story()
    both = {"error_rate": NOON, "noise": NOON}
    story.tick(600, verdicts=blind(), unknown_since=both)
    story.tick(630, verdicts=blind("noise"), unknown_since={"noise": NOON})
    assert story.open == ["blind"], "one is still not seen"
    story.tick(660)
    assert [m.kind for m in story.messages] == ["blind", "sighted"]
    assert story.open == []


def test_a_rollout_that_ends_leaves_nothing_open_that_nobody_would_end() -> None:
    story = Story()
    story.tick(600, verdicts=blind(), unknown_since={"error_rate": NOON})
    story.tick(630, reading=reads(80.0), verdicts=blind(), unknown_since={"error_rate": NOON})
    story.command("rollback", 660, reading=reads(50.0), verdicts=blind(), unknown_since={"error_rate": NOON})
    story.settled(661, reading=reads(0.0))
    assert story.open == []


@pytest.mark.parametrize("end", ["signed_off", "stop"])
def test_an_end_closes_every_incident_of_the_rollout(end: str) -> None:
    story = Story(replace(SOAKING, deeds=(Deed("kill", "search", "new-search", "1% bad", NOON - 100.0),)))
    story.tick(600, verdicts=blind(), unknown_since={"error_rate": NOON})
    assert set(story.open) == {"blind", "deed:search:new-search"}
    if end == "stop":
        story.command("stop", 630, unknown_since={"error_rate": NOON})
    else:
        story.tick(630, final=Window(48, 48, completed_at=NOON + 630), unknown_since={"error_rate": NOON})
    assert story.of(end)[0].closes == (incident_key(ABOUT.rollout, "blind"),)
    assert story.open == ["deed:search:new-search"], "which is tried until it is done"
    story.done(700)
    story.tick(702)
    assert story.open == []


def test_observing_tells_nobody() -> None:
    story = Story(rule=replace(RULE, mode=Mode.OBSERVE))
    story.tick(opened=((breach("noise"), False),), open_objectives=frozenset({"noise"}))
    story.tick(330)
    assert story.told == []
    assert story.control.breached == ()


def test_the_numbers_travel_with_the_page() -> None:
    (message,) = (m for m in rolled_back_late().messages if m.kind == "rollback")
    facts = dict(message.facts)
    assert facts["objective"] == "error_rate"
    assert facts["found"] == "1% bad (30 bad of 3000)"
    assert facts["target"] == "at most 0.1% bad"
    assert facts["query"] == "(error_rate_bad[300s]) / (error_rate_total[300s])"
    assert facts["window"] == "12 of 48 slices"
    assert facts["exposure"] == "50% to 0%"
    assert facts["detected"] == "2023-11-15T12:00:00.250Z"
    assert facts["deadline"] == "2023-11-15T12:15:00.250Z"
    assert [link.text for link in message.links] == ["status", "report", "runbook", "graph"]
    assert message.links[0].url == "https://watchdog.example/rollouts/checkout-2"
    assert message.links[1].url.endswith("/checkout-2/report?format=html")
    assert "g0.expr=%28error_rate_bad%5B300s%5D%29%20/%20%28" in message.links[3].url
