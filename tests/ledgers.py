"""Rollouts, answers and ledgers for tests: small, and named as a reader would name them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from watchdog.ledger import Ledger, StoredRollout, open_ledger
from watchdog.model import (
    STANDARD_OBJECTIVES,
    Breach,
    Comparison,
    Evaluation,
    Exposure,
    Kind,
    Measurement,
    Mode,
    Notification,
    Objective,
    ObjectiveSlice,
    OnBreach,
    Phase,
    Ramp,
    Reason,
    RollbackRule,
    Rollout,
    Sequential,
    Severity,
    Slice,
    SliceVerdict,
    Target,
    Transition,
    Verdict,
    WindowRule,
)

NOON = 1_700_049_600
"""A grid instant of every length used here (30 s to 1 h)."""


def a_rollout(name: str = "checkout-2.14.0", *, flag: str = "new-checkout", mode: Mode = Mode.ACT) -> Rollout:
    target = Target(Comparison.AT_MOST, 0.001)
    objectives = tuple(
        Objective(objective, Kind.EVENT, target, Sequential(60), OnBreach.ROLLBACK) for objective in STANDARD_OBJECTIVES
    )
    plan = (WindowRule(), Ramp("progressive", 0, 100, (), 604_800), RollbackRule())
    return Rollout(
        name, "checkout", "2.14.0", flag, objectives, *plan, mode=mode, text="rollout: ...", sha256="ab", resolved="{}"
    )


def ledger_at(path: Path) -> Ledger:
    return open_ledger(f"sqlite:///{path}")


def added(ledger: Ledger, rollout: Rollout | None = None) -> StoredRollout:
    return ledger.add_rollout(rollout or a_rollout(), file="rollouts/checkout.yaml", engine="0.1.0", now=NOON + 0.25)


def passed(at: int, value: float = 0.0005) -> Evaluation:
    return Evaluation(at, Verdict.PASS, value=value, bad=value * 1500, total=1500.0)


def unknown(at: int, reason: Reason = Reason.NO_DATA, detail: str = "the query answered nothing") -> Evaluation:
    return Evaluation(at, Verdict.UNKNOWN, reason, detail=detail)


def step(at: int, bad: float = 1.0) -> Measurement:
    return Measurement(at, bad=bad, total=3000.0)


def page(key: str, at: float = NOON) -> Notification:
    return Notification("rollback", key, Severity.CRITICAL, "rolled back", at, {"objective": "error_rate", "n": [1]})


def happened(kind: str, at: float = NOON, target: Phase = Phase.RAMPING) -> Transition:
    return Transition(at, kind, Phase.PENDING, target, f"why {kind}", "ada", "error_rate")


def rows(ledger: Ledger, table: str) -> int:
    with ledger.reading() as connection:
        return int(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())  # noqa: S608


def a_slice(end: int, verdict: SliceVerdict = SliceVerdict.PASS) -> Slice:
    objective = ObjectiveSlice("error_rate", verdict, 120, 1, 120, 0.1 + 0.2, 3.3, 1e5 / 3, "pooled")
    breach = Breach("error_rate", end - 60, "sequential", 401.5, 400.0, bad=3.0, total=9.0, why="above 0.15 %")
    unmeasured = ((end - 90, end - 60), (end, end))
    return Slice(
        end,
        verdict,
        (objective,),
        unmeasured,
        Exposure(12.5, cohort=True),
        final=False,
        breaches=(breach,),
        why="one hour",
    )


def run_child(program: str, *arguments: str) -> subprocess.Popen[str]:
    """A Python program in its own process; what it prints can be read from `stdout`."""
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
