"""Our own metrics: every promised one is there, promtool finds no fault, and nothing is counted twice."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.servers import binary
from watchdog.metrics import Metrics

ROOT = Path(__file__).parent.parent
PROMISED = [
    "build_info",
    "last_slot_timestamp_seconds",
    "evaluations_total",
    "slots_backfilled_total",
    "query_duration_seconds",
    "query_errors_total",
    "source_sample_age_seconds",
    "window_slices_passed",
    "window_resets_total",
    "flag_percent_desired",
    "flag_percent_actual",
    "breaches_total",
    "rollbacks_total",
    "rollback_seconds",
    "notifications_total",
    "notifications_unsent",
    "notification_oldest_age_seconds",
    "notification_channel_paused",
    "job_errors_total",
    "leader",
    "rollout_info",
    "rollout_waiting_seconds",
    "deadman_pings_total",
]
DETECTED, DECIDED, ACTED, CONFIRMED, RECOVERED = (
    "2026-11-22T09:00:00Z",
    "2026-11-22T09:00:00.250Z",
    "2026-11-22T09:00:01.250Z",
    "2026-11-22T09:00:01.500Z",
    "2026-11-22T09:05:01.500Z",
)


def status(**changes: Any) -> dict[str, Any]:
    """The part of a `status --json` object that metrics read."""
    return {
        "phase": "soaking",
        "hold": None,
        "exposure": {"desired": 25.0, "actual": 25.0},
        "window": {"required": 48, "current": 7, "resets": []},
        "objectives": [{"name": "error_rate"}],
        "rollback": None,
    } | changes


def rolled_back(**stamps: str) -> dict[str, Any]:
    blank = dict.fromkeys(("acted_at", "confirmed_at", "recovered_at"))
    rollback = {"cause": "error_rate", "detected_at": DETECTED, "decided_at": DECIDED, **blank, **stamps}
    return status(phase="rolled_back", rollback=rollback)


def reset(at: str) -> dict[str, Any]:
    resets = [{"at": at, "objective": "error_rate", "why": "a bad slice"}]
    return status(window={"required": 48, "current": 0, "resets": resets})


def full() -> Metrics:
    """Everything told once."""
    metrics = Metrics()
    metrics.build("0.1.0")
    metrics.set_leader(leader=True)
    stamped = rolled_back(acted_at=ACTED, confirmed_at=CONFIRMED, recovered_at=RECOVERED)
    stamped["window"] = reset(DETECTED)["window"]
    metrics.set_rollout("a", "checkout", "new-checkout", "2.14.0")
    metrics.set_waiting("a", 30.0)
    metrics.on_deadman("ok")
    metrics.on_tick("a", stamped, [("error_rate", "fail", None)], 2, 1_700_000_000, [("error_rate", 1_699_999_980)])
    metrics.on_query(0.03)
    metrics.on_query(5.0, "unreachable")
    metrics.on_sample_age("a", 12.5)
    metrics.channels(["slack"])
    metrics.on_notification("slack", "sent")
    metrics.set_unsent(3, 42.0)
    metrics.on_job_error("a", "missed")
    metrics.on_http_error()
    metrics.on_flag("flags", "new-checkout", 25.0)
    metrics.on_flag("emergency", "ops.shutdown", 100.0)
    metrics.on_flag_change("watchdog", "set", "applied")
    metrics.set_flag_journal(2)
    return metrics


def samples(metrics: Metrics) -> dict[str, float]:
    """What is exposed, without the process metrics and the buckets: name{labels} -> value."""
    lines = metrics.exposition().decode().splitlines()
    pairs = (line.rpartition(" ") for line in lines if line.startswith("slo_watchdog_") and "_bucket{" not in line)
    return {name.removeprefix("slo_watchdog_"): float(value) for name, _, value in pairs}


def families(metrics: Metrics) -> set[str]:
    return set(re.findall(r"^# TYPE slo_watchdog_(\S+)", metrics.exposition().decode(), re.MULTILINE))


@pytest.mark.parametrize("metrics", [Metrics(), full()], ids=["empty", "full"])
def test_promtool_finds_no_fault(metrics: Metrics) -> None:
    command = [binary("promtool"), "check", "metrics"]
    done = subprocess.run(command, input=metrics.exposition(), capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stdout.decode() + done.stderr.decode()) == (0, "")


@pytest.mark.parametrize("name", PROMISED)
def test_every_promised_metric_is_there_from_the_start(name: str) -> None:
    assert name in families(Metrics())


def test_every_metric_has_its_line_in_the_docs_and_the_reverse() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `slo_watchdog_(\w+)`", page, re.MULTILINE))
    assert documented == families(full())


def test_a_tick_sets_what_the_status_says() -> None:
    metrics = Metrics()
    metrics.on_tick(
        "a", status(), [("error_rate", "pass", None), ("error_rate", "unknown", "no_data")], 3, 1_700_000_000
    )
    found = samples(metrics)
    assert found['last_slot_timestamp_seconds{rollout="a"}'] == 1_700_000_000
    assert found['evaluations_total{objective="error_rate",reason="",rollout="a",verdict="pass"}'] == 1
    assert found['evaluations_total{objective="error_rate",reason="no_data",rollout="a",verdict="unknown"}'] == 1
    assert found['slots_backfilled_total{rollout="a"}'] == 3
    assert (found['window_slices_passed{rollout="a"}'], found['window_slices_required{rollout="a"}']) == (7, 48)
    assert (found['flag_percent_desired{rollout="a"}'], found['flag_percent_actual{rollout="a"}']) == (25, 25)
    assert found['rollout_on_hold{rollout="a"}'] == 0
    phases = {name: value for name, value in found.items() if name.startswith("rollout_phase")}
    assert [name for name, value in phases.items() if value] == ['rollout_phase{phase="soaking",rollout="a"}']
    assert len(phases) == 7


def test_counters_of_a_rollout_begin_at_zero_so_that_a_first_time_is_an_increase() -> None:
    metrics = Metrics()
    metrics.on_tick("a", status(), [], 0, None)
    found = samples(metrics)
    assert found['breaches_total{objective="error_rate",rollout="a"}'] == 0
    assert found['window_resets_total{objective="error_rate",rollout="a"}'] == 0
    assert found['rollbacks_total{result="confirmed",rollout="a"}'] == 0


def test_a_flag_that_was_not_read_has_no_percentage_rather_than_an_old_one() -> None:
    metrics = Metrics()
    metrics.on_tick("a", status(), [], 0, None)
    metrics.on_tick("a", status(exposure={"desired": 25.0, "actual": None}), [], 0, None)
    assert [name for name in samples(metrics) if name.startswith("flag_percent_actual")] == []
    metrics.on_tick("a", status(), [], 0, None)
    assert samples(metrics)['flag_percent_actual{rollout="a"}'] == 25


def test_a_hold_is_seen() -> None:
    metrics = Metrics()
    metrics.on_tick(
        "a", status(hold={"cause": "operator", "by": "ada", "since": DETECTED, "why": "lunch"}), [], 0, None
    )
    assert samples(metrics)['rollout_on_hold{rollout="a"}'] == 1


def test_a_reset_a_breach_and_a_rollback_count_once_however_many_ticks_tell_of_them() -> None:
    metrics = Metrics()
    told = rolled_back(acted_at=ACTED, confirmed_at=CONFIRMED)
    told["window"] = reset(DETECTED)["window"]
    for _ in range(5):
        metrics.on_tick("a", told, [], 0, None, [("error_rate", 1_700_000_000)])
    found = samples(metrics)
    assert found['window_resets_total{objective="error_rate",rollout="a"}'] == 1
    assert found['breaches_total{objective="error_rate",rollout="a"}'] == 1
    assert found['rollbacks_total{result="confirmed",rollout="a"}'] == 1
    assert found['rollbacks_total{result="recovered",rollout="a"}'] == 0
    assert found['rollback_seconds_count{rollout="a",stage="act"}'] == 1


def test_what_comes_later_counts_as_well() -> None:
    metrics = Metrics()
    metrics.on_tick("a", reset(DETECTED), [], 0, None, [("error_rate", 60)])
    metrics.on_tick("a", reset(CONFIRMED), [], 0, None, [("error_rate", 60), ("error_rate", 120)])
    found = samples(metrics)
    assert found['window_resets_total{objective="error_rate",rollout="a"}'] == 2
    assert found['breaches_total{objective="error_rate",rollout="a"}'] == 2


def test_a_withdrawn_reset_does_not_hide_the_next_one() -> None:
    metrics = Metrics()
    for told in (reset(DETECTED), status(), reset(CONFIRMED)):
        metrics.on_tick("a", told, [], 0, None)
    assert samples(metrics)['window_resets_total{objective="error_rate",rollout="a"}'] == 2


def test_after_a_restart_the_past_is_no_increase() -> None:
    told = rolled_back(acted_at=ACTED, confirmed_at=CONFIRMED, recovered_at=RECOVERED)
    told["window"] = reset(DETECTED)["window"]
    before, after = Metrics(), Metrics()
    name = 'rollbacks_total{result="confirmed",rollout="b"}'
    before.on_tick("b", told, [], 0, None, [("error_rate", 60)])
    assert name not in samples(after)  # absent, not 0: from 0 to 1 would look like a second rollback
    after.on_tick("a", status(), [], 0, None)
    assert name not in samples(after)
    after.on_tick("b", told, [], 0, None, [("error_rate", 60)])
    own = {key: value for key, value in samples(after).items() if 'rollout="b"' in key}
    assert own == {key: value for key, value in samples(before).items() if 'rollout="b"' in key}


def test_the_stages_of_a_rollback_are_timed_from_stamp_to_stamp_as_they_come() -> None:
    metrics = Metrics()
    expected = {"decide": 0.25, "act": 1.0, "confirm": 0.25, "recover": 300.0}
    stamps = {"acted_at": ACTED, "confirmed_at": CONFIRMED, "recovered_at": RECOVERED}
    for number in range(4):
        metrics.on_tick("a", rolled_back(**dict(list(stamps.items())[:number])), [], 0, None)
        found = samples(metrics)
        timed = {stage: found.get(f'rollback_seconds_sum{{rollout="a",stage="{stage}"}}') for stage in expected}
        done = list(expected)[: number + 1]
        assert timed == {stage: pytest.approx(expected[stage]) if stage in done else 0.0 for stage in expected}


def test_queries_are_timed_and_their_failures_counted_by_reason() -> None:
    found = samples(full())
    assert found["query_duration_seconds_count"] == 2
    assert found["query_duration_seconds_sum"] == pytest.approx(5.03)
    assert found['query_errors_total{reason="unreachable"}'] == 1


def test_channels_count_from_zero() -> None:
    found = samples(full())
    assert found['notifications_total{channel="slack",result="sent"}'] == 1
    assert found['notifications_total{channel="slack",result="failed"}'] == 0
    assert (found["notifications_unsent"], found["notification_oldest_age_seconds"]) == (3, 42)


def test_two_sets_of_metrics_do_not_know_each_other() -> None:
    one, other = Metrics(), Metrics()
    one.on_http_error()
    assert samples(other)["http_errors_total"] == 0
