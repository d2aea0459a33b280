"""The series of a suite: what a run adds to them, and how they are written for Prometheus and read back. Pure.

Counters go on from run to run, so whoever writes them reads first what is there. All of them are there from the first
start of a suite, with 0: a counter that is born with a value has not increased.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from watchdog.testresults.model import Run

Key = tuple[str, str]
"""Name of a series, and the value of the label that its family varies, or nothing."""
State = Mapping[Key, float]

TESTS = "smoke_tests_total"
FLAKY = "smoke_tests_flaky_total"
RUNS = "smoke_tests_runs_total"
STARTED = "smoke_tests_last_run_started_timestamp_seconds"
FINISHED = "smoke_tests_last_run_timestamp_seconds"
DURATION = "smoke_tests_last_run_duration_seconds"
SUCCESS = "smoke_tests_last_run_success"
LAST_TESTS = "smoke_tests_last_run_tests"
LAST_FLAKY = "smoke_tests_last_run_flaky"


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its type, its help, and the label and values in which its series differ."""

    name: str
    kind: str
    help: str
    label: str = ""
    values: tuple[str, ...] = ("",)


RESULTS = ("passed", "failed", "error", "skipped")
FAMILIES = (
    Family(TESTS, "counter", "Tests that finished, by result.", "result", RESULTS),
    Family(FLAKY, "counter", "Tests that passed only when they were run again."),
    Family(RUNS, "counter", "Runs of the suite, by what they count as.", "outcome", ("passed", "failed")),
    Family(STARTED, "gauge", "When the newest run began; later than its end while it runs or when it died."),
    Family(FINISHED, "gauge", "When the newest run that ended did so; 0 when none has."),
    Family(DURATION, "gauge", "How long that run took."),
    Family(SUCCESS, "gauge", "1 when every test of that run passed and it proves something."),
    Family(LAST_TESTS, "gauge", "Tests of that run, by result.", "result", (*RESULTS, "not_run")),
    Family(LAST_FLAKY, "gauge", "Tests of that run that passed only when they were run again."),
)
NOTHING: State = {(family.name, value): 0.0 for family in FAMILIES for value in family.values}
"""A suite that has never run."""
_BY_NAME = {family.name: family for family in FAMILIES}
_LINE = re.compile(r"(?P<name>[a-z_]+)\{(?P<labels>.*)\} (?P<value>\S+)")


def begun(state: State, at: float) -> State:
    """After the start of a run, which may never end."""
    return {**state, (STARTED, ""): at}


def died(state: State, collected: int) -> State:
    """After a run of which only the start is known: all its tests count as errors, at least one."""
    return {
        **state,
        (TESTS, "error"): state[TESTS, "error"] + max(1, collected),
        (RUNS, "failed"): state[RUNS, "failed"] + 1,
        (SUCCESS, ""): 0.0,
    }


def added(state: State, run: Run) -> State:
    """After a run that has ended."""
    counted = run.counted
    last = {"not_run": run.not_run, **{result: getattr(run.tests, result) for result in RESULTS}}
    outcome = "passed" if run.success else "failed"
    return {
        **state,
        **{(TESTS, result): state[TESTS, result] + getattr(counted, result) for result in RESULTS},
        (FLAKY, ""): state[FLAKY, ""] + run.flaky,
        (RUNS, outcome): state[RUNS, outcome] + 1,
        (STARTED, ""): max(state[STARTED, ""], run.started_at),
        (FINISHED, ""): run.finished_at,
        (DURATION, ""): run.duration,
        (SUCCESS, ""): float(run.success),
        **{(LAST_TESTS, result): float(count) for result, count in last.items()},
        (LAST_FLAKY, ""): float(run.flaky),
    }


def same(state: State, run: Run) -> bool:
    """Whether this very run was the last one to be added: a report that is imported twice."""
    now = added(state, run)
    return all(now[key] == state[key] for key in NOTHING if _BY_NAME[key[0]].kind == "gauge")


def unfinished(state: State) -> bool:
    """Whether a run began after the last one that ended."""
    return state[STARTED, ""] > state[FINISHED, ""]


def text(state: State, labels: Mapping[str, str]) -> str:
    """The series in Prometheus' text format, each with these labels."""
    lines = []
    for family in FAMILIES:
        lines += [f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.kind}"]
        for value in family.values:
            own = {family.label: value} if family.label else {}
            told = ",".join(f'{name}="{_escaped(each)}"' for name, each in {**labels, **own}.items())
            lines.append(f"{family.name}{{{told}}} {_number(state[family.name, value])}")
    return "\n".join(lines) + "\n"


def parsed(written: str) -> State:
    """The series that `text` wrote. Raises ValueError where it is something else, or cut off."""
    found: dict[Key, float] = {}
    for line in written.splitlines():
        if line.startswith("#"):
            continue
        parts = _LINE.fullmatch(line)
        if parts is None:
            raise ValueError(f"{line[:80]!r} is no series of a suite")
        family = _BY_NAME.get(parts["name"])
        own = re.search(rf'(?:^|,){family.label}="([a-z_]+)"$', parts["labels"]) if family and family.label else None
        found[parts["name"], own[1] if own else ""] = float(parts["value"])
    return checked(found)


def checked(found: Mapping[Key, float]) -> State:
    """The series among these. Raises ValueError unless they could be ours: all tests counted, no number below 0.

    What another version did not write yet begins at 0; what it writes besides is left alone.
    """
    for key in NOTHING:
        if key[0] == TESTS and key not in found:
            raise ValueError(f'{TESTS}{{result="{key[1]}"}} is missing')
    known = {key: found.get(key, begins) for key, begins in NOTHING.items()}
    for (name, _), value in known.items():
        if not math.isfinite(value) or value < 0:
            raise ValueError(f"{name} is {value:g}")
    return known


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
