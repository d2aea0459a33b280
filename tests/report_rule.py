"""The rule of the made-up rollout whose reports are tested: seven objectives, five of them standard."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from watchdog.model import (
    Cohorts,
    Comparison,
    Confirm,
    Exposure,
    Kind,
    Mode,
    Objective,
    OnBreach,
    PlanStep,
    Ramp,
    RollbackRule,
    Rollout,
    Sequential,
    Target,
    WindowRule,
)

START = int(datetime(2026, 11, 22, 9, tzinfo=UTC).timestamp())
HOUR = 3600
SLOT = 30
RULE = """\
rollout: checkout-2.14.0
service: checkout
version: 2.14.0
flag: new-checkout
mode: act
interval: 30s
delay: 30s
window: {slices: 48, slice: 1h, max_gap: 30m, max_idle: 24}
ramp: {strategy: progressive, from: 0, to: 100, over: 7d, every: 1h}
rollback: {to: 0, within: 15m, verify: 30m}
false_rollback: 1%
waive: {pooled_exposure: "error_rate has no variant label on the edge proxy; agreed with A. Okafor, CHG-4411"}
cohorts: {exposed: 'variant="on"', control: 'variant="off"'}
objectives:
"""


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def event(name: str, bad: str, total: str, target: Target, **more: Any) -> Objective:
    allowed = round(1 - target.limit, 12) if target.of_good else target.limit
    settings: dict[str, Any] = {"detector": Sequential(60), "on_breach": OnBreach.ROLLBACK, "min_events": 100.0}
    settings |= {"min_slice_events": 3 / allowed, "allowed": allowed, "bad": bad, "total": total} | more
    return Objective(name, Kind.EVENT, target, **settings)


def objectives() -> tuple[Objective, ...]:
    requests, slow = 'http_requests_total{job="checkout"', "http_request_duration_seconds_bucket"
    return (
        event(
            "test_pass_rate",
            'sum(increase(synthetic_test_runs_total{suite="checkout",outcome!="pass"}[$range]))',
            'sum(increase(synthetic_test_runs_total{suite="checkout"}[$range]))',
            Target(Comparison.AT_LEAST, 0.98),
            min_events=1.0,
            pool_window=True,
        ),
        event(
            "error_rate",
            f'sum(increase({requests},code=~"5.."}}[$range]))',
            f"sum(increase({requests}}}[$range]))",
            Target(Comparison.BELOW, 0.001),
        ),
        event(
            "latency_p95",
            f'sum(increase(http_request_duration_seconds_count{{job="checkout"}}[$range])) - '
            f'sum(increase({slow}{{job="checkout",le="0.2"}}[$range]))',
            'sum(increase(http_request_duration_seconds_count{job="checkout"}[$range]))',
            Target(Comparison.AT_LEAST, 0.95),
            on_breach=OnBreach.HOLD,
        ),
        event(
            "availability",
            'sum(increase(probe_runs_total{instance="https://shop.example/checkout"}[$range])) - '
            'sum(increase(probe_success_total{instance="https://shop.example/checkout"}[$range]))',
            'sum(increase(probe_runs_total{instance="https://shop.example/checkout"}[$range]))',
            Target(Comparison.AT_LEAST, 0.999),
            min_events=1.0,
            pool_window=True,
            outside=True,
            silence_fails=True,
        ),
        event(
            "checkout_errors_exposed",
            f'sum(increase({requests},code=~"5..",$cohort}}[$range]))',
            f"sum(increase({requests},$cohort}}[$range]))",
            Target(Comparison.AT_MOST, 0.002),
        ),
        Objective(
            "queue_age",
            Kind.VALUE,
            Target(Comparison.BELOW, 30.0),
            Confirm(60),
            OnBreach.ROLLBACK,
            value='max(checkout_queue_oldest_age_seconds{job="checkout-worker"})',
        ),
        Objective(
            "flag_ramp",
            Kind.INTERNAL,
            Target(Comparison.AT_MOST, 0.0),
            Confirm(60),
            OnBreach.PAGE,
            internal="flag_ramp",
        ),
    )


def rule_text(own: tuple[Objective, ...]) -> str:
    lines = []
    for o in own:
        lines.append(f"  - name: {o.name}")
        lines += [
            f"    {key}: {value}" for key, value in (("bad", o.bad), ("total", o.total), ("value", o.value)) if value
        ]
        if o.internal:
            lines.append(f"    internal: {o.internal}")
        else:
            lines += [f"    {o.target.comparison.value}: {o.target.limit:g}", f"    on_breach: {o.on_breach.value}"]
            lines += ["    no_data: fail", "    outside: true"] if o.outside else []
            lines += ["    pool: window"] if o.pool_window else []
    return RULE + "\n".join(lines) + "\n"


def rollout(mode: Mode = Mode.ACT) -> Rollout:
    own = objectives()
    return Rollout(
        name="checkout-2.14.0",
        service="checkout",
        version="2.14.0",
        flag="new-checkout",
        objectives=own,
        window=WindowRule(),
        ramp=Ramp(
            "progressive", 0.0, 100.0, tuple(PlanStep(Exposure(100 * k / 168), HOUR) for k in range(1, 169)), 604800
        ),
        rollback=RollbackRule(),
        mode=mode,
        waive={"pooled_exposure": "error_rate has no variant label on the edge proxy; agreed with A. Okafor, CHG-4411"},
        cohorts=Cohorts('variant="on"', 'variant="off"'),
        text=rule_text(own),
        sha256="5f0c6d1ab5f4c1b7d0c1f4b4f3c51b6c8f4e0f6b1a3b4e86c0c1e1d9a2b7c3d4",
        resolved="{}",
    )
