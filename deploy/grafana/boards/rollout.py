"""One rollout. How far it is, whether it is healthy, and what it waits for."""

from __future__ import annotations

from grafana_foundation_sdk.models.common import BigValueTextMode

from boards import looks, pieces, promql
from boards.layout import Board
from boards.panels import About, Placeable, bars, dial, lines, number, states
from boards.promql import ROLLOUT, at, best, grown, of_rollout, risen
from boards.tables import firing_table
from boards.variables import datasource, environment, one_rollout, service

EVALUATIONS = "slo_watchdog_evaluations_total"
DUE = "For how long the next step of the ramp has been due; 0 while it is not, and on hold."


def build() -> Board:
    """The dashboard."""
    tells = "One rollout: phase, exposure, window, its objectives against their limits, verdicts, breaches, rollback."
    board = Board("slo-rollout", "Rollout", tells, datasource(), environment(), service(), one_rollout())
    _now(board)
    _progress(board)
    _objectives(board)
    _verdicts(board)
    _rollback(board)
    return board


def _now(board: Board) -> None:
    window = f"{best('slo_watchdog_window_slices_passed')} / {best('slo_watchdog_window_slices_required')}"
    waits = best("slo_watchdog_rollout_waiting_seconds")
    late = f"time() - {best('slo_watchdog_last_slot_timestamp_seconds')}"
    phase = About("Phase", "Where the rollout is.")
    read = About("Exposure", "What the flag last read.", "percent")
    good = About("Window", "Good slices of those that the sign-off needs.", "percentunit")
    held = About("On hold", "Held until a person resumes it.", runbooks=("RolloutOnHold",))
    waiting = About("Waiting", DUE, "dtdurations", runbooks=("RolloutStepStuck",))
    age = About("Newest slot", "Age of the newest slot that was evaluated.", "s", "", ("SloWatchdogLate",), 0)
    board.line(
        4,
        (number(phase, promql.phases(), mappings=looks.numbered(looks.PHASE_COLOURS)), 4),
        (number(read, best("slo_watchdog_flag_percent_actual")), 3),
        (dial(good, window, name="window"), 4),
        (number(held, best("slo_watchdog_rollout_on_hold"), mappings=looks.HELD), 3),
        (number(waiting, waits), 3),
        (number(age, late), 3),
        (_release(), 4),
    )


def _release() -> Placeable:
    info = f"group by (service, version, flag) ({promql.INFO})"
    about = About("Release", "Service, version and flag of the rollout.", empty="no such rollout")
    return number(about, info, name="{{service}} {{version}}, flag {{flag}}", text=BigValueTextMode.NAME)


def _progress(board: Board) -> None:
    phase = About(
        "Phase over time",
        "When the rollout was in which phase.",
        empty="no such rollout",
        runbooks=("RolloutSignOffOverdue",),
    )
    alerts = About("Alerts of this rollout", "The worst first. A click opens the runbook.", empty="nothing fires")
    board.line(
        6,
        (states(phase, promql.phases(), "{{rollout}}", looks.numbered(looks.PHASE_COLOURS)), 14),
        (firing_table(alerts, promql.firing('rollout=~"$rollout"'), "objective"), 10),
    )
    slices = About(
        "Window over time",
        "Consecutive good slices, and how many the sign-off needs. A drop is a reset.",
        runbooks=("RolloutWindowReset", "RolloutWindowStalled"),
    )
    passed = (best("slo_watchdog_window_slices_passed"), "passed")
    required = (best("slo_watchdog_window_slices_required"), "limit: required")
    waits = About(
        "Waiting over time", f"{DUE} Dashed: when somebody is told.", "dtdurations", runbooks=("RolloutStepStuck",)
    )
    due = (best("slo_watchdog_rollout_waiting_seconds"), "waiting")
    board.line(
        8,
        (_exposure(), 9),
        (lines(slices, passed, required, colours={"passed": looks.GREEN}, style="steps"), 8),
        (lines(waits, due, ("max(slo:step_wait:seconds)", "limit")), 7),
    )


def _exposure() -> Placeable:
    about = About(
        "Exposure over time",
        "What the ledger asks for and what the flag reads. They differ for as long as a change takes.",
        "percent",
        runbooks=("RolloutFlagDrift", "RolloutExposureAbovePlan"),
    )
    desired = (best("slo_watchdog_flag_percent_desired"), "desired")
    actual = (best("slo_watchdog_flag_percent_actual"), "actual")
    colours = {"desired": looks.BLUE, "actual": looks.ORANGE}
    return lines(about, desired, actual, colours=colours, most=100, style="steps")


def _objectives(board: Board) -> None:
    board.section("Objectives")
    board.line(
        7,
        _share("Requests without error", "Share not answered with 5xx.", promql.ERRORS, "error_rate"),
        _share("Fast requests", "Share within the bound of latency.", promql.SLOW, "latency_p95"),
        _share("Availability", "Share of answered probes from outside.", promql.PROBES, "availability", "instance"),
        _share("Tests", "Share of tests that passed.", promql.TESTS, "test_pass_rate"),
    )
    latency = of_rollout(at("environment_job:http_request_duration_seconds:p95_rate5m", promql.EVERYWHERE))
    noise = f"{at('slo_watchdog_alert_noise_upper', promql.EVERYWHERE)} and on (service) {promql.INFO}"
    p95 = About("Latency, 95th percentile", "For people; the share of fast requests is what is judged.", "s")
    false = About(
        "False alarms of 24 h",
        "Upper count of the service, see docs/noise.md.",
        empty="no page",
        runbooks=("AlertNoiseHigh",),
    )
    plan = About("Flag against plan", "Percentage points that the flag reads above what was asked for.", "percent")
    bound = (promql.objective("latency:seconds", "latency_p95"), "limit")
    allowed = (promql.objective("objective:value", "alert_noise"), "limit")
    board.line(
        7,
        (lines(p95, (latency, "{{job}}"), bound), 8),
        (lines(false, (noise, "{{service}}"), allowed, style="steps"), 8),
        (pieces.excess(plan), 8),
    )


def _share(title: str, tells: str, bad: str, name: str, label: str = "job") -> tuple[Placeable, int]:
    about = About(title, f"{tells} Of the rollout's service, 5 min. Dashed: the target of {name}.", "percentunit")
    good = of_rollout(f"1 - {at(bad, promql.EVERYWHERE)}", label)
    target = promql.objective("objective:ratio", name)
    return lines(about, (good, "{{job}}"), (target, "limit: target"), least=None, most=1), 6


def _verdicts(board: Board) -> None:
    board.section("Verdicts")
    over = About(
        "Verdict of each objective",
        "The worst verdict of each interval.",
        empty="nothing was evaluated",
        runbooks=("SloWatchdogCannotJudge",),
    )
    board.line(7, (states(over, promql.verdicts(), "{{objective}}", looks.numbered(looks.VERDICT_COLOURS)), 24))
    why = About(
        "Evaluations", "Slots by verdict; of unknown ones with the reason.", runbooks=("SloWatchdogCannotJudge",)
    )
    total = About("Evaluations of the range", "Slots of each objective by verdict, over the range that is looked at.")
    facts = About("Breaches and resets", "Breaches that opened, and windows that began anew.", empty="none")
    per_verdict = [
        (grown(EVALUATIONS, "objective", "$__range", ROLLOUT, f'verdict="{one}"'), one) for one in looks.VERDICTS
    ]
    board.line(
        8,
        (
            lines(
                why,
                (grown(EVALUATIONS, "verdict, reason", "$__rate_interval"), "{{verdict}} {{reason}}"),
                colours=looks.VERDICT_COLOURS,
                style="bars",
            ),
            9,
        ),
        (bars(total, "objective", *per_verdict, colours=looks.VERDICT_COLOURS, stacked=True), 8),
        (
            lines(
                facts,
                (risen("slo_watchdog_breaches_total", "objective"), "breach of {{objective}}"),
                (risen("slo_watchdog_window_resets_total", "objective"), "reset by {{objective}}"),
                colours={"breach": looks.VERMILLION, "reset": looks.ORANGE},
                style="bars",
            ),
            7,
        ),
    )


def _rollback(board: Board) -> None:
    board.section("Rollback")
    stages = About(
        "Stages of the rollback",
        "decide: from detected to decided; act: to the flag written; confirm: to the flag read back; recover: to the "
        "breach closed. Beside them, what the alerts allow.",
        "s",
        empty="no rollback",
        runbooks=("FlagPropagationSlow", "RollbackUnconfirmed", "RollbackWithoutRecovery"),
    )
    results = About("Rollbacks", "By what became of them.", empty="none", runbooks=("RolloutRollingBack",))
    board.line(
        7,
        (pieces.stages(stages), 14),
        (pieces.results(results, "result", "{{result}}"), 10),
    )
