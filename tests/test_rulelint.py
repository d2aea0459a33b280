"""What `rules lint` finds in expressions by themselves: each check with what it catches and with what it lets pass."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.linting import alert, checks, found, objective, pack, panel, record
from watchdog.rulelint.labels import ANY, Labels, possible
from watchdog.rulelint.model import Expression
from watchdog.rulelint.naming import metrics
from watchdog.rulelint.nodes import Selector, selectors, shape, walk
from watchdog.rulelint.offline import CHECKS, lint
from watchdog.rulelint.tree import DEEPEST, NotPromql, parse

RATE = record("job:requests:rate5m", "sum by (job) (rate(http_requests_total[5m]))")
SLOW = record("job:spend:increase1d", "sum by (job) (increase(spend_total[1d]))", every=600.0)
LIMIT = record("slo:limit:ratio", "vector(0.1)", objective="errors")

BAD: list[tuple[str, list[Expression], str, str]] = [
    ("syntax", [alert("sum(rate(x_total[5m])")], "error", "is no PromQL: unclosed left parenthesis"),
    ("syntax", [panel("x{a=~'['}")], "error", "illegal regex"),
    ("syntax", [objective("holt(x[5m])")], "error", "unknown function"),
    ("syntax", [alert("x{a='b' or c='d'}")], "error", "which Prometheus does not take"),
    ("near-name", [RATE, alert("job:request:rate5m > 1")], "error", "did you mean job:requests:rate5m?"),
    ("short-range", [alert("rate(x_total[45s]) > 1")], "error", "less than 4 scrape intervals of 15s"),
    ("short-range", [objective("sum(increase(x_total[10s]))")], "error", "use at least 1m"),
    ("short-range", [SLOW, panel("max_over_time(job:spend:increase1d[5m])")], "error", "it is recorded every 10m"),
    ("stale-recording", [SLOW, alert("job:spend:increase1d > 1")], "error", "Prometheus forgets a sample after 5m"),
    ("counter", [RATE, alert("rate(job:requests:rate5m[5m]) > 1")], "error", "a recording that is no plain counter"),
    ("counter", [alert("rate(sum by (job) (x_total)[5m:1m]) > 1")], "error", "not rate(sum(...))"),
    ("counter", [alert("delta(x_total[5m]) > 1")], "error", "use rate() or increase()"),
    ("lost-label", [alert("sum by (job) (x) > 1", summary="{{ $labels.instance }}.")], "error", "keeps job"),
    ("lost-label", [alert("sum(x) > 1", summary='{{ index $labels "job" }}.')], "error", "summary shows"),
    ("lost-label", [RATE, alert("job:requests:rate5m > 1", description="{{ .Labels.pod }}.")], "error", "keeps job"),
    ("lost-label", [alert("absent(up{job='a'})", summary="{{ $labels.instance }}.")], "error", "keeps job"),
    (
        "lost-label",
        [
            alert("x > 1", labels={"severity": "info", "area": "a", "s": "{{ $labels.s }}"}),
            alert("sum(x)", labels={"severity": "info", "area": "a", "s": "{{ $labels.j }}"}),
        ],
        "error",
        "s shows {{ $labels.j }}",
    ),
    ("lost-label", [panel("sum by (job) (x)", "job", "instance")], "error", "its legend shows instance"),
    ("no-such-label", [RATE, alert('job:requests:rate5m{instance="a"} > 1')], "error", "nothing can match"),
    ("no-such-label", [RATE, panel("sum by (job, pod) (job:requests:rate5m)")], "warning", "take it out of by (...)"),
    ("unmatched", [alert("sum by (job) (x) / sum by (pod) (y) > 1")], "error", "so it gives nothing"),
    ("unmatched", [RATE, LIMIT, alert("job:requests:rate5m > slo:limit:ratio")], "error", "say with on (...)"),
    ("unmatched", [alert("sum by (job) (x) unless on (pod) y")], "error", "so it takes nothing away"),
    (
        "unmatched",
        [alert("x * on (job) group_left (team) sum by (job) (y) > 1")],
        "error",
        "takes a label that the other side",
    ),
    ("annotations", [alert("x > 1", summary="", runbook_url="")], "error", "lacks summary, runbook_url"),
    ("annotations", [alert("x > 1", labels={"area": "a", "severity": "page"})], "error", "which no route knows"),
    ("no-for", [alert("absent(up{job='a'})", hold="")], "warning", "at every restart of Prometheus"),
    ("no-for", [alert("up{job='a'} == 0", hold="0s")], "warning", "on every single lost scrape"),
    (
        "duplicate",
        [RATE, record("job:requests:rate5m", "sum(rate(http_requests_total[5m])) by(job)")],
        "error",
        "the same rule",
    ),
    ("duplicate", [alert("x > 1"), alert("x>1", group="h")], "error", "is the same rule as in r.yaml, group g"),
    ("time-shift", [alert("x offset -5m > 1")], "error", "5m into the future of x"),
    ("time-shift", [record("a:b:c", "x @ 1700000000")], "error", "at one fixed moment"),
    ("time-shift", [objective("x @ end()")], "error", "another moment in a replay"),
]

GOOD: dict[str, list[Expression]] = {
    "syntax": [alert("x > 1 # a comment (with a bracket")],
    "near-name": [RATE, alert("job:requests:rate5m > 1"), panel("other:name:ratio")],
    "short-range": [
        RATE,
        alert("rate(x_total[1m]) > 1"),
        panel("max_over_time(up[30s])"),
        panel("count_over_time(job:requests:rate5m[1m])"),
    ],
    "stale-recording": [
        SLOW,
        alert("last_over_time(job:spend:increase1d[20m]) > 1"),
        RATE,
        panel("job:requests:rate5m"),
    ],
    "counter": [
        record("job:kept:total", "x_total and on (job) up"),
        alert("rate(job:kept:total[5m]) > 1"),
        alert("max_over_time(sum(rate(x_total[5m]))[1h:1m]) > 1", name="B"),
        panel("delta(temperature_celsius[5m])"),
    ],
    "lost-label": [
        alert(
            "sum by (job, pod) (x) > on () group_left () vector(1)",
            summary="{{ $labels.pod | urlquery }} {{ $value }}.",
        ),
        alert("label_replace(absent(y), 'who', 'y', '', '')", name="B", summary="{{ $labels.who }}."),
        alert(
            "a * on (job) group_left (team) b > 1", name="C", summary="{{ $labels.team }} of {{ $labels.instance }}."
        ),
        alert("sum by (a) (x) or sum by (b) (x)", name="D", summary="{{ $labels.a }}{{ $labels.b }}."),
        panel("topk(3, x)", "instance"),
        panel("count_values('version', build)", "version"),
    ],
    "no-such-label": [
        RATE,
        LIMIT,
        alert('job:requests:rate5m{job="a",pod!="b"} > 1'),
        panel('slo:limit:ratio{objective="errors"}'),
        panel("sum without (pod) (job:requests:rate5m)"),
    ],
    "unmatched": [
        RATE,
        LIMIT,
        alert("job:requests:rate5m > on () group_left () slo:limit:ratio"),
        alert("x / y > 1", name="B"),
        alert("sum by (job) (x) or sum(y)", name="C"),
        alert("label_replace(sum by (job, pod) (x), 'pod', '', '', '') / sum by (job) (y) > 1", name="E"),
        alert("(sum by (job) (x) or vector(0)) / sum by (pod) (y) > 1", name="F"),
        record("mixed", "sum by (job) (x)"),
        record("mixed", "sum by (pod) (x)"),
        panel("mixed / sum by (pod) (y)"),
        alert("sum by (job, pod) (x) / ignoring (pod) group_left () sum by (job) (y) > 1", name="D"),
    ],
    "annotations": [alert("x > 1"), alert("x > 1", name="B", labels={"severity": "none", "area": "meta"})],
    "no-for": [
        alert("absent(up)"),
        alert("absent_over_time(up[1h])", name="B", hold=""),
        alert("sum(up) == 0", name="C", hold=""),
    ],
    "duplicate": [
        alert("x > 1"),
        alert("x > 1", labels={"severity": "info", "area": "service"}),
        alert("x > 2"),
        RATE,
        LIMIT,
        record("slo:limit:ratio", "vector(0.1)", objective="latency"),
    ],
    "time-shift": [alert("x offset 5m > 1"), panel("x offset -5m"), panel("x @ start()")],
}


@pytest.mark.parametrize(
    ("check", "expressions", "severity", "words"), BAD, ids=[f"{b[0]}-{k}" for k, b in enumerate(BAD)]
)
def test_a_check_finds_what_it_is_for_and_says_where(
    check: str, expressions: list[Expression], severity: str, words: str
) -> None:
    (one,) = found(*expressions)
    assert (one.check, one.severity) == (check, severity)
    assert words in one.message
    assert one.place in {expression.place for expression in expressions}


@pytest.mark.parametrize("check", GOOD)
def test_a_check_lets_pass_what_is_right(check: str) -> None:
    assert found(*GOOD[check]) == []


def test_every_check_has_an_example_of_both_kinds() -> None:
    assert {bad[0] for bad in BAD} == set(GOOD) == set(CHECKS)


class TestLabelsThatSurvive:
    @pytest.mark.parametrize(
        ("expression", "kept"),
        [
            ("sum by (a, b) (x)", "ab"),
            ("sum by (a, b) (sum by (b, c) (x))", "b"),
            ("sum(x)", ""),
            ("count_values by (a) ('v', x)", "av"),
            ("histogram_quantile(0.9, sum by (a, le) (x_bucket))", "a"),
            ("label_join(sum by (a) (x), 'd', '-', 'a')", "ad"),
            ("sum by (a, b) (x) * on (a) sum by (a, c) (y)", "a"),
            ("sum by (a, b) (x) * on (a) group_left (c) sum by (a, c) (y)", "abc"),
            ("sum by (a) (x) * on (a) group_right (c) sum by (a, b) (y)", "ab"),
            ("sum by (a, b) (x) / ignoring (b) group_left () sum by (a) (y)", "ab"),
            ("sum by (a, b) (x) and on (a) y", "ab"),
            ("2 * -sum by (a) (x) > bool 1", "a"),
            ("absent(x{a='1',b=~'2',c=''})", "a"),
            ("vector(1)", ""),
            ("time() - sum by (a) (x)", "a"),
            ("max_over_time(sum by (a) (x)[1h:5m])", "a"),
            ("clamp_max(sum by (a) (x), scalar(sum by (b) (y)))", "a"),
        ],
    )
    def test_a_closed_set(self, expression: str, kept: str) -> None:
        assert possible(parse(expression), {}) == Labels(frozenset(kept))

    @pytest.mark.parametrize(
        ("expression", "lost"),
        [("x", ""), ("sum without (a) (x)", "a"), ("x{a=''}", "a"), ("x / ignoring (a) y", "a"), ("topk(2, x)", "")],
    )
    def test_everything_but(self, expression: str, lost: str) -> None:
        assert possible(parse(expression), {}) == Labels(frozenset(lost), others=True)

    def test_those_of_a_recording_are_known_in_whatever_order_the_rules_stand(self) -> None:
        second = record("second", "max by (job, team) (first)")
        first = record("first", "sum by (job, pod) (x)", team="a", pod="")
        assert pack(second, first).recorded == {
            "first": Labels(frozenset({"job", "team"})),
            "second": Labels(frozenset({"job", "team"})),
        }

    def test_a_recording_of_itself_does_not_hang(self) -> None:
        assert pack(record("a", "a or sum by (job) (x)")).recorded["a"] == Labels(frozenset({"job"}))

    @given(*[st.tuples(st.frozensets(st.sampled_from("abc")), st.booleans()) for _ in range(2)])
    def test_sets_of_labels_are_sets(
        self, one: tuple[frozenset[str], bool], other: tuple[frozenset[str], bool]
    ) -> None:
        left, right = Labels(*one), Labels(*other)
        for label in "abcd":
            assert (label in left | right) == (label in left or label in right)
            assert (label in left & right) == (label in left and label in right)
            assert (label in left - right.names) == (label in left and label not in right.names)
        assert left & ANY == left


class TestWhatIsNamed:
    def test_labels_go_down_to_the_selectors_that_must_have_them(self) -> None:
        one = alert(
            'sum by (job, code) (rate(x_total{env="p"}[5m])) / on (job) group_left (team) sum by (job, team) (y) > 1',
            summary="{{ $labels.code }} {{ $labels.team }}.",
        )
        named = metrics(pack(one))
        assert {
            name: {label: metric.strongest(label) for label in metric.labels} for name, metric in named.items()
        } == {
            "x_total": {"job": "by", "code": "by", "env": "matcher"},
            "y": {"job": "by", "team": "by"},
        }
        assert named["y"].places == [one.place]

    @pytest.mark.parametrize(
        ("expression", "named"),
        [
            ("label_replace(x, 'new', '$1', 'old', '(.*)')", {"old": "by"}),
            ("histogram_quantile(0.9, sum by (le, a) (x))", {"le": "le", "a": "by"}),
            ("sum without (a) (x)", {"a": "without"}),
            ("x{a=~'.*',b!='c',d=''}", {"a": "chosen", "b": "excluded", "d": "chosen"}),
            ("x{a!='',b!~'c|'}", {"a": "matcher", "b": "matcher"}),
            ("absent(x{a='b'})", {"a": "matcher"}),
            ("x", {"shown": "shown"}),
            ("sum by (job) (x)", {"job": "by"}),
        ],
    )
    def test_how_a_label_is_named(self, expression: str, named: dict[str, str]) -> None:
        metric = metrics(pack(panel(expression, *(["shown"] if expression == "x" else []))))["x"]
        assert {label: metric.strongest(label) for label in metric.labels} == named


class TestTheTree:
    def test_two_spellings_of_one_expression_have_one_shape(self) -> None:
        one, other = (
            parse("sum(rate(a{b='1',c=\"2\"}[300s]))by(x, y)"),
            parse('(sum by (y, x) (rate(a{c="2",b="1"}[5m])))'),
        )
        assert shape(one) == shape(other)
        assert shape(one) != shape(parse("sum by (y, x) (rate(a{c='2',b='3'}[5m]))"))

    def test_what_is_too_deep_for_the_parser_is_refused_before_it_ends_the_process(self) -> None:
        for text in ("(" * 200_000, "+".join(["x"] * 50_000), "-" * 90_000 + "x"):
            with pytest.raises(NotPromql, match="longer or deeper"):
                parse(text)
        assert len(list(walk(parse(" or ".join(["x"] * DEEPEST))))) == 2 * DEEPEST - 1

    def test_brackets_in_strings_and_comments_do_not_count_as_depth(self) -> None:
        assert selectors(parse(f'x{{a="{"(" * 2 * DEEPEST}"}} # {"(" * 2 * DEEPEST}'))[0].metric == "x"

    @settings(max_examples=200, deadline=None)
    @given(st.text(max_size=60) | st.text('sumby()rate[5m]{}x="a",on ', max_size=40))
    def test_any_text_is_a_tree_or_a_sentence(self, text: str) -> None:
        for one in (alert(text, summary=text), panel(text, text[:3])):
            for finding in lint(pack(one)):
                assert finding.message

    @settings(max_examples=150, deadline=None)
    @given(
        st.recursive(
            st.sampled_from(["x", "job:a:rate5m", "1", 'y{a="b"}']),
            lambda inner: st.one_of(
                st.builds("sum by (a) ({})".format, inner),
                st.builds("({} + on (a) {})".format, inner, inner),
                st.builds("({} unless {})".format, inner, inner),
                st.builds("max_over_time(({})[5m:])".format, inner),
                st.builds("label_replace({}, 'a', '$1', 'b', '')".format, inner),
                st.builds("-{}".format, inner),
            ),
            max_leaves=12,
        )
    )
    def test_every_expression_that_parses_can_be_linted_and_listed(self, text: str) -> None:
        whole = pack(record("job:a:rate5m", "sum by (job) (x)"), panel(text, "a"))
        lint(whole)
        for one, tree in whole.parsed:
            named = {s.metric for s in walk(tree) if isinstance(s, Selector)}
            assert named <= set(metrics(whole)), one.place


def test_the_daemon_starts_without_the_parser() -> None:
    code = "import sys, watchdog.daemon, watchdog.cli; sys.exit('promql_parser' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_the_page_of_rules_names_every_check() -> None:
    from watchdog.rulelint.online import ONLINE  # noqa: PLC0415 - only here

    page = (Path(__file__).parent.parent / "docs" / "rules.md").read_text()
    assert [name for name in (*CHECKS, *ONLINE) if f"`{name}`" not in page] == []


def test_nothing_is_found_twice() -> None:
    assert checks(alert("x offset -5m + x offset -5m > 1")) == [("time-shift", "error")]
