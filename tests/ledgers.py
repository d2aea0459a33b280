"""Rollouts, answers and ledgers for tests: small, and named as a reader would name them."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import event, make_url

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


@cache
def _empty() -> bytes:
    """The file of a ledger in which nothing is, as `open_ledger` makes it: a copy takes a thirtieth of the time."""
    with TemporaryDirectory(prefix="slo-watchdog-ledger-") as directory:
        file = Path(directory) / "watchdog.db"
        open_ledger(f"sqlite:///{file}").close()
        assert [found.name for found in Path(directory).iterdir()] == [file.name], "all of it is in the file"
        return file.read_bytes()


def ledger_at(path: Path) -> Ledger:
    """The ledger in that file, a new one where there is none."""
    if not path.exists():
        path.write_bytes(_empty())
    return hurried(made_ledger(path))


def hurried(ledger: Ledger) -> Ledger:
    """The ledger, not waiting for the disk: here processes die, not machines."""
    ledger._engine.dispose()
    event.listen(ledger._engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))
    return ledger


def ledger_of(url: str) -> Ledger:
    """The same, at an address; one on a server is as it is."""
    file = make_url(url).database
    return ledger_at(Path(file)) if url.startswith("sqlite") and file is not None else open_ledger(url)


def made_ledger(path: Path) -> Ledger:
    """A ledger as the program opens it, and makes it where there is none: for tests of that."""
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
