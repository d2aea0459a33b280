"""The Prometheus source against a real Prometheus, and against a server that says what no real one would."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import History, PrometheusServer, ScriptedPrometheus, free_port, scripted
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


@pytest.fixture
def odd(scripted_prometheus: ScriptedPrometheus) -> Iterator[Prometheus]:
    with Prometheus(scripted_prometheus.url, timeout=2) as source:
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
        grid = range(first, first + 160 * step, step)
        ranges = real.ranges([Range(text, grid[0], grid[-1], step) for text in expressions])
        instants = [Series() for _ in expressions]
        for at in grid:
            for whole, one in zip(instants, real.instants(expressions, at), strict=True):
                whole.values.update(one.values)
                assert not one.problems
        for text, whole, answer in zip(expressions, instants, ranges, strict=True):
            assert repr(whole.values) == repr(answer.values), text
        assert len(ranges[0].values) > 100

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

    @pytest.mark.parametrize("status", [500, 502, 503])
    def test_a_server_error(self, odd: Prometheus, scripted_prometheus: ScriptedPrometheus, status: int) -> None:
        scripted_prometheus.always(scripted.error(status, "timeout", "query timed out in expression evaluation"))
        reason, detail = problem(odd.instants(["up"], NOON)[0])
        assert reason is Reason.UNREACHABLE
        assert f"status {status}" in detail
        assert "query timed out" in detail

    def test_a_connection_closed_without_an_answer(
        self, odd: Prometheus, scripted_prometheus: ScriptedPrometheus
    ) -> None:
        scripted_prometheus.always(scripted.closed())
        assert problem(odd.instants(["up"], NOON)[0])[0] is Reason.UNREACHABLE
        assert len(scripted_prometheus.asked) == 1  # and it was not tried again behind our back

    @pytest.mark.parametrize(
        "script",
        [scripted.hang(), scripted.drip(scripted.value("1" * 4000), pause=0.05), scripted.endless_headers(0.05)],
        ids=["hang", "drip", "endless headers"],
    )
    def test_slowness_of_every_kind_ends_at_the_timeout_and_at_the_deadline(
        self, scripted_prometheus: ScriptedPrometheus, script: object
    ) -> None:
        scripted_prometheus.always(script)  # type: ignore[arg-type]
        with Prometheus(scripted_prometheus.url, timeout=0.5) as source:
            for deadline, sentence in ((0.3, "no answer within 0.3 s"), (10.0, "no answer within")):
                began = time.monotonic()
                reason, detail = problem(source.instants(["up"], NOON, deadline=deadline)[0])
                assert reason is Reason.UNREACHABLE
                assert sentence in detail
                if script is not None and deadline < 1:
                    assert time.monotonic() - began < 1.0

    def test_without_a_deadline_a_silent_server_is_given_up(self, scripted_prometheus: ScriptedPrometheus) -> None:
        scripted_prometheus.always(scripted.hang())
        with Prometheus(scripted_prometheus.url, timeout=0.2, workers=2) as source:
            answers = source.ranges([Range(f"{k} + up", NOON, NOON + 600, 30) for k in range(40)])
        assert all(len(answer.problems) == 21 for answer in answers)
        assert "answered none" in answers[-1].problems[NOON][1]
        assert len(scripted_prometheus.asked) <= 4

    def test_closing_does_not_wait_for_a_hanging_server(self, scripted_prometheus: ScriptedPrometheus) -> None:
        scripted_prometheus.always(scripted.endless_headers(0.05))
        source = Prometheus(scripted_prometheus.url, timeout=30)
        began = time.monotonic()
        source.instants(["up"], NOON, deadline=0.2)
        source.close()
        assert time.monotonic() - began < 2
        reason, detail = problem(source.instants(["up"], NOON)[0])
        assert reason is Reason.UNREACHABLE
        assert "closed" in detail


class TestAnswersThatAreNotUnderstood:
    @pytest.mark.parametrize(
        ("script", "said"),
        [
            (scripted.garbage(), "not a Prometheus answer"),
            (scripted.html(), "Please sign in"),
            (scripted.truncated(scripted.value(1)), "broke off"),
            (scripted.cut_short(scripted.value(1)), "not a Prometheus answer"),
            (scripted.big(10_000_000), "not understood"),
            (scripted.big(65 * 1024 * 1024), "more than 64 MiB"),
            (scripted.status(204, b""), "204"),
            (scripted.status(404), "404"),
            (scripted.error(422, "execution", "found duplicate series"), "found duplicate series"),
            (scripted.json([1, 2]), "not a Prometheus answer"),
            (scripted.json({"status": "success", "data": {"resultType": "vector"}}), "not understood"),
            (scripted.json({"status": "success", "data": None}), "not understood"),
            (scripted.json({"status": "success", "data": {"resultType": "matrix", "result": []}}), "range vector"),
            (scripted.value("one"), "not understood"),
            (scripted.status(200, b"[" * 100_000), "not a Prometheus answer"),
        ],
    )
    def test_are_query_errors_that_say_what_came(
        self, odd: Prometheus, scripted_prometheus: ScriptedPrometheus, script: object, said: str
    ) -> None:
        scripted_prometheus.always(script)  # type: ignore[arg-type]
        reason, detail = problem(odd.instants(["up"], NOON)[0])
        assert reason is Reason.QUERY_ERROR
        assert said in detail
        assert len(detail) < 500

    def test_a_redirect_is_not_followed_and_the_sentence_says_what_to_do(
        self, odd: Prometheus, scripted_prometheus: ScriptedPrometheus
    ) -> None:
        scripted_prometheus.always(scripted.redirect("https://me:secret@login.example/start?token=abc"))
        reason, detail = problem(odd.instants(["up"], NOON)[0])
        assert reason is Reason.QUERY_ERROR
        assert "https://login.example/start" in detail
        assert "set prometheus.url to the final address" in detail
        assert "secret" not in detail
        assert "abc" not in detail
        assert len(scripted_prometheus.asked) == 1

    def test_an_answer_for_another_instant_is_refused(
        self, odd: Prometheus, scripted_prometheus: ScriptedPrometheus
    ) -> None:
        shifted = {"resultType": "matrix", "result": [{"metric": {}, "values": [[NOON - 7, "1"], [NOON + 23, "1"]]}]}
        scripted_prometheus.always(scripted.json({"status": "success", "data": shifted}))
        (answer,) = odd.ranges([Range("up", NOON, NOON + 30, 30)])
        assert {reason for reason, _ in answer.problems.values()} == {Reason.QUERY_ERROR}
        assert "another" not in answer.values
        assert "moves times to its own grid" in answer.problems[NOON][1]


class TestPartialAnswers:
    def test_a_warning_makes_an_instant_partial(self, odd: Prometheus, scripted_prometheus: ScriptedPrometheus) -> None:
        scripted_prometheus.always(scripted.value(1, warnings=["store 10.0.0.7:10901 is unavailable"]))
        reason, detail = problem(odd.instants(["up"], NOON)[0])
        assert reason is Reason.PARTIAL
        assert "10.0.0.7:10901 is unavailable" in detail

    def test_remarks_of_the_query_engine_do_not(self, odd: Prometheus, scripted_prometheus: ScriptedPrometheus) -> None:
        remarks = ["PromQL info: metric might not be a counter", "PromQL warning: bucket label is malformed"]
        scripted_prometheus.always(scripted.value(1, warnings=remarks, infos=["PromQL info: anything"]))
        assert odd.instants(["up"], NOON)[0] == Series(values={NOON: 1.0})

    def test_of_a_range_only_the_hours_that_still_warn_are_partial(
        self, odd: Prometheus, scripted_prometheus: ScriptedPrometheus
    ) -> None:
        lost = range(NOON, NOON + 600, 60)

        def reply(asked: object) -> object:
            warnings = ["a store is down"] if set(asked.instants) & set(lost) else []  # type: ignore[attr-defined]
            return scripted.value(3, warnings=warnings)(asked)

        scripted_prometheus.always(reply)  # type: ignore[arg-type]
        seen: list[int] = []
        request = Range("up", START + 60, END, 60)
        (answer,) = odd.ranges([request], on_progress=lambda done, _total: seen.append(done))
        assert set(lost) <= set(answer.problems)
        assert len(answer.problems) <= 2 * 60
        assert {reason for reason, _ in answer.problems.values()} == {Reason.PARTIAL}
        assert set(answer.values) | set(answer.problems) == set(request.instants)
        assert not set(answer.values) & set(answer.problems)
        assert seen[-1] == 720


class TestClockSkew:
    def ask(self, source: Prometheus) -> Reason | None:
        (answer,) = source.instants(["up"], NOON)
        return answer.problems[NOON][0] if answer.problems else None

    @pytest.mark.parametrize("seconds", [-30.0, 30.0])
    def test_is_two_answers_in_a_row_and_ends_with_a_good_one(
        self, odd: Prometheus, scripted_prometheus: ScriptedPrometheus, seconds: float
    ) -> None:
        good, off = scripted.value(1), scripted.skewed(scripted.value(1), seconds)
        scripted_prometheus.next(good, off, good, off, off, off, good, off)
        said = [self.ask(odd) for _ in range(8)]
        skewed = Reason.CLOCK_SKEW
        assert said == [None, None, None, None, skewed, skewed, None, None]
        assert odd.skew == pytest.approx(seconds, abs=2)

    def test_says_by_how_much_and_what_to_do(self, odd: Prometheus, scripted_prometheus: ScriptedPrometheus) -> None:
        scripted_prometheus.always(scripted.skewed(scripted.value(1), -100))
        self.ask(odd)
        reason, detail = problem(odd.instants(["up"], NOON)[0])
        assert reason is Reason.CLOCK_SKEW
        assert "s behind this host's" in detail
        assert "time synchronisation" in detail

    def test_concerns_ranges_and_refused_queries_but_not_failures(
        self, odd: Prometheus, scripted_prometheus: ScriptedPrometheus
    ) -> None:
        scripted_prometheus.always(scripted.skewed(scripted.value(1), 60))
        self.ask(odd)
        (answer,) = odd.ranges([Range("up", NOON, NOON + 60, 30)])
        assert {reason for reason, _ in answer.problems.values()} == {Reason.CLOCK_SKEW}
        scripted_prometheus.always(scripted.skewed(scripted.error(400), 60))
        assert self.ask(odd) is Reason.CLOCK_SKEW
        scripted_prometheus.always(scripted.skewed(scripted.error(503), 60))
        assert self.ask(odd) is Reason.UNREACHABLE

    @pytest.mark.parametrize("seconds", [-4.0, 4.0, None])
    def test_is_not_a_few_seconds_nor_a_missing_date(
        self, odd: Prometheus, scripted_prometheus: ScriptedPrometheus, seconds: float | None
    ) -> None:
        scripted_prometheus.always(scripted.skewed(scripted.value(1), seconds))
        assert [self.ask(odd) for _ in range(4)] == [None] * 4

    def test_is_not_judged_in_a_replay(self, scripted_prometheus: ScriptedPrometheus) -> None:
        scripted_prometheus.always(scripted.skewed(scripted.value(1), 900))
        with Prometheus(scripted_prometheus.url, judge_skew=False) as source:
            assert [self.ask(source) for _ in range(3)] == [None] * 3
            assert source.skew == pytest.approx(900, abs=2)


class TestWhatIsSent:
    def test_is_the_instant_that_was_asked_for(self, odd: Prometheus, scripted_prometheus: ScriptedPrometheus) -> None:
        odd.instants(["up"], NOON)
        odd.ranges([Range("up", NOON, NOON + 90, 30)])
        instant, stretch = scripted_prometheus.asked
        assert (instant.path, instant.params["query"], instant.params["time"]) == ("/api/v1/query", "up", str(NOON))
        assert stretch.path == "/api/v1/query_range"
        assert [stretch.params[key] for key in ("start", "end", "step")] == [str(NOON), str(NOON + 90), "30"]

    def test_is_asked_once_for_expressions_that_occur_twice(
        self, odd: Prometheus, scripted_prometheus: ScriptedPrometheus
    ) -> None:
        assert len(odd.instants(["count(up)"] * 5, NOON)) == 5
        assert len(scripted_prometheus.asked) == 1

    def test_carries_the_configured_credentials_and_headers(self, scripted_prometheus: ScriptedPrometheus) -> None:
        with Prometheus(scripted_prometheus.url, bearer_token="t0ken", headers={"X-Scope-OrgID": "shop"}) as source:
            source.instants(["up"], NOON)
        with Prometheus(scripted_prometheus.url + "/", username="me", password="pw") as source:
            source.instants(["up"], NOON)
        bearer, basic = (asked.headers for asked in scripted_prometheus.asked)
        assert (bearer["Authorization"], bearer["X-Scope-OrgID"]) == ("Bearer t0ken", "shop")
        assert basic["Authorization"] == "Basic bWU6cHc="

    def test_never_comes_back_in_a_sentence(self, scripted_prometheus: ScriptedPrometheus) -> None:
        address = scripted_prometheus.url.replace("http://", "http://me:hunter22@")
        echo = "no entry for Bearer t0ken-t0ken at http://other:pass@host/ with hunter22"
        scripted_prometheus.always(scripted.error(403, "forbidden", echo))
        with Prometheus(address) as by_url, Prometheus(address, bearer_token="t0ken-t0ken") as by_token:
            details = [problem(by_url.instants(["up"], NOON)[0])[1], problem(by_token.instants(["up"], NOON)[0])[1]]
            scripted_prometheus.stop()
            details += [problem(by_url.instants(["up"], NOON)[0])[1]]
        assert all("hunter22" not in detail and ":pass@" not in detail for detail in details)
        assert "t0ken" not in details[1]
        assert "Check its credentials" in details[0]

    def test_scrape_intervals_are_the_longest_of_each_job(
        self, odd: Prometheus, scripted_prometheus: ScriptedPrometheus
    ) -> None:
        targets = [
            {"labels": {"job": "checkout"}, "scrapeInterval": "15s"},
            {"labels": {"job": "checkout"}, "scrapeInterval": "1m30s"},
            {"labels": {"job": "probe"}, "scrapeInterval": "500ms"},
        ]
        answer = {"status": "success", "data": {"activeTargets": targets, "droppedTargets": []}}
        scripted_prometheus.always(scripted.json(answer))
        assert odd.scrape_intervals() == {"checkout": 90.0, "probe": 0.5}


def test_the_harness_says_how_to_get_a_missing_server(tmp_path: Path) -> None:
    history = past()
    assert history.scrapes(START, START + 45, offset=7) == [START + 7, START + 22, START + 37]
    assert history.scrapes(START, START + 45, offset=7, gaps=[(START + 20, START + 30)]) == [START + 7, START + 37]
