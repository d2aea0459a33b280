"""The Prometheus source against a server that speaks the real format and says what no real one would."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.scripted import Script
from tests.servers import Asked, Reply, ScriptedPrometheus, scripted
from watchdog.model import Reason, Series
from watchdog.prometheus import Prometheus, Range

START = 1_794_009_600  # 2026-11-07T00:00:00Z
END = START + 12 * 3600
NOON = START + 6 * 3600


@pytest.fixture
def odd(scripted_prometheus: ScriptedPrometheus) -> Iterator[Prometheus]:
    with Prometheus(scripted_prometheus.url, timeout=2) as source:
        yield source


def problem(series: Series, at: int = NOON) -> tuple[Reason, str]:
    assert not series.values
    assert set(series.problems) == {at}
    return series.problems[at]


class TestFailuresAndSlowness:
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
        self, scripted_prometheus: ScriptedPrometheus, script: Script
    ) -> None:
        scripted_prometheus.always(script)
        with Prometheus(scripted_prometheus.url, timeout=0.5) as source:
            for deadline, most in ((0.3, 0.3), (10.0, 0.5)):
                began = time.monotonic()
                reason, detail = problem(source.instants(["up"], NOON, deadline=deadline)[0])
                assert reason is Reason.UNREACHABLE
                assert f"no answer within {most} s" in detail
                assert time.monotonic() - began < most + 0.5

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
            (scripted.not_http(), "does not speak proper HTTP"),
            (scripted.redirect("http://[::1"), "http://[::1"),
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
        self, odd: Prometheus, scripted_prometheus: ScriptedPrometheus, script: Script, said: str
    ) -> None:
        scripted_prometheus.always(script)
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

        def reply(asked: Asked) -> Reply:
            warnings = ["a store is down"] if set(asked.instants) & set(lost) else []
            answer: Reply = scripted.value(3, warnings=warnings)(asked)
            return answer

        scripted_prometheus.always(reply)
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
