"""Who contributed most: queries split by a label, refusals with a sentence, answers ranked and bounded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cohorting import CONTROL, EXPOSED, a_summed_rule, staged
from tests.rollouts import COHORTS, NOON, event, internal, rollout, split, value
from tests.stage import MINUTE, Stage, a_rule
from watchdog.account import Account
from watchdog.causes import Causes, explain
from watchdog.contributors import LONGEST, MOST, described, in_words, of_events, of_numbers, shown
from watchdog.errors import ConfigError, SourceError
from watchdog.explain import explain as in_plain_words
from watchdog.model import Breach, Comparison, Contributor, Contributors, Series, Target
from watchdog.observe import Progress
from watchdog.prometheus import Range
from watchdog.report import build, render_html, render_markdown
from watchdog.rulelint import explaining
from watchdog.rulelint.printing import printed
from watchdog.rulelint.splitting import CannotSplit, split_count, split_number
from watchdog.rulelint.tree import NotPromql, parse, shape

# --- splitting ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ('sum(increase(a{code=~"5.."}[5m]))', 'sum by (route) (increase(a{code=~"5.."}[300s]))'),
        ("increase(a[75s])", "sum by (route) (increase(a[75s]))"),
        ("sum(increase(a[5m])) or vector(0)", "sum by (route) (increase(a[5m]))"),
        ("sum(sum by (job) (increase(a[5m])))", "sum by (route) (sum by (job, route) (increase(a[5m])))"),
        ("sum(sum without (pod, route) (a))", "sum by (route) (sum without (pod) (a))"),
        ("count(up == 0)", "count by (route) (up == 0)"),
        ("sum(a) * 2", "sum by (route) (a) * 2"),
        ("0.5 * sum(a)", "0.5 * sum by (route) (a)"),
        ("sum(a) - sum(b)", "sum by (route) (a) - sum by (route) (b) or sum by (route) (a)"),
        ("sum(a) + b", "sum by (route) (a) + sum by (route) (b) or sum by (route) (a) or sum by (route) (b)"),
        ("clamp_min(sum(a), 0)", "clamp_min(sum by (route) (a), 0)"),
        ("sum(a * on (pod) group_left (x) b)", "sum by (route) (a * on (pod) group_left (x) b)"),
        ("sum(a * on (pod) group_right (x) b)", "sum by (route) (a * on (pod) group_right (x) b)"),
        ("sum(a or on (pod) b)", "sum by (route) (a or on (pod) b)"),
        ("sum(topk(3, a))", "sum by (route) (topk(3, a))"),
        ("sum(increase(a[5m] offset 1h))", "sum by (route) (increase(a[5m] offset 1h))"),
        ("sum(a unless b)", "sum by (route) (a unless b)"),
        ('sum(label_replace(a, "x", "$1", "y", "(.*)"))', 'sum by (route) (label_replace(a, "x", "$1", "y", "(.*)"))'),
    ],
)
def test_a_count_is_split_so_that_its_parts_add_up(query: str, wanted: str) -> None:
    assert shape(parse(split_count(query, "route"))) == shape(parse(wanted))


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("max(a)", "only sum(...) of all can be split by route, the query has max(...)"),
        ("sum by (job) (a)", "the query has sum by (job)(...)"),
        ("sum(a) > 0", "a `>` whose parts by route would not add up"),
        ("sum(a) / sum(b)", "would not add up"),
        ("sum(a) and sum(b)", "would not add up"),
        ("sum(max by (pod) (a))", "max by (pod)(...) inside the query leaves route out"),
        ("sum(max without (route) (a))", "max without (route)(...) inside the query leaves route out"),
        ("sum_over_time(sum(rate(a[1m]))[5m:30s])", "leaves route out"),
        ("sum(a * on (pod) b)", "the query matches series without route"),
        ("sum(a * ignoring (route) b)", "the query matches series without route"),
        ("sum(a * on (pod) group_right (x) sum by (pod) (b))", "leaves route out"),
        ("scalar(sum(a))", "a part without labels"),
        ("sum(vector(1))", "vector() leaves no label"),
        ("1", "a part without labels"),
        ("sum(rate(a[5m] @ 100))", "pinned to an instant"),
        ("sum(", "the query"),
        (" + ".join(["sum(a)"] * 300), "adds up more than 5 parts"),
        (" or ".join(["sum(a)"] * 700) + " or vector(0)", "longer or deeper than 800"),
        ("round(" * 450 + "sum(a)" + ")" * 450, "the query"),
    ],
)
def test_a_count_whose_parts_would_not_add_up_is_refused_with_a_sentence(query: str, words: str) -> None:
    with pytest.raises(CannotSplit) as refused:
        split_count(query, "route")
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        (
            "histogram_quantile(0.95, sum by (le) (rate(h_bucket[5m])))",
            "histogram_quantile(0.95, sum by (le, pod) (rate(h_bucket[5m])))",
        ),
        ("histogram_quantile(0.9, sum(rate(h[5m])))", "histogram_quantile(0.9, sum by (pod) (rate(h[5m])))"),
        ("1 - sum(a) / sum(b)", "1 - sum by (pod) (a) / sum by (pod) (b)"),
        ("max(a)", "max by (pod) (a)"),
        ("avg without (job) (a) * 1000", "avg without (job) (a) * 1000"),
        ("-sum(a)", "-sum by (pod) (a)"),
        ("sum(a) or vector(0)", "sum by (pod) (a)"),
    ],
)
def test_a_number_is_told_for_each_value_where_its_by_can_be_extended(query: str, wanted: str) -> None:
    assert shape(parse(split_number(query, "pod"))) == shape(parse(wanted))


@pytest.mark.parametrize(
    "query", ["a", "histogram_quantile(0.9, rate(h[5m]))", "max without (pod) (a)", "sum(a) > 1", "1 + 1"]
)
def test_a_number_without_such_a_by_is_refused(query: str) -> None:
    with pytest.raises(CannotSplit):
        split_number(query, "pod")


@pytest.mark.parametrize(
    "query",
    [
        'sum by (a, b) (rate(x{l="q\\"uo\\\\te\\n",m!~"z.*"}[90s] offset -5m))',
        "quantile(0.9, x) - on (a) group_left (b) y",
        "x == bool 1",
        "max_over_time(rate(x[1m])[1h:])",
        "-x ^ 2 + NaN - Inf * 1e-7",
        '{__name__="x:y:z", a=""}',
        'count_values("v", x)',
    ],
)
def test_what_is_printed_reads_back_to_the_same_tree(query: str) -> None:
    assert shape(parse(printed(parse(query)))) == shape(parse(query))


def test_what_is_too_long_is_not_printed() -> None:
    with pytest.raises(NotPromql, match="more than 400 parts"):
        printed(parse(" or ".join(["x"] * 250)))


# --- the rule -------------------------------------------------------------------------------------------------------


def test_an_objective_names_its_own_labels_or_takes_those_of_the_rollout() -> None:
    rule = rollout(event("a", "explain_by: [pod]"), event("b"), internal(), explain_by="[route, version]")
    assert [objective.explain_by for objective in rule.objectives] == [("pod",), ("route", "version"), ()]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ("route", "expected a list"),
        ("[a b]", "names the label 'a b'"),
        ("[__name__]", "names the label '__name__'"),
        ("[a, b, a]", "names the label a twice"),
        ("[a, b, c, d, e, f, g]", "names 7 labels, expected at most 6"),
    ],
)
def test_labels_that_cannot_be_are_refused_with_a_sentence(labels: str, words: str) -> None:
    for rule in ({"explain_by": labels}, {}):
        objective = event() if rule else event("error_rate", f"explain_by: {labels}")
        with pytest.raises(ConfigError) as refused:
            rollout(objective, **rule)
        assert words in str(refused.value)


def test_an_objective_of_our_own_is_explained_by_nothing() -> None:
    with pytest.raises(ConfigError, match="explain_by"):
        rollout(internal("explain_by: [pod]"))


def test_check_refuses_counts_that_cannot_be_split_and_notes_numbers_that_cannot() -> None:
    queries = "  - {name: errors, bad: 'max(a[$range])', total: 'sum(b)', at_most: 1%, explain_by: [pod]}"
    numbers = "  - {name: p95, value: 'p95[$range]', below: 200ms, explain_by: [pod]}"
    rule = rollout(queries.replace("a[$range]", "a"), numbers.replace("[$range]", ""))
    (refusal,) = explaining.refusals(rule, "checkout.yaml")
    assert refusal.place == "checkout.yaml: objectives[0].explain_by"
    assert "errors cannot be split by pod: only sum(...)" in refusal.message
    (note,) = explaining.notes(rule)
    assert "p95 cannot be split by pod" in note


# --- the answers ----------------------------------------------------------------------------------------------------


def rows(**values: float) -> list[tuple[dict[str, str], float]]:
    return [({"route": name}, number) for name, number in values.items()]


def test_the_worst_five_are_told_with_their_share_and_their_own_rate() -> None:
    bad = rows(a=5.0, b=50.0, c=3.0, d=2.0, e=1.0, f=9.0)
    found = of_events("route", bad, rows(b=100.0, f=900.0), 80.0)
    assert [one.value for one in found] == ["b", "f", "a", "c", "d"]
    assert found[0] == Contributor("route", "b", 50.0, 50 / 80, 100.0, 0.5)
    assert (found[2].total, found[2].rate) == (None, None)


def test_numbers_that_are_none_and_counts_of_nothing_are_left_out() -> None:
    found = of_events("route", rows(a=math.nan, b=0.0, c=-1.0, d=math.inf, e=1.0), [], None)
    assert [(one.value, one.share) for one in found] == [("e", None)]


def test_extrapolation_makes_no_share_above_all() -> None:
    (found,) = of_events("route", rows(a=10.2), rows(a=10.1), 10.0)
    assert (found.share, found.rate) == (1.0, 1.0)


def test_the_worst_number_is_the_highest_or_the_lowest_as_the_target_has_it() -> None:
    slow = of_numbers("route", rows(a=0.1, b=0.9), Target(Comparison.BELOW, 0.2))
    assert [one.value for one in slow] == ["b", "a"]
    poor = of_numbers("route", rows(a=0.1, b=0.9), Target(Comparison.ABOVE, 0.99))
    assert [one.value for one in poor] == ["a", "b"]
    assert poor[0] == Contributor("route", "a", rate=0.1)


def test_label_values_are_outside_data() -> None:
    assert shown("") == "(none)"
    assert shown("/pay\n<script>\x1b[31m\u202e") == "/pay\ufffd<script>\ufffd[31m\ufffd"
    assert len(shown("x" * 10_000)) == LONGEST
    many = of_events("route", [({"route": "y" * 5000 + str(k)}, float(k + 1)) for k in range(100)], [], None)
    assert len(many) == MOST
    assert all(len(one.value) <= LONGEST for one in many)


def test_in_words_the_first_of_each_label_are_told_briefly() -> None:
    found = Contributors(
        "errors",
        0,
        0.0,
        60.0,
        (*of_events("route", rows(a=87.0, b=12.5, c=0.5), [], 100.0), Contributor("pod", "p", 3.0)),
    )
    assert in_words(found) == "route a 87%, b 12%, c 0.5%; pod p 3"
    assert in_words(Contributors("errors", 0, 0.0, 60.0, problem="nothing")) == "nothing"


# --- asking ---------------------------------------------------------------------------------------------------------


Answers = dict[str, list[tuple[dict[str, str], float]]]
"""What is answered to a query that holds a text; the first that fits."""


class Divided:
    """A source that answers with many series; whatever is not scripted fails."""

    def __init__(self, stage: Stage, answers: Answers) -> None:
        self._stage = stage
        self._answers = answers
        self.asked: list[str] = []

    def instants(self, expressions: Sequence[str], at: int, deadline: float | None = None) -> list[Series]:
        return self._stage.service.instants(expressions, at)

    def ranges(
        self, requests: Sequence[Range], deadline: float | None = None, on_progress: Progress | None = None
    ) -> list[Series]:
        return self._stage.service.ranges(requests)

    def rows(self, expression: str, at: int) -> list[tuple[dict[str, str], float]]:
        self.asked.append(expression)
        for part, answer in self._answers.items():
            if part in expression:
                return answer
        raise SourceError("Prometheus at http://x: connection refused")


def explained(tmp_path: Path, answers: Answers, labels: str) -> Stage:
    """A stage on which a breach is explained by these answers, one tick after it."""
    stage = staged(tmp_path, a_summed_rule(labels))
    stage.service.fails(NOON + 10 * MINUTE, share=0.05, name=EXPOSED)
    stage.ticker.causes.source = Divided(stage, answers)
    stage.run(NOON + 14 * MINUTE + 31)
    stage.ticker.causes.settle(10.0)
    stage.run(NOON + 16 * MINUTE)
    return stage


TOPS: Answers = {
    "and on (route)": [({"route": "/pay"}, 900.0), ({"route": "/cart"}, 2000.0)],
    "topk(5, sum by (route)": [({"route": "/pay"}, 520.0), ({"route": "/cart"}, 30.0)],
    "sum by (pod)": [],
    EXPOSED: [({}, 570.0)],
}


def test_a_breach_is_explained_after_it_was_acted_on(tmp_path: Path) -> None:
    stage = explained(tmp_path, TOPS, "route")
    (found,) = stage.ledger.contributors(stage.stored.id)
    assert [(one.value, one.bad, one.total) for one in found.found] == [("/pay", 520.0, 900.0), ("/cart", 30.0, 2000.0)]
    assert found.found[0].share == 520 / 570
    assert found.problem == ""
    assert stage.told("rolled_back", "contributors") == ["rolled_back", "contributors"]
    assert "most of what failed: route /pay 91%, /cart 5%" in stage.why("contributors")
    assert stage.pages("rollback", "contributors") == ["rollback", "contributors"]
    stage.close()


def test_what_cannot_be_found_out_is_said_and_keeps_nothing_from_being_done(tmp_path: Path) -> None:
    stage = explained(tmp_path, {}, "route")
    assert stage.percent == 0.0
    (found,) = stage.ledger.contributors(stage.stored.id)
    assert found.found == ()
    assert "route: Prometheus at http://x: connection refused" in found.problem
    assert stage.pages("contributors") == []
    stage.close()


def test_a_label_that_nothing_has_is_a_problem_of_that_label_alone(tmp_path: Path) -> None:
    stage = explained(tmp_path, TOPS, "route, pod")
    (found,) = stage.ledger.contributors(stage.stored.id)
    assert {one.label for one in found.found} == {"route"}
    assert found.problem == "pod: nothing that failed has such a label"
    stage.close()


def test_a_restart_asks_again_for_what_was_not_recorded(tmp_path: Path) -> None:
    stage = staged(tmp_path, a_summed_rule("route"))
    stage.service.fails(NOON + 10 * MINUTE, share=0.05, name=EXPOSED)
    stage.ticker.causes.source = Divided(stage, TOPS)
    stage.run(NOON + 14 * MINUTE + 31)
    stage.start_up()  # its answer is lost with the process
    stage.ticker.causes.source = Divided(stage, TOPS)
    stage.run(NOON + 15 * MINUTE + 31)
    stage.ticker.causes.settle(10.0)
    stage.run(NOON + 17 * MINUTE)
    assert len(stage.ledger.contributors(stage.stored.id)) == 1
    stage.start_up()
    source = Divided(stage, TOPS)
    stage.ticker.causes.source = source
    stage.run(NOON + 20 * MINUTE)
    stage.ticker.causes.settle(10.0)
    assert source.asked == []
    stage.close()


def test_a_source_that_cannot_answer_with_many_series_says_so(tmp_path: Path) -> None:
    stage = staged(tmp_path, a_summed_rule("route"))
    breach = Breach(EXPOSED, NOON, "sequential", 1.0, 1.0)
    assert "cannot be asked for many series" in explain(stage.rule, stage.service, breach, NOON, 0.0).problem
    stage.close()


def test_where_nothing_is_to_be_explained_nothing_is_asked(tmp_path: Path) -> None:
    stage = Stage(tmp_path, a_rule(event()))
    causes = Causes(stage.ledger, stage.service)
    stage.run(NOON + 2 * MINUTE)
    assert stage.ticker.memory is not None
    causes.ask(stage.ticker.memory, [Breach("error_rate", NOON, "sequential", 1.0, 1.0)], NOON)
    assert not causes.waiting
    stage.close()


# --- shown ----------------------------------------------------------------------------------------------------------


def test_the_newest_breach_is_told_first_with_the_newest_word_on_it() -> None:
    found = described(
        [], [Contributors("a", NOON, NOON + 1.0, 60.0), Contributors("b", NOON + 60, NOON + 61.0, 60.0, problem="x")]
    )
    assert [(one["objective"], one["problem"]) for one in found] == [("b", "x"), ("a", "")]


def test_every_form_of_the_report_has_the_cause_and_escapes_what_it_names(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>|`x`"
    stage = explained(tmp_path, {**TOPS, "topk(5, sum by (route)": [({"route": evil}, 520.0)]}, "route")
    account = Account(stage.ledger, stage.stored)
    report = build(account.evidence(stage.clock.now))
    assert report["causes"][0]["contributors"][0]["value"] == evil
    page, markdown = render_html(report), render_markdown(report)
    assert '<h2 id="h-causes">Causes</h2>' in page
    assert "<script>alert" not in page
    assert "The flag is the likely cause" in page
    assert "## Causes" in markdown
    assert "The flag is the likely cause" in markdown
    assert "most of it: route <script>" in in_plain_words(account, "", None)
    stage.close()


def test_a_report_without_causes_says_nothing_of_them(tmp_path: Path) -> None:
    stage = Stage(tmp_path, a_rule(event()))
    stage.run(NOON + 15 * MINUTE)
    report = build(Account(stage.ledger, stage.stored).evidence(stage.clock.now))
    assert "causes" not in report
    assert "Causes" not in render_html(report)
    assert "Causes" not in render_markdown(report)
    stage.close()


def test_objectives_with_and_without_cohorts_may_be_explained_alike(tmp_path: Path) -> None:
    rule = rollout(split(EXPOSED), event("b"), value("c"), cohorts=COHORTS, explain_by="[route]")
    assert [objective.explain_by for objective in rule.objectives] == [("route",)] * 3
    assert CONTROL not in rule.resolved
