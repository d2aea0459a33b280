"""Reports of one run, put together: what they say of each test, and what they fail to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from watchdog.testresults.junit import Case, Report, Unreadable, read_report
from watchdog.testresults.model import Counts, Run, judged, names


@dataclass(frozen=True, slots=True)
class Reading:
    """How reports are read. `critical` are patterns of `CLASSNAME::NAME`, of which none may be skipped.

    With `retries` a test case that appears again in its report is a retry of it; without, it is one more test: many
    tools give different tests one name, and a failure among them must not pass for a flaky test.
    """

    critical: Sequence[str] = ()
    flaky_passes: bool = True
    retries: bool = False


def run_of(paths: Sequence[Path], how: Reading, now: float) -> Run:
    """The run that these reports tell of. One that is missing or broken is a fault of the run, and no error."""
    faults: list[str] = []
    cases: list[Case] = []
    totals = Report()
    ends: list[float] = []
    for path in dict.fromkeys(paths):
        try:
            report = read_report(path)
            written_at = path.stat().st_mtime
        except (Unreadable, OSError) as error:
            faults.append(f"the report {path} {error}")
            continue
        cases += _merged(report) if how.retries or report.unique else report.cases
        totals.errors += report.errors
        totals.missing += report.missing
        totals.skipped += report.skipped
        totals.duration += report.duration
        ends.append(min(now, written_at if report.ended_at is None else report.ended_at))
    if totals.errors:
        faults.append(f"there are errors outside of its tests ({totals.errors}): something never ran")
    unbuilt = [case.name for case in cases if case.never_built]
    if unbuilt:
        faults.append(f"some of it cannot be built or loaded ({names(unbuilt)})")
    faults += _critical(cases, how.critical)
    tests = _counts(cases, totals, flaky_passes=how.flaky_passes)
    finished = max(ends, default=now)
    flaky = sum(case.flaky for case in cases)
    began = finished - totals.duration
    return judged(Run(tests, flaky, tests.total + totals.missing, began, finished, totals.duration, tuple(faults)))


def _merged(report: Report) -> list[Case]:
    """Each name once, as what it came to last; one that passed after it failed is flaky.

    pytest writes a try that failed and was repeated as if it had passed.
    """
    last: dict[str, Case] = {}
    failed: set[str] = set()
    for case in report.cases:
        if case.name in last and case.result == "passed" and (report.unique or case.name in failed):
            case.flaky = True
        elif case.result in ("failed", "error"):
            failed.add(case.name)
        last[case.name] = case
    return list(last.values())


def _counts(cases: Sequence[Case], totals: Report, *, flaky_passes: bool) -> Counts:
    found = {"passed": 0, "failed": 0, "error": totals.errors, "skipped": totals.skipped}
    for case in cases:
        found["failed" if case.flaky and not flaky_passes else case.result] += 1
    return Counts(**found)


def _critical(cases: Sequence[Case], patterns: Sequence[str]) -> list[str]:
    critical = [case for case in cases if any(fnmatchcase(case.name, pattern) for pattern in patterns)]
    skipped = [case.name for case in critical if case.result == "skipped"]
    absent = [pattern for pattern in patterns if not any(fnmatchcase(case.name, pattern) for case in cases)]
    found = [f"critical tests were skipped ({names(skipped)})"] if skipped else []
    if absent:
        found.append(f"no test matches the critical pattern {names(absent)}")
    return found
