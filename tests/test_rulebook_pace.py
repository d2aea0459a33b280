"""The same rules in less time: what becomes shorter, what stays, and the sources of the drill in deploy/stack/fast."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.servers import binary
from watchdog.errors import ConfigError
from watchdog.rulebook import Links, generate, read_sources
from watchdog.rulebook.model import Group, Rule
from watchdog.rulebook.pace import paced

FAST = Path(__file__).parent.parent / "deploy" / "stack" / "fast"
DRAWN_OUT = {"step_wait", "tests_every", "hold_for", "recovery", "window_growth", "sign_off", "late"}
SPAN = re.compile(r"(?<=\[)\w+(?=[\]:])|(?<=offset )\w+")


def shortened(expr: str, faster: int = 30, hold: str = "") -> tuple[str, str]:
    """An expression and its `for`, so many times faster."""
    (group,) = paced([Group("g", 30, (Rule(expr=expr, alert="A", hold=hold),))], faster)
    return group.rules[0].expr, group.rules[0].hold


def alerts(directory: Path | None) -> dict[tuple[str, str, str], dict[str, Any]]:
    files = generate(read_sources(directory), Links())
    rules = [rule for text in files.values() for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
    return {
        (rule["alert"], rule["labels"]["severity"], rule["labels"].get("budget", "")): rule
        for rule in rules
        if "alert" in rule
    }


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("rate(a_total[5m])", "rate(a_total[10s])"),
        ('sum(b{c="d"} offset 4h)', 'sum(b{c="d"} offset 480s)'),
        ("max_over_time(rate(a[1m])[1h:5m])", "max_over_time(rate(a[2s])[120s:10s])"),
        ("rate(a[15s])", "rate(a[500ms])"),
        ("x > bool (time() - 86400)", "x > bool (time() - 2880)"),
        ("time() - process_start_time_seconds < 900", "time() - process_start_time_seconds < 30"),
        ("300 * job:a:rate5m", "10 * job:a:rate5m"),
        ("3600 * avg_over_time(job:a:rate5m[1h])", "120 * avg_over_time(job:a:rate5m[120s])"),
        ("last_over_time(job:a:increase1d[1h] offset 48h)", "last_over_time(job:a:increase1d[120s] offset 5760s)"),
        # Not seconds: a factor, a number of five minutes, text.
        ("4 * sum by (job) (increase(a[6h]))", "4 * sum by (job) (increase(a[720s]))"),
        ("12 * avg_over_time(job:a:count5m[1h])", "12 * avg_over_time(job:a:count5m[120s])"),
        ('label_replace(a, "b", "[5m] offset 1h", "", "")', 'label_replace(a, "b", "[5m] offset 1h", "", "")'),
        ("a > 300", "a > 300"),
    ],
)
def test_only_time_becomes_shorter(written: str, expected: str) -> None:
    assert shortened(written)[0] == expected


def test_holds_and_intervals_become_shorter_but_nothing_is_evaluated_more_often_than_each_second() -> None:
    (group,) = paced([Group("g", 30, (Rule(expr="a", alert="A", hold="5m"),))], 60)
    assert (group.interval, group.rules[0].hold) == (1, "5s")


def test_at_their_own_pace_rules_stay_what_they_are() -> None:
    groups = [Group("g", 30, (Rule(expr="rate(a[5m])", alert="A", hold="5m"),))]
    assert paced(groups, 1) == groups


def test_the_drill_has_every_alert_of_the_pack_with_its_limits() -> None:
    fast, shipped = alerts(FAST), alerts(None)
    assert fast.keys() == shipped.keys()
    for key, rule in shipped.items():
        assert fast[key]["labels"] == rule["labels"]
        if "BudgetBurn" in key[0] or "description" not in rule["annotations"]:
            continue
        assert fast[key]["annotations"] == rule["annotations"]


def test_no_time_of_the_drill_is_left_as_it_was() -> None:
    """Everything that is read or waited for is over within minutes, but for the memory of a day or more."""
    for (alert, *_), rule in alerts(FAST).items():
        spans = [*SPAN.findall(rule["expr"]), *([rule["for"]] if "for" in rule else [])]
        for span in spans:
            assert span.endswith("s"), f"{alert}: {span}"
        assert "for" not in rule or float(rule["for"].removesuffix("s")) <= 90, alert


def test_only_the_drawn_out_thresholds_differ_from_the_shipped_ones() -> None:
    shipped = {threshold.key: threshold for threshold in read_sources(None).thresholds}
    for threshold in read_sources(FAST).thresholds:
        if threshold.key == "late_ticks":  # a count: rollouts that tick each second on a busy machine are often late
            assert threshold.number > shipped[threshold.key].number
        elif threshold.key in DRAWN_OUT:
            assert threshold.number < shipped[threshold.key].number
            assert threshold == replace(
                shipped[threshold.key], number=threshold.number, written=threshold.written, why=threshold.why
            )
        else:
            assert threshold == shipped[threshold.key]


def test_factors_of_the_drill_are_the_shipped_ones() -> None:
    def factors(directory: Path | None) -> list[tuple[int, str, float]]:
        return [
            (budget.period, burn.severity, float(budget.factor(burn)))
            for budget in read_sources(directory).windows.budgets
            for burn in budget.burns
        ]

    assert factors(FAST) == factors(None)


def test_recorded_durations_become_shorter_and_other_thresholds_do_not(tmp_path: Path) -> None:
    files = generate(read_sources(FAST), Links())
    (group,) = yaml.safe_load(files["thresholds.yaml"])["groups"]
    recorded = {rule["record"]: rule["expr"] for rule in group["rules"] if "labels" not in rule}
    assert recorded["slo:watchdog_blind:seconds"] == "vector(20)"
    assert recorded["slo:saturation:ratio"] == "vector(0.9)"
    assert "30 times shorter" in files["thresholds.yaml"]
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [binary("promtool"), "check", "rules", *(str(tmp_path / name) for name in files)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_one_threshold_of_ones_own_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "thresholds.yaml").write_text(
        'thresholds: {saturation: {record: "slo:saturation:ratio", value: 70%, why: Ours.}}\n'
    )
    own = {threshold.key: threshold for threshold in read_sources(tmp_path).thresholds}
    shipped = {threshold.key: threshold for threshold in read_sources(None).thresholds}
    assert own.pop("saturation").written == "0.7"
    assert own == {key: threshold for key, threshold in shipped.items() if key != "saturation"}


@pytest.mark.parametrize("faster", ["0", "0.5", "1000", "yes"])
def test_another_pace_is_refused(tmp_path: Path, faster: str) -> None:
    text = (FAST / "windows.yaml").read_text().replace("faster: 30", f"faster: {faster}")
    (tmp_path / "windows.yaml").write_text(text)
    with pytest.raises(ConfigError, match="faster"):
        read_sources(tmp_path)
