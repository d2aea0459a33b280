"""From a recorded notification to a message: how loud, of which incident, with which words, and when it may go."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rollouts import NOON
from tests.telling import ABOUT
from watchdog.messages import About, Effect, Message, compose, held_until, incident_key, open_incidents
from watchdog.messages.links import graph
from watchdog.messages.notices import NOTICES, TRANSITION
from watchdog.model import Notification, NotifyRule, Quiet, Severity

BREACH = incident_key(ABOUT.rollout, "breach:error_rate")
BERLIN = ZoneInfo("Europe/Berlin")


def notification(kind: str, severity: Severity = Severity.CRITICAL, **details: Any) -> Notification:
    given = {"objective": "error_rate", **details}
    return Notification(kind, f"{ABOUT.rollout}:{kind}", severity, f"{ABOUT.rollout}: made up", float(NOON), given)


def about(own: dict[str, str] | None = None, daemon: dict[str, str] | None = None, **more: Any) -> About:
    rule = NotifyRule(severities=own) if own is not None else None
    return replace(ABOUT, rule=rule, defaults=NotifyRule(severities=daemon or {}), **more)


def composed(told: Notification, told_about: About = ABOUT, *opened: str) -> Message:
    message = compose(7, told, told_about, opened=opened)
    assert message is not None
    return message


# --- severity -------------------------------------------------------------------------------------------------------


def test_the_rollouts_severity_comes_before_the_daemons_and_both_before_the_recorded_one() -> None:
    told = notification("blind")
    assert composed(told).severity is Severity.CRITICAL
    assert composed(told, about(daemon={"blind": "warning"})).severity is Severity.WARNING
    assert composed(told, about({"blind": "info"}, {"blind": "warning"})).severity is Severity.INFO
    assert composed(told, about({"drift": "info"}, {"blind": "warning"})).severity is Severity.WARNING


def test_none_is_told_to_nobody() -> None:
    assert compose(7, notification("blind"), about({"blind": "none"})) is None
    assert compose(7, notification("step", Severity.INFO), about(daemon={"step": "none"})) is None


@pytest.mark.parametrize("kind", [notice.kind for notice in NOTICES if notice.effect is Effect.ESCALATE])
@pytest.mark.parametrize("level", ["none", "info", "warning"])
def test_that_something_got_worse_cannot_be_silenced(kind: str, level: str) -> None:
    assert composed(notification(kind), about({kind: level})).severity is Severity.WARNING


def test_the_end_of_an_open_incident_is_sent_whatever_the_rules_say() -> None:
    silent, over = about({"recovered": "none", "signed_off": "none"}), notification("recovered", Severity.INFO)
    assert compose(7, over, silent) is None, "nothing is open"
    ended = composed(over, silent, BREACH)
    assert (ended.severity, ended.effect) == (Severity.INFO, Effect.RESOLVE)
    assert composed(notification("signed_off", Severity.INFO), silent, BREACH).closes == (BREACH,)


def test_info_opens_no_incident_and_updates_one_that_is_open() -> None:
    told = notification("rolled_back", Severity.INFO)
    assert composed(told).effect is Effect.TELL
    assert composed(told, ABOUT, BREACH).effect is Effect.OPEN
    lowered = composed(notification("blind"), about({"blind": "info"}))
    assert (lowered.effect, open_incidents([lowered])) == (Effect.TELL, ())


def test_a_transition_is_not_a_matter_of_severity() -> None:
    told = notification(TRANSITION, Severity.INFO)
    assert composed(told, about({"step": "none"})).severity is Severity.INFO
    assert composed(told).incident == ""


def test_a_kind_of_a_newer_version_is_told_and_does_nothing() -> None:
    message = composed(notification("teleported"))
    assert (message.effect, message.incident, message.severity) == (Effect.TELL, "", Severity.CRITICAL)
    assert (message.done, message.todo) == ("", "")


# --- incidents ------------------------------------------------------------------------------------------------------


def test_everything_that_is_told_of_one_breach_has_one_incident() -> None:
    kinds = (
        "breach",
        "rollback",
        "rollback_unconfirmed",
        "rollback_late",
        "rolled_back",
        "recovered",
        "errors_continue",
    )
    assert {composed(notification(kind)).incident for kind in kinds} == {BREACH}


def test_a_rollback_without_an_objective_ends_when_the_flag_reads_it() -> None:
    told = composed(notification("rolled_back", Severity.INFO, objective=None, reads="0%"))
    assert (told.incident, told.effect) == (incident_key(ABOUT.rollout, "rollback"), Effect.RESOLVE)
    assert told.todo == "Nothing more; to try again, start a new rollout under a new name."


def test_the_newest_message_stands_for_an_open_incident() -> None:
    first, second = composed(notification("rollback")), composed(notification("rollback_unconfirmed"), ABOUT, BREACH)
    assert open_incidents([first, second]) == (second,)
    over = composed(notification("recovered", Severity.INFO), ABOUT, BREACH)
    assert open_incidents([first, second, over]) == ()
    assert open_incidents([first, over, second]) == (second,), "it came back"


def test_keys_of_one_fact_that_is_told_to_many_rollouts_differ() -> None:
    drill = Notification("drill_failed", "drill:5", Severity.CRITICAL, "made up", float(NOON), {"flag": "f"})
    assert composed(drill).key == "checkout-2:drill:5"
    assert composed(notification("blind")).key == "checkout-2:blind"


def test_what_the_caller_knows_travels_along() -> None:
    message = compose(
        7, notification("interim", Severity.INFO), ABOUT, report="/reports/a.html", earlier=("one", "two")
    )
    assert message is not None
    assert (message.id, message.report, message.earlier) == (7, "/reports/a.html", ("one", "two"))


# --- words and links ------------------------------------------------------------------------------------------------


def test_words_of_others_are_text_and_never_a_template() -> None:
    message = composed(notification("deed_late", deed="flag {x} of %s <b>*s* {0}", service="s", flag="f"))
    assert "flag {x} of %s <b>*s* {0}" in message.todo


def test_what_is_not_known_is_said_so_and_raises_nothing() -> None:
    for notice in NOTICES:
        bare = Notification(notice.kind, "k", notice.severity, "made up", float(NOON), {})
        assert composed(bare).done


def test_addresses_that_nobody_configured_are_left_out() -> None:
    bare = About("checkout-2", "checkout", "2.0.0", "new-checkout", None, NotifyRule())
    assert composed(notification("breach", query="up"), bare).links == ()


def test_names_and_queries_are_quoted_in_links() -> None:
    odd = replace(
        ABOUT, rollout="a/b c?", external_url="https://watchdog.example/", runbook_url="https://wiki.example/"
    )
    status, report, runbook, chart = composed(notification("breach", query='up{a="&b"}', at=NOON), odd).links
    assert status.url == "https://watchdog.example/rollouts/a%2Fb%20c%3F"
    assert report.url == "https://watchdog.example/api/v1/rollouts/a%2Fb%20c%3F/report?format=html"
    assert runbook.url == "https://wiki.example/breach"
    assert chart.url == graph(ABOUT.prometheus_url, 'up{a="&b"}', NOON)
    assert "up%7Ba%3D%22%26b%22%7D" in chart.url
    assert chart.url.endswith("g0.end_input=2023-11-15%2012%3A00%3A00")


def test_details_become_facts_in_the_order_in_which_people_want_them() -> None:
    told = notification("breach", bad=3.0, total=0.0, value=None, target="at most 0.1% bad", decided_at=NOON + 0.5)
    assert composed(told).facts == (
        ("objective", "error_rate"),
        ("found", "3 bad of 0"),
        ("target", "at most 0.1% bad"),
        ("decided", "2023-11-15T12:00:00.500Z"),
    )
    measured = dict(composed(notification("breach", value=0.25)).facts)
    assert measured["found"] == "0.25"
    nested = notification("breach", exposure={"percent": 1.0}, objectives=["a", "b"], objective=None)
    assert composed(nested).facts == (("objective", "a, b"),)


# --- quiet hours ----------------------------------------------------------------------------------------------------

NIGHT = Quiet(22 * 60, 7 * 60, "Europe/Berlin")


def on(text: str, fold: int = 0) -> float:
    """A wall time as clocks in Berlin show it."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold).timestamp()


def quiet(hours: Quiet | None, own: Quiet | None = None) -> About:
    rule = NotifyRule(quiet=own) if own is not None else None
    return replace(ABOUT, rule=rule, defaults=NotifyRule(quiet=hours))


def warning(kind: str = "window_reset") -> Message:
    return composed(notification(kind, Severity.WARNING))


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-11-23T21:59:59", None),
        ("2026-11-23T22:00:00", "2026-11-24T07:00:00"),
        ("2026-11-24T00:00:00", "2026-11-24T07:00:00"),
        ("2026-11-24T06:59:59", "2026-11-24T07:00:00"),
        ("2026-11-24T07:00:00", None),
        ("2026-11-24T12:00:00", None),
    ],
)
def test_a_message_waits_for_the_end_of_quiet_hours(now: str, until: str | None) -> None:
    assert held_until(warning(), quiet(NIGHT), on(now)) == (on(until) if until else None)


@pytest.mark.parametrize(
    ("hours", "now", "until"),
    [
        # 29 March 2026: from 02:00 the clocks in Berlin go to 03:00; 25 October: from 03:00 back to 02:00.
        (NIGHT, on("2026-03-28T23:00"), on("2026-03-28T23:00") + 7 * 3600),
        (NIGHT, on("2026-10-24T23:00"), on("2026-10-24T23:00") + 9 * 3600),
        (Quiet(60, 150, "Europe/Berlin"), on("2026-03-29T01:30"), on("2026-03-29T03:00")),
        (Quiet(60, 150, "Europe/Berlin"), on("2026-03-29T03:00"), None),
        (Quiet(150, 240, "Europe/Berlin"), on("2026-03-29T03:00"), on("2026-03-29T04:00")),
        (Quiet(60, 150, "Europe/Berlin"), on("2026-10-25T02:45"), on("2026-10-25T02:30", fold=1)),
        (Quiet(60, 150, "Europe/Berlin"), on("2026-10-25T02:30", fold=1), None),
        (Quiet(150, 240, "Europe/Berlin"), on("2026-10-25T02:30"), on("2026-10-25T04:00")),
    ],
)
def test_quiet_hours_follow_the_clocks_when_they_are_changed(hours: Quiet, now: float, until: float | None) -> None:
    assert held_until(warning(), quiet(hours), now) == until


@given(
    now=st.floats(1.76e9, 1.85e9),
    start=st.integers(0, 1439),
    length=st.integers(1, 1439),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia"]),
)
def test_whatever_the_hours_a_message_waits_less_than_a_day_and_not_again(
    now: float, start: int, length: int, zone: str
) -> None:
    told = quiet(Quiet(start, (start + length) % 1440, zone))
    until = held_until(warning(), told, now)
    assert until is None or now < until <= now + length * 60 + 3600 + 60
    assert until is None or held_until(warning(), told, until) is None


def test_what_is_critical_never_waits() -> None:
    told = composed(notification("blind"))
    assert held_until(told, quiet(NIGHT), on("2026-11-24T00:00")) is None


def test_below_says_what_waits() -> None:
    night, only_info = on("2026-11-24T00:00"), replace(NIGHT, below=Severity.WARNING)
    assert held_until(warning(), quiet(only_info), night) is None
    assert held_until(composed(notification("step", Severity.INFO)), quiet(only_info), night) is not None


def test_news_of_an_open_incident_and_its_end_do_not_wait() -> None:
    night = on("2026-11-24T00:00")
    for kind in ("rolled_back", "recovered", "signed_off"):
        told = composed(notification(kind, Severity.INFO), ABOUT, BREACH)
        assert held_until(told, quiet(NIGHT), night) is None, kind
    assert held_until(composed(notification("signed_off", Severity.INFO)), quiet(NIGHT), night) is not None


@pytest.mark.parametrize("kind", [TRANSITION, "test"])
def test_what_somebody_waits_for_does_not_wait(kind: str) -> None:
    told = composed(notification(kind, Severity.INFO))
    assert held_until(told, quiet(NIGHT), on("2026-11-24T00:00")) is None


def test_the_rollouts_own_hours_come_before_the_daemons() -> None:
    noon, night = on("2026-11-24T12:00"), on("2026-11-24T00:00")
    told = quiet(NIGHT, Quiet(11 * 60, 13 * 60, "Europe/Berlin"))
    assert held_until(warning(), told, noon) == on("2026-11-24T13:00")
    assert held_until(warning(), told, night) is None


def test_a_zone_that_this_machine_does_not_know_holds_nothing_back() -> None:
    assert held_until(warning(), quiet(replace(NIGHT, zone="Mars/Olympus")), on("2026-11-24T00:00")) is None
