"""Who hears of a drill that failed: everybody who is told of a rollout that is under way."""

from __future__ import annotations

from watchdog.drill.report import BLIND, STOPPED, Report, unfinished
from watchdog.ledger import Ledger, StoredDrill
from watchdog.model import Notification, Severity

KIND = "drill_failed"


def tell_failure(ledger: Ledger, report: Report, now: float) -> list[str]:
    """Add a page to every active rollout when the drill failed; the rollouts told. `now` is wall time.

    A bound that does not hold wakes people; a drill that had nothing to measure with can wait for the day. A drill that
    somebody stopped is nobody's concern. Raises LedgerError.
    """
    if report.passed or report.result == STOPPED:
        return []
    severity = Severity.WARNING if report.result == BLIND else Severity.CRITICAL
    worst: dict[str, object] = {"worst_s": report.worst, "within_s": report.plan.within}
    details = {"drill": report.id, "flag": report.plan.flag, "reader": report.reader, "result": report.result}
    return _tell(ledger, report.id, severity, report.why, details | worst, now)


def tell_unfinished(ledger: Ledger, drill: StoredDrill, now: float) -> list[str]:
    """The same for a drill whose process died, which is recorded as failed first."""
    report = unfinished(drill)
    ledger.finish_drill(drill.id, now, passed=False, worst=None, report=report)
    details = {"drill": drill.id, "flag": drill.flag, "reader": drill.reader, "result": report["result"]}
    return _tell(ledger, drill.id, Severity.WARNING, str(report["why"]), details, now)


def _tell(
    ledger: Ledger, drill: int, severity: Severity, why: str, details: dict[str, object], now: float
) -> list[str]:
    summary = f"rollback drill {drill} failed: {why}"
    return ledger.tell_active(Notification(KIND, f"drill:{drill}", severity, summary, now, details))
