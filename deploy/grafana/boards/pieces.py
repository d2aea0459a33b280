"""Panels that stand on more than one dashboard."""

from __future__ import annotations

from grafana_foundation_sdk.builders import barchart, timeseries

from boards import looks, promql
from boards.panels import About, bars, lines
from boards.promql import ROLLOUT, at


def stages(about: About) -> barchart.Panel:
    """What each stage of the chosen rollouts' rollbacks took, beside what the alerts allow."""
    total = at("slo_watchdog_rollback_seconds_sum", ROLLOUT)
    count = at("slo_watchdog_rollback_seconds_count", ROLLOUT)
    took = f"sum by (stage) ({total}) / (sum by (stage) ({count}) > 0)"
    limit = f"{promql.stage_limits()} and on (stage) {count}"
    colours = {"took": looks.BLUE, "limit": looks.VERMILLION}
    return bars(about, "stage", (took, "took"), (limit, "limit"), colours=colours)


def results(about: About, by: str, legend: str) -> timeseries.Panel:
    """Rollbacks by what became of them."""
    counted = f"sum by ({by}) ({at('slo_watchdog_rollbacks_total', ROLLOUT)})"
    return lines(about, (counted, legend), colours=looks.RESULT_COLOURS, style="steps")


def excess(about: About) -> timeseries.Panel:
    """Percentage points that flags read above or below what was asked for."""
    return lines(
        about,
        (at("environment_rollout:slo_watchdog_flag_excess:percent", ROLLOUT), "{{rollout}}"),
        ("max(slo:exposure_tolerance:percent)", "limit: above"),
        ("-max(slo:exposure_tolerance:percent)", "limit: below"),
        least=None,
        style="steps",
    )
