"""Evaluations, steps and slice measurements: dense, compact, never overwritten, and the same bits when read."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.ledgers import (
    NOON,
    a_rollout,
    a_slice,
    added,
    ledger_at,
    passed,
    rows,
    step,
    unknown,
)
from watchdog.ledger import Ledger, ReadingFact, Record
from watchdog.model import (
    STANDARD_OBJECTIVES,
    Evaluation,
    Exposure,
    Measurement,
    Reason,
    Verdict,
)

EVER = (0, 2**40)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = ledger_at(tmp_path / "watchdog.db")
    yield opened
    opened.close()


NUMBERS = st.none() | st.floats(allow_nan=False)


def bits(number: float | None) -> bytes | None:
    # SQLite keeps no sign of zero; -0.0 == 0.0 and no fold tells them apart.
    return None if number is None else struct.pack("<d", number + 0.0)


@given(value=NUMBERS, bad=NUMBERS, total=NUMBERS, reason=st.sampled_from([None, *Reason]), silent=st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_answer_comes_back_bit_for_bit(
    ledger: Ledger,
    value: float | None,
    bad: float | None,
    total: float | None,
    reason: Reason | None,
    silent: bool,  # noqa: FBT001 - drawn by hypothesis
) -> None:
    stored = next(iter(ledger.rollouts()), None) or added(ledger)
    at = NOON + 30 * (stored.revision + 1)
    verdict = Verdict.PASS if reason is None else Verdict.UNKNOWN
    detail = "" if reason is None else f"{reason} at {bad}"
    evaluation = Evaluation(at, verdict, reason, value, bad, total, detail, silent)
    measurement = Measurement(at, value, bad, total, reason, detail, silent)
    both = {"evaluations": [("error_rate", evaluation)], "controls": [("error_rate", evaluation)]}
    answers = {"steps": [("error_rate", measurement)], "slice_measurements": [("error_rate", measurement)]}
    ledger.record(Record(stored.id, stored.revision, **both, **answers))  # type: ignore[arg-type]
    for read in (ledger.evaluations, ledger.controls):
        assert read(stored.id, "error_rate", at - 30, at) == [("error_rate", evaluation)]
    for again in (ledger.steps, ledger.slice_measurements):
        ((_, found),) = again(stored.id, None, at - 30, at)
        assert found == measurement
        assert [bits(n) for n in (found.value, found.bad, found.total)] == [bits(n) for n in (value, bad, total)]


def test_what_is_not_a_number_is_kept_as_none(ledger: Ledger) -> None:
    stored = added(ledger)
    odd = unknown(NOON, Reason.NOT_A_NUMBER)._replace(value=float("nan"))
    ledger.record(Record(stored.id, 0, evaluations=[("error_rate", odd)]))
    assert ledger.last_evaluations(stored.id)["error_rate"].value is None


def test_text_that_no_database_holds_is_made_harmless(ledger: Ledger) -> None:
    stored = added(ledger)
    ledger.record(Record(stored.id, 0, evaluations=[("error_rate", unknown(NOON, detail="a\0b\ud800"))]))
    assert ledger.last_evaluations(stored.id)["error_rate"].detail == "a\ufffdb?"


def test_evaluations_are_read_by_time_and_by_objective_in_the_order_of_the_rule(ledger: Ledger) -> None:
    stored = added(ledger)
    slots = [NOON + 30, NOON + 60, NOON + 90]
    mixed = [(name, passed(at)) for at in reversed(slots) for name in ("latency_p95", "error_rate")]
    ledger.record(Record(stored.id, 0, evaluations=mixed))
    found = ledger.evaluations(stored.id, None, NOON + 30, NOON + 90)
    assert [(name, evaluation.at - NOON) for name, evaluation in found] == [
        *(("error_rate", 60), ("latency_p95", 60)),
        *(("error_rate", 90), ("latency_p95", 90)),
    ]
    assert ledger.evaluations(stored.id, "error_rate", NOON, NOON + 30) == [("error_rate", passed(NOON + 30))]
    assert ledger.evaluations(stored.id, "no such objective", *EVER) == []
    assert list(ledger.last_evaluations(stored.id)) == ["error_rate", "latency_p95"]


def test_rollouts_do_not_see_each_other(ledger: Ledger) -> None:
    first, second = added(ledger), added(ledger, a_rollout("b"))
    ledger.record(Record(first.id, 0, evaluations=[("error_rate", passed(NOON))], steps=[("error_rate", step(NOON))]))
    assert ledger.evaluations(second.id, None, *EVER) == []
    assert ledger.steps(second.id, None, *EVER) == []
    assert ledger.last_evaluations(second.id) == {}


def test_a_slot_asked_again_is_a_new_row_and_the_newest_answers(ledger: Ledger, tmp_path: Path) -> None:
    stored = added(ledger)
    slots = [("error_rate", unknown(NOON + 30)), ("latency_p95", unknown(NOON + 30)), ("error_rate", unknown(NOON))]
    ledger.record(Record(stored.id, 0, evaluations=slots))
    assert ledger.unknown_slots(stored.id, NOON) == {"error_rate": [NOON, NOON + 30], "latency_p95": [NOON + 30]}
    assert ledger.unknown_slots(stored.id, NOON + 1) == {"error_rate": [NOON + 30], "latency_p95": [NOON + 30]}
    ledger.record(Record(stored.id, 1, evaluations=[("error_rate", passed(NOON + 30))]))
    assert ledger.unknown_slots(stored.id, NOON + 1) == {"latency_p95": [NOON + 30]}
    assert ledger.evaluations(stored.id, "error_rate", NOON, NOON + 30) == [("error_rate", passed(NOON + 30))]
    assert ledger.last_evaluations(stored.id)["error_rate"] == passed(NOON + 30)
    assert rows(ledger, "evaluations") == 4


def test_the_same_answer_again_adds_no_row(ledger: Ledger) -> None:
    stored = added(ledger)
    for revision in range(3):
        same = [("error_rate", unknown(NOON)), ("error_rate", unknown(NOON))]
        ledger.record(Record(stored.id, revision, evaluations=same, slices=[a_slice(NOON)]))
    assert rows(ledger, "evaluations") == 1
    assert rows(ledger, "slices") == 1


def test_only_what_later_data_can_cure_is_asked_again(ledger: Ledger) -> None:
    stored = added(ledger)
    answers = [("error_rate", Measurement(NOON + 60 * n, reason=reason)) for n, reason in enumerate(Reason)]
    ledger.record(Record(stored.id, 0, steps=answers, slice_measurements=answers))
    curable = [Reason.UNREACHABLE, Reason.CLOCK_SKEW, Reason.QUERY_ERROR, Reason.PARTIAL, Reason.NO_DATA]
    expected = {"error_rate": [NOON + 60 * n for n, reason in enumerate(Reason) if reason in curable]}
    assert ledger.unknown_steps(stored.id, 0) == expected
    assert ledger.unknown_slices(stored.id, 0) == expected
    assert ledger.unknown_slots(stored.id, 0) == {}


def test_a_thousand_equal_sentences_are_stored_once(ledger: Ledger) -> None:
    stored = added(ledger)
    outage = [("error_rate", unknown(NOON + 30 * n, Reason.UNREACHABLE, "connection refused")) for n in range(1000)]
    ledger.record(Record(stored.id, 0, evaluations=outage))
    assert rows(ledger, "texts") == 1
    assert ledger.evaluations(stored.id, None, *EVER) == outage


def test_a_day_of_seven_objectives_takes_at_most_four_megabytes(tmp_path: Path) -> None:
    path = tmp_path / "watchdog.db"
    ledger = ledger_at(path)
    stored, rng = added(ledger), random.Random(1)
    for revision in range(24):
        ticks = range(NOON + 3600 * revision + 30, NOON + 3600 * (revision + 1) + 30, 30)
        evaluations = [
            (name, Evaluation(at, Verdict.PASS, None, rng.random(), rng.random(), rng.random() * 1e5))
            for at in ticks
            for name in STANDARD_OBJECTIVES
        ]
        steps = [
            (name, Measurement(at, bad=rng.random(), total=rng.random() * 1e4))
            for at in ticks
            if at % 60 == 0
            for name in STANDARD_OBJECTIVES
        ]
        readings = [ReadingFact(at + 0.5, Exposure(revision / 24), "17") for at in ticks]
        figures = {"evaluations": evaluations, "steps": steps, "readings": readings}
        end = NOON + 3600 * (revision + 1)
        ledger.record(
            Record(stored.id, revision, **figures, slices=[a_slice(end)], checkpoint=(end, "x" * 6000))  # type: ignore[arg-type]
        )
    assert rows(ledger, "evaluations") == 20_160
    assert rows(ledger, "steps") == 10_080
    ledger.close()
    assert path.stat().st_size <= 4_000_000


def test_three_days_are_read_whole(ledger: Ledger) -> None:
    stored = added(ledger)
    evaluations = [(name, passed(NOON + 30 * n, n / 7)) for n in range(8640) for name in STANDARD_OBJECTIVES]
    ledger.record(Record(stored.id, 0, evaluations=evaluations))
    assert len(ledger.evaluations(stored.id, None, *EVER)) == 60_480
