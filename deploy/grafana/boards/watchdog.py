"""The watchdog itself. Whether it sees, acts and is heard, and so for its Prometheus and Alertmanager."""

from __future__ import annotations

from grafana_foundation_sdk.models.common import BigValueTextMode

from boards import looks, promql
from boards.layout import Board
from boards.panels import About, heat, lines, number, states
from boards.promql import EVERYWHERE, ROLLOUT, at, best
from boards.tables import firing_table
from boards.variables import datasource, environment, rollouts, service

BUILD = at("slo_watchdog_build_info", EVERYWHERE)
MINE = "and on (job, instance) slo_watchdog_build_info"
QUERIES = "slo_watchdog_query_duration_seconds_bucket"
ACTIVE = f"{at('environment_rollout:slo_watchdog_rollout_active:bool', ROLLOUT)} == 1"
LATE = f"time() - {best('slo_watchdog_last_slot_timestamp_seconds')} and on (environment, rollout) {ACTIVE}"
OLDEST = f"max by (environment, job) ({at('slo_watchdog_notification_oldest_age_seconds', EVERYWHERE)})"


def build() -> Board:
    """The dashboard."""
    tells = "Is the watchdog up, in time and heard? With the health of Prometheus and Alertmanager."
    variables = (datasource(), environment(), service(), rollouts())
    board = Board("slo-watchdog", "Watchdog", tells, *variables)
    _now(board)
    _in_time(board)
    _queries(board)
    _people(board)
    _process(board)
    _prometheus(board)
    _alertmanager(board)
    return board


def _rate(metric: str, by: str, *matchers: str) -> str:
    """How often something was counted in an interval."""
    return f"sum by ({by}) (increase({at(metric, EVERYWHERE, *matchers)}[$__rate_interval]))"


def _up(build: str) -> str:
    """Whether a target that told its version within a day can be scraped: it is there when it is down, too."""
    return f"max by (job, instance) ({at('up', EVERYWHERE)} and on (job, instance) present_over_time({build}[1d]))"


def _groups(expr: str) -> str:
    """The five groups of rules with the most, by their names alone: Prometheus puts the path of the file before."""
    return f'topk(5, label_replace({expr}, "group", "$1", "rule_group", ".*;(.+)"))'


def _now(board: Board) -> None:
    down = ("SloWatchdogDown",)
    late = f"max({LATE} > 0) / max(slo:watchdog_late:seconds)"
    errors = f"sum(increase({at('slo_watchdog_job_errors_total', EVERYWHERE)}[1h])) or vector(0)"
    unsent = f"sum({at('slo_watchdog_notifications_unsent', EVERYWHERE)})"
    blind = f"sum(increase({at('slo_watchdog_query_errors_total', EVERYWHERE)}[1h])) or vector(0)"
    version = About("Running", "Version of each process.", "short", "no watchdog", down)
    leader = About("Leader", "Whether a process acts on the ledger.", "short", "no watchdog", ("SloWatchdogNoLeader",))
    share = About(
        "Lag of what is allowed",
        "Age of the newest slot against the alert's limit.",
        "percentunit",
        "no active rollout",
        ("SloWatchdogLate",),
        0,
    )
    failed = About(
        "Query errors, 1 h", "Queries without a usable answer.", "short", "none", ("SloWatchdogCannotJudge",), 0
    )
    jobs = About(
        "Job errors, 1 h", "Jobs that failed, were missed or overran.", "short", "none", ("SloWatchdogJobErrors",), 0
    )
    waits = About(
        "Messages unsent", "Messages that a channel has not taken yet.", "short", "none", ("SloWatchdogPagesUnsent",)
    )
    acts = f"max({at('slo_watchdog_leader', EVERYWHERE)})"
    board.line(
        4,
        (number(version, f"group by (version) ({BUILD})", name="{{version}}", text=BigValueTextMode.NAME), 4),
        (number(leader, acts, mappings=looks.yes_no("acts", "nobody", good=True)), 4),
        (number(share, late, thresholds=looks.BELOW_ONE_IS_GOOD), 4),
        (number(failed, blind, thresholds=looks.ZERO_IS_CALM), 4),
        (number(jobs, errors, thresholds=looks.ZERO_IS_GOOD), 4),
        (number(waits, unsent, thresholds=looks.ZERO_IS_CALM), 4),
    )


def _in_time(board: Board) -> None:
    late = About(
        "Lag", "Age of the newest slot of each active rollout.", "s", "no active rollout", ("SloWatchdogLate",)
    )
    judged = About("Slots judged", "Verdicts on slots of the chosen rollouts.", empty="nothing was evaluated")
    unknown = About(
        "Slots that could not be judged",
        "By their reason; see docs/how-it-works.md. Low traffic is no fault.",
        empty="none",
        runbooks=("SloWatchdogCannotJudge", "SloWatchdogClockSkew"),
    )
    board.line(
        8,
        (lines(late, (LATE, "{{rollout}}"), ("max(slo:watchdog_late:seconds)", "limit"), style="log"), 8),
        (
            lines(
                judged,
                (promql.grown("slo_watchdog_evaluations_total", "verdict", "$__rate_interval"), "{{verdict}}"),
                colours=looks.VERDICT_COLOURS,
                style="bars",
            ),
            8,
        ),
        (
            lines(
                unknown,
                (_rate("slo_watchdog_evaluations_total", "reason", 'verdict="unknown"'), "{{reason}}"),
                style="bars",
            ),
            8,
        ),
    )


def _queries(board: Board) -> None:
    board.section("Queries and jobs")
    each = f"sum by (le) (increase({at(QUERIES, EVERYWHERE)}[$__rate_interval]))"
    rate = f"sum by (le) (rate({at(QUERIES, EVERYWHERE)}[$__rate_interval]))"
    duration = About("Duration of queries", "How long Prometheus took to answer; lighter is more often.", "s")
    quantiles = About("Quantiles of the duration", "Interpolated between the buckets.", "s")
    errors = About("Query errors", "By the reason that the slot then has.", empty="none")
    board.line(
        8,
        (heat(duration, each), 10),
        (lines(quantiles, *((f"histogram_quantile({q}, {rate})", f"{q:.0%}") for q in (0.5, 0.9, 0.99))), 7),
        (lines(errors, (_rate("slo_watchdog_query_errors_total", "reason"), "{{reason}}"), style="bars"), 7),
    )
    jobs = About("Job errors", "By rollout (or job) and kind.", empty="none", runbooks=("SloWatchdogJobErrors",))
    caught = About("Slots caught up", "Evaluated too late to be acted on at once.", empty="none")
    http = About("HTTP errors", "Requests that ended in an internal error of the watchdog.", empty="none")
    board.line(
        6,
        (
            lines(
                jobs, (_rate("slo_watchdog_job_errors_total", "rollout, kind"), "{{rollout}} {{kind}}"), style="bars"
            ),
            8,
        ),
        (lines(caught, (_rate("slo_watchdog_slots_backfilled_total", "rollout"), "{{rollout}}"), style="bars"), 8),
        (lines(http, (_rate("slo_watchdog_http_errors_total", "instance"), "{{instance}}"), style="bars"), 8),
    )


def _people(board: Board) -> None:
    board.section("People")
    sent = About(
        "Notifications",
        "Attempts by channel and result: failed is tried again, refused is for good.",
        empty="no channel",
        runbooks=("SloWatchdogPagesRefused",),
    )
    waiting = About(
        "Messages unsent over time", "Messages that wait for a channel.", runbooks=("SloWatchdogPagesUnsent",)
    )
    oldest = About("Oldest message unsent", "How long it has waited.", "s", runbooks=("SloWatchdogPagesUnsent",))
    paused = About("Channels", "paused: unreachable, or asked to be left alone.", empty="no channel")
    by_channel = _rate("slo_watchdog_notifications_total", "channel, result")
    channel = f"max by (channel) ({at('slo_watchdog_notification_channel_paused', EVERYWHERE)})"
    board.line(
        7,
        (lines(sent, (by_channel, "{{result}} ({{channel}})"), colours=looks.RESULT_COLOURS, style="bars"), 8),
        (lines(waiting, (at("slo_watchdog_notifications_unsent", EVERYWHERE), "{{instance}}"), style="steps"), 5),
        (lines(oldest, (OLDEST, "{{job}}"), ("max(slo:page_wait:seconds)", "limit")), 5),
        (states(paused, channel, "{{channel}}", looks.yes_no("paused", "open", good=False)), 6),
    )


def _process(board: Board) -> None:
    board.section("Process")
    memory = About("Memory", "Resident memory of each watchdog.", "bytes")
    cpu = About("Processor", "Seconds of processor time a second.", "percentunit")
    leader = About(
        "Leader over time", "Which process acts on the ledger.", empty="no watchdog", runbooks=("SloWatchdogNoLeader",)
    )
    serving = About(
        "Readers of flags",
        "Whether the process behind serve.listen answers.",
        empty="serve.listen is not set",
        runbooks=("FlagServingDown",),
    )
    acts = f"max by (instance) ({at('slo_watchdog_leader', EVERYWHERE)})"
    answers = f"min by (address) ({at('slo_watchdog_serving_up', EVERYWHERE)})"
    resident = f"{at('process_resident_memory_bytes', EVERYWHERE)} {MINE}"
    busy = f"rate({at('process_cpu_seconds_total', EVERYWHERE)}[$__rate_interval]) {MINE}"
    board.line(
        6,
        (lines(memory, (resident, "{{instance}}")), 6),
        (lines(cpu, (busy, "{{instance}}")), 6),
        (states(leader, acts, "{{instance}}", looks.yes_no("leader", "stands by", good=True)), 6),
        (states(serving, answers, "{{address}}", looks.yes_no("answers", "closed", good=True)), 6),
    )


def _prometheus(board: Board) -> None:
    board.section("Prometheus")
    loaded = f"min by (instance) ({at('prometheus_config_last_reload_successful', EVERYWHERE)})"
    last = _groups(f"max by (rule_group) ({at('prometheus_rule_group_last_duration_seconds', EVERYWHERE)})")
    up = About("Prometheus", "Whether it can be scraped.", "short", "not scraped", ("PrometheusDown",))
    reload = About(
        "Prometheus, configuration",
        "Whether the last reload worked.",
        "short",
        "not scraped",
        ("PrometheusConfigReloadFailed",),
    )
    slow = About(
        "Slowest groups of rules", "Duration of the last evaluation.", "s", "", ("PrometheusMissedIterations",)
    )
    board.line(
        6,
        (states(up, _up("prometheus_build_info"), "{{instance}}", looks.yes_no("up", "down", good=True)), 8),
        (states(reload, loaded, "{{instance}}", looks.yes_no("loaded", "old", good=True)), 8),
        (lines(slow, (last, "{{group}}")), 8),
    )
    _rules(board)


def _rules(board: Board) -> None:
    missed = _groups(_rate("prometheus_rule_group_iterations_missed_total", "rule_group"))
    failed = _groups(_rate("prometheus_rule_evaluation_failures_total", "rule_group"))
    dropped = _rate("prometheus_notifications_dropped_total", "instance")
    known = at("prometheus_notifications_alertmanagers_discovered", EVERYWHERE)
    late = About("Missed iterations", "Evaluations left out, the five most.", runbooks=("PrometheusMissedIterations",))
    wrong = About("Rule failures", "Rules that could not be evaluated.", runbooks=("PrometheusRuleFailures",))
    lost = About("Alerts dropped", "Alerts that nobody took.", runbooks=("PrometheusNotificationsDropped",))
    reach = About("Alertmanagers", "How many Prometheus knows.", runbooks=("PrometheusWithoutAlertmanager",))
    board.line(
        6,
        (lines(late, (missed, "{{group}}")), 6),
        (lines(wrong, (failed, "{{group}}")), 6),
        (lines(lost, (dropped, "{{instance}}")), 6),
        (lines(reach, (known, "{{instance}}"), style="steps"), 6),
    )


def _alertmanager(board: Board) -> None:
    board.section("Alertmanager and alerts")
    loaded = f"min by (instance) ({at('alertmanager_config_last_reload_successful', EVERYWHERE)})"
    failed = _rate("alertmanager_notifications_failed_total", "integration")
    last = f"time() - max by (source) ({at('slo_watchdog_alerts_last_heard_timestamp_seconds', EVERYWHERE)})"
    up = About("Alertmanager", "Whether it can be scraped.", "short", "not scraped", ("AlertmanagerDown",))
    reload = About(
        "Alertmanager, configuration",
        "Whether the last reload worked.",
        "short",
        "not scraped",
        ("AlertmanagerConfigReloadFailed",),
    )
    failing = About("Deliveries that failed", "By integration.", runbooks=("AlertmanagerNotificationsFailing",))
    heard = About("Heard", "How long ago a message of Alertmanager arrived here.", "s", "alerts.token is not set")
    alerts = About("Alerts of the monitoring", "The worst first. A click opens the runbook.", empty="nothing fires")
    board.line(
        7,
        (states(up, _up("alertmanager_build_info"), "{{instance}}", looks.yes_no("up", "down", good=True)), 4),
        (states(reload, loaded, "{{instance}}", looks.yes_no("loaded", "old", good=True)), 4),
        (lines(failing, (failed, "{{integration}}")), 5),
        (lines(heard, (last, "{{source}}")), 4),
        (firing_table(alerts, promql.firing('area="meta"'), "rollout"), 7),
    )
