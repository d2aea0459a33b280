"""The Prometheus source against a real Prometheus that answers, refuses, dies, freezes and comes back."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import pytest

from tests.servers import History, PrometheusServer, binary, free_port
from watchdog.errors import SourceError
from watchdog.model import Reason, Series
from watchdog.prometheus import Prometheus, Range

START = 1_794_009_600  # 2026-11-07T00:00:00Z
HOUR = 3600
END = START + 12 * HOUR
NOON = START + 6 * HOUR

ERRORS = 'sum(increase(http_requests_total{code=~"5.."}[5m]))'
RATIO = f"{ERRORS} / sum(increase(http_requests_total[5m]))"
P95 = "histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))"


def past() -> History:
    """Three instances scraped at different offsets, with lost scrapes, resets, and a second flavour for an hour."""
    history = History()
    for k, offset in enumerate((3, 7, 11)):
        who = {"instance": f"checkout-{k}:8080"}
        gaps = [(START + 2 * HOUR + 100 * k, START + 2 * HOUR + 700), (NOON + 40 * k, NOON + 40 * k + 31)]
        how = {"offset": offset, "gaps": gaps, "resets": [START + 3 * HOUR + 77 * k, NOON + 900], "seed": k}
        history.requests(START, END, rps=3, error_share=0.02, labels=who, **how)
        history.latency(START, END, rps=3, slow_share=0.04, labels=who, **how)
    history.up(START, END)
    history.gauge("flavour", {"kind": "plain"}, START, END, 1)
    history.gauge("flavour", {"kind": "spicy"}, NOON, NOON + HOUR, 2)
    return history


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    with PrometheusServer(past().build(tmp_path_factory.mktemp("past") / "tsdb")) as running:
        yield running


@pytest.fixture
def real(server: PrometheusServer) -> Iterator[Prometheus]:
    with Prometheus(server.url) as source:
        yield source


def problem(series: Series, at: int = NOON) -> tuple[Reason, str]:
    assert not series.values
    assert set(series.problems) == {at}
    return series.problems[at]


class TestARealPrometheus:
    def test_answers_in_the_order_of_the_questions(self, real: Prometheus) -> None:
        answers = real.instants(["vector(1)", "2", "vector(1)", "up"], NOON)
        assert [answer.values for answer in answers] == [{NOON: 1.0}, {NOON: 2.0}, {NOON: 1.0}, {NOON: 1.0}]
        assert not any(answer.problems for answer in answers)

    def test_has_no_entry_where_the_answer_is_empty(self, real: Prometheus) -> None:
        assert real.instants(["nobody_exports_this"], NOON) == [Series()]
        assert real.ranges([Range("nobody_exports_this", START, NOON, 60)]) == [Series()]

    def test_keeps_nan_and_infinities_as_values(self, real: Prometheus) -> None:
        nan, high, low = real.instants(["vector(0) / 0", "1 / 0", "-1 / 0"], NOON)
        assert math.isnan(nan.values[NOON])
        assert (high.values[NOON], low.values[NOON]) == (math.inf, -math.inf)

    def test_never_chooses_among_many_series(self, real: Prometheus) -> None:
        reason, detail = problem(real.instants(["flavour"], NOON + 60)[0], NOON + 60)
        assert reason is Reason.MANY_SERIES
        assert "2 series" in detail
        assert 'flavour{kind="plain"}' in detail
        assert 'flavour{kind="spicy"}' in detail

    def test_of_a_range_only_the_instants_with_many_series_are_affected(self, real: Prometheus) -> None:
        (answer,) = real.ranges([Range("flavour", START + 60, END, 60)])
        spicy_until = NOON + HOUR + 300  # a sample is looked back for, five minutes long
        assert set(answer.problems) == set(range(NOON + 60, spicy_until, 60))
        assert {reason for reason, _ in answer.problems.values()} == {Reason.MANY_SERIES}
        assert answer.values == {t: 1.0 for t in range(START + 60, END + 1, 60) if t not in answer.problems}

    @pytest.mark.parametrize(
        ("expression", "said"),
        [
            ("sum(", "parse error"),
            ("up[5m]", "range vector"),
            ("'text'", "string"),
            ("up * on() flavour", "many-to-many matching"),
        ],
    )
    def test_an_expression_that_cannot_be_one_number_is_a_query_error(
        self, real: Prometheus, expression: str, said: str
    ) -> None:
        reason, detail = problem(real.instants([expression], NOON + 60)[0], NOON + 60)
        assert reason is Reason.QUERY_ERROR
        assert said in detail

    def test_a_refused_range_is_a_query_error_at_each_of_its_instants(self, real: Prometheus) -> None:
        good, bad = real.ranges([Range("up", START + 60, NOON, 60), Range("up +", START + 60, NOON, 60)])
        assert len(good.values) == len(bad.problems) == 360
        assert {reason for reason, _ in bad.problems.values()} == {Reason.QUERY_ERROR}

    @pytest.mark.parametrize("step", [60, 37])
    def test_the_grid_instants_equal_the_range_bit_for_bit(self, real: Prometheus, step: int) -> None:
        expressions = [ERRORS, RATIO, P95, "sum(increase(http_requests_total[75s]))", "count(up)"]
        first = START + HOUR + 1800 if step == 60 else NOON - 1800
        grid = range(first, first + 110 * step, step)
        ranges = real.ranges([Range(text, grid[0], grid[-1], step) for text in expressions])
        instants = [Series() for _ in expressions]
        for at in grid:
            for whole, one in zip(instants, real.instants(expressions, at), strict=True):
                whole.values.update(one.values)
                assert not one.problems
        for text, whole, answer in zip(expressions, instants, ranges, strict=True):
            assert repr(whole.values) == repr(answer.values), text
        assert len(ranges[0].values) > 80

    def test_asks_more_points_than_one_query_may_have_and_tells_how_far_it_is(self, real: Prometheus) -> None:
        seen: list[tuple[int, int]] = []
        both = [Range("flavour", START + 10, NOON, 2), Range("sum(flavour)", START + 10, END, 2)]
        one, two = real.ranges(both, on_progress=lambda done, total: seen.append((done, total)))
        assert len(one.values) == 10_796
        assert len(two.values) == 21_596
        assert seen[-1] == (10_796 + 21_596, 10_796 + 21_596)
        assert len(seen) > 3
        assert seen == sorted(seen)

    def test_a_query_longer_than_a_proxy_would_let_through_goes_by_post(self, real: Prometheus) -> None:
        long = "sum(up)" + " + 0 * sum(up)" * 800
        assert real.instants([long], NOON)[0].values == {NOON: 1.0}
        assert real.ranges([Range(long, NOON, NOON + 60, 30)])[0].values == dict.fromkeys(
            (NOON, NOON + 30, NOON + 60), 1
        )

    def test_a_range_that_loads_too_many_samples_is_asked_by_the_hour(self, server: PrometheusServer) -> None:
        limit = ["--query.max-samples=6000"]
        whole = Range("sum(increase(http_requests_total[5m]))", START + 30, END, 30)
        server.stop()
        with PrometheusServer(server.data_dir, extra_args=limit) as small, Prometheus(small.url) as source:
            (answer,) = source.ranges([whole])
        server.start()
        assert not answer.problems
        assert len(answer.values) > 1400

    def test_describes_itself_for_commands(self, real: Prometheus) -> None:
        assert real.build_info()["version"].startswith(("2.", "3."))
        assert real.runtime_flags()["query.lookback-delta"] == "5m"
        assert real.labels_of("flavour", NOON + 60)[0] == {"__name__": "flavour", "kind": "plain"}
        assert len(real.series_of('http_requests_total{code="500"}', START, END)) == 3
        assert real.metrics_of("checkout", START, END) == [
            "http_request_duration_seconds_bucket",
            "http_request_duration_seconds_count",
            "http_requests_total",
            "up",
        ]
        assert real.metadata() == {}
        assert real.scrape_intervals() == {}

    def test_a_command_that_is_refused_raises_for_good_and_names_the_cause(self, real: Prometheus) -> None:
        with pytest.raises(SourceError, match="parse error") as caught:
            real.labels_of("sum(", NOON)
        assert caught.value.permanent
        assert caught.value.__cause__ is not None


class TestUnreachable:
    def test_a_closed_port(self) -> None:
        with Prometheus(f"http://127.0.0.1:{free_port()}") as source:
            reason, detail = problem(source.instants(["up"], NOON)[0])
            assert reason is Reason.UNREACHABLE
            assert "connection refused" in detail
            assert source.ranges([Range("up", NOON, NOON, 30)])[0].problems[NOON][0] is Reason.UNREACHABLE
            with pytest.raises(SourceError, match="connection refused") as caught:
                source.build_info()
            assert not caught.value.permanent

    def test_a_name_that_does_not_exist(self) -> None:
        with Prometheus("http://prometheus.invalid:9090", timeout=5) as source:
            reason, detail = problem(source.instants(["up"], NOON, deadline=10)[0])
        assert reason is Reason.UNREACHABLE
        assert "prometheus.invalid" in detail

    def test_a_server_that_dies_and_comes_back(self, server: PrometheusServer, real: Prometheus) -> None:
        assert real.instants(["up"], NOON)[0].values
        server.kill()
        assert problem(real.instants(["up"], NOON)[0])[0] is Reason.UNREACHABLE
        server.start()
        assert real.instants(["up"], NOON)[0].values == {NOON: 1.0}

    def test_a_frozen_server_costs_the_deadline_and_no_more(self, server: PrometheusServer) -> None:
        with Prometheus(server.url, timeout=5) as source:
            server.pause()
            began = time.monotonic()
            answers = source.instants([f"{k} + up" for k in range(12)], NOON, deadline=0.6)
            took = time.monotonic() - began
            server.unpause()
            assert [problem(answer)[0] for answer in answers] == [Reason.UNREACHABLE] * 12
            assert "no answer within 0.6 s" in problem(answers[0])[1]
            assert 0.5 < took < 1.2
            assert source.instants(["up"], NOON)[0].values == {NOON: 1.0}


def test_the_harness_names_the_package_of_a_missing_server() -> None:
    with pytest.raises(RuntimeError, match="apt install prometheus"):
        binary("prometheus-that-nobody-has")
