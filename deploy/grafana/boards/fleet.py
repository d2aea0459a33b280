"""The fleet. Whether anything is wrong, and where: all rollouts and all services."""

from __future__ import annotations

from boards import looks, promql
from boards.layout import Board
from boards.panels import About, Placeable, lines, number, states
from boards.promql import COUNTED, EVERYWHERE, JOB, ROLLOUT, at, best, by_objective, named, of_services
from boards.tables import BACKGROUND, GAUGE, TEXT, Column, firing_table, grid
from boards.variables import datasource, environment, rollouts, service

ROLLOUT_URL = (
    "/d/slo-rollout?var-rollout=${__value.text:percentencode}&${environment:queryparam}&${datasource:queryparam}"
)
IDLE = 'mode="idle"'
FLEET_URL = "/d/slo-fleet?var-service=${__value.text:percentencode}&${environment:queryparam}&${datasource:queryparam}"
CHOSEN = 'rollout!="",rollout=~"$rollout"'
BURN = "slo:current_burn_rate:ratio"
LEFT = "slo:period_error_budget_remaining:ratio"
EACH = "{{service}} {{objective}}"


def build() -> Board:
    """The dashboard."""
    tells = "Every rollout and every service: phases, exposure, objectives against their targets, budgets, alerts."
    board = Board("slo-fleet", "Fleet", tells, datasource(), environment(), service(), rollouts())
    _now(board)
    _objectives(board)
    _rollouts(board)
    _budgets(board)
    _cost(board)
    _saturation(board)
    _security(board)
    return board


def _now(board: Board) -> None:
    missing = f"count({of_services(BURN)} > 1) or vector(0)"
    phase = at("slo_watchdog_rollout_phase", ROLLOUT, 'phase=~"rolling_back|rolled_back"')
    held = f"sum({best('slo_watchdog_rollout_on_hold')}) or vector(0)"
    active = f"sum({at('environment_rollout:slo_watchdog_rollout_active:bool', ROLLOUT)}) or vector(0)"
    back = f"count(max by (environment, rollout) ({phase}) == 1) or vector(0)"
    figures = [
        (About("Critical alerts", "Alerts that page somebody and fire now."), promql.firing_count("critical"), 1),
        (About("Warnings", "Alerts for working hours that fire now."), promql.firing_count("warning"), 0),
        (About("Objectives missed", "Objectives of services that miss their target in the last 5 min."), missing, 1),
        (About("Rollouts taken back", "Rollouts that are being taken back or have been."), back, 1),
        (About("Rollouts on hold", "Rollouts that stand still until a person resumes them."), held, 0),
        (About("Active rollouts", "Rollouts that ramp, soak or roll back."), active, None),
    ]
    looks_of = {1: looks.ZERO_IS_GOOD, 0: looks.ZERO_IS_CALM, None: looks.PLAIN}
    board.line(4, *((number(about, expr, thresholds=looks_of[kind]), 4) for about, expr, kind in figures))


def _rollouts(board: Board) -> None:
    info = f"group by (environment, rollout, service, version) ({promql.INFO})"
    window = f"{best('slo_watchdog_window_slices_passed')} / {best('slo_watchdog_window_slices_required')}"
    age = f"time() - {best('slo_watchdog_last_slot_timestamp_seconds')}"
    about = About(
        "Rollouts",
        "All chosen rollouts. Window: good slices of those that the sign-off needs. Evaluated: age of the newest slot. "
        "A click on a rollout opens its own dashboard.",
        empty="no rollout",
    )
    columns = [
        Column("Rollout", label="rollout", url=ROLLOUT_URL, says="Rollout ${__value.text}"),
        Column("Service", label="service", url=FLEET_URL, says="Only ${__value.text}"),
        Column("Version", label="version"),
        Column("", expr=info),
        Column("Phase", expr=promql.phases(), cell=BACKGROUND, mappings=looks.numbered(looks.PHASE_COLOURS), width=120),
        Column("Desired", expr=best("slo_watchdog_flag_percent_desired"), unit="percent", width=90),
        Column("Actual", expr=best("slo_watchdog_flag_percent_actual"), unit="percent", width=90),
        Column("Window", expr=window, unit="percentunit", cell=GAUGE, most=1, width=220),
        Column(
            "On hold",
            expr=best("slo_watchdog_rollout_on_hold"),
            cell=TEXT,
            mappings=looks.HELD,
            width=90,
        ),
        Column("Waiting", expr=best("slo_watchdog_rollout_waiting_seconds"), unit="dtdurations", width=130),
        Column("Evaluated", expr=age, unit="s", decimals=0, width=100),
    ]
    board.line(7, (grid(about, *columns, sort="Phase", descending=True), 24))
    phase = About(
        "Phases",
        "The phase of each rollout over time.",
        empty="no rollout",
        runbooks=("RollbackUnconfirmed", "RolloutSignOffOverdue"),
    )
    exposure = About("Exposure", "Percentage of users that the ledger asks for, of each rollout.", "percent")
    desired = (at("environment_rollout:slo_watchdog_flag_desired:percent", ROLLOUT), "{{rollout}}")
    timeline = states(phase, promql.phases(), "{{rollout}}", looks.numbered(looks.PHASE_COLOURS))
    board.line(7, (timeline, 14), (lines(exposure, desired, most=100, style="steps"), 10))


def _objectives(board: Board) -> None:
    burn = by_objective(BURN)
    target = f"0 * {burn} + on (objective) group_left () max by (objective) (slo:objective:ratio)"
    good = f"1 - {burn} * on (objective) group_left () max by (objective) (slo:error_budget:ratio)"
    about = About(
        "Objectives against their targets",
        "Good: share of good events in 5 min. Burn: times the allowed share of bad events; 1 is the target. "
        "Budgets: what is left of the allowed bad events, over 48 h and over 30 days as far as Prometheus holds them.",
        empty="no objective is recorded",
        runbooks=("ErrorRateBudgetBurn", "LatencyBudgetBurn", "AvailabilityBudgetBurn", "TestPassRateBudgetBurn"),
    )
    budget = [(None, looks.VERMILLION), (0, looks.GREEN)]
    columns = [
        Column("Service", label="service", url=FLEET_URL, says="Only ${__value.text}"),
        Column("Objective", label="objective"),
        Column("Good", expr=good, unit="percentunit", decimals=3),
        Column("Target", expr=target, unit="percentunit", decimals=3),
        Column("Burn", expr=burn, unit="x", cell=BACKGROUND, steps=[(None, looks.GREEN), (1, looks.VERMILLION)]),
        Column(
            "48 h budget left", expr=by_objective(LEFT, 'budget="48h"'), unit="percentunit", cell=TEXT, steps=budget
        ),
        Column("30 d budget left", expr=promql.budget_left("30d"), unit="percentunit", cell=TEXT, steps=budget),
    ]
    alerts = About("Alerts that fire", "The worst first. A click opens the runbook.", empty="nothing fires")
    firing = f"{promql.firing(promql.SERVICE)} or {promql.firing(CHOSEN)}"
    board.line(
        8,
        (grid(about, *columns, sort="Burn", descending=True), 14),
        (firing_table(alerts, firing, "service", "rollout"), 10),
    )


def _budgets(board: Board) -> None:
    board.section("Service levels")
    times = "on (objective) group_left () max by (objective) (slo:error_budget:ratio)"
    pages = f'min by (long) (slo:burn_limit:ratio{{severity="critical",budget="30d"}} / {times})'
    burns = About(
        "Burn rates", "Bad events in 5 min against what the target allows; at 1 the budget lasts just its period.", "x"
    )
    left = About(
        "Error budgets of 48 hours", "What is left of the bad events that a release of 48 h may have.", "percentunit"
    )
    board.line(
        8,
        (
            lines(
                burns,
                (by_objective(BURN), EACH),
                ("vector(1)", "limit: target"),
                (pages, "limit: page, {{long}}"),
                style="log",
            ),
            12,
        ),
        (lines(left, (by_objective(LEFT, 'budget="48h"'), EACH), least=None, most=1), 12),
    )
    _levels(board)


def _levels(board: Board) -> None:
    probes = f"max by (environment, service) (1 - {named(of_services(promql.PROBES))})"
    board.line(
        7,
        _level("Availability", "Share of probes from outside that were answered.", probes, "availability"),
        _level(
            "Requests without error", "Share of requests not answered with 5xx.", _good(promql.ERRORS), "error_rate"
        ),
        _level("Fast requests", "Share of requests within the bound of latency.", _good(promql.SLOW), "latency_p95"),
        _level("Tests", "Share of tests that passed.", _good(promql.TESTS), "test_pass_rate"),
    )
    p95 = at("environment_job:http_request_duration_seconds:p95_rate5m", JOB)
    traffic = About("Traffic", "Requests a second of each service.", "reqps", runbooks=("ServiceTrafficGone",))
    latency = About(
        "Latency, 95th percentile", "Interpolated between buckets; the counted share is what is judged.", "s"
    )
    tests = About("Finished tests", "Smoke tests in 5 min.", runbooks=("TestsNotRunning",))
    board.line(
        7,
        (lines(traffic, (at("environment_job:http_requests:rate5m", JOB), "{{job}}")), 8),
        (lines(latency, (p95, "{{job}}"), (promql.objective("latency:seconds", "latency_p95"), "limit")), 8),
        (lines(tests, (at(COUNTED["test_pass_rate"][1], JOB), "{{job}}")), 8),
    )


def _good(bad: str) -> str:
    return f"1 - {at(bad, JOB)}"


def _level(title: str, tells: str, expr: str, name: str) -> tuple[Placeable, int]:
    about = About(title, f"{tells} Dashed: the target of {name}.", "percentunit")
    legend = "{{service}}" if name == "availability" else "{{job}}"
    target = promql.objective("objective:ratio", name)
    return lines(about, (expr, legend), (target, "limit: target"), least=None, most=1), 6


def _cost(board: Board) -> None:
    board.section("Cost")
    budget = f"max by (environment, job) ({at('service_spend_daily_budget', JOB)})"
    spent = at("environment_job:service_spend:increase24h", JOB)
    pace = f"4 * sum by (environment, job) (increase({at('service_spend_total', JOB)}[6h])) / ({budget} > 0)"
    empty = "no service exports its spend"
    day = About(
        "Spend of 24 hours", "Spent in 24 h and the budget of a day, in the currency that is counted.", "short", empty
    )
    share = About("Share of the daily budget", "Spent in 24 h, and at the pace of the last 6 h.", "percentunit", empty)
    board.line(
        7,
        (lines(day, (spent, "{{job}} spent"), (budget, "limit: {{job}} budget")), 12),
        (
            lines(
                share,
                (f"{spent} / ({budget} > 0)", "{{job}} spent"),
                (pace, "{{job}} at this pace"),
                ("max(slo:cost_forecast:ratio)", "limit: forecast"),
                ("vector(1)", "limit: budget"),
            ),
            12,
        ),
    )


def _saturation(board: Board) -> None:
    board.section("Saturation", folded=True)
    limit = ("max(slo:saturation:ratio)", "limit")
    idle = f"rate({at('node_cpu_seconds_total', EVERYWHERE, IDLE)}[$__rate_interval])"
    free = f"{at('node_memory_MemAvailable_bytes', EVERYWHERE)} / {at('node_memory_MemTotal_bytes', EVERYWHERE)}"
    kinds = 'fstype!~"tmpfs|ramfs|overlay|squashfs"'
    disk = at("node_filesystem_avail_bytes", EVERYWHERE, kinds)
    size = at("node_filesystem_size_bytes", EVERYWHERE, kinds)
    shares = [
        ("Processor", f"1 - avg by (environment, instance) ({idle})", "HostCpuBusy"),
        ("Memory", f"max by (environment, instance) (1 - {free})", "HostMemoryNearFull"),
        ("Disks", f"max by (environment, instance, mountpoint) (1 - {disk} / ({size} > 0))", "HostDiskNearFull"),
    ]
    board.line(
        7,
        *(
            (
                lines(
                    About(title, "Share in use, of each host.", "percentunit", "no node exporter", (alert,)),
                    (expr, "{{instance}} {{mountpoint}}" if title == "Disks" else "{{instance}}"),
                    limit,
                    most=1,
                ),
                8,
            )
            for title, expr, alert in shares
        ),
    )
    _processes(board, limit)


def _processes(board: Board, limit: tuple[str, str]) -> None:
    by_instance = "max by (environment, job, instance)"
    files = f"{by_instance} ({at('process_open_fds', JOB)} / {at('process_max_fds', JOB)})"
    starts = f"{by_instance} (changes({at('process_start_time_seconds', JOB)}[1h]))"
    up = f"sum by (environment, job) ({at('up', JOB)})"
    opened = About(
        "Open files", "Share of the files that a process may open.", "percentunit", "", ("FileDescriptorsNearLimit",)
    )
    restarts = About("Restarts within an hour", "How often a process started.", "short", "", ("ServiceRestarting",))
    targets = About("Instances", "Targets that Prometheus can scrape.", "short", "", ("ServiceDown",))
    board.line(
        7,
        (lines(targets, (up, "{{job}}"), style="steps"), 8),
        (lines(opened, (files, "{{job}} {{instance}}"), limit, most=1), 8),
        (lines(restarts, (starts, "{{job}} {{instance}}"), ("max(slo:restarts:count)", "limit"), style="steps"), 8),
    )


def _security(board: Board) -> None:
    board.section("Security", folded=True)

    def share(part: str, whole: str) -> str:
        bad = f"sum by (environment, job) (rate({part}[$__rate_interval]))"
        return f"{bad} / (sum by (environment, job) (rate({whole}[$__rate_interval])) > 0)"

    logins = share(at("auth_attempts_total", JOB, 'result="failed"'), at("auth_attempts_total", JOB))
    refused = share(at("http_requests_total", JOB, 'code=~"401|403"'), at("http_requests_total", JOB))
    detections = f"sum by (environment, job) (increase({at('prompt_injection_detections_total', JOB)}[15m]))"
    failed = About("Failed logins", "Share of logins that fail.", "percentunit", "no logins", ("AuthFailuresHigh",))
    calls = About(
        "Refused calls", "Share of calls answered with 401 or 403.", "percentunit", "none", ("CallsRefusedHigh",)
    )
    prompts = About(
        "Prompt injections", "Detections in 15 min.", "short", "none exported", ("PromptInjectionDetected",)
    )
    board.line(
        7,
        (lines(failed, (logins, "{{job}}"), ("max(slo:auth_failures:ratio)", "limit"), most=1), 8),
        (lines(calls, (refused, "{{job}}"), ("max(slo:refused_calls:ratio)", "limit"), most=1), 8),
        (lines(prompts, (detections, "{{job}}"), ("max(slo:prompt_injections:count)", "limit")), 8),
    )
