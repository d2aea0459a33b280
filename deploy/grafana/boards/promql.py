"""Parts of the queries. Filters name the variables of `variables.py`; limits come from the `slo:*` recordings."""

from __future__ import annotations

from boards.looks import PHASES, VERDICTS

EVERYWHERE = 'environment=~"$environment"'
ROLLOUT = 'environment=~"$environment",rollout=~"$rollout"'
JOB = 'environment=~"$environment",job=~"$service"'
SERVICE = 'service=~"$service"'
INFO = "slo_watchdog_rollout_info{" + ROLLOUT + "}"

ERRORS = "environment_job:http_request_errors_per_http_requests:ratio_rate5m"
SLOW = "environment_job:slow_http_requests_per_timed_http_requests:ratio_rate5m"
PROBES = "environment_job_instance:failed_probes_per_probes:ratio_rate5m"
TESTS = "environment_job:failed_smoke_tests_per_smoke_tests:ratio_rate5m"
COUNTED = {
    "error_rate": ("environment_job:http_request_errors:increase5m", "environment_job:http_requests:increase5m"),
    "latency_p95": ("environment_job:slow_http_requests:increase5m", "environment_job:timed_http_requests:increase5m"),
    "availability": (
        "environment_job_instance:failed_probes:increase5m",
        "environment_job_instance:probes:increase5m",
    ),
    "test_pass_rate": ("environment_job:failed_smoke_tests:increase5m", "environment_job:smoke_tests:increase5m"),
}
"""Bad and all events of five minutes, by objective: their sum over any range is every event once."""


def at(metric: str, *matchers: str) -> str:
    """A metric with its matchers."""
    return metric + "{" + ",".join(matchers) + "}"


def best(metric: str, *matchers: str, by: str = "environment, rollout") -> str:
    """One series a rollout, whichever of several daemons says it."""
    return f"max by ({by}) ({at(metric, *(matchers or (ROLLOUT,)))})"


def named(expr: str) -> str:
    """The label `service` from the labels that a service has elsewhere: its job, or what is probed of it."""
    by_job = f'label_replace({expr}, "service", "$1", "job", "(.+)")'
    return f'label_replace({by_job}, "service", "$1", "instance", "(.+)")'


def of_services(metric: str, *matchers: str) -> str:
    """What is recorded of the chosen services: by their job, by the probed instance, or by a label of their own."""
    places = (at(metric, *matchers, EVERYWHERE, f'{label}=~"$service"') for label in ("job", "instance", "service"))
    return "(" + " or ".join(places) + ")"


def by_objective(metric: str, *matchers: str) -> str:
    """One series for each objective of each chosen service."""
    return f"max by (environment, service, objective) ({named(of_services(metric, *matchers))})"


def budget_left(days: str) -> str:
    """Share of the error budget that is left of the last days, counted by events over what Prometheus still holds."""
    parts = []
    for objective, (bad, total) in COUNTED.items():
        good = f"1 - sum_over_time({of_range(bad, days)}) / (sum_over_time({of_range(total, days)}) > 0)"
        part = f'{good} / on () group_left () slo:error_budget:ratio{{objective="{objective}"}}'
        parts.append(f'label_replace({named(part)}, "objective", "{objective}", "", "")')
    return "max by (environment, service, objective) (" + " or ".join(parts) + ")"


def of_range(metric: str, length: str) -> str:
    """A range of a recording of the chosen services: of a probe by what is probed."""
    label = "instance" if metric.startswith("environment_job_instance:") else "job"
    return at(metric, EVERYWHERE, f'{label}=~"$service"') + f"[{length}]"


def of_rollout(expr: str, label: str = "job") -> str:
    """Only of the service that the chosen rollout changes; `label` names the service in `expr`."""
    return f'{expr} and on ({label}) label_replace({INFO}, "{label}", "$1", "service", "(.+)")'


def phases(*matchers: str) -> str:
    """The phase as its number in `PHASES`."""
    where = ",".join(matchers or (ROLLOUT,))
    parts = (
        f'{number} * slo_watchdog_rollout_phase{{{where},phase="{phase}"}}' for number, phase in enumerate(PHASES, 1)
    )
    return "max by (environment, rollout) (" + " or ".join(parts) + ")"


def verdicts() -> str:
    """The verdict of each objective as its number in `VERDICTS`: the worst of an interval."""
    parts = (
        f"{number} * (sum by (objective, verdict) "
        f'(increase(slo_watchdog_evaluations_total{{{ROLLOUT},verdict="{verdict}"}}[$__rate_interval])) > bool 0)'
        for number, verdict in enumerate(VERDICTS, 1)
    )
    return "max by (objective) (" + " or ".join(parts) + ") > 0"


def risen(metric: str, by: str, *matchers: str) -> str:
    """By how much a fact of the ledger was counted up in an interval; `increase` would lose what lies between two."""
    where = at(metric, *(matchers or (ROLLOUT,)))
    return f"clamp_min(sum by ({by}) ({where}) - sum by ({by}) ({where} offset $__interval), 0)"


def grown(metric: str, by: str, length: str, *matchers: str) -> str:
    """Increase of a counter over a range, by labels."""
    return f"sum by ({by}) (increase({at(metric, *(matchers or (ROLLOUT,)))}[{length}]))"


def firing(*matchers: str) -> str:
    """Alerts that fire, each with the instant (in milliseconds, as Grafana wants it) since when it has been active."""
    where = ",".join(('alertname!=""', EVERYWHERE, *matchers))
    labels = "alertname, severity, area, environment, service, objective, rollout"
    return (
        f"1000 * max by ({labels}) (ALERTS_FOR_STATE{{{where}}} and ignoring (alertstate) "
        f'ALERTS{{{where},alertstate="firing",severity=~"critical|warning|info"}})'
    )


def firing_count(severity: str) -> str:
    """How many alerts of a severity fire; 0 when none does."""
    return f'count(ALERTS{{{EVERYWHERE},alertstate="firing",severity="{severity}"}}) or vector(0)'


def objective(record: str, name: str) -> str:
    """A threshold of one objective."""
    return f'max(slo:{record}{{objective="{name}"}})'


def stage_limits() -> str:
    """What a stage of a rollback may take, where an alert says so; decide and act together are the rollback's."""
    stages = {"act": "rollback_within", "confirm": "flag_propagation", "recover": "recovery"}
    return (
        "("
        + " or ".join(
            f'label_replace(slo:{limit}:seconds, "stage", "{stage}", "", "")' for stage, limit in stages.items()
        )
        + ")"
    )
