"""The sign-off report: what it says of a watch, and that everything else it could say is there to be checked."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from tests.report_evidence import SCENES, scene
from tests.report_rule import HOUR, SLOT, START, iso
from watchdog.model import Breach, Deed, Evaluation, Exposure, Phase, Rollback, SliceVerdict, Transition, Verdict
from watchdog.report import ACTUAL, SCHEMA, BreachFact, Evidence, build, render_html, render_json, render_markdown
from watchdog.stamps import deed_stamps

Json = dict[str, Any]


@cache
def report(name: str) -> Json:
    return build(scene(name))


def objective(name: str, of: str = "signed_off") -> Json:
    found: Json = next(item for item in report(of)["objectives"] if item["name"] == name)
    return found


def pending() -> Evidence:
    whole = scene("undecided")
    status = {**whole.status, "phase": "pending", "exposure": {"desired": 0.0, "actual": None}, "hold": None}
    return Evidence(whole.rollout, Phase.PENDING, None, START + 9.0, whole.engine, status, {})


# The verdict line


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("signed_off", "SIGNED OFF on 5 of 7: checkout 2.14.0 kept its SLOs for 48 consecutive hours at 100 %"),
        (
            "rolled_back",
            (
                "ROLLED BACK: checkout_errors_exposed of checkout 2.14.0 broke its SLO at 2026-11-23 22:28:30 UTC, "
                "flag off 1.5 s after detection"
            ),
        ),
        (
            "observed",
            (
                "OBSERVATION: WOULD HAVE ROLLED BACK: checkout_errors_exposed of checkout 2.14.0 broke its SLO at "
                "2026-11-23 22:28:30 UTC; the flag was not touched"
            ),
        ),
        (
            "interim",
            (
                "INTERIM SIGN-OFF on 5 of 7: checkout 2.14.0 kept its SLOs for 48 consecutive hours "
                "at 0.595 to 28.6 %, below the final sign-off"
            ),
        ),
    ],
)
def test_one_line_tells_the_outcome(name: str, line: str) -> None:
    assert report(name)["verdict"]["line"].replace("\N{NO-BREAK SPACE}", " ") == line


def test_an_undecided_watch_says_how_far_it_is_and_who_holds_it() -> None:
    line = report("undecided")["verdict"]["line"]
    assert line.startswith("NOT YET: checkout 2.14.0 has 31 of 48 consecutive good slices")
    assert "held by j.lindqvist" in line


def test_the_objectives_that_were_not_judged_are_named() -> None:
    assert report("signed_off")["verdict"]["not_judged"] == "Not judged: rollback_capability, alert_noise"
    assert report("signed_off")["coverage"]["beyond_the_standard"] == ["checkout_errors_exposed", "queue_age"]


def test_a_standard_objective_without_one_verdict_is_not_judged() -> None:
    whole = scene("undecided")
    blind = [Evaluation(item.at, Verdict.UNKNOWN, None) for item in whole.evaluations["latency_p95"]]
    found = build(replace(whole, evaluations={**whole.evaluations, "latency_p95": blind}))["coverage"]
    assert "latency_p95" not in found["judged"]
    assert {"name": "latency_p95", "why": "in the rule, but never measured"} in found["missing"]


def test_interim_and_final_sign_off_are_told_apart() -> None:
    stages = {name: report(name)["verdict"]["stage"] for name in ("interim", "signed_off", "undecided", "rolled_back")}
    assert stages == {"interim": "interim", "signed_off": "final", "undecided": None, "rolled_back": None}
    assert any("Final sign-off: 0 of 48" in note for note in report("interim")["verdict"]["notes"])


def test_an_operators_rollback_names_the_operator_and_the_reason() -> None:
    whole = scene("undecided")
    at = whole.as_of
    moved = Transition(at, "rollback", Phase.RAMPING, Phase.ROLLING_BACK, "the fraud team said no", "ana")
    stamps = Rollback("operator", at, at, at + 1, at + 41.0)
    changed = replace(
        whole, phase=Phase.ROLLED_BACK, transitions=[*whole.transitions, moved], rollback=stamps, as_of=at + 60
    )
    line = build(changed)["verdict"]["line"]
    assert line.startswith("ROLLED BACK by ana: checkout 2.14.0, the fraud team said no")
    assert line.endswith("flag off 41\N{NO-BREAK SPACE}s after detection")


def test_a_rollback_that_the_flag_does_not_show_yet_is_not_called_done() -> None:
    whole = scene("rolled_back")
    assert whole.rollback is not None
    line = build(
        replace(whole, phase=Phase.ROLLING_BACK, rollback=replace(whole.rollback, confirmed_at=None, recovered_at=None))
    )["verdict"]["line"]
    assert line.startswith("ROLLING BACK: ")
    assert line.endswith("flag off not confirmed yet")


def test_a_stop_says_by_whom_and_that_the_flag_stays() -> None:
    whole = scene("undecided")
    moved = Transition(whole.as_of, "stop", Phase.RAMPING, Phase.STOPPED, "release freeze", "ana")
    line = build(replace(whole, phase=Phase.STOPPED, transitions=[*whole.transitions, moved]))["verdict"]["line"]
    assert line.startswith("STOPPED by ana: release freeze (checkout 2.14.0; the flag was left at 17.86")


def test_a_breach_found_after_the_sign_off_amends_the_report() -> None:
    whole = scene("signed_off")
    breach = Breach("error_rate", START + 200 * HOUR, "sequential", 900.0, 400.0, 40.0, 900.0, why="4% bad")
    late = BreachFact(breach, whole.as_of - 1.0, late=True)
    found = build(replace(whole, breaches=[*whole.breaches, late]))
    assert found["verdict"]["word"] == "SIGNED OFF, AMENDED"
    assert found["breaches"][-1]["after_sign_off"]
    assert "Found after the sign-off." in render_html(found)


def test_nothing_is_claimed_of_a_rollout_that_has_not_started() -> None:
    found = build(pending())
    assert found["verdict"]["line"] == "NOT STARTED: checkout 2.14.0 is seen and waits for its start"
    assert found["slices"] == found["waits"] == found["breaches"] == []
    assert "No slice has ended yet." in render_html(found)
    assert "No slice has ended yet." in render_markdown(found)


# What is in it


@pytest.mark.parametrize("name", SCENES)
def test_it_is_a_superset_of_replay_and_of_status(name: str) -> None:
    figures, status, found = scene(name).figures, scene(name).status, report(name)
    plain = json.loads(json.dumps({"figures": figures, "status": status}))
    for key, value in plain["figures"].items():
        if key in ("gaps", "breaches"):
            for given, described in zip(value, found[key], strict=True):
                assert described.items() >= given.items()
        else:
            assert found[key] == value, key
    assert set(found) >= set(status)
    assert found["status"] == plain["status"]
    assert found["exposure_now"] == plain["status"]["exposure"]
    for given, described in zip(plain["status"]["objectives"], found["objectives"], strict=True):
        assert described.items() >= given.items()


def test_the_rule_stands_in_it_with_its_hash() -> None:
    rule = scene("signed_off").rollout
    assert report("signed_off")["rule"] == {"text": rule.text, "sha256": rule.sha256, "resolved": rule.resolved}
    assert report("signed_off")["schema"] == SCHEMA


def test_queries_are_given_exactly_as_they_are_asked() -> None:
    queries = objective("checkout_errors_exposed")["queries"]
    bad = 'sum(increase(http_requests_total{job="checkout",code=~"5..",variant="on"}[300s]))'
    assert queries["slot"]["bad"] == bad
    assert queries["step"]["bad"] == bad.replace("300s", "75s")
    assert queries["slice"]["bad"] == bad.replace("300s", "3600s")
    assert queries["control"]["bad"] == bad.replace('"on"', '"off"')


def test_counts_and_runs_of_slots_are_exact() -> None:
    evidence = scene("signed_off")
    for name, evaluations in evidence.evaluations.items():
        chart, slots = objective(name)["chart"], objective(name)["slots"]
        known = {verdict: sum(item.verdict is verdict for item in evaluations) for verdict in Verdict}
        assert [slots[verdict.value] for verdict in Verdict] == [known[verdict] for verdict in Verdict]
        rebuilt = ["pass"] * len(evaluations)
        for kind in ("fail", "unknown", "low_traffic"):
            for first, count, *reason in chart[kind]:
                rebuilt[first : first + count] = [reason[0] if reason else kind] * count
        said = [item.reason.value if item.reason else item.verdict.value for item in evaluations]
        assert rebuilt == said


def test_columns_hold_least_greatest_and_mean_of_their_slots() -> None:
    evaluations, chart = scene("signed_off").evaluations["error_rate"], objective("error_rate")["chart"]
    per = chart["slots_per_column"]
    assert len(chart["mean"]) == math.ceil(len(evaluations) / per) <= 400
    for column in (0, 77, len(chart["mean"]) - 1):
        own = [item for item in evaluations[column * per : (column + 1) * per] if item.verdict is not Verdict.UNKNOWN]
        values = [(item.bad or 0.0) / (item.total or 1.0) for item in own]
        assert chart["min"][column] == pytest.approx(min(values), rel=1e-5)
        assert chart["max"][column] == pytest.approx(max(values), rel=1e-5)
        assert chart["mean"][column] == pytest.approx(sum(values) / len(values), rel=1e-5)


def test_figures_are_drawn_from_the_window_that_was_signed_off() -> None:
    found, evidence = objective("error_rate"), scene("signed_off")
    span = report("signed_off")["windows"]["final"]
    inside = [item for item in evidence.slices if span["from"] < iso(item.end) <= span["to"]]
    assert sum(item.verdict is SliceVerdict.PASS for item in inside) == 48
    own = [item for whole in inside for item in whole.objectives if item.objective == "error_rate"]
    bad, total = math.fsum(i.bad or 0.0 for i in own), math.fsum(i.total or 0.0 for i in own)
    assert found["figure"]["value"] == pytest.approx(bad / total)
    assert found["figure"]["budget_used"] == pytest.approx(bad / total / 0.001)
    assert found["worst_slice"]["value"] == max((i.bad or 0.0) / (i.total or 1.0) for i in own)
    low, high = found["figure"]["interval_95"]
    assert low < bad / total < high


def test_a_share_of_good_events_is_told_as_such() -> None:
    found = objective("latency_p95")
    assert found["target"]["text"] == "at least 95% good"
    assert 0.97 < found["figure"]["value"] < 0.99
    assert found["worst_slice_of_watch"]["value"] < found["worst_slice"]["value"]


def test_each_slice_has_the_exposure_under_which_it_was_earned() -> None:
    slices = report("signed_off")["slices"]
    counted = [item for item in slices if "final" in item["windows"]]
    assert {item["exposure"]["lowest"] for item in counted} == {100.0}
    early = slices[5]["exposure"]
    assert early["lowest"] < early["highest"]
    assert not early["constant"]


def test_waits_and_holds_are_numbered_and_have_their_cause() -> None:
    waits = report("signed_off")["waits"]
    assert [item["number"] for item in waits] == list(range(1, len(waits) + 1))
    held = [item for item in waits if item["kind"] == "hold"]
    assert "CHG-4420" in held[0]["why"]
    assert held[0]["ended_by"]["by"] == "m.ruiz"
    assert held[0]["seconds"] == pytest.approx(2.5 * HOUR, abs=60)
    assert report("undecided")["waits"][-1]["open"]


def test_gaps_say_what_they_did_to_the_window() -> None:
    effects = {item["from"]: item for item in report("signed_off")["gaps"]}
    outage = effects[iso(START + 77 * HOUR + 33 * 60 + SLOT)]
    assert outage["effect"] == "reset the window"
    assert outage["reset_at"] == iso(START + 79 * HOUR)
    assert outage["cause"].startswith("connection refused")
    assert outage["seconds"] == 39 * 60
    short = next(item for item in effects.values() if item["reason"] == "clock_skew")
    assert short["effect"] == "none: each slice was measured for 95 % or more"


def test_a_breach_has_its_four_stamps() -> None:
    breach = report("rolled_back")["breaches"][0]
    stamps = breach["rollback"]
    order = [stamps[name] for name in ("detected_at", "decided_at", "acted_at", "confirmed_at", "recovered_at")]
    assert order == sorted(order)
    assert stamps["seconds"] == pytest.approx(1.5)
    assert {"number", "detector", "statistic", "threshold", "bad", "total", "late", "unconfirmed"} <= set(breach)


def test_what_went_with_the_rollback_is_told_with_its_own_stamps() -> None:
    whole = scene("rolled_back")
    decided = START + HOUR
    done = Deed("kill", "edge", "new-checkout", "because", decided, decided + 1.0, decided + 2.0)
    open_ = Deed("emergency", "emergency", "ops.read-only", "because", decided, None, None, "the disk is <full>")
    found = build(replace(whole, status={**whole.status, "also": [deed_stamps(done), deed_stamps(open_)]}))
    assert [(deed["flag"], deed["confirmed_at"] is None) for deed in found["also"]] == [
        ("new-checkout", False),
        ("ops.read-only", True),
    ]
    markdown, page = render_markdown(found), render_html(found)
    assert "Killed with it: `new-checkout` of edge" in markdown
    assert "Not confirmed: the disk is " in markdown
    assert "the disk is &lt;full&gt;" in page


def test_what_a_reader_must_know_is_said_at_the_top() -> None:
    notes = " ".join(report("signed_off")["verdict"]["notes"])
    assert "Bad never observed, so a pass is not evidence: availability." in notes
    assert "No guaranteed rate of false rollbacks: queue_age." in notes
    assert "Waived: pooled_exposure." in notes


def test_steps_are_one_line_of_the_condensed_history_and_all_are_in_the_whole() -> None:
    found = report("signed_off")
    assert len(found["history"]) == len(scene("signed_off").transitions)
    assert len(found["timeline"]) < 20
    assert sum(sum(line["kinds"].values()) for line in found["timeline"]) == len(found["history"])


def test_the_planned_exposure_is_the_plan_without_waits() -> None:
    planned = report("signed_off")["exposure_planned"]
    assert (planned[0]["percent"], planned[-1]["percent"], len(planned)) == (0.0, 100.0, 169)
    assert planned[-1]["at"] == iso(START + 168 * HOUR + 0.4).replace(".400000", ".400")


def test_numbers_that_json_has_no_word_for_become_null() -> None:
    whole = scene("rolled_back")
    odd = replace(whole.breaches[0], breach=replace(whole.breaches[0].breach, statistic=math.inf))
    found = build(replace(whole, breaches=[odd]))
    assert found["breaches"][0]["statistic"] is None
    assert json.loads(render_json(found))["breaches"][0]["statistic"] is None


def test_audiences_are_exposure_too() -> None:
    whole = scene("undecided")
    before = [(START + 0.5, ACTUAL, Exposure(0.0, audiences=("beta", "internal"))), *whole.exposures[2:]]
    found = build(replace(whole, exposures=before))
    assert found["slices"][0]["exposure"]["audiences"] == ["beta", "internal"]
    assert 'class="cohort"' in render_html(found)
    assert "and audience beta and audience internal" in render_html(found)


def test_a_cohort_is_exposure_too() -> None:
    whole = scene("undecided")
    before = [(START + 0.5, ACTUAL, Exposure(0.0, cohort=True)), *whole.exposures[2:]]
    found = build(replace(whole, exposures=before))
    assert found["slices"][0]["exposure"]["cohort"]
    assert 'class="cohort"' in render_html(found)


# Bytes


@pytest.mark.parametrize("name", SCENES)
def test_the_same_evidence_gives_the_same_bytes(name: str) -> None:
    again = build(scene(name))
    for render in (render_json, render_html, render_markdown):
        assert render(again) == render(report(name))


@pytest.mark.parametrize("name", SCENES)
def test_html_and_markdown_need_nothing_but_the_json(name: str) -> None:
    read_back = json.loads(render_json(report(name)))
    assert render_html(read_back) == render_html(report(name))
    assert render_markdown(read_back) == render_markdown(report(name))


def test_the_page_of_nine_days_of_seven_objectives_stays_small() -> None:
    evidence = scene("signed_off")
    assert sum(len(own) for own in evidence.evaluations.values()) > 180_000
    page = render_html(build(evidence))
    assert len(page.encode()) < 600_000
