"""Exact intervals and closed forms, against textbook values and brute force."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchdog.feasibility.confirming import alarm_chance, smallest_failing
from watchdog.feasibility.counting import (
    chance_interval,
    count_interval,
    dispersion,
    expected_wait,
    quantile,
    run_probability,
)
from watchdog.model import Confirm


def at_most(count: int, mean: float) -> float:
    return math.fsum(math.exp(-mean + k * math.log(mean) - math.lgamma(k + 1)) for k in range(count + 1))


def test_never_seen_is_the_rule_of_three() -> None:
    low, high = count_interval(0)
    assert low == 0.0
    assert high == pytest.approx(-math.log(0.05)) == pytest.approx(3.0, rel=0.002)


@pytest.mark.parametrize(("count", "low", "high"), [(1, 0.0513, 4.7439), (5, 1.9702, 10.513), (10, 5.4254, 16.962)])
def test_the_interval_of_a_count_is_the_textbooks(count: int, low: float, high: float) -> None:
    """Garwood's exact 90 % limits."""
    assert count_interval(count) == pytest.approx((low, high), rel=2e-4)


@given(st.integers(1, 400))
@settings(max_examples=60, deadline=None)
def test_the_limits_leave_five_percent_on_either_side(count: int) -> None:
    low, high = count_interval(count)
    assert at_most(count, high) == pytest.approx(0.05, abs=1e-6)
    assert 1.0 - at_most(count - 1, low) == pytest.approx(0.05, abs=1e-6)


@given(st.integers(0, 50), st.floats(1.0, 6.0))
@settings(max_examples=60, deadline=None)
def test_clumps_make_the_interval_wider(count: int, clumps: float) -> None:
    low, high = count_interval(count)
    wide_low, wide_high = count_interval(count, clumps)
    assert wide_low <= low * (1 + 1e-6)
    assert wide_high >= high * (1 - 1e-6)
    assert wide_low <= count <= wide_high


def test_dispersion_is_one_for_the_regular_and_large_for_one_bad_day() -> None:
    assert dispersion([1, 1, 1, 1, 1, 1, 1]) == 1.0
    assert dispersion([7, 0, 0, 0, 0, 0, 0]) == pytest.approx(7.0)
    assert dispersion([0, 0, 0]) == 1.0
    assert dispersion([5, 0]) == 1.0, "two days show nothing"


def test_a_chance_of_one_seen_for_a_week_is_bounded_by_the_rule_of_three() -> None:
    low, high = chance_interval(1.0, 0, 48 / 168, 1e-3)
    assert high == 1.0
    assert low == pytest.approx(0.05 ** (48 / 168))


@given(st.floats(0.001, 0.999), st.integers(1, 60), st.floats(1.0, 4.0))
@settings(deadline=None)
def test_the_interval_of_a_chance_holds_it(chance: float, spoilt: int, clumps: float) -> None:
    low, high = chance_interval(chance, spoilt, 0.3, 1e-4, clumps)
    assert 0.0 <= low <= chance * (1 + 1e-9)
    assert chance * (1 - 1e-9) <= high <= 1.0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_independent_slices_multiply(rates: list[float]) -> None:
    assert run_probability(rates) == pytest.approx(math.prod(rates))
    assert run_probability([rates[0]] * 48) == pytest.approx(rates[0] ** 48)


def test_the_wait_for_a_run_is_the_textbooks() -> None:
    assert expected_wait(1.0, 48) == 48.0
    assert expected_wait(0.5, 1) == pytest.approx(2.0)
    assert expected_wait(0.5, 2) == pytest.approx(6.0)
    assert expected_wait(0.0, 3) == math.inf
    assert expected_wait(0.99, 48) == pytest.approx((1 - 0.99**48) / (0.01 * 0.99**48))


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=40), st.floats(0.01, 1.0))
def test_a_quantile_is_the_smallest_number_that_holds_the_share(numbers: list[int], share: float) -> None:
    ordered = sorted(float(number) for number in numbers)
    found = quantile(ordered, share)
    assert sum(number <= found for number in ordered) >= share * len(ordered) - 1e-6
    assert sum(number < found for number in ordered) < share * len(ordered) + 1e-6


@pytest.mark.parametrize(
    "rule", [Confirm(60), Confirm(60, 2, 2), Confirm(60, 1, 3), Confirm(60, 4, 5), Confirm(60, 1, 1)]
)
@pytest.mark.parametrize("failing", [0.0, 0.2, 0.7, 1.0])
def test_the_chance_of_confirm_is_that_of_all_sequences(rule: Confirm, failing: float) -> None:
    steps = 8
    expected = 0.0
    for fails in itertools.product((False, True), repeat=steps):
        windows = (fails[max(0, end - rule.of) : end] for end in range(1, steps + 1))
        if any(sum(window) >= rule.fails for window in windows):
            expected += math.prod(failing if failed else 1.0 - failing for failed in fails)
    assert alarm_chance(rule, failing, steps) == pytest.approx(expected)


def test_the_smallest_share_of_failing_steps_is_just_enough() -> None:
    rule = Confirm(60)
    for steps in (3, 8, 58):
        share = smallest_failing(rule, steps)
        assert share is not None
        assert alarm_chance(rule, share, steps) >= 0.8
        assert alarm_chance(rule, share - 0.002, steps) < 0.8
    assert smallest_failing(rule, 2) is None
