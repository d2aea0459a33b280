"""A rollout's file: every key and default, and every way to get it wrong with its place and its sentence."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from watchdog.bound import judge
from watchdog.errors import ConfigError
from watchdog.model import (
    Cohorts,
    Comparison,
    Confirm,
    Kind,
    Mode,
    NoiseRule,
    OnBreach,
    Rollout,
    Secondary,
    Sequential,
    Target,
)
from watchdog.quantities import parse_time
from watchdog.rolloutfile import DaemonFacts, load_rollout, parse_rollout, rollout_from_resolved
from watchdog.rolloutfile.standard import rules_directory, standard_names

HEAD = """
rollout: checkout-2.14.0
service: checkout
version: 2.14.0
flag: new-checkout
"""
RAMP = "ramp: {strategy: progressive, over: 7d, every: 1h}\n"
OBJECTIVES = """
objectives:
  - name: error_rate
    bad: sum(increase(bad[$range]))
    total: sum(increase(all[$range]))
    at_most: 0.1%
    outside: true
"""
DATA = Path(__file__).parent / "data"


def load(text: str, facts: DaemonFacts | None = None) -> Rollout:
    return parse_rollout(text, "r.yaml", facts or DaemonFacts())


def with_ramp(ramp: str) -> str:
    return f"{HEAD}ramp: {ramp}\n{OBJECTIVES}"


def with_keys(keys: str) -> str:
    return f"{HEAD}{RAMP}{OBJECTIVES}{keys}\n"


def with_objective(objective: str) -> str:
    lines = objective.strip().splitlines()
    indented = "".join(f"    {line}\n" for line in lines)
    return f"{HEAD}{RAMP}{OBJECTIVES}  -\n{indented}"


def problems(text: str, facts: DaemonFacts | None = None) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as refused:
        load(text, facts)
    return [(problem.place, problem.message) for problem in refused.value.problems]


def refused(text: str, place: str, *words: str, facts: DaemonFacts | None = None) -> None:
    found = problems(text, facts)
    assert [where for where, _ in found] == [f"r.yaml: {place}" if place else "r.yaml"], found
    for word in words:
        assert word in found[0][1], found


# What is read


def test_the_contracts_example_loads_as_printed() -> None:
    rollout = load_rollout(DATA / "contract-rollout.yaml", DaemonFacts())
    assert (rollout.name, rollout.service, rollout.version, rollout.flag) == (
        "checkout-2.14.0",
        "checkout",
        "2.14.0",
        "new-checkout",
    )
    assert rollout.mode is Mode.ACT
    assert (rollout.interval, rollout.delay, rollout.auto_start) == (30, 30.0, False)
    assert rollout.start_at == parse_time("2026-11-22T09:00:00Z")
    assert (rollout.window.slices, rollout.window.slice, rollout.window.max_gap, rollout.window.max_idle) == (
        48,
        3600,
        1800,
        24,
    )
    assert (rollout.rollback.to, rollout.rollback.within, rollout.rollback.verify) == (0, 900, 1800)
    assert (rollout.false_rollback, rollout.settle, rollout.blind_after, rollout.resume_after) == (0.01, 900, 600, 300)
    assert rollout.late_breach is OnBreach.ROLLBACK
    assert rollout.cohorts == Cohorts('variant="on"', 'variant="off"')
    errors, latency, flag = rollout.objectives
    assert errors.kind is Kind.EVENT
    assert errors.target == Target(Comparison.AT_MOST, 0.001)
    assert (errors.allowed, errors.range, errors.min_events, errors.min_slice_events) == (0.001, 300, 100, 3000)
    assert errors.detector == Sequential(60, 1.5)
    assert (errors.pool_window, errors.silence_fails, errors.outside, errors.on_breach) == (
        False,
        False,
        False,
        OnBreach.ROLLBACK,
    )
    assert latency.kind is Kind.VALUE
    assert latency.target == Target(Comparison.BELOW, 0.2)
    assert latency.detector == Confirm(60, 3, 5)
    assert flag.internal == "flag_ramp"
    assert flag.on_breach is OnBreach.PAGE
    assert not flag.gates


def test_the_contracts_example_needs_somebody_who_sees_a_dead_service() -> None:
    text = (DATA / "contract-rollout.yaml").read_text()
    without = "\n".join(line for line in text.splitlines() if not line.startswith("waive:"))
    refused(without, "objectives", "every process of the service died")


def test_defaults_are_those_of_the_contract() -> None:
    rollout = load(HEAD + RAMP + OBJECTIVES)
    assert rollout == rollout_from_resolved(
        load(
            with_keys(
                "mode: act\ninterval: 30s\ndelay: 30s\nauto_start: false\nstart_at: null\n"
                "window: {slices: 48, slice: 1h, max_gap: 30m, max_idle: 24}\n"
                "rollback: {to: 0, within: 15m, verify: 30m}\nfalse_rollback: 1%\nsettle: 15m\nblind_after: 10m\n"
                "resume_after: 5m\nwaive: {}\nlate_breach: rollback\ncohorts: null\n"
            )
        ).resolved,
        rollout.text,
    )
    (objective,) = rollout.objectives
    assert (objective.range, objective.min_events, objective.min_slice_events) == (300, 1, 3000)
    assert (objective.present, objective.fresh, objective.max_age) == ("count(count_over_time(up[30s]))", None, 120)
    assert objective.on_breach is OnBreach.ROLLBACK


def test_daemon_facts_are_frozen_into_the_rule() -> None:
    rollout = load(HEAD + RAMP + OBJECTIVES, DaemonFacts(20.0, 8.0, 3.0, 1.0))
    assert (rollout.scrape_interval, rollout.tick_deadline, rollout.write_timeout, rollout.propagation) == (20, 8, 3, 1)


@pytest.mark.parametrize("version", ["2.10", "1e3", "0x10", "2024-11-22", "v1.2.3+build.5", "registry/app:1.0", "017"])
def test_a_version_stays_the_text_that_was_written(version: str) -> None:
    assert load((HEAD + RAMP + OBJECTIVES).replace("version: 2.14.0", f"version: {version}")).version == version


@pytest.mark.parametrize(
    ("scrape", "interval", "every"), [(15, "30s", 60), (45, "30s", 90), (35, "30s", 90), (15, "45s", 90), (1, "1s", 60)]
)
def test_the_default_step_is_a_minute_or_two_scrapes_up_to_whole_intervals(
    scrape: float, interval: str, every: int
) -> None:
    text = with_keys(f"interval: {interval}\nrollback: {{within: 1h}}")
    assert load(text, DaemonFacts(scrape_interval=scrape)).objectives[0].detector.every == every


@pytest.mark.parametrize(
    ("target", "limit", "allowed"),
    [
        ("at_most: 0.1%", 0.001, 0.001),
        ("below: 0.02", 0.02, 0.02),
        ("at_least: 98%", 0.98, 0.02),
        ("above: 99.9%", 0.999, 0.001),
    ],
)
def test_the_allowed_share_of_bad_events_is_exact(target: str, limit: float, allowed: float) -> None:
    objective = load((HEAD + RAMP + OBJECTIVES).replace("at_most: 0.1%", target)).objectives[0]
    assert objective.target == Target(Comparison(target.split(":", maxsplit=1)[0]), limit)
    assert objective.allowed == allowed
    assert objective.min_slice_events == 3 / allowed


@pytest.mark.parametrize(
    "written", ["confirm: 2 of 4", "confirm: {fails: 2, of: 4}", "confirm: {fails: 2, of: 4, every: 1m}"]
)
def test_confirm_is_written_as_words_or_as_a_mapping(written: str) -> None:
    objective = load(with_objective(f"name: x\nvalue: up\nbelow: 200ms\n{written}")).objective("x")
    assert objective.detector == Confirm(60, 2, 4)
    assert objective.target.limit == 0.2


def test_an_event_objective_may_choose_confirm_for_a_target_of_none() -> None:
    text = with_objective("name: x\nbad: b\ntotal: t\nat_most: 0\nconfirm: 3 of 5")
    assert load(text).objective("x").detector == Confirm(60, 3, 5)


# Ramps


def percents(text: str) -> list[tuple[float, bool, float]]:
    return [(step.exposure.percent, step.exposure.cohort, step.after) for step in load(text).ramp.steps]


def test_a_progressive_ramp_of_a_week_has_a_step_an_hour() -> None:
    ramp = load(with_ramp("{strategy: progressive, from: 0, to: 100, over: 7d, every: 1h}")).ramp
    assert len(ramp.steps) == 168
    assert {step.after for step in ramp.steps} == {3600.0}
    assert ramp.steps[0].exposure.percent == 0.595
    assert ramp.steps[83].exposure.percent == 50.0
    assert ramp.steps[-1].exposure.percent == 100.0
    assert (ramp.start, ramp.to, ramp.seconds) == (0, 100, 604800)


def test_a_progressive_ramp_that_does_not_divide_evenly_ends_at_to() -> None:
    assert percents(with_ramp("{strategy: progressive, from: 10, to: 20, over: 100s, every: 30s}")) == [
        (13.0, False, 30),
        (16.0, False, 30),
        (19.0, False, 30),
        (20.0, False, 30),
    ]


@pytest.mark.parametrize(
    ("strategy", "percent"), [("{strategy: all_at_once}", 100), ("{strategy: percentage, to: 25}", 25)]
)
def test_a_single_step_is_due_at_once(strategy: str, percent: float) -> None:
    assert percents(with_ramp(strategy)) == [(percent, False, 0)]
    assert load(with_ramp(strategy)).ramp.seconds == 0


def test_a_canary_has_its_cohort_first_and_keeps_it() -> None:
    text = with_ramp("{strategy: canary, cohort: [qa-1, qa-2], cohort_for: 24h, to: 100, over: 2h, every: 1h}")
    assert percents(text) == [(0, True, 0), (50, True, 86400 + 3600), (100, True, 3600)]
    ramp = load(text).ramp
    assert ramp.cohort == ("qa-1", "qa-2")
    assert ramp.seconds == 86400 + 7200


def test_explicit_steps_wait_for_the_step_before() -> None:
    text = with_ramp("{steps: [{percent: 1, for: 1h}, {percent: 10%, for: 1d}, {percent: 100}]}")
    assert percents(text) == [(1, False, 0), (10, False, 3600), (100, False, 86400)]
    ramp = load(text).ramp
    assert (ramp.strategy, ramp.seconds, ramp.to) == ("steps", 90000, 100)


@pytest.mark.parametrize(
    ("ramp", "place", "words"),
    [
        ("{over: 7d, every: 1h}", "ramp.strategy", ["is missing", "progressive"]),
        ("{strategy: progresive, over: 7d, every: 1h}", "ramp.strategy", ["did you mean 'progressive'"]),
        ("{strategy: progressive, every: 1h}", "ramp.over", ["is missing", "over: 7d"]),
        ("{strategy: progressive, over: 7d, every: 10s}", "ramp.every", ["shorter than the interval of 30s"]),
        ("{strategy: progressive, over: 1h, every: 2h}", "ramp.every", ["longer than over"]),
        ("{strategy: progressive, over: 3650d, every: 30s}", "ramp.every", ["more than 10,000"]),
        ("{strategy: progressive, from: 50, to: 50, over: 7d, every: 1h}", "ramp.to", ["must be above from"]),
        ("{strategy: progressive, to: 101, over: 7d, every: 1h}", "ramp.to", ["between 0 and 100"]),
        ("{strategy: all_at_once, over: 7d}", "ramp.over", ["belongs to strategy progressive or canary"]),
        ("{strategy: percentage}", "ramp.to", ["is missing"]),
        ("{strategy: canary, cohort_for: 1h, over: 7d, every: 1h}", "ramp.cohort", ["is missing"]),
        ("{strategy: canary, cohort: [], cohort_for: 1h, over: 7d, every: 1h}", "ramp.cohort", ["empty list"]),
        ("{strategy: canary, cohort: [a, a], cohort_for: 1h, over: 7d, every: 1h}", "ramp.cohort", ["twice"]),
        ("{strategy: canary, cohort: qa, cohort_for: 1h, over: 7d, every: 1h}", "ramp.cohort", ["expected a list"]),
        ("{strategy: progressive, over: 7d, every: 1h, evry: 2h}", "ramp.evry", ["did you mean 'every'"]),
        ("{steps: []}", "ramp.steps", ["at least one"]),
        (
            "{steps: [{percent: 10, for: 1h}, {percent: 5}]}",
            "ramp.steps[1].percent",
            ["not above the step before (10)"],
        ),
        ("{steps: [{percent: 0, for: 1h}, {percent: 5}]}", "ramp.steps[0].percent", ["not above from"]),
        ("{steps: [{percent: 1}, {percent: 5}]}", "ramp.steps[0].for", ["is missing"]),
        ("{steps: [{percent: 1, fore: 1h}]}", "ramp.steps[0].fore", ["did you mean 'for'"]),
        ("{steps: [7]}", "ramp.steps[0]", ["expected a mapping"]),
        ("{strategy: progressive, steps: [{percent: 1}], over: 7d, every: 1h}", "ramp.steps", ["strategy steps"]),
        ("fast", "ramp", ["found 'fast', expected a mapping"]),
        ("{strategy: progressive, over: 7 days, every: 1h}", "ramp.over", ["'7 days'", "duration"]),
    ],
)
def test_an_impossible_ramp_is_refused_where_it_is_impossible(ramp: str, place: str, words: list[str]) -> None:
    refused(with_ramp(ramp), place, *words)


# The top level


@pytest.mark.parametrize(
    ("keys", "place", "words"),
    [
        ("mode: watch", "mode", ["'watch'", "act or observe"]),
        ("interval: 1.5s", "interval", ["whole seconds"]),
        ("interval: 0s", "interval", ["at least 1s"]),
        ("interval: thirty", "interval", ["duration"]),
        ("interval:", "interval", ["found nothing"]),
        ("delay: -1s", "delay", ["'-1s'"]),
        ("window: {slice: 45s}", "window.slice", ["not a multiple of the interval of 30s", "whole slots"]),
        ("window: {slices: 0}", "window.slices", ["whole number"]),
        ("window: {slices: 1.5}", "window.slices", ["whole number"]),
        ("window: {max_idle: -1}", "window.max_idle", ["whole number"]),
        ("window: {size: 48}", "window.size", ["unknown key 'size'"]),
        ("window: [48]", "window", ["found a list, expected a mapping"]),
        ("rollback: {to: 5}", "rollback.to", ["never raises exposure"]),
        ("rollback: {within: 0}", "rollback.within", ["above 0"]),
        ("rollback: {verfy: 30m}", "rollback.verfy", ["did you mean 'verify'"]),
        ("false_rollback: 0", "false_rollback", ["above 0%"]),
        ("false_rollback: 5", "false_rollback", ["write 5% if percent was meant"]),
        ("auto_start: yes", "auto_start", ["'yes'", "true or false"]),
        ("start_at: 2026-11-22", "start_at", ["zone"]),
        ("late_breach: page", "late_breach", ["rollback or hold"]),
        ("blind_after: 0s", "blind_after", ["above 0"]),
        ("waive: {dead_servise: x}", "waive.dead_servise", ["did you mean 'dead_service'"]),
        ("waive: {preflight: ''}", "waive.preflight", ["expected text"]),
        ("waive: [preflight]", "waive", ["expected a mapping"]),
        ("cohorts: {control: 'v=\"off\"'}", "cohorts.exposed", ["is missing"]),
        ("cohorts: {exposed: '{v=\"on\"}'}", "cohorts.exposed", ["without braces"]),
        ("intervall: 30s", "intervall", ["did you mean 'interval'"]),
        ("5: x", "5", ["unknown key '5'"]),
        ("service: other", "service", ["is written twice, at line 3 and at line 14"]),
    ],
)
def test_a_wrong_key_is_refused_with_its_place(keys: str, place: str, words: list[str]) -> None:
    refused(with_keys(keys), place, *words)


@pytest.mark.parametrize("key", ["rollout", "service", "version", "flag"])
def test_a_name_must_be_there_and_fit_for_urls_and_paths(key: str) -> None:
    kept = "".join(f"{line}\n" for line in HEAD.splitlines() if not line.startswith(f"{key}:"))
    refused(kept + RAMP + OBJECTIVES, key, "is missing")
    for name in ("a b", "../etc", 'a"b', ".hidden", "x" * 101, "äpfel", "a$range"):
        refused(f"{kept}{key}: {json.dumps(name)}\n{RAMP}{OBJECTIVES}", key, "expected")


def test_the_ramp_and_the_objectives_must_be_there() -> None:
    assert [place for place, _ in problems(HEAD)] == ["r.yaml: objectives", "r.yaml: ramp"]


# Objectives


@pytest.mark.parametrize(
    ("objective", "place", "words"),
    [
        ("name: x\nbad: b\nat_most: 1%", "", ["found bad", "total is missing"]),
        ("name: x\nat_most: 1%", "", ["found no measure"]),
        ("name: x\nvalue: v\nbad: b\ntotal: t\nat_most: 1%", "", ["found bad and total and value"]),
        ("value: v\nbelow: 1", ".name", ["is missing"]),
        ("name: x y\nvalue: v\nbelow: 1", ".name", ["'x y'"]),
        ("name: error_rate\nvalue: v\nbelow: 1", ".name", ["already the name of objectives[0]"]),
        ("name: x\nbad: b\ntotal: t", "", ["has no target", "exactly one of"]),
        ("name: x\nbad: b\ntotal: t\nat_most: 1%\nbelow: 2%", "", ["found below and at_most"]),
        ("name: x\nbad: b\ntotal: t\nat_least: 98", ".at_least", ["write 98% if percent was meant"]),
        ("name: x\nbad: b\ntotal: t\nbelow: 0", ".below", ["no share can be below this"]),
        ("name: x\nbad: b\ntotal: t\nat_least: 0%\nconfirm: 3 of 5", ".at_least", ["can never fail"]),
        ("name: x\nbad: b\ntotal: t\nat_most: 0", "", ["use confirm: 3 of 5"]),
        ("name: x\nbad: b\ntotal: t\nat_most: 70%", "", ["1.5 times", "confirm"]),
        ("name: x\nbad: b\ntotal: t\nat_most: 50%\nsequential: {rollback_above: 2}", ".sequential", ["confirm"]),
        (
            "name: x\nbad: b\ntotal: t\nat_most: 1%\nsequential: {rollback_above: 0.5}",
            ".sequential.rollback_above",
            ["below 1"],
        ),
        (
            "name: x\nbad: b\ntotal: t\nat_most: 1%\nsequential: {evry: 1m}",
            ".sequential.evry",
            ["did you mean 'every'"],
        ),
        (
            "name: x\nbad: b\ntotal: t\nat_most: 1%\nsequential: {every: 45s}",
            ".sequential.every",
            ["multiple of the interval"],
        ),
        ("name: x\nbad: b\ntotal: t\nat_most: 1%\nconfirm: 3 of 5\nsequential: {}", ".confirm", ["one detector"]),
        ("name: x\nbad: ''\ntotal: t\nat_most: 1%", ".bad", ["expected text"]),
        ("name: x\nbad: [b]\ntotal: t\nat_most: 1%", ".bad", ["a list"]),
        ("name: x\nbad: b[$rang]\ntotal: t\nat_most: 1%", ".bad", ["$rang", "$range and $cohort"]),
        ("name: x\nbad: 'b{$labels}'\ntotal: t\nat_most: 1%", ".bad", ["only standard objectives"]),
        ("name: x\nbad: 'b{$cohort}'\ntotal: 't{$cohort}'\nat_most: 1%", ".bad", ["the rollout has no cohorts"]),
        ("name: x\nvalue: v\nbelow: soon", ".below", ["'soon'"]),
        ("name: x\nvalue: v\nbelow: 1\nsequential: {every: 1m}", ".sequential", ["no meaning for a value objective"]),
        ("name: x\nvalue: v\nbelow: 1\npool: window", ".pool", ["value objective"]),
        ("name: x\nvalue: v\nbelow: 1\nmin_events: 5", ".min_events", ["value objective"]),
        ("name: x\nvalue: v\nbelow: 1\nconfirm: 6 of 5", ".confirm", ["3 of 5"]),
        ("name: x\nvalue: v\nbelow: 1\nconfirm: often", ".confirm", ["3 of 5"]),
        ("name: x\nvalue: v\nbelow: 1\nconfirm: {fails: 4, of: 3}", ".confirm.fails", ["cannot be more than of"]),
        ("name: x\nvalue: v\nbelow: 1\nconfirm: {of: 11}", ".confirm.of", ["between 1 and 10"]),
        ("name: x\nvalue: v\nbelow: 1\nrange: 0s", ".range", ["above 0"]),
        ("name: x\nvalue: v\nbelow: 1\nno_data: pass", ".no_data", ["unknown or fail"]),
        ("name: x\nvalue: v\nbelow: 1\npresent: count(up)", ".present", ["no_data: fail"]),
        ("name: x\nvalue: v\nbelow: 1\nmax_age: 1m", ".max_age", ["needs fresh"]),
        ("name: x\nvalue: v\nbelow: 1\nfresh: max(x[$range])", ".fresh", ["$range"]),
        ("name: x\nvalue: v\nbelow: 1\noutside: maybe", ".outside", ["true or false"]),
        ("name: x\nvalue: v\nbelow: 1\non_breach: panic", ".on_breach", ["rollback or hold or page"]),
        ("name: x\nvalue: v\nbelow: 1\nlabels: {job: x}", ".labels", ["use:"]),
        ("name: x\nvalue: v\nbelow: 1\nthreshold: 5", ".threshold", ["unknown key 'threshold'"]),
        ("name: x\ninternal: flag_rampe", ".internal", ["did you mean 'flag_ramp'"]),
        ("name: x\ninternal: alert_noise", ".internal", ["the receiver is closed", "alerts.token_file"]),
        ("name: x\ninternal: flag_ramp\nrange: 5m", ".range", ["no meaning for an internal objective"]),
        ("name: x\ninternal: flag_ramp\nat_most: 5", ".at_most", ["internal objective"]),
        ("name: x\ninternal: flag_ramp\nsequential: {}", ".sequential", ["internal objective"]),
        ("use: eror_rate\nlabels: {job: x}", ".use", ["did you mean 'error_rate'"]),
        ("use: latency_p95", ".labels", ["whose series"]),
        ("use: latency_p95\nlabels: {'a-b': x}", ".labels", ["'a-b'"]),
        ("use: latency_p95\nlabels: {job: true}", ".labels", ["quote true"]),
        ("use: flag_ramp\nlabels: {job: x}", ".labels", ["takes no labels"]),
        ("use: alert_noise", ".internal", ["the receiver is closed", "leave the objective out"]),
        ("use: flag_ramp\nbelow: 5", ".below", ["an internal objective"]),
    ],
)
def test_a_wrong_objective_is_refused_with_its_place(objective: str, place: str, words: list[str]) -> None:
    refused(with_objective(objective), f"objectives[1]{place}", *words)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("at_least: 5", "fewer are better"),
        ("below: 0", "no count of alarms can keep"),
        ("at_most: -1", "no count of alarms can keep"),
        ("range: 5m", "an internal objective"),
        ("min_events: 5", "an internal objective"),
    ],
)
def test_a_wrong_bound_for_alarms_is_refused(key: str, words: str) -> None:
    place = f"objectives[1].{key.partition(':')[0]}"
    refused(with_objective(f"use: alert_noise\n{key}"), place, words, facts=DaemonFacts(noise=NoiseRule()))


def test_a_step_shorter_than_two_scrapes_is_refused() -> None:
    text = with_objective("name: x\nbad: b\ntotal: t\nat_most: 1%\nsequential: {every: 1m}")
    refused(text, "objectives[1].sequential.every", "2 scrape intervals (1m20s)", facts=DaemonFacts(scrape_interval=40))


def test_silence_cannot_fail_in_a_cohort() -> None:
    text = with_objective("name: x\nbad: 'b{$cohort}'\ntotal: 't{$cohort}'\nat_most: 1%\nno_data: fail")
    refused(text + "cohorts: {exposed: 'v=\"on\"'}\n", "objectives[1].no_data", "$cohort")


def test_half_a_split_is_refused() -> None:
    text = with_objective("name: x\nbad: 'b{$cohort}'\ntotal: t\nat_most: 1%")
    refused(text + "cohorts: {exposed: 'v=\"on\"'}\n", "objectives[1].total", "has no $cohort while bad has")


def test_numbered_groups_of_label_replace_are_no_parameters() -> None:
    query = """value: 'max(label_replace(v, "a", "$1", "b", "(.*)$"))'"""
    assert "$1" in str(load(with_objective(f"name: x\n{query}\nbelow: 1")).objective("x").value)


def test_everything_wrong_is_said_at_once() -> None:
    text = """
rollout: a b
service: checkout
version: 1
modus: act
interval: 1.5s
ramp: {strategy: progressive, over: soon, every: 1h}
objectives:
  - name: x
    value: v
  - {name: y, bad: b, total: t, at_most: 1%, pool: sometimes}
"""
    assert [place for place, _ in problems(text)] == [
        "r.yaml: rollout",
        "r.yaml: flag",
        "r.yaml: interval",
        "r.yaml: objectives[0]",
        "r.yaml: objectives[1].pool",
        "r.yaml: ramp.over",
        "r.yaml: modus",
    ]


# Standard objectives


@pytest.mark.parametrize("name", ["error_rate", "latency_p95", "availability", "test_pass_rate"])
def test_a_standard_objective_is_filled_in_with_labels(name: str) -> None:
    first = OBJECTIVES.replace("name: error_rate", "name: first")
    rollout = load(f'{HEAD}{RAMP}{first}  - use: {name}\n    labels: {{job: check"out, ns: a\\b}}\n')
    objective = rollout.objective(name)
    for query in objective.queries:
        assert 'job="check\\"out",ns="a\\\\b"' in query
        assert "$labels" not in query
    assert objective.uses_range
    assert isinstance(objective.detector, Sequential)


def test_the_standard_thresholds() -> None:
    text = (
        HEAD
        + RAMP
        + "objectives:\n"
        + "".join(
            f"  - {{use: {name}, labels: {{job: x}}}}\n"
            for name in ("error_rate", "latency_p95", "availability", "test_pass_rate")
        )
        + "  - use: flag_ramp\n"
    )
    rollout = load(text)
    assert {o.name: str(o.target) for o in rollout.objectives if o.gates} == {
        "error_rate": "below 0.001",
        "latency_p95": "at least 0.95",
        "availability": "at least 0.999",
        "test_pass_rate": "at least 0.98",
    }
    availability = rollout.objective("availability")
    assert (availability.outside, availability.silence_fails, availability.pool_window) == (True, True, True)
    assert judge(rollout).missing == ("rollback_capability", "alert_noise")


def test_keys_beside_use_replace_the_standard_ones() -> None:
    text = with_objective(
        "use: availability\nname: up\nlabels: {job: x}\nat_most: 1%\nconfirm: 2 of 3\nno_data: unknown\n"
        "pool: slice\ntotal: t[$range]"
    )
    objective = load(text).objective("up")
    assert objective.target == Target(Comparison.AT_MOST, 0.01)
    assert objective.detector == Confirm(60, 2, 3)
    assert (objective.silence_fails, objective.pool_window, objective.outside) == (False, False, True)
    assert objective.total == "t[$range]"
    assert objective.bad is not None
    assert 'probe_success{job="x"}' in objective.bad


def test_the_seven_standard_names_are_shipped() -> None:
    assert standard_names() == sorted(
        [
            "test_pass_rate",
            "error_rate",
            "latency_p95",
            "availability",
            "flag_ramp",
            "rollback_capability",
            "alert_noise",
        ]
    )


@pytest.mark.parametrize("path", sorted((rules_directory() / "rollouts").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_examples_load_without_warnings(path: Path) -> None:
    assert judge(load_rollout(path, DaemonFacts())).warnings == []


# Refusals that need the whole rule


def test_a_rollback_that_would_come_too_late_is_refused_at_load() -> None:
    text = with_keys("rollback: {within: 5m}")
    refused(text, "objectives[0]", "15s scrape_interval", "5m30s", "rollback_bound")
    load(text + "waive: {rollback_bound: accepted}\n")


# Hostile text


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("", "", ["is empty"]),
        ("# nothing\n", "", ["is empty"]),
        ("- a\n- b\n", "", ["found a list"]),
        ("just words\n", "", ["'just words'"]),
        ("a: [1, 2", "line 1, column 9", ["not valid YAML"]),
        ("a: b\n c: d\n", "line 2, column 3", ["not valid YAML"]),
        ("a: 'b\n", "line 2, column 1", ["not valid YAML"]),
        ("a: 1\n---\nb: 2\n", "line 2, column 1", ["second document"]),
        ("a: !!python/object/apply:os.system ['true']\n", "line 1, column 4", ["tag", "not used here"]),
        ("a: !secret x\n", "line 1, column 4", ["not used here"]),
        ("a: &x [*x]\n", "line 1, column 8", ["alias *x"]),
        ("a: *nobody\n", "line 1, column 4", ["*nobody"]),
        ("? [a, b]\n: c\n", "line 1, column 3", ["a key must be a word"]),
        ("a: " + "[" * 3000, "line 1, column 28", ["nested more than 24 levels"]),
        ("a: \x00\n", "", ["does not allow"]),
        ("a: \t- b\n\tc: d", "line 1, column 4", ["not valid YAML"]),
    ],
)
def test_hostile_text_is_refused_in_one_sentence_with_line_and_column(text: str, place: str, words: list[str]) -> None:
    refused(text, place, *words)


def test_aliases_that_expand_are_refused_before_they_do() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
    )
    found = problems(bomb)
    assert len(found) == 1
    assert "expands to more than 50,000 values" in found[0][1]


def test_a_modest_alias_is_fine() -> None:
    text = HEAD + "ramp: {strategy: progressive, over: &d 1d, every: *d}\n" + OBJECTIVES
    assert load(text).ramp.seconds == 86400


def test_a_text_of_more_than_a_mebibyte_is_refused() -> None:
    refused("#" * (1024 * 1024 + 1), "", "1 MiB")


@pytest.mark.parametrize("cut", range(0, 420, 7))
def test_a_truncated_file_is_refused_in_sentences(cut: int) -> None:
    whole = HEAD + RAMP + OBJECTIVES
    if cut >= len(whole.rstrip()) - len("outside: true"):
        return
    for _, message in problems(whole[:cut]):
        assert message


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path, word in ((tmp_path / "absent.yaml", "No such file"), (tmp_path, "directory")):
        with pytest.raises(ConfigError) as found:
            load_rollout(path, DaemonFacts())
        assert found.value.problems[0].place == str(path)
        assert word in found.value.problems[0].message


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(b"rollout: caf\xe9\n")
    with pytest.raises(ConfigError, match="is not UTF-8"):
        load_rollout(path, DaemonFacts())


# The frozen rule


def test_the_sha256_is_that_of_the_files_bytes(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes((HEAD + RAMP + OBJECTIVES).replace("\n", "\r\n").encode())
    assert load_rollout(path, DaemonFacts()).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_comment_changes_the_text_and_not_the_resolved_rule() -> None:
    one, other = load(HEAD + RAMP + OBJECTIVES), load("# why\n" + HEAD + RAMP + OBJECTIVES)
    assert one.resolved == other.resolved
    assert one.sha256 != other.sha256


@pytest.mark.parametrize("path", sorted((rules_directory() / "rollouts").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_resolved_rule_rebuilds_the_examples_exactly(path: Path) -> None:
    rollout = load_rollout(path, DaemonFacts(propagation=1.0))
    assert rollout_from_resolved(rollout.resolved, rollout.text) == rollout


def seconds(least: int, most: int) -> st.SearchStrategy[str]:
    return st.integers(least, most).map(lambda number: f"{number}s")


shares = st.integers(1, 400_000).map(lambda millionths: f"{millionths / 10_000:.4f}%")
limits = st.floats(-1e9, 1e9).map(lambda number: f"{number:.9f}")
comparisons = st.sampled_from(["at_most", "below"])


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Rollouts of many shapes, all valid."""
    interval = draw(st.integers(1, 120))
    detector = draw(
        st.sampled_from(
            ["sequential: {rollback_above: 1.25}", f"confirm: {{every: {interval * 120}s}}", "confirm: 2 of 7"]
        )
    )
    ramp = draw(
        st.sampled_from(
            [
                "{strategy: all_at_once}",
                "{strategy: percentage, from: 5, to: 12.345%}",
                "{strategy: canary, cohort: [ä, 'b c'], cohort_for: 1h, over: 3.5h, every: 20m}",
                "{strategy: progressive, over: 10000s, every: 777s}",
                "{steps: [{percent: 0.001, for: 1h}, {percent: 3}]}",
            ]
        )
    )
    return "\n".join(
        [
            HEAD,
            f"ramp: {ramp}",
            f"interval: {interval}",
            f"delay: {draw(seconds(0, 500))}",
            f"mode: {draw(st.sampled_from(['act', 'observe']))}",
            f"start_at: {draw(st.sampled_from(['null', '2026-11-22T09:00:00.125+05:30']))}",
            f"window: {{slices: {draw(st.integers(1, 100))}, slice: {interval * draw(st.integers(1, 100))}}}",
            f"false_rollback: {draw(shares)}",
            f"late_breach: {draw(st.sampled_from(['rollback', 'hold']))}",
            "rollback: {within: 30d}",
            "waive: {dead_service: 'because \"it\" is', preflight: ünïcode}",
            "cohorts: {exposed: 'v=\"on\"'}" if draw(st.booleans()) else "",
            "objectives:",
            "  - name: events",
            "    bad: b[$range]",
            "    total: t[$range]",
            f"    {draw(comparisons)}: {draw(shares)}",
            f"    {detector}",
            f"    pool: {draw(st.sampled_from(['slice', 'window']))}",
            f"    no_data: {draw(st.sampled_from(['unknown', 'fail']))}",
            f"  - {{name: number, value: v, above: {draw(limits)}, on_breach: hold}}",
            "  - {name: own, internal: flag_ramp}",
        ]
    )


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(texts(), st.floats(0.5, 30), st.floats(0, 60))
def test_every_rule_survives_the_ledger_exactly(text: str, scrape: float, propagation: float) -> None:
    rollout = load(text, DaemonFacts(scrape_interval=scrape, propagation=propagation))
    again = rollout_from_resolved(rollout.resolved, rollout.text)
    assert again == rollout
    assert [type(o.detector) for o in again.objectives] == [type(o.detector) for o in rollout.objectives]
    assert json.loads(rollout.resolved) == json.loads(json.dumps(json.loads(rollout.resolved), sort_keys=True))


@pytest.mark.parametrize(
    "damaged", ["", "[]", "{", '{"name": 5}', '{"surprise": 1}', '{"objectives": [{"detector": {}}]}']
)
def test_a_damaged_rule_of_the_ledger_is_refused(damaged: str) -> None:
    with pytest.raises(ConfigError, match="resolved rule"):
        rollout_from_resolved(damaged, "")


# Rings, other services, emergency flags

TEAMS = DaemonFacts(audiences=frozenset({"beta", "internal"}), services=frozenset({"edge", "mobile"}))


@pytest.mark.parametrize(
    ("steps", "place", "words"),
    [
        (
            "[{audience: staff, for: 1h}, {percent: 5}]",
            "ramp.steps[0].audience",
            "'staff', which is not defined; audiences are defined in watchdog.yaml under flags.audiences (beta, int",
        ),
        ("[{audience: [], for: 1h}, {percent: 5}]", "ramp.steps[0].audience", "empty list"),
        ("[{audience: [beta, beta], for: 1h}, {percent: 5}]", "ramp.steps[0].audience", "'beta' twice"),
        (
            "[{audience: beta, for: 1h}, {audience: beta, for: 1h}, {percent: 5}]",
            "ramp.steps[1].audience",
            "'beta', who has the feature already",
        ),
        ("[{audience: beta}, {percent: 5}]", "ramp.steps[0].for", "is missing"),
        ("[{percent: 5, for: 1h}, {audience: beta}]", "ramp.steps[1].percent", "where the ramp ends"),
        (
            "[{percent: 5, for: 1h}, {audience: beta, percent: 5}]",
            "ramp.steps[1].percent",
            "is 5, not above the step before (5)",
        ),
        (
            "[{percent: 5, for: 1h}, {audience: beta, percent: 4, for: 1h}, {percent: 6}]",
            "ramp.steps[1].percent",
            "is 4, below the step before (5)",
        ),
        ("[{percent: 5, for: 1h}, {for: 1h}, {percent: 6}]", "ramp.steps[1].percent", "is missing"),
        (
            "[{audience: 7d, for: 1h, cohort: [a]}, {percent: 6}]",
            "ramp.steps[0].audience",
            "'7d', which is not defined",
        ),
    ],
)
def test_a_ring_that_makes_no_sense_is_refused(steps: str, place: str, words: str) -> None:
    found = problems(with_ramp(f"{{steps: {steps}}}"), TEAMS)
    assert found[0][0] == f"r.yaml: {place}", found
    assert words in found[0][1], found


def test_an_audience_after_everybody_is_refused() -> None:
    found = problems(with_ramp("{steps: [{percent: 100, for: 1h}, {audience: beta, percent: 100}]}"), TEAMS)
    assert ("r.yaml: ramp.steps[1].audience", "adds nobody: the step before exposes 100 %") in found


def test_where_no_audience_is_defined_the_refusal_says_so() -> None:
    text = with_ramp("{steps: [{audience: beta, for: 1h}, {percent: 100}]}")
    refused(text, "ramp.steps[0].audience", "under flags.audiences (none yet)")


def test_a_service_that_cannot_target_refuses_rings_and_canaries() -> None:
    narrow = replace(TEAMS, supports_audiences=False, supports_cohort=False)
    text = with_ramp("{steps: [{audience: beta, for: 1h}, {percent: 100}]}")
    refused(text, "ramp.steps[0].audience", "the flag service cannot target any", facts=narrow)
    canary = "{strategy: canary, cohort: [qa], cohort_for: 1h, over: 1d, every: 1h}"
    refused(with_ramp(canary), "ramp.strategy", "which the flag service cannot; write progressive", facts=narrow)


def test_a_ramp_that_the_service_cannot_begin_or_end_is_refused() -> None:
    whole = DaemonFacts(smallest_step=1.0)
    end = "is 12.5 %, but the flag service serves steps of 1 %"
    refused(with_ramp("{strategy: percentage, to: 12.5}"), "ramp.to", end, facts=whole)
    refused(with_ramp("{steps: [{percent: 1, for: 1h}, {percent: 12.5}]}"), "ramp.steps", end, facts=whole)
    refused(with_ramp("{strategy: all_at_once, from: 0.5}"), "ramp.from", "is 0.5 %", facts=whole)


def test_also_names_flags_of_other_services_and_the_frozen_rule_keeps_them() -> None:
    text = with_keys("also: [edge, {service: mobile, flag: new-basket}, {service: edge, flag: other}]")
    rollout = load(text, TEAMS)
    assert rollout.also == (
        Secondary("edge", rollout.flag),
        Secondary("mobile", "new-basket"),
        Secondary("edge", "other"),
    )
    assert rollout_from_resolved(rollout.resolved, text) == rollout
    assert load(with_keys("also: []"), TEAMS).also == ()


@pytest.mark.parametrize(
    ("also", "place", "words"),
    [
        ("edge", "also", "expected a list"),
        ("[egde]", "also[0].service", "unknown service 'egde'; did you mean 'edge'?; services are defined in"),
        ("[{flag: x}]", "also[0].service", "is missing"),
        ("[{service: edge, flags: x}]", "also[0].flags", "unknown key"),
        ("[{service: edge, flag: 'a b'}]", "also[0].flag", "expected letters"),
        ("[edge, {service: edge}]", "also[1]", "again; name each once"),
        ("[[edge]]", "also[0].service", "expected text"),
    ],
)
def test_an_also_that_names_nothing_is_refused(also: str, place: str, words: str) -> None:
    refused(with_keys(f"also: {also}"), place, words, facts=TEAMS)


def test_an_objective_can_name_the_emergency_flag_that_its_breach_switches_on() -> None:
    lines = (
        "name: orders",
        "bad: orders_bad[$range]",
        "total: orders[$range]",
        "at_most: 1%",
        "emergency: ops.read-only",
    )
    text = with_objective("\n".join(lines))
    rollout = load(text)
    assert rollout.objective("orders").emergency == "ops.read-only"
    assert rollout_from_resolved(rollout.resolved, text) == rollout
    assert all(objective.emergency is None for objective in rollout.objectives[:-1])
    wrong = text.replace("ops.read-only", "ops.panic")
    refused(wrong, "objectives[1].emergency", "'ops.panic'", "ops.shutdown or ops.read-only or ops.maintenance")


def test_a_rings_frozen_rule_is_read_again_exactly() -> None:
    text = with_ramp("{steps: [{audience: [internal, beta], for: 1h}, {percent: 10, for: 1d}, {percent: 100}]}")
    rollout = load(text, TEAMS)
    assert rollout.ramp.steps[0].exposure.audiences == ("beta", "internal")
    assert rollout_from_resolved(rollout.resolved, text) == rollout
