"""Alert noise. Do alerts wake people for nothing, and which ones do."""

from __future__ import annotations

from boards import looks, promql
from boards.layout import Board
from boards.panels import About, lines, number
from boards.promql import EVERYWHERE, SERVICE, at
from boards.tables import TEXT, Column, firing_table, grid, severities
from boards.variables import datasource, environment, rollouts, service

LIMIT = promql.objective("objective:value", "alert_noise")
UPPER = f"max by (environment, service) ({at('slo_watchdog_alert_noise_upper', EVERYWHERE, SERVICE)})"
LOWER = f"max by (environment, service) ({at('slo_watchdog_alert_noise_lower', EVERYWHERE, SERVICE)})"
DAY = "alertname_severity:firing_episodes:count24h"
HOUR = "alertname_severity:firing_episodes:count1h"
CRITICAL = f'sum({DAY}{{severity="critical"}}) or vector(0)'


def build() -> Board:
    """The dashboard."""
    tells = (
        "Pages of 24 h and what they turned out to be: false alarms against their limit, precision, recall, flapping."
    )
    variables = (datasource(), environment(), service(), rollouts())
    board = Board("slo-noise", "Alert noise", tells, *variables, since="now-24h")
    _now(board)
    _false_alarms(board)
    _alerts(board)
    return board


def _now(board: Board) -> None:
    read = "See docs/noise.md."
    precision = f"min({at('slo_watchdog_alert_precision', EVERYWHERE, SERVICE)})"
    recall = f"min({at('slo_watchdog_alert_recall', EVERYWHERE, SERVICE)})"
    heard = f"time() - max({at('slo_watchdog_alerts_last_heard_timestamp_seconds', EVERYWHERE)})"
    noise = ("AlertNoiseHigh",)
    share = About(
        "False alarms of the limit",
        "The worst service; from 100 % on the objective is missed.",
        "percentunit",
        "no page in 24 h",
        noise,
        0,
    )
    false = About("False alarms, 24 h", f"Upper count of the worst service. {read}", "short", "no page in 24 h", noise)
    pages = About("Pages, 24 h", "Firings of critical alerts in Prometheus.", "short", "none", noise, 0)
    right = About(
        "Precision", f"True pages of all classified, of the worst service. {read}", "percentunit", "none classified"
    )
    seen = About(
        "Recall", f"Breaches with a page of all breaches, of the worst service. {read}", "percentunit", "no breach"
    )
    quiet = About(
        "Alertmanager heard", "How long ago; beyond alerts.heartbeat nobody can tell what fired.", "s", "never", (), 0
    )
    board.line(
        4,
        (number(share, f"max({UPPER}) / {LIMIT}", thresholds=looks.BELOW_ONE_IS_GOOD), 4),
        (number(false, f"max({UPPER})"), 4),
        (number(pages, CRITICAL), 4),
        (number(right, precision), 4),
        (number(seen, recall), 4),
        (number(quiet, heard), 4),
    )


def _false_alarms(board: Board) -> None:
    against = About(
        "False alarms of 24 h, against the limit",
        "upper: false, or unclassified for too long; it is what the objective judges. lower: certainly false.",
        "short",
        "no page in 24 h",
        ("AlertNoiseHigh",),
    )
    classes = About("Pages of 24 h by class", "What the pages turned out to be, by who sent them.", "short", "no page")
    found = f"max by (source, class) ({at('slo_watchdog_alert_episodes', EVERYWHERE)})"
    board.line(
        8,
        (
            lines(
                against,
                (UPPER, "upper {{service}}"),
                (LOWER, "lower {{service}}"),
                (LIMIT, "limit"),
                style="steps",
            ),
            12,
        ),
        (lines(classes, (found, "{{class}} ({{source}})"), colours=looks.CLASS_COLOURS, style="bars"), 12),
    )
    quality = About(
        "Precision and recall", "Of the last 24 h; absent while there is nothing to divide by.", "percentunit", "none"
    )
    pages = About(
        "Pages of 24 h in Prometheus",
        "How often critical alerts began to fire. Dashed: what a person can still look into.",
        "short",
        "none",
        ("AlertNoiseHigh",),
    )
    precision = f"max by (service) ({at('slo_watchdog_alert_precision', EVERYWHERE, SERVICE)})"
    recall = f"max by (service) ({at('slo_watchdog_alert_recall', EVERYWHERE, SERVICE)})"
    board.line(
        7,
        (lines(quality, (precision, "precision {{service}}"), (recall, "recall {{service}}"), most=1), 12),
        (lines(pages, (CRITICAL, "pages"), ("max(slo:pages_a_day:count)", "limit"), style="steps"), 12),
    )


def _alerts(board: Board) -> None:
    board.section("Which alerts")
    flapping = About(
        "Firings within an hour",
        "An alert that comes and goes needs a longer range, a for, or a repair.",
        "short",
        "nothing fired",
        ("AlertFlapping",),
    )
    top = About(
        "Alerts of 24 h", "How often each alert began to fire. A click opens its runbook.", empty="nothing fired"
    )
    now = About("Alerts that fire", "The worst first.", empty="nothing fires")
    columns = [
        Column("Severity", label="severity", cell=TEXT, mappings=severities(), width=95),
        Column("Alert", label="alertname", url="/runbooks/${__value.text}", says="Runbook of ${__value.text}"),
        Column("Last hour", expr=HOUR, unit="short", decimals=0, width=100),
        Column("24 h", expr=DAY, unit="short", decimals=0, width=90),
    ]
    board.line(
        8,
        (
            lines(
                flapping, (HOUR, "{{alertname}} ({{severity}})"), ("max(slo:alert_flaps:count)", "limit"), style="steps"
            ),
            8,
        ),
        (grid(top, *columns, sort="24 h", descending=True), 8),
        (firing_table(now, promql.firing(SERVICE), "service"), 8),
    )
