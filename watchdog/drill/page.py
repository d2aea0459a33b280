"""Who hears of a drill that failed, and of the one that passed after it: everybody with a rollout under way."""

from __future__ import annotations

from watchdog.drill.report import BLIND, STOPPED, Report, unfinished
from watchdog.ledger import Ledger, StoredDrill
from watchdog.model import Notification, Severity
from watchdog.quantities import format_duration

FAILED, AGAIN = "drill_failed", "drill_passed"


def tell_result(ledger: Ledger, report: Report, now: float) -> list[str]:
    """Tell every active rollout of a drill that failed, or that passed after one that had not; the rollouts told.

    A bound that does not hold wakes people; a drill that had nothing to measure with can wait for the day. A drill that
    somebody stopped is nobody's concern. `now` is wall time. Raises LedgerError.
    """
    if report.result == STOPPED or (report.passed and not _had_failed(ledger, report)):
        return []
    details = _details(report.id, report.service, report.plan.flag, report.reader, report.result)
    details |= {"worst_s": report.worst, "within_s": report.plan.within, "reason": report.why}
    details["target"] = f"off in less than {format_duration(report.plan.within)}"
    if report.passed:
        summary = f"rollback drill {report.id} passed after one that had not: {report.why}"
        return ledger.tell_active(
            Notification(AGAIN, f"drill_passed:{report.id}", Severity.INFO, summary, now, details)
        )
    severity = Severity.WARNING if report.result == BLIND else Severity.CRITICAL
    return _tell_failure(ledger, report.id, severity, report.why, details, now)


def tell_unfinished(ledger: Ledger, drill: StoredDrill, now: float) -> list[str]:
    """The same for a drill whose process died, which is recorded as failed first."""
    report = unfinished(drill)
    ledger.finish_drill(drill.id, now, passed=False, worst=None, report=report)
    details = _details(drill.id, drill.service, drill.flag, drill.reader, str(report["result"]))
    return _tell_failure(
        ledger, drill.id, Severity.WARNING, str(report["why"]), details | {"reason": report["why"]}, now
    )


def _had_failed(ledger: Ledger, report: Report) -> bool:
    """Whether the last drill of the same flag, those that somebody stopped apart, had not passed."""
    before = ledger.drills_before(report.id, report.service, report.plan.flag)
    ended = (drill for drill in before if (drill.report or {}).get("result") != STOPPED)
    return next((not drill.passed for drill in ended), False)


def _details(drill: int, service: str, flag: str, reader: str, result: str) -> dict[str, object]:
    return {"drill": drill, "service": service, "flag": flag, "reader": reader, "result": result}


def _tell_failure(
    ledger: Ledger, drill: int, severity: Severity, why: str, details: dict[str, object], now: float
) -> list[str]:
    summary = f"rollback drill {drill} failed: {why}"
    return ledger.tell_active(Notification(FAILED, f"drill:{drill}", severity, summary, now, details))
