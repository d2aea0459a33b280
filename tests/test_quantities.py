"""Durations, shares, numbers and instants: read as written, exactly, and written back."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchdog.quantities import (
    exact_share,
    format_duration,
    format_number,
    format_share,
    parse_duration,
    parse_limit,
    parse_percent,
    parse_share,
    parse_time,
    rfc3339,
)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("30s", 30),
        ("5m", 300),
        ("48h", 172800),
        ("7d", 604800),
        ("1w", 604800),
        ("250ms", 0.25),
        ("1h30m", 5400),
        ("1d2h3m4s5ms", 93784.005),
        ("1.5h", 5400),
        ("90", 90),
        ("0.1", 0.1),
        ("0s", 0),
        (15, 15),
        (0.25, 0.25),
        (" 5m ", 300),
        ("1e3", 1000),
    ],
)
def test_a_duration_is_read_in_seconds(written: object, seconds: float) -> None:
    assert parse_duration(written) == seconds


@pytest.mark.parametrize(
    "written",
    ["", "h", "5 m", "5M", "1m1h", "1h1h", "5min", "-5s", "1h30", "nan", "inf", "1e99", True, None, [5], "9999d"],
)
def test_what_is_no_duration_is_refused_with_what_was_found(written: object) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(written)


@pytest.mark.parametrize(
    ("written", "share"),
    [("0.1%", 0.001), ("0.001", 0.001), (0.001, 0.001), ("99.9%", 0.999), ("100%", 1.0), ("0", 0.0), ("7 %", 0.07)],
)
def test_a_share_is_the_same_float_however_it_is_written(written: object, share: float) -> None:
    assert parse_share(written) == share


def test_a_share_is_exact_before_the_last_step() -> None:
    assert 1 - exact_share("98%") == Decimal("0.02")
    assert float(1 - exact_share("99.9%")) == 0.001


@pytest.mark.parametrize("written", ["", "%", "101%", "-1%", "1.5", "abc", None, True, [1], "1%%"])
def test_what_is_no_share_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="expected a share"):
        parse_share(written)


def test_a_share_above_one_asks_whether_percent_was_meant() -> None:
    with pytest.raises(ValueError, match="write 98% if percent was meant"):
        parse_share("98")


@pytest.mark.parametrize(("written", "percent"), [("25", 25.0), ("25%", 25.0), (0.125, 0.125), ("100", 100.0)])
def test_a_percentage_of_exposure(written: object, percent: float) -> None:
    assert parse_percent(written) == percent


@pytest.mark.parametrize("written", ["101", "-1", "x", None, "0.0001", False])
def test_what_is_no_percentage_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match=r"percentage|decimals"):
        parse_percent(written)


@pytest.mark.parametrize(
    ("written", "limit"), [("200ms", 0.2), ("5", 5.0), ("-3", -3.0), ("99.9%", 0.999), ("150%", 1.5), (2.5, 2.5)]
)
def test_a_limit_is_a_number_a_share_or_a_duration(written: object, limit: float) -> None:
    assert parse_limit(written) == limit


@pytest.mark.parametrize("written", ["fast", "", None, "nan", {}])
def test_what_is_no_limit_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="expected a number"):
        parse_limit(written)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (330, "5m30s"), (172800, "2d"), (0.25, "250ms"), (5400, "1h30m"), (-60, "-1m"), (1.5, "1s500ms")],
)
def test_a_duration_is_written_with_its_largest_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(min_value=0, max_value=10 * 365 * 86_400_000))
def test_a_written_duration_reads_back(milliseconds: int) -> None:
    seconds = float(Decimal(milliseconds) / 1000)
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.001, "0.1%"), (1 / 3, "33.3333%"), (1e-9, "0.0000001%"), (0, "0%"), (0.07, "7%"), (1, "100%")],
)
def test_a_share_is_written_in_percent(share: float, text: str) -> None:
    assert format_share(share) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.2, "0.2"),
        (3000.0, "3000"),
        (1e9, "1000000000"),
        (0.0, "0"),
        (-2.5, "-2.5"),
        (float("nan"), "nan"),
        (1e-7, "0.0000001"),
    ],
)
def test_a_number_is_written_without_an_exponent(number: float, text: str) -> None:
    assert format_number(number) == text


@given(st.integers(min_value=0, max_value=4_000_000_000))
def test_an_instant_is_written_in_utc_and_reads_back(at: int) -> None:
    assert rfc3339(at).endswith("Z")
    assert parse_time(rfc3339(at)) == at


def test_an_instant_has_milliseconds_only_where_it_needs_them() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00Z"
    assert rfc3339(0.25) == "1970-01-01T00:00:00.250Z"


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59Z"),
        ("9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59Z"),
    ],
)
def test_an_instant_that_has_no_date_in_utc_is_written_as_the_nearest_that_has(written: str, told: str) -> None:
    assert rfc3339(parse_time(written)) == told


def test_an_instant_may_name_another_zone() -> None:
    assert parse_time("2026-11-22T10:00:00+01:00") == parse_time("2026-11-22T09:00:00Z") == 1795338000


@pytest.mark.parametrize("written", ["2026-11-22", "2026-11-22T09:00:00", "2026-13-01T00:00:00Z", "yesterday", None, 5])
def test_an_instant_without_its_zone_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="expected a time with its zone"):
        parse_time(written)
