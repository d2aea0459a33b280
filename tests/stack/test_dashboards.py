"""Every query of the dashboards, asked of the Prometheus of a stack that runs as it should."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.dashboards import Query, boards, filled, marks, panels, queries, values_of, variables
from tests.stack.running import Asking

CALM = "nothing of the kind happens while all is well"
DOORLESS = "the stack serves no readers of flags (serve.listen is not set)"
YOUNG = "alerts on a young stack come and go, and until one is classified nothing can be said of them"
QUIET = "a service without pages in 24 h has no count"
MACHINE = "a machine that is busy with something else may be late"
EMPTY = {
    "slo-rollout: Evaluations of the range (C)": CALM,
    "slo-rollout: Stages of the rollback (A)": CALM,
    "slo-flags: Changes of the range, by who and what (C)": CALM,
    "slo-flags: Changes of the range, by who and what (D)": CALM,
    "slo-flags: Readers of flags are answered (A)": DOORLESS,
    "slo-flags: Propagation (A)": CALM,
    "slo-flags: Stages of rollbacks (A)": CALM,
    "slo-noise: Recall (A)": CALM,
    "slo-noise: Precision and recall (B)": CALM,
    "slo-watchdog: Readers of flags (A)": DOORLESS,
}
"""Queries without an answer, with the reason. One that has an answer does not belong here."""
MAY = {
    "slo-fleet: Alerts that fire (A)": YOUNG,
    "slo-rollout: Alerts of this rollout (A)": YOUNG,
    "slo-noise: Alerts that fire (A)": YOUNG,
    "slo-noise: False alarms of the limit (A)": QUIET,
    "slo-noise: False alarms, 24 h (A)": QUIET,
    "slo-noise: False alarms of 24 h, against the limit (A)": QUIET,
    "slo-noise: False alarms of 24 h, against the limit (B)": QUIET,
    "slo-rollout: False alarms of 24 h (A)": QUIET,
    "slo-noise: Firings within an hour (A)": YOUNG,
    "slo-noise: Alerts of 24 h (A)": YOUNG,
    "slo-noise: Alerts of 24 h (B)": YOUNG,
    "slo-noise: Precision (A)": YOUNG,
    "slo-noise: Precision and recall (A)": YOUNG,
    "slo-watchdog: Alerts of the monitoring (A)": YOUNG,
    "slo-flags: Changes of the range, by who and what (B)": "a step that is set again changes nothing",
    "slo-rollout: Evaluations of the range (B)": MACHINE,
    "slo-watchdog: Slots that could not be judged (A)": MACHINE,
    "slo-watchdog: Query errors (A)": MACHINE,
    "slo-watchdog: Job errors (A)": MACHINE,
}
"""Queries that may have an answer or none, with the reason."""


def asked(query: Query, stack: Asking, **variables_of: str) -> list[dict[str, str]]:
    """The labels of the series that answer."""
    return [series["metric"] for series in stack.query(query.filled(**variables_of))]


@pytest.fixture(scope="module")
def answers(stack: Asking) -> dict[str, list[dict[str, str]]]:
    """What each query gives with the stack's rollout and everything else left at All."""
    return {query.place: asked(query, stack, rollout=stack.rollout) for query in queries()}


def test_every_query_of_a_panel_has_data(answers: dict[str, list[dict[str, str]]]) -> None:
    empty = {place for place, found in answers.items() if not found}
    assert empty - set(EMPTY) - set(MAY) == set()


def test_what_is_said_to_be_empty_is(answers: dict[str, list[dict[str, str]]]) -> None:
    assert set(EMPTY) | set(MAY) <= set(answers)
    assert {place for place in EMPTY if answers[place]} == set()


def test_a_legend_names_labels_that_its_series_have(answers: dict[str, list[dict[str, str]]]) -> None:
    for query in queries():
        found = answers[query.place]
        if found and query.place not in MAY:
            assert query.labels <= set().union(*found), query.place


def test_a_table_has_the_columns_that_it_promises(answers: dict[str, list[dict[str, str]]]) -> None:
    for uid, document in boards().items():
        for panel in panels(document):
            if panel["type"] not in {"table", "barchart"}:
                continue
            places = [f"{uid}: {panel['title']} ({target['refId']})" for target in panel["targets"]]
            labels: set[str] = set().union(*(series for place in places for series in answers[place]))
            if labels:
                [organize] = [one["options"] for one in panel["transformations"] if one["id"] == "organize"]
                promised = {name for name in organize["renameByName"] if not name.startswith("Value")}
                assert promised - {"rollout", "objective", "service"} <= labels, (uid, panel["title"])


def test_a_variable_offers_values(stack: Asking) -> None:
    for uid, document in boards().items():
        for name, variable in variables(document).items():
            if variable["type"] == "query":
                expr, label = values_of(variable["query"])
                offered = {series["metric"].get(label, "") for series in stack.query(filled(expr))}
                assert offered - {""}, (uid, name)


def chosen() -> Iterator[Query]:
    """Queries that a chosen service narrows: of panels of services, which all have data on the stack."""
    for query in queries():
        if "$service" in query.expr and query.board == "slo-fleet" and query.place not in {*EMPTY, *MAY}:
            yield query


def test_one_service_has_everything_of_its_own(stack: Asking) -> None:
    without = {query.place for query in chosen() if not asked(query, stack, service="shop", rollout=stack.rollout)}
    assert without == set()


def test_marks_are_queries_that_prometheus_takes(stack: Asking) -> None:
    for mark in marks():
        stack.query(mark.filled(rollout=stack.rollout))
    raised = next(mark for mark in marks() if mark.title == "Ramp steps")
    steps = f"max_over_time(({raised.filled(rollout=stack.rollout)})[10m:15s])"
    assert stack.query(steps), "the ramp took a step within ten minutes"
