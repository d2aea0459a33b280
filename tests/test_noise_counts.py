"""The count of false alarms: what is in its two ends, over which time, how well it was heard, and what it is judged."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.alarms import DAY, HOUR, MINUTE, NOON, RULE, breach, episode, known, said
from tests.test_noise_classify import EPISODES, LABELLING
from watchdog.evaluate import describe_target, sentence
from watchdog.model import Comparison, Confirm, Evaluation, Kind, NoiseRule, Objective, OnBreach, Reason, Target
from watchdog.noise.classify import Known, Looked, classify
from watchdog.noise.counts import Counting, count, quality
from watchdog.noise.episodes import Episode, Label
from watchdog.noise.hearing import Hearing
from watchdog.noise.objective import AlertNoise, unreadable, while_down

OBJECTIVE = Objective(
    "alert_noise",
    Kind.INTERNAL,
    Target(Comparison.BELOW, 5.0),
    Confirm(60),
    OnBreach.PAGE,
    internal="alert_noise",
    noise=RULE,
)
LONG_AGO = range(NOON - 3 * DAY, NOON + 2 * DAY, 5 * MINUTE)
"""Heard every five minutes for days."""


def bounds(facts: Known, at: float, service: str | None = None) -> tuple[int, int]:
    found = Counting(facts, RULE, service).at(at)
    return found.lower, found.upper


# --- the count ----------------------------------------------------------------------------------------------------


def test_the_upper_count_takes_the_unclassified_when_the_grace_is_over() -> None:
    facts = known([episode(NOON, HOUR)])
    assert [bounds(facts, NOON + at) for at in (0, 12 * HOUR - 1, 12 * HOUR, DAY - 1, DAY)] == [
        (0, 0),
        (0, 0),
        (0, 1),
        (0, 1),
        (0, 0),
    ]


def test_a_false_one_is_in_both_until_it_is_a_day_old() -> None:
    facts = known([episode(NOON, MINUTE)])
    assert [bounds(facts, NOON + at) for at in (659, 660, DAY - 1, DAY)] == [(0, 0), (1, 1), (1, 1), (0, 0)]


def test_what_wakes_nobody_is_not_counted_whatever_is_said() -> None:
    warning = episode(NOON, MINUTE, severity="warning")
    assert bounds(known([warning], [said(warning, "false_positive", NOON + 90)]), NOON + 13 * HOUR) == (0, 0)


def test_a_service_counts_its_own_and_what_nobody_owns() -> None:
    each = [episode(NOON, MINUTE, name, service=name) for name in ("checkout", "cart", "")]
    assert bounds(known(each), NOON + HOUR, "checkout") == (2, 2)
    assert bounds(known(each), NOON + HOUR) == (3, 3)


def test_a_burst_of_one_group_is_one_alarm() -> None:
    pods = [episode(NOON, MINUTE, fingerprint=f"p{number}", id=f"a{number}") for number in range(300)]
    assert bounds(known(pods), NOON + HOUR) == (1, 1)


@settings(max_examples=150, deadline=None)
@given(EPISODES, LABELLING, st.lists(st.integers(0, 30 * HOUR), min_size=1, max_size=10))
def test_lower_is_never_above_upper_and_asking_slot_by_slot_is_asking_anew(
    episodes: list[Episode], labelling: list[tuple[int, str, int]], instants: list[int]
) -> None:
    labels = [
        said(episodes[place % len(episodes)], word, NOON + when, id=number)
        for number, (place, word, when) in enumerate(labelling)
        if episodes
    ]
    facts = known(episodes, labels, [breach(NOON + 1000)])
    counting = Counting(facts, RULE, None)
    for at in sorted(NOON + instant for instant in instants):
        found = counting.at(at)
        assert found.lower <= found.upper <= found.pages
        assert found == count(classify(facts, RULE, at), RULE, at - DAY, at, at)


@settings(max_examples=150, deadline=None)
@given(EPISODES.filter(bool), st.integers(0, 7), st.sampled_from(list(Label)), st.integers(1000, 20 * HOUR))
def test_a_label_moves_the_count_only_where_it_says(episodes: list[Episode], place: int, label: Label, at: int) -> None:
    """False never takes from the lower count, true never adds to either, acknowledged never adds to the lower one."""
    one = episodes[place % len(episodes)]
    before = bounds(known(episodes), NOON + at)
    after = bounds(known(episodes, [said(one, label.value, NOON + at)]), NOON + at)
    if label in (Label.FALSE_POSITIVE, Label.NOT_ACTIONABLE):
        assert after[0] >= before[0]
        assert after[1] >= before[1]
    elif label is Label.TRUE_POSITIVE:
        assert after[0] <= before[0]
        assert after[1] <= before[1]
    elif label is Label.ACKNOWLEDGED:
        assert after[0] <= before[0]


# --- how good the alerts are --------------------------------------------------------------------------------------


def good(facts: Known, at: float = NOON + DAY) -> object:
    found = classify(facts, RULE, at)
    return quality(found, facts.breaches, count(found, RULE, 0, at, at), at)


def test_nothing_is_unknown_not_perfect() -> None:
    found = good(known())
    assert (found.precision, found.recall) == (None, None)  # type: ignore[attr-defined]


def test_precision_and_recall_and_how_soon() -> None:
    hit = episode(NOON + 120, 900)
    false = [episode(NOON + 5 * HOUR + at * HOUR, 60, name) for at, name in enumerate("XY")]
    breaches = [breach(NOON, 600), breach(NOON + 3 * HOUR, 60), breach(NOON, 600, internal=True)]
    found = good(known([hit, *false], (), breaches))
    assert found.precision == pytest.approx(1 / 3)  # type: ignore[attr-defined]
    assert (found.recall, found.breaches, found.found) == (0.5, 2, 1)  # type: ignore[attr-defined]
    assert (found.detected_in, found.reset_in) == (120.0, 420.0)  # type: ignore[attr-defined]


def test_a_page_that_came_first_was_found_sooner_than_the_breach() -> None:
    found = good(known([episode(NOON - 60, 900)], (), [breach(NOON, None)]))
    assert (found.detected_in, found.reset_in) == (-60.0, None)  # type: ignore[attr-defined]


# --- whether anybody was heard ------------------------------------------------------------------------------------


def heard(*minutes: int, at: int = NOON) -> tuple[Reason | None, str]:
    found = Hearing(tuple(minutes), 900.0).at(at)
    return found.reason, found.detail


def test_who_was_never_heard_says_nothing() -> None:
    assert heard()[0] is Reason.STALE
    assert heard(NOON + 60)[0] is Reason.STALE


@pytest.mark.parametrize(("ago", "reason"), [(900, None), (901, Reason.STALE)])
def test_silence_for_longer_than_the_heartbeat_is_unknown(ago: int, reason: Reason | None) -> None:
    assert heard(*range(NOON - ago - 2 * DAY, NOON - ago + 1, 300))[0] is reason


@pytest.mark.parametrize(("since", "reason"), [(3599, Reason.NO_DATA), (3600, None)])
def test_a_fresh_installation_is_judged_after_an_hour_of_hearing(since: int, reason: Reason | None) -> None:
    found, detail = heard(*range(NOON - since, NOON + 1, 300), NOON)
    assert found is reason
    assert "since" in detail


@pytest.mark.parametrize(("gap", "reason"), [(72 * MINUTE, None), (73 * MINUTE, Reason.NO_DATA)])
def test_a_part_of_the_day_may_be_missed(gap: int, reason: Reason | None) -> None:
    again = NOON - 30 * MINUTE
    before = range(again - gap - 2 * DAY, again - gap + 1, 300)
    assert heard(*before, *range(again, NOON + 1, 300))[0] is reason


def test_an_outage_is_forgotten_with_the_day() -> None:
    first = range(NOON - 4 * DAY, NOON - 2 * DAY, 300)
    assert heard(*first, *range(NOON - DAY, NOON + 1, 300)) == (None, "")


# --- the objective ------------------------------------------------------------------------------------------------


def alarms(number: int, at: float = NOON) -> list[Episode]:
    return [episode(at, MINUTE, f"Alarm{one}") for one in range(number)]


def evaluated(facts: Known, at: int = NOON + HOUR, objective: Objective = OBJECTIVE) -> Evaluation:
    return AlertNoise(objective, "checkout", facts).at(at)


@pytest.mark.parametrize(("number", "verdict"), [(0, "pass"), (4, "pass"), (5, "fail"), (6, "fail")])
def test_five_false_alarms_in_a_day_are_too_many(number: int, verdict: str) -> None:
    found = evaluated(known(alarms(number), heard=LONG_AGO))
    assert (found.verdict.value, found.value) == (verdict, float(number))


def test_it_says_which_alarms_they_were() -> None:
    found = evaluated(known([*alarms(5), episode(NOON - 13 * HOUR, HOUR)], heard=LONG_AGO))
    assert sentence(OBJECTIVE, found) == (
        "alert_noise 6 false alarms in 24 h (5 confirmed, 1 unclassified for longer than 12h): "
        "Alarm0 1, Alarm1 1, Alarm2 1, and others"
    )
    assert describe_target(OBJECTIVE) == "below 5 false alarms in 24 h"
    assert sentence(OBJECTIVE, evaluated(known(heard=LONG_AGO))) == (
        "alert_noise 0, wanted below 5 false alarms in 24 h"
    )


def test_without_hearing_it_is_neither_good_nor_bad_but_too_many_are_too_many() -> None:
    assert evaluated(known(alarms(4))).reason is Reason.STALE
    assert evaluated(known(alarms(4))).value is None
    assert evaluated(known(alarms(5))).verdict.value == "fail"


def test_another_limit_and_another_grace() -> None:
    strict = replace(OBJECTIVE, target=Target(Comparison.AT_MOST, 0.0), noise=NoiseRule(grace=0.0))
    assert evaluated(known([episode(NOON, HOUR)], heard=LONG_AGO), NOON + 60, strict).verdict.value == "fail"


def test_what_was_missed_while_this_program_was_down_is_excused() -> None:
    stale = evaluated(known())
    assert (while_down(stale).verdict.value, while_down(stale).reason) == ("unknown", Reason.NO_DATA)
    fails = evaluated(known(alarms(5)))
    assert while_down(fails) == fails
    assert unreadable(NOON).reason is Reason.UNREACHABLE


def test_days_of_slots_over_many_alarms_are_counted_in_passing() -> None:
    """The count is done anew only where it can change: 2,880 slots over 500 alarms look at each page a few times."""
    looks = 0

    def look(_service: str, _first: float, _last: float) -> Looked:
        nonlocal looks
        looks += 1
        return Looked.CLEAR

    facts = known([episode(NOON + 100 * place, 60, f"A{place}") for place in range(50)], look=look, heard=LONG_AGO)
    noise = AlertNoise(OBJECTIVE, "checkout", facts)
    assert {noise.at(at).verdict.value for at in range(NOON, NOON + DAY, 30)} == {"pass", "fail"}
    assert looks < 50 * 50 * 5
