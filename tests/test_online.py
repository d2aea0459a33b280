"""`check --online` against a real Prometheus with a made past, and against a scripted one for what no real one says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from tests.scripted import Script
from tests.servers import Asked, History, PrometheusServer, Reply, ScriptedPrometheus, free_port, scripted
from watchdog.config.settings import Settings
from watchdog.errors import SourceError
from watchdog.model import Rollout
from watchdog.online import Finding, check_online
from watchdog.online.promql import functions, selectors
from watchdog.prometheus import Prometheus
from watchdog.rolloutfile import DaemonFacts, parse_rollout

END = 1_794_009_600  # 2026-11-07T00:00:00Z
START = END - 3600
NOW = END + 30.0
HEAD = """
rollout: checkout-1
service: checkout
version: "1"
flag: new-checkout
ramp: {strategy: progressive, over: 1d, every: 1h}
waive: {dead_service: tested elsewhere, rollback_bound: tested elsewhere}
cohorts: {exposed: 'variant="on"', control: 'variant="off"'}
objectives:
"""


def past() -> History:
    history = History()
    history.requests(START, END, rps=40, error_share=0.0005, variant="off")
    history.requests(START, END, rps=2, error_share=0.5, job="search", variant="on")
    history.requests(START, END, rps=18, error_share=0.001, job="search", variant="off")
    history.requests(START, END, rps=5, job="quiet", error_share=0.001)
    history.requests(START, END - 1800, rps=5, job="gone", error_share=0.0001)
    history.requests(START, END, rps=5, job="slow", error_share=0.0001, scrape=60)
    history.latency(START, END, rps=40, slow_share=0.02, variant="off")
    for job in ("checkout", "search", "quiet"):
        history.up(START, END, job)
    history.counter("clean_requests_total", {"job": "clean", "code": "200"}, START, END, 20)
    history.counter("errors_total", {"job": "search"}, START, END, 0.01)
    history.gauge("pass_percentage", {"job": "checkout"}, START, END, 99.25)
    history.gauge("pass_ratio", {"job": "checkout"}, START, END, 0.9925)
    history.gauge("request_duration_ms", {"job": "checkout"}, START, END, 150)
    history.gauge("request_duration_seconds", {"job": "checkout"}, START, END, 0.15)
    history.gauge("balance", {"job": "checkout"}, START, END, -4)
    return history


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    with PrometheusServer(past().build(tmp_path_factory.mktemp("past") / "tsdb")) as running:
        yield running


@pytest.fixture
def real(server: PrometheusServer) -> Iterator[Prometheus]:
    with Prometheus(server.url) as source:
        yield source


def rollout(objective: str, head: str = HEAD, facts: DaemonFacts | None = None) -> Rollout:
    lines = objective.strip().splitlines()
    text = head + "  - name: it\n" + "".join(f"    {line.strip()}\n" for line in lines)
    text = text.replace("QUICK", 'sum(increase(http_request_duration_seconds_bucket{job="checkout",le="0.2"}[$range]))')
    return parse_rollout(text, "r.yaml", facts or DaemonFacts())


def settings(url: str) -> Settings:
    return Settings(prometheus={"url": url})  # type: ignore[arg-type]


def ask(source: Prometheus, one: Rollout, now: float = NOW) -> list[Finding]:
    return check_online(settings(source.url), [one], source, now)


def said(findings: list[Finding], level: str) -> list[tuple[str, str]]:
    return [(f.place.removeprefix("checkout-1: "), f.message) for f in findings if f.level == level]


def only(findings: list[Finding], level: str, place: str, *words: str) -> None:
    found = said(findings, level)
    assert [where for where, _ in found] == [place], found
    for word in words:
        assert word in found[0][1], found


ERRORS = """
bad: sum(increase(http_requests_total{job="checkout",code=~"5.."}[$range]))
total: sum(increase(http_requests_total{job="checkout"}[$range]))
at_most: 0.1%
"""


class TestAnObjectiveThatIsAllRight:
    def test_is_shown_with_its_present_figures_and_nothing_else(self, real: Prometheus) -> None:
        (finding,) = ask(real, rollout(ERRORS))
        assert (finding.level, finding.rollout, finding.objective) == ("ok", "checkout-1", "it")
        assert finding.place == "checkout-1: objectives[0]"
        assert finding.message == "it 0.052627% bad (6.31579 bad of 12001.1), wanted at most 0.1% bad"

    def test_an_internal_one_asks_nothing(self, real: Prometheus) -> None:
        findings = ask(real, rollout("internal: flag_ramp"))
        only(findings, "ok", "objectives[0]", "the watchdog measures it itself")

    def test_the_standard_objectives_are_all_right_where_their_metrics_are(self, real: Prometheus) -> None:
        for standard in ("error_rate", "latency_p95"):
            findings = ask(real, rollout(f"use: {standard}\nlabels: {{job: checkout}}"))
            assert [f.level for f in findings] == ["ok"], findings

    def test_one_that_fails_now_is_a_warning_with_its_figures(self, real: Prometheus) -> None:
        findings = ask(real, rollout(ERRORS.replace("checkout", "search")))
        only(findings, "warning", "objectives[0]", "5.08772% bad", "wanted at most 0.1%", "fails now")


class TestAnswers:
    def test_many_series_is_an_error_that_names_them(self, real: Prometheus) -> None:
        findings = ask(real, rollout(ERRORS.replace("sum(increase", "(increase")))
        places = [place for place, _ in said(findings, "error")]
        assert places == ["objectives[0].total"]
        assert 'code="200"' in said(findings, "error")[0][1]
        assert 'code="500"' in said(findings, "error")[0][1]

    def test_a_query_that_prometheus_refuses(self, real: Prometheus) -> None:
        findings = ask(real, rollout("value: sum(up))\nat_least: 1"))
        only(findings, "error", "objectives[0].value", "query_error", "parse error")

    def test_no_data_says_which_label_is_wrong_and_what_there_is(self, real: Prometheus) -> None:
        findings = ask(real, rollout(ERRORS.replace("checkout", "chekout")))
        only(findings, "error", "objectives[0].total", "no_data", 'has job="chekout"', "job is checkout, ", "search")

    def test_no_data_says_that_the_metric_does_not_exist(self, real: Prometheus) -> None:
        findings = ask(real, rollout('value: sum(nothing_here{job="checkout"})\nat_least: 1'))
        only(findings, "error", "objectives[0].value", "There is no metric nothing_here now")

    def test_no_data_says_that_the_label_does_not_exist(self, real: Prometheus) -> None:
        findings = ask(real, rollout('value: sum(up{namespace="shop"})\nat_least: 1'))
        only(findings, "error", "objectives[0].value", "No series of up has a label namespace; they have instance, job")

    def test_bad_alone_empty_is_a_warning(self, real: Prometheus) -> None:
        findings = ask(real, rollout(ERRORS.replace("http_requests", "clean_requests").replace("checkout", "clean")))
        only(findings, "warning", "objectives[0].bad", "bad never observed", 'has code=~"5.."; code is 200')
        assert said(findings, "error") == []

    def test_bad_never_observed_is_seen_behind_a_constant_too(self, real: Prometheus) -> None:
        text = ERRORS.replace("http_requests", "clean_requests").replace("checkout", "clean")
        findings = ask(real, rollout(text.replace("[$range]))", "[$range])) or vector(0)", 1)))
        only(findings, "warning", "objectives[0].bad", "bad never observed", "code is 200")

    def test_a_division_by_zero_is_a_warning(self, real: Prometheus) -> None:
        findings = ask(real, rollout("value: sum(up) * 0 / 0\nabove: 1"))
        only(findings, "warning", "objectives[0].value", "not_a_number", "no traffic")

    def test_silence_that_could_never_count(self, real: Prometheus) -> None:
        findings = ask(real, rollout(ERRORS + "no_data: fail\npresent: count(nobody)"))
        only(findings, "error", "objectives[0].present", "has no value")


class TestFreshness:
    def test_old_samples_are_an_error_that_says_how_old(self, real: Prometheus) -> None:
        findings = ask(real, rollout(ERRORS.replace("checkout", "gone") + "range: 1h"))
        only(findings, "error", "objectives[0]", "the newest sample is 30m8s old", "older than 5m")

    def test_fresh_decides_where_it_is_given(self, real: Prometheus) -> None:
        fresh = 'fresh: max(timestamp(http_requests_total{job="checkout"}))\nmax_age: 5s'
        findings = ask(real, rollout(ERRORS + fresh))
        only(findings, "error", "objectives[0].fresh", "8 s old", "max_age 5 s")


class TestUnits:
    @pytest.mark.parametrize(
        ("objective", "place", "words"),
        [
            ("value: max(pass_percentage)\nat_least: 98%", "at_least", ["99.25", "0.98", "percent"]),
            ("value: max(pass_ratio)\nat_least: 98", "at_least", ["0.9925", "98", "write 98%"]),
            ("value: max(request_duration_ms)\nbelow: 200ms", "below", ["150", "0.2", "milliseconds"]),
            ("value: max(request_duration_seconds)\nbelow: 200", "below", ["0.15", "200", "write 200ms"]),
        ],
    )
    def test_a_value_in_another_unit_than_its_target(
        self, real: Prometheus, objective: str, place: str, words: list[str]
    ) -> None:
        found = dict(said(ask(real, rollout(objective)), "warning"))
        assert all(word in found[f"objectives[0].{place}"] for word in words), found

    @pytest.mark.parametrize(
        "objective",
        [
            "value: max(pass_percentage)\nat_least: 98",
            "value: max(pass_ratio)\nat_least: 98%",
            "value: max(request_duration_ms) / 1000\nbelow: 200ms",
            "value: max(request_duration_seconds)\nbelow: 200ms",
        ],
    )
    def test_the_right_unit_says_nothing(self, real: Prometheus, objective: str) -> None:
        assert said(ask(real, rollout(objective)), "warning") == []

    def test_a_negative_total_is_an_error(self, real: Prometheus) -> None:
        findings = ask(real, rollout("bad: sum(up) * 0\ntotal: sum(balance)\nat_most: 1%"))
        only(findings, "error", "objectives[0].total", "is -4", "never negative")

    def test_more_bad_events_than_events(self, real: Prometheus) -> None:
        text = 'bad: sum(increase(http_requests_total{job="checkout"}[$range]))\n'
        text += 'total: sum(increase(http_requests_total{job="quiet"}[$range]))\nat_most: 0.1%'
        found = [message for _, message in said(ask(real, rollout(text)), "warning")]
        assert any("a share of 7.99509: more bad events than events" in message for message in found), found
        assert any("job is checkout there, and total has quiet" in message for message in found), found

    def test_counts_per_second_are_no_counts(self, real: Prometheus) -> None:
        findings = ask(real, rollout(ERRORS.replace("increase", "rate") + "min_events: 0.1\nmin_slice_events: 1"))
        places = [place for place, message in said(findings, "warning") if "per second" in message]
        assert places == ["objectives[0].bad", "objectives[0].total"]


class TestLabels:
    def test_bad_counts_series_that_total_leaves_out(self, real: Prometheus) -> None:
        findings = ask(
            real,
            rollout("""
            bad: sum(increase(http_requests_total{job="checkout",code=~"5.."}[$range]))
            total: sum(increase(http_requests_total{job="checkout",code="200"}[$range]))
            at_most: 0.1%
            """),
        )
        only(findings, "warning", "objectives[0].bad", "1 series that bad counts is", "code is 500 there", "has 200")

    def test_a_histogram_may_count_by_bucket_what_total_counts_by_count(self, real: Prometheus) -> None:
        findings = ask(
            real,
            rollout("""
            bad: sum(increase(http_request_duration_seconds_count{job="checkout"}[$range])) - QUICK
            total: sum(increase(http_request_duration_seconds_count{job="checkout"}[$range]))
            at_most: 5%
            """),
        )
        assert [f.level for f in findings] == ["ok"], findings

    def test_another_metric_is_compared_by_where_it_comes_from(self, real: Prometheus) -> None:
        findings = ask(
            real,
            rollout("""
            bad: sum(increase(errors_total[$range]))
            total: sum(increase(http_requests_total{job="checkout"}[$range]))
            at_most: 0.1%
            """),
        )
        only(findings, "warning", "objectives[0].bad", "series of job search, total only those of checkout")


class TestBuckets:
    def named(self, bound: str) -> str:
        name = "http_request_duration_seconds"
        return f"""
        bad: sum(increase({name}_count[$range])) - sum(increase({name}_bucket{{le="{bound}"}}[$range]))
        total: sum(increase({name}_count[$range]))
        at_most: 5%
        """

    def test_a_bound_that_does_not_exist_is_an_error_with_those_that_do(self, real: Prometheus) -> None:
        findings = ask(real, rollout(self.named("0.25")))
        only(findings, "error", "objectives[0].bad", 'le="0.25"', "its bounds are 0.05, 0.1, 0.2, 0.5, 1.0, +Inf")

    def test_a_bound_is_text(self, real: Prometheus) -> None:
        findings = ask(real, rollout(self.named("1")))
        only(findings, "error", "objectives[0].bad", 'write le="1.0"')

    def test_a_quantile_is_interpolated_between_bounds(self, real: Prometheus) -> None:
        query = "histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket[$range])))"
        findings = ask(real, rollout(f"value: {query}\nbelow: 300ms"))
        only(findings, "warning", "objectives[0].below", "0.3 is no bound", "0.2, 0.5")
        assert said(ask(real, rollout(f"value: {query}\nbelow: 200ms")), "warning") == []


SPLIT = """
bad: sum(increase(http_requests_total{job="search",code=~"5..",$cohort}[$range]))
total: sum(increase(http_requests_total{job="search",$cohort}[$range]))
at_most: 1%
min_events: 60
min_slice_events: 720
"""


class TestCohortsAndTraffic:
    def test_minima_are_reached_at_an_exposure(self, real: Prometheus) -> None:
        (finding,) = said(ask(real, rollout(SPLIT)), "ok")
        assert finding[1].startswith("with 6000 events of both cohorts in 5m, it reaches min_events, 60, from 1 % ")
        assert finding[1].endswith("exposure on and min_slice_events, 720, from 1 % on")

    def test_without_a_control_cohort_everybody_is_counted(self, real: Prometheus) -> None:
        head = HEAD.replace(", control: 'variant=\"off\"'", "")
        found = said(ask(real, rollout(SPLIT, head)), "ok")
        assert "with 6000 events" in found[0][1]

    def test_minima_that_the_ramp_never_reaches(self, real: Prometheus) -> None:
        found = said(ask(real, rollout(SPLIT.replace("720", "90000"))), "warning")
        assert "from more than 100 % on; the ramp ends at 100 %" in found[-1][1]

    def test_nobody_is_exposed_yet(self, real: Prometheus) -> None:
        findings = ask(real, rollout(SPLIT.replace("search", "checkout")))
        only(findings, "warning", "objectives[0]", 'no series has variant="on" yet', "variant is off")
        assert said(findings, "error") == []

    def test_the_metric_has_no_such_label(self, real: Prometheus) -> None:
        findings = ask(real, rollout(SPLIT.replace("search", "quiet")))
        assert any("has a label variant" in m or 'has variant="on"' in m for _, m in said(findings, "warning"))

    def test_too_few_events_for_a_slot_and_a_slice(self, real: Prometheus) -> None:
        text = ERRORS.replace("checkout", "quiet") + "min_events: 2000\nmin_slice_events: 30000"
        found = dict(said(ask(real, rollout(text)), "warning"))
        assert "1501.05 events in 5m, fewer than min_events, 2000" in found["objectives[0].min_events"]
        assert "holds 18012.6 events, fewer than min_slice_events, 30000" in found["objectives[0].min_slice_events"]


class TestScrapes:
    def test_samples_that_lie_farther_apart_than_configured(self, real: Prometheus) -> None:
        findings = ask(real, rollout(ERRORS.replace("checkout", "slow")))
        only(findings, "warning", "prometheus.scrape_interval", "is 15s", "1m apart", "scrape_interval: 1m")

    def test_and_as_far_as_configured(self, real: Prometheus) -> None:
        one = rollout(ERRORS.replace("checkout", "slow"), facts=DaemonFacts(scrape_interval=60))
        assert [f.place for f in ask(real, one) if f.level != "ok"] == []

    def test_the_targets_tell_where_there_are_any(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        with ScriptedPrometheus(answers(intervals={"checkout": "30s"})) as server, Prometheus(server.url) as source:
            findings = ask(source, rollout(ERRORS), now=NOW)
        only(findings, "warning", "prometheus.scrape_interval", "is 15s", "'checkout' is scraped every 30s", ": 30s")


LABELS = {"__name__": "http_requests_total", "job": "checkout", "code": "500"}


def answers(
    intervals: Mapping[str, str] | None = None, flags: Mapping[str, str] | None = None, query: Script | None = None
) -> Script:
    """A server with one series, which reads 1 event at each query, sampled a second ago."""
    targets = [{"labels": {"job": job}, "scrapeInterval": every} for job, every in (intervals or {}).items()]
    paths: dict[str, object] = {
        "/api/v1/status/buildinfo": {"version": "3"},
        "/api/v1/status/flags": flags or {"storage.tsdb.retention.time": "15d"},
        "/api/v1/targets": {"activeTargets": targets},
        "/api/v1/series": [LABELS],
    }

    def numbers(asked: Asked) -> Reply:
        at = asked.instants[0]
        if "timestamp" in asked.expression:
            return scripted.value(at - 1)(asked)
        if "count_over_time" in asked.expression:
            return scripted.value(41)(asked)
        return scripted.value(0 if '"5.."' in asked.expression else 90_000)(asked)

    def reply(asked: Asked) -> Reply:
        if asked.path in paths:
            return scripted.json({"status": "success", "data": paths[asked.path]})(asked)
        return (query or numbers)(asked)

    return reply


class TestTheServer:
    @pytest.mark.parametrize(
        ("kept", "words"),
        [("1d", ["keeps 1d", "less than the window of 2d", "=3d"]), ("60h", ["keeps 2d12h", "the whole watch of 3d"])],
    )
    def test_data_that_does_not_outlive_the_watch(self, kept: str, words: list[str]) -> None:
        script = answers(flags={"storage.tsdb.retention.time": kept})
        with ScriptedPrometheus(script) as server, Prometheus(server.url) as source:
            only(ask(source, rollout(ERRORS)), "warning", "window", *words)

    @pytest.mark.parametrize("kept", ["0s", "15d", "1y", "72h"])
    def test_data_that_does(self, kept: str) -> None:
        script = answers(flags={"storage.tsdb.retention.time": kept})
        with ScriptedPrometheus(script) as server, Prometheus(server.url) as source:
            assert [f.level for f in ask(source, rollout(ERRORS))] == ["ok"]

    def test_one_that_knows_only_queries_is_asked_those(self) -> None:
        def thanos(asked: Asked) -> Reply:
            known = asked.path in {"/api/v1/query", "/api/v1/series"}
            return answers()(asked) if known else scripted.status(404)(asked)

        with ScriptedPrometheus(thanos) as server, Prometheus(server.url) as source:
            assert [f.level for f in ask(source, rollout(ERRORS))] == ["ok"]

    def test_partial_data_is_a_warning(self) -> None:
        script = answers(query=scripted.value(7, warnings=["a store is down"]))
        with ScriptedPrometheus(script) as server, Prometheus(server.url) as source:
            found = said(ask(source, rollout("value: sum(up)\nat_least: 1")), "warning")
        assert "partial" in found[0][1]
        assert "a store is down" in found[0][1]

    def test_series_that_cannot_be_listed_are_a_warning(self) -> None:
        def shy(asked: Asked) -> Reply:
            return scripted.status(403)(asked) if asked.path == "/api/v1/series" else answers()(asked)

        with ScriptedPrometheus(shy) as server, Prometheus(server.url) as source:
            findings = ask(source, rollout(ERRORS))
        assert any("labels was not looked at" in message for _, message in said(findings, "warning"))
        assert said(findings, "error") == []

    def test_a_clock_that_is_off_is_an_error(self) -> None:
        with ScriptedPrometheus(scripted.skewed(answers(), 60)) as server, Prometheus(server.url) as source:
            ask(source, rollout(ERRORS))
            assert any("clock_skew" in message for _, message in said(ask(source, rollout(ERRORS)), "error"))

    def test_that_is_not_there_raises(self) -> None:
        with Prometheus(f"http://127.0.0.1:{free_port()}") as source, pytest.raises(SourceError) as lost:
            ask(source, rollout(ERRORS))
        assert not lost.value.permanent

    def test_that_answers_no_query_in_time_raises(self) -> None:
        script = answers(query=scripted.hang())
        with (
            ScriptedPrometheus(script) as server,
            Prometheus(server.url, timeout=0.3) as source,
            pytest.raises(SourceError, match="no answer within"),
        ):
            ask(source, rollout(ERRORS))

    def test_each_query_is_asked_once_at_the_newest_instant(self) -> None:
        with ScriptedPrometheus(answers()) as server, Prometheus(server.url) as source:
            ask(source, replace(rollout(ERRORS), delay=45.0), now=END + 101.0)
            queries = [(one.expression, one.instants[0]) for one in server.asked if "increase" in one.expression]
        assert sorted(queries) == [
            ('sum(increase(http_requests_total{job="checkout",code=~"5.."}[300s]))', END + 30),
            ('sum(increase(http_requests_total{job="checkout"}[300s]))', END + 30),
        ]


class TestPromQL:
    @pytest.mark.parametrize(
        ("expression", "expected"),
        [
            ("up", ["up"]),
            ('sum by (le, job) (rate(a:b_c{x="}{",y=~\'p|q\'}[5m])) / on(job) group_left sum without (x) (up)',
             ['a:b_c{x="}{",y=~\'p|q\'}', "up"]),
            ("avg(rate(x[5m:30s])) by (job) # not{this='one'}", ["x"]),
            ('{__name__="foo",a!="b"} and ignoring(a) {"my.metric",c=~`d\\.e`,}',
             ['{__name__="foo",a!="b"}', '{"my.metric",c=~`d\\.e`}']),
            ("a offset 1h > bool 1e3 or b @ end() unless 0x1F - Inf * c @ 1609746000", ["a", "b", "c"]),
            ('label_replace(up, "dst", "$1", "src{x}", "(.*)")', ["up"]),
            ("sum(sum_total) + count_over_time(on_total[5m])", ["sum_total", "on_total"]),
            ("", []),
        ],
    )  # fmt: skip
    def test_selectors_are_found(self, expression: str, expected: list[str]) -> None:
        assert [str(one) for one in selectors(expression)] == expected

    def test_functions_are_found(self) -> None:
        assert functions("sum by (le) (rate(increase_total[5m])) or vector(0)") == {"sum", "rate", "vector"}

    def test_a_selector_knows_its_name_and_loses_labels(self) -> None:
        (one,) = selectors('{__name__="foo",le="0.2",job="a\\"b"}')
        assert one.name == "foo"
        assert [m.value for m in one.matchers] == ["foo", "0.2", 'a"b']
        assert str(one.without("le")) == '{__name__="foo",job="a\\"b"}'
