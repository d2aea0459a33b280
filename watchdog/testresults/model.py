"""What one run of a suite came to, and what of it counts. Pure: no clock, no I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from watchdog.errors import ConfigError, Problem

LONGEST_VALUE = 200
"""Characters of the value of a label."""
MOST_LABELS = 16
SUITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,99}")
OURS = ("suite", "result", "outcome", "job", "le", "quantile")


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite by its name and its labels. `job` is the service that it tests; `labels` are further ones."""

    name: str
    job: str
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def all_labels(self) -> dict[str, str]:
        """Every label that its series have in common: `job`, `suite`, then the others by name."""
        return {"job": self.job, "suite": self.name, **dict(sorted(self.labels.items()))}


def suite_of(name: str, job: str | None, labels: Sequence[str]) -> Suite:
    """A suite from options; without `job` its own name stands for it. Raises ConfigError with every problem."""
    problems = []
    if not SUITE.fullmatch(name):
        expected = "letters, digits, `_`, `.` and `-`, a letter or digit first, at most 100"
        problems.append(Problem("suite", f"found {name[:120]!r}, expected {expected}"))
    given: dict[str, str] = {}
    for text in labels:
        key, equals, value = text.partition("=")
        if not equals or not LABEL.fullmatch(key) or key.startswith("__") or key in OURS:
            others = ", ".join(OURS)
            expected = f"NAME=VALUE, where NAME is a label of Prometheus and none of {others}"
            problems.append(Problem("label", f"found {text[:120]!r}, expected {expected}"))
        elif key in given:
            problems.append(Problem("label", f"{key} is given twice; leave one out"))
        else:
            given[key] = value
    named = name if job is None else job
    for key, value in {"job": named, **given}.items():
        if not value or len(value) > LONGEST_VALUE or not value.isprintable():
            expected = f"1 to {LONGEST_VALUE} characters that can be printed"
            problems.append(Problem(key, f"found {value[:120]!r} as its value, expected {expected}"))
    if len(given) > MOST_LABELS:
        problems.append(Problem("label", f"found {len(given)} labels, expected at most {MOST_LABELS}"))
    if problems:
        raise ConfigError(problems)
    return Suite(name, named, given)


@dataclass(frozen=True, slots=True)
class Counts:
    """Tests by result. Each test is in exactly one of them."""

    passed: int = 0
    failed: int = 0
    error: int = 0
    skipped: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.passed + self.failed + self.error + self.skipped


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a suite: what each test came to, and `faults`, the reasons for which it proves nothing.

    `flaky` tests are among `tests` as what they count as. `collected` says how many tests the run meant to run.
    Instants are epoch seconds; `duration` is in seconds.
    """

    tests: Counts
    flaky: int
    collected: int
    started_at: float
    finished_at: float
    duration: float
    faults: tuple[str, ...] = ()

    @property
    def not_run(self) -> int:
        """Tests that were collected and came to nothing."""
        return max(0, self.collected - self.tests.total)

    @property
    def success(self) -> bool:
        """Whether every test that ran passed, and the run proves something."""
        return not self.faults and self.tests.failed == 0 and self.tests.error == 0

    @property
    def counted(self) -> Counts:
        """What is added to the counters. In a run that proves nothing no test passed, and at least one failed."""
        if not self.faults:
            return self.tests
        lost = self.tests.error + self.tests.passed + self.not_run
        if lost + self.tests.failed == 0:
            lost = 1
        return Counts(0, self.tests.failed, lost, self.tests.skipped)


def judged(run: Run) -> Run:
    """The run with the faults that follow from its numbers: no test, none that ran, some that never ran."""
    found = list(run.faults)
    if run.collected == 0 and run.tests.total == 0:
        found.append("no test was found")
    elif run.tests.total - run.tests.skipped == 0 and run.not_run == 0:
        found.append(f"all of its tests ({run.tests.skipped}) were skipped")
    if run.not_run:
        found.append(f"{run.not_run} of {run.collected} tests never ran to their end")
    return replace(run, faults=tuple(found))


def names(of: Sequence[str], most: int = 3) -> str:
    """The first names of a list, for a sentence."""
    shown = ", ".join(name if len(name) <= LONGEST_VALUE else f"{name[:LONGEST_VALUE]}..." for name in of[:most])
    return shown if len(of) <= most else f"{shown} and {len(of) - most} more"


def summary(run: Run) -> str:
    """The run in a few words: `28 passed, 1 failed, 1 skipped; 1 of them flaky`."""
    tests = {
        "passed": run.tests.passed,
        "failed": run.tests.failed,
        "error": run.tests.error,
        "skipped": run.tests.skipped,
        "never ran": run.not_run,
    }
    told = ", ".join(f"{count} {what}" for what, count in tests.items() if count) or "no test"
    return f"{told}; {run.flaky} of them flaky" if run.flaky else told
