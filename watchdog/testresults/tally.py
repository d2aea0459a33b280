"""What each test of a run came to, out of the reports that pytest makes of its phases and of its repeats. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from watchdog.testresults.model import Counts


class Result(IntEnum):
    """The worst of a test's reports is its result: a subtest that was skipped in a test that passed is no matter."""

    SKIPPED = 1
    PASSED = 2
    FAILED = 3
    ERROR = 4


@dataclass(slots=True)
class Test:
    """One test so far. `skips` says that a part of it was skipped, `reruns` how often it was run again."""

    result: Result | None = None
    reruns: int = 0
    skips: bool = False
    critical: tuple[str, ...] = ()


@dataclass(slots=True)
class Tally:
    """The tests of a run. `flaky_passes` says whether a test that passed when it was run again passed."""

    flaky_passes: bool = True
    tests: dict[str, Test] = field(default_factory=dict)

    def report(self, name: str, phase: str, outcome: str, critical: Sequence[str] = ()) -> None:
        """Take one report: `phase` is setup, call or teardown; `outcome` passed, failed, skipped or rerun.

        A worker of xdist that dies is reported as a failure in a phase `???`. An expected failure is `skipped`: it
        proves neither that the thing works nor that it is broken. `critical` are the critical markers that it carries.
        """
        test = self.tests.setdefault(name, Test())
        test.critical = test.critical or tuple(critical)
        if outcome == "rerun":
            test.reruns += 1
            test.result, test.skips = None, False
        elif outcome == "skipped":
            test.skips = True
            test.result = max(test.result or Result.SKIPPED, Result.SKIPPED)
        elif outcome == "failed":
            worst = Result.ERROR if phase in ("setup", "teardown") else Result.FAILED
            test.result = max(test.result or worst, worst)
        elif phase == "call":
            test.result = max(test.result or Result.PASSED, Result.PASSED)

    @property
    def flaky(self) -> int:
        """Tests that passed, but not at once."""
        return sum(test.result is Result.PASSED and test.reruns > 0 for test in self.tests.values())

    @property
    def counts(self) -> Counts:
        """The tests that came to something, by result."""
        found = dict.fromkeys(Result, 0)
        for test in self.tests.values():
            if test.result is not None:
                spoilt = test.result is Result.PASSED and test.reruns > 0 and not self.flaky_passes
                found[Result.FAILED if spoilt else test.result] += 1
        return Counts(found[Result.PASSED], found[Result.FAILED], found[Result.ERROR], found[Result.SKIPPED])

    @property
    def critical_skipped(self) -> list[str]:
        """Critical tests of which at least a part was skipped."""
        return [name for name, test in self.tests.items() if test.critical and test.skips]

    def carries(self, marker: str) -> bool:
        """Whether any test carries this critical marker."""
        return any(marker in test.critical for test in self.tests.values())
