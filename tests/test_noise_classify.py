"""What a page turned out to be: each rule of the table alone, their order, and that no order of facts matters."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.alarms import HOUR, MINUTE, NOON, RULE, breach, clear, episode, judged, known, said, verdicts
from watchdog.model import NoiseRule
from watchdog.noise.classify import Looked, classify, flapping
from watchdog.noise.episodes import OWN, Label, pages

SHORT = episode(NOON, 4 * MINUTE)
LONG = episode(NOON, 6 * MINUTE)
LATE = NOON + 2 * HOUR


def failed(_service: str, _first: float, _last: float) -> Looked:
    return Looked.FAILED


def unknown(_service: str, _first: float, _last: float) -> Looked:
    return Looked.UNKNOWN


# --- automatic ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lasts", "found"), [(0.0, "false_positive"), (299.0, "false_positive"), (300.0, "unclassified")]
)
def test_what_is_over_by_itself_in_under_five_minutes_is_false(lasts: float, found: str) -> None:
    assert verdicts(episode(NOON, lasts)) == [found]


def test_what_still_fires_is_nothing_yet() -> None:
    (one,) = judged(episode(NOON, None))
    assert (one.found.value, one.why) == ("unclassified", "still firing")


@pytest.mark.parametrize("look", [failed, unknown])
def test_a_slot_around_it_that_failed_or_was_not_judged_keeps_it_open(look: object) -> None:
    (one,) = judged(SHORT, look=look)  # type: ignore[arg-type]
    assert one.found.value == "unclassified"
    assert "slot around it" in one.why


def test_the_slots_are_asked_from_five_minutes_before_to_five_minutes_after() -> None:
    asked = []

    def look(service: str, first: float, last: float) -> Looked:
        asked.append((service, first, last))
        return Looked.CLEAR

    judged(SHORT, look=look)
    assert asked == [("checkout", NOON - 300, NOON + 540)]


@pytest.mark.parametrize(("at", "found"), [(839, "unclassified"), (840, "false_positive")])
def test_it_is_judged_when_the_slots_after_it_are_on_record(at: int, found: str) -> None:
    assert verdicts(SHORT, at=NOON + at) == [found]


def test_an_acknowledged_one_was_taken_up() -> None:
    assert verdicts(SHORT, labels=[said(SHORT, "acknowledged", NOON + 60)]) == ["unclassified"]


@pytest.mark.parametrize(("after", "found"), [(15 * MINUTE, "false_positive"), (15 * MINUTE + 1, "unclassified")])
@pytest.mark.parametrize("lasts", [HOUR, None])
def test_what_was_silenced_within_a_quarter_of_an_hour_is_false(lasts: float | None, after: int, found: str) -> None:
    one = episode(NOON, lasts)
    label = said(one, "silenced", NOON + HOUR, happened_at=NOON + after)
    assert verdicts(one, labels=[label]) == [found]


@pytest.mark.parametrize(
    ("starts", "found"),
    [
        ((0, 30, 60), ["false_positive"] * 3),
        ((0, 30, 61), ["unclassified"] * 3),
        ((0, 30, 60, 90), ["false_positive"] * 4),
        ((0, 40, 80, 95), ["unclassified", "false_positive", "false_positive", "false_positive"]),
    ],
)
def test_three_within_an_hour_flap(starts: tuple[int, ...], found: list[str]) -> None:
    assert verdicts(*(episode(NOON + at * MINUTE, 6 * MINUTE) for at in starts), at=NOON + 5 * HOUR) == found


def test_flapping_is_counted_by_template() -> None:
    others = [episode(NOON + at * MINUTE, 6 * MINUTE, name) for at, name in enumerate("ABC")]
    assert set(verdicts(*others)) == {"unclassified"}


@pytest.mark.parametrize("severity", ["warning", "", "info"])
def test_what_wakes_nobody_is_never_false_by_itself(severity: str) -> None:
    one = replace(SHORT, severity=severity)
    assert verdicts(one) == ["unclassified"]
    assert verdicts(one, labels=[said(one, "false_positive", NOON + 60)]) == ["false_positive"]


def test_the_severities_that_wake_are_the_settings() -> None:
    one = replace(SHORT, severity="p1")
    assert [j.found.value for j in classify(known([one]), NoiseRule(pages=("p1",)), LATE)] == ["false_positive"]


# --- breaches and people ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "lasts", "met"),
    [(-600, 599, False), (-600, 600, True), (0, 10, True), (240, 10, True), (241, 10, False), (-9000, None, True)],
)
def test_it_is_true_when_it_overlaps_a_breach_of_its_service(at: int, lasts: int | None, met: bool) -> None:  # noqa: FBT001
    found = verdicts(SHORT, breaches=[breach(NOON + at, lasts)])
    assert found == ["true_positive" if met else "false_positive"]


def test_a_breach_of_another_service_or_of_what_is_measured_here_makes_it_no_truer() -> None:
    others = [breach(NOON, service="cart"), breach(NOON, internal=True, objective="alert_noise")]
    assert verdicts(SHORT, breaches=others) == ["false_positive"]
    nobodys = replace(SHORT, service="")
    assert verdicts(nobodys, breaches=[breach(NOON, service="")]) == ["false_positive"]


def test_our_own_page_of_a_breach_is_true_whatever_measured_it() -> None:
    own = replace(SHORT, source=OWN, alertname="breach:alert_noise", group_key="c1")
    found = breach(NOON - 10, internal=True, objective="alert_noise")
    assert verdicts(own, breaches=[found]) == ["true_positive"]
    assert verdicts(own, breaches=[replace(found, rollout="c2")]) == ["false_positive"]


def test_what_a_person_ended_is_true() -> None:
    assert verdicts(replace(SHORT, by_person=True)) == ["true_positive"]


LABELS = {"false_positive": "false_positive", "not_actionable": "false_positive", "true_positive": "true_positive"}


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("breaches", [[], [breach(NOON)]], ids=["quiet", "breach"])
@pytest.mark.parametrize("one", [SHORT, LONG, episode(NOON, None)], ids=["short", "long", "open"])
def test_a_person_has_the_last_word(one: object, breaches: list[object], label: str) -> None:
    found = judged(one, labels=[said(one, label, NOON + 1)], breaches=breaches)  # type: ignore[arg-type]
    assert [(j.found.value, j.by) for j in found] == [(LABELS[label], "ada")]


@pytest.mark.parametrize("order", list(itertools.permutations(LABELS)))
def test_the_newest_verdict_counts(order: tuple[str, ...]) -> None:
    labels = [said(SHORT, label, NOON + place, id=place) for place, label in enumerate(order)]
    labels.append(said(SHORT, "acknowledged", NOON + 50, id=50))
    assert verdicts(SHORT, labels=labels) == [LABELS[order[-1]]]
    assert verdicts(SHORT, labels=labels[::-1]) == [LABELS[order[-1]]]


def test_only_what_was_said_by_then_is_known() -> None:
    labels = [said(LONG, "true_positive", NOON + 1000), said(LONG, "false_positive", NOON + 2000, id=2)]
    found = [verdicts(LONG, labels=labels, at=NOON + at)[0] for at in (999, 1000, 1999, 2000)]
    assert found == ["unclassified", "true_positive", "true_positive", "false_positive"]


def test_the_end_is_known_when_it_was_told() -> None:
    told_late = replace(SHORT, end_seen_at=NOON + HOUR)
    assert [verdicts(told_late, at=NOON + at)[0] for at in (HOUR - 1, HOUR)] == ["unclassified", "false_positive"]


# --- pages --------------------------------------------------------------------------------------------------------


def test_instances_and_replicas_of_one_group_are_one_page() -> None:
    pods = [episode(NOON + at, 250 - at, fingerprint=f"pod-{at}", id=f"a{at}") for at in range(50)]
    (page,) = pages(pods, RULE, LATE)
    assert (len(page.episodes), page.started_at, page.ended_at) == (50, NOON, NOON + 250)
    assert verdicts(*pods) == ["false_positive"]


def test_a_label_on_any_alert_of_a_page_is_one_on_the_page() -> None:
    pods = [episode(NOON + at, 600, id=f"a{at}") for at in range(5)]
    assert verdicts(*pods, labels=[said(pods[3], "not_actionable", NOON + 60)]) == ["false_positive"]


@pytest.mark.parametrize("change", [{"group_key": "h"}, {"service": "cart"}, {"alertname": "Other"}])
def test_another_group_service_or_alert_is_another_page(change: dict[str, str]) -> None:
    assert len(pages([SHORT, replace(SHORT, id="b", **change)], RULE, LATE)) == 2  # type: ignore[arg-type]


def test_a_start_in_the_future_is_taken_as_the_time_when_it_was_heard() -> None:
    (page,) = pages([replace(SHORT, started_at=NOON + 9e9, ended_at=NOON + 9e9)], RULE, LATE)
    assert (page.started_at, page.ended_at) == (NOON, NOON + 240)


# --- properties ---------------------------------------------------------------------------------------------------

EPISODES = st.lists(
    st.builds(
        lambda at, lasts, name, number: episode(NOON + at, lasts, name, id=f"a{number}-{at}"),
        st.integers(0, 4000),
        st.one_of(st.none(), st.integers(0, 3000)),
        st.sampled_from("AB"),
        st.integers(0, 10_000),
    ),
    max_size=8,
    unique_by=lambda one: one.id,
)
LABELLING = st.lists(
    st.tuples(st.integers(0, 7), st.sampled_from([label.value for label in Label]), st.integers(0, 6000)), max_size=5
)


@settings(max_examples=150, deadline=None)
@given(EPISODES, LABELLING, st.integers(0, 9000), st.randoms(use_true_random=False))
def test_the_order_of_facts_does_not_matter(
    episodes: list[object], labelling: list[tuple[int, str, int]], at: int, shuffle: object
) -> None:
    labels = [
        said(episodes[place % len(episodes)], word, NOON + when, id=number)  # type: ignore[arg-type]
        for number, (place, word, when) in enumerate(labelling)
        if episodes
    ]
    facts = known(episodes, labels, [breach(NOON + 1000)])  # type: ignore[arg-type]
    shuffled = (list(episodes), list(labels))
    for some in shuffled:
        shuffle.shuffle(some)  # type: ignore[attr-defined]
    again = known(*shuffled, [breach(NOON + 1000)])  # type: ignore[arg-type]
    assert classify(again, RULE, NOON + at) == classify(facts, RULE, NOON + at)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 9000), min_size=1, max_size=12))
def test_flapping_is_what_a_plain_count_says(starts: list[int]) -> None:
    ordered = sorted(starts)
    for at in ordered:
        windows = ([one for one in ordered if begin <= one <= begin + 3600] for begin in ordered)
        plainly = any(at in window and len(window) >= 3 for window in windows)
        assert flapping([float(one) for one in ordered], float(at)) == plainly


def test_a_look_that_is_clear_is_the_default_of_these_tests() -> None:
    assert clear("", 0.0, 0.0) is Looked.CLEAR
