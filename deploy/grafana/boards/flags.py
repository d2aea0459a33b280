"""The flags. Who gets what, who changed it, and how fast does a change arrive."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig

from boards import looks, pieces
from boards.layout import Board
from boards.panels import About, Placeable, bars, lines, number, states
from boards.promql import EVERYWHERE, ROLLOUT, at, best
from boards.tables import Column, grid
from boards.variables import datasource, environment, flags, rollouts, service

CHANGES = "slo_watchdog_flag_changes_total"
FLAG = 'flag=~"$flag"'
EMERGENCY = f"max by (environment, flag) ({at('slo_watchdog_emergency_flag', EVERYWHERE)})"
JOURNAL = f"max by (environment, job) ({at('slo_watchdog_flag_audit_journal_entries', EVERYWHERE)})"
SERVING = at("slo_watchdog_serving_up", EVERYWHERE)
EXCESS = at("environment_rollout:slo_watchdog_flag_excess:percent", ROLLOUT)


def build() -> Board:
    """The dashboard."""
    tells = "Percentages, emergency flags, changes by who made them, propagation, drift and the audit journal."
    variables = (datasource(), environment(), service(), rollouts(), flags())
    board = Board("slo-flags", "Flags", tells, *variables, since="now-24h")
    _now(board)
    _percentages(board)
    _changes(board)
    _speed(board)
    return board


def _now(board: Board) -> None:
    active = f"{at('environment_rollout:slo_watchdog_rollout_active:bool', ROLLOUT)} == 1"
    unread = f"count({active} unless on (environment, rollout) {best('slo_watchdog_flag_percent_actual')}) or vector(0)"
    drift = (
        f"count(abs({EXCESS}) > on () group_left () slo:exposure_tolerance:percent "
        f"and on (environment, rollout) {active}) or vector(0)"
    )

    def changes(matcher: str) -> str:
        return f"sum(increase({at(CHANGES, EVERYWHERE, matcher)}[24h])) or vector(0)"

    external, failed = changes('actor_kind="external"'), changes('result="failed"')
    on = f"sum({EMERGENCY}) or vector(0)"
    bad, odd = looks.ZERO_IS_GOOD, looks.ZERO_IS_CALM
    board.line(
        4,
        _figure("Emergency flags on", "Services refuse work on purpose while one is on.", on, bad, "EmergencyFlagOn"),
        _figure("Flags nobody can read", "Of active rollouts: nothing could be seen.", unread, bad, "FlagServiceDown"),
        _figure("Drift", "Active rollouts whose flag does not read what it should.", drift, odd, "RolloutFlagDrift"),
        _figure("Changes from outside, 24 h", "Made elsewhere.", external, odd, "FlagChangedExternally"),
        _figure("Failed changes, 24 h", "What a flag service did not do.", failed, odd, "FlagChangeFailed"),
        _figure("Waiting for the ledger", "Changes in the journal only.", f"sum({JOURNAL})", bad, "FlagAuditBroken"),
    )


def _figure(title: str, tells: str, expr: str, thresholds: ThresholdsConfig, alert: str) -> tuple[Placeable, int]:
    return number(About(title, tells, runbooks=(alert,), decimals=0), expr, thresholds=thresholds), 4


def _percentages(board: Board) -> None:
    percent = f"max by (environment, flag, service) ({at('slo_watchdog_flag_percent', EVERYWHERE, FLAG)})"
    exposure = About("Percentage of each flag", "What a flag last read, of any service; on for nobody is 0.", "percent")
    now = About("Flags now", "Where each flag lives and what it reads.", empty="no flag has been read")
    emergency = About(
        "Emergency flags", "On means that a service refuses work.", empty="none", runbooks=("EmergencyFlagOn",)
    )
    drift = About(
        "Drift over time",
        "Percentage points that a flag reads above (or below) what was asked for. Dashed: what rounding explains.",
        "percent",
        runbooks=("RolloutFlagDrift", "RolloutExposureAbovePlan"),
    )
    columns = [
        Column("Flag", label="flag"),
        Column("Lives in", label="service"),
        Column("Percent", expr=percent, unit="percent"),
    ]
    board.line(
        8,
        (lines(exposure, (percent, "{{flag}} ({{service}})"), most=100, style="steps"), 16),
        (grid(now, *columns, sort="Percent", descending=True), 8),
    )
    board.line(
        7,
        (states(emergency, EMERGENCY, "{{flag}}", looks.yes_no("on", "off", good=False)), 12),
        (pieces.excess(drift), 12),
    )


def _changes(board: Board) -> None:
    board.section("Changes")
    empty = "no change"
    when = About("Changes over time", "Tried and found, by who and what came of it.", "short", empty, decimals=0)
    who = About(
        "Changes of the range, by who and what",
        "watchdog: rollouts; operator: commands, API; external: made elsewhere. Results: docs/flags/audit.md.",
        "short",
        empty,
        ("FlagChangedExternally", "FlagChangeFailed"),
        0,
    )

    def result(name: str) -> str:
        of = at(CHANGES, EVERYWHERE, f'result="{name}"')
        by = f"sum by (actor_kind, action) (increase({of}[$__range]))"
        return f'sum by (change) (label_join({by}, "change", " ", "actor_kind", "action"))'

    results = ("applied", "unchanged", "found", "failed")
    rate = f"sum by (actor_kind, result) (increase({at(CHANGES, EVERYWHERE)}[$__rate_interval]))"
    board.line(
        8,
        (lines(when, (rate, "{{actor_kind}} {{result}}"), colours=looks.ACTOR_COLOURS, style="bars"), 12),
        (bars(who, "change", *((result(one), one) for one in results), colours=looks.RESULT_COLOURS, stacked=True), 12),
    )
    _journal(board)


def _journal(board: Board) -> None:
    journal = About(
        "Audit journal",
        "Changes that wait for the ledger; raises are refused meanwhile.",
        runbooks=("FlagAuditBroken",),
    )
    serving = About(
        "Readers of flags are answered",
        "The process behind serve.listen, by its address.",
        empty="serve.listen is not set",
        runbooks=("FlagServingDown",),
    )
    board.line(
        6,
        (lines(journal, (JOURNAL, "{{job}}"), style="steps"), 12),
        (
            states(
                serving,
                f"min by (address) ({SERVING})",
                "{{address}}",
                looks.yes_no("answers", "closed", good=True),
            ),
            12,
        ),
    )


def _speed(board: Board) -> None:
    board.section("How fast")
    confirm = 'stage="confirm"'
    total = f"sum by (rollout) ({at('slo_watchdog_rollback_seconds_sum', ROLLOUT, confirm)})"
    count = f"(sum by (rollout) ({at('slo_watchdog_rollback_seconds_count', ROLLOUT, confirm)}) > 0)"
    limit = ("max(slo:flag_propagation:seconds)", "limit")
    propagation = About(
        "Propagation",
        "From the flag written to the flag read back, the mean of a rollout. Dashed: what the alert allows.",
        "s",
        "no rollback",
        ("FlagPropagationSlow",),
    )
    stages = About(
        "Stages of rollbacks", "Mean of the chosen rollouts, beside what the alerts allow.", "s", "no rollback"
    )
    results = About("Rollbacks", "confirmed: the flag reads it; recovered: the breach has closed.", "short", "none")
    board.line(
        7,
        (lines(propagation, (f"{total} / {count}", "{{rollout}}"), limit, style="steps"), 8),
        (pieces.stages(stages), 8),
        (pieces.results(results, "rollout, result", "{{result}} {{rollout}}"), 8),
    )
