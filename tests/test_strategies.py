"""Every strategy, evaluated as an application would: nobody loses the feature on the way up, nobody else gets it.

Plans are walked step by step on documents as they are written; flagd's own core evaluates them, under both hashes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.flagfiles import AUDIENCES, FLAG
from tests.rollouts import event, rollout
from watchdog.flags.base import Change
from watchdog.flags.flagd_buckets import ERAS, bucket
from watchdog.flags.flagd_document import conditions, serving, weight_of
from watchdog.flags.flagd_evaluator import Evaluator
from watchdog.flags.flagd_file import FlagdFile
from watchdog.model import NOBODY, Exposure, Ramp
from watchdog.ramp import next_step
from watchdog.rolloutfile import DaemonFacts

Json = dict[str, Any]
Context = Mapping[str, Any]
FACTS = DaemonFacts(audiences=frozenset(AUDIENCES))
COHORT = ("qa-1", "qa-2", "käthe")
PLANS = {
    "all at once": "{strategy: all_at_once}",
    "percentage": "{strategy: percentage, to: 37.5}",
    "progressive": "{strategy: progressive, from: 0, to: 100, over: 1d, every: 1h}",
    "progressive from above zero": "{strategy: progressive, from: 12.5, to: 60, over: 10h, every: 1h}",
    "canary": "{strategy: canary, cohort: [qa-1, qa-2, käthe], cohort_for: 1h, to: 100, over: 8h, every: 1h}",
    "steps": "{steps: [{percent: 0.001, for: 1h}, {percent: 1, for: 1h}, {percent: 99.999, for: 1h}, {percent: 100}]}",
    "rings": "{steps: [{audience: staff, for: 1d}, {audience: [beta, eu], percent: 5, for: 1d}, {percent: 100}]}",
}


def plan(text: str) -> Ramp:
    return rollout(event(), ramp=text, daemon=FACTS).ramp


def walk(ramp: Ramp) -> Iterator[Exposure]:
    """What is exposed from the start to the plan's end."""
    exposure = Exposure(ramp.start)
    yield exposure
    while (step := next_step(ramp, exposure)) is not None:
        exposure = step.exposure
        yield exposure


def document(ramp: Ramp, exposure: Exposure) -> Json:
    """As the file and Redis hold it."""
    meant = conditions(exposure.audiences, AUDIENCES, "the test")
    cohort = ramp.cohort if exposure.cohort else ()
    return {"flags": {FLAG: serving({}, weight_of(exposure.percent), cohort, audiences=meant)}}


def on(evaluator: Evaluator, context: Context) -> bool:
    value = evaluator.evaluate(FLAG, context).value
    assert isinstance(value, bool)
    return value


def entitled(ramp: Ramp, exposure: Exposure, context: Context, era: str) -> bool:
    """Whether the plan gives somebody the feature, said without the document."""
    key = context.get("targetingKey", "")
    member = {
        "staff": str(context.get("email", "")).endswith("@example.com"),
        "beta": context.get("plan") == "beta",
        "eu": context.get("region") in {"eu-west", "eu-north"},
    }
    by_percent = exposure.percent == 100 or (key != "" and bucket(FLAG, key, era) < weight_of(exposure.percent))
    by_cohort = exposure.cohort and key in ramp.cohort
    return by_percent or by_cohort or any(member[name] for name in exposure.audiences)


KEYS = st.one_of(st.sampled_from(COHORT), st.text(st.characters(codec="utf-8"), max_size=20), st.uuids().map(str))
PEOPLE = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "targetingKey": KEYS,
            "email": st.sampled_from(["a@example.com", "a@example.org", ""]),
            "plan": st.sampled_from(["beta", "free"]),
            "region": st.sampled_from(["eu-west", "us-east"]),
        },
    ),
    min_size=1,
    max_size=12,
)


@st.composite
def ramps(draw: st.DrawFn) -> Ramp:
    """A plan of any strategy with numbers of its own."""
    start = draw(st.integers(0, 50))
    to = draw(st.integers(start + 1, 100))
    times = draw(st.integers(1, 12))
    progressive = f"from: {start}, to: {to}, over: {times}h, every: 1h"
    rings = ", ".join(f"{{audience: {name}, for: 1h}}" for name in draw(st.permutations(sorted(AUDIENCES))))
    text = draw(
        st.sampled_from(
            [
                f"{{strategy: all_at_once, from: {start}, to: {to}}}",
                f"{{strategy: percentage, from: {start}, to: {to}}}",
                f"{{strategy: progressive, {progressive}}}",
                f"{{strategy: canary, cohort: [qa-1, qa-2, käthe], cohort_for: 1h, {progressive}}}",
                f"{{from: {start}, steps: [{rings}, {{percent: {to}}}]}}",
                f"{{from: {start}, steps: [{{percent: {to - 0.5}, for: 1h}}, {{percent: {to}}}]}}",
            ]
        )
    )
    return plan(text)


@given(ramps(), PEOPLE, st.sampled_from(ERAS))
@settings(max_examples=120, deadline=None)
def test_everybody_the_plan_means_has_the_feature_and_keeps_it_and_nobody_else(
    ramp: Ramp, people: Sequence[Context], era: str
) -> None:
    had: list[bool] = [False] * len(people)
    for exposure in walk(ramp):
        evaluator = Evaluator(document(ramp, exposure), era)
        has = [on(evaluator, person) for person in people]

        assert has == [entitled(ramp, exposure, person, era) for person in people]
        assert not any(before and not now for before, now in zip(had, has, strict=True))
        had = has


@given(ramps(), PEOPLE, st.sampled_from(ERAS))
@settings(max_examples=40, deadline=None)
def test_the_same_person_gets_the_same_answer_whoever_evaluates_and_however_often(
    ramp: Ramp, people: Sequence[Context], era: str
) -> None:
    exposure = list(walk(ramp))[-2]
    one, other = (Evaluator(document(ramp, exposure), era) for _ in range(2))
    assert [on(one, person) for person in people] == [on(other, person) for person in reversed(people)][::-1]
    assert [on(one, person) for person in people] == [
        on(one, dict(reversed(list(person.items())))) for person in people
    ]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("name", PLANS)
def test_without_a_targeting_key_the_feature_is_off_below_100_percent(name: str, era: str) -> None:
    ramp = plan(PLANS[name])
    for exposure in walk(ramp):
        evaluator = Evaluator(document(ramp, exposure), era)
        for nobody in ({}, {"targetingKey": ""}, {"email": "a@example.org", "plan": "free"}):
            assert on(evaluator, nobody) is (exposure.percent == 100)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("name", PLANS)
def test_a_ramp_through_the_file_and_the_kill_at_its_end(tmp_path: Path, name: str, era: str) -> None:
    ramp = plan(PLANS[name])
    file = FlagdFile(tmp_path / "flags.json", bucketing=era, audiences=AUDIENCES)
    file.init([FLAG], "me")
    people: list[Context] = [{"targetingKey": f"user-{number}"} for number in range(200)]
    people += [{"targetingKey": key} for key in COHORT]
    people += [{"targetingKey": "a", "email": "a@example.com"}, {"plan": "beta"}, {"region": "eu-north"}]
    had: set[int] = set()
    for exposure in walk(ramp):
        cohort = ramp.cohort if exposure.cohort else ()
        reading = file.set(FLAG, Change(exposure, cohort, "watchdog", "a step", "checkout-1"))
        assert reading.exposure == exposure
        evaluator = Evaluator(file.document()[1], era)
        has = {number for number, person in enumerate(people) if on(evaluator, person)}
        assert had <= has
        assert has == {number for number, person in enumerate(people) if entitled(ramp, exposure, person, era)}
        had = has

    assert file.kill(FLAG, Change(NOBODY, (), "watchdog", "a breach", "checkout-1")).exposure == NOBODY
    evaluator = Evaluator(file.document()[1], era)
    assert not any(on(evaluator, person) for person in people)


def test_the_two_hashes_mean_different_people() -> None:
    """Why a hash cannot be changed in the middle of a ramp."""
    evaluators = [Evaluator(document(plan(PLANS["progressive"]), Exposure(10)), era) for era in ERAS]
    first, second = (
        {number for number in range(5000) if on(evaluator, {"targetingKey": f"user-{number}"})}
        for evaluator in evaluators
    )
    assert 400 < len(first) < 600
    assert 400 < len(second) < 600
    assert len(first & second) < 100
