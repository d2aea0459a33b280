"""Results of tests as series: what counts, how it is added up, written and read back."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.servers import binary
from watchdog.errors import ConfigError
from watchdog.testresults.model import Counts, Run, Suite, judged, suite_of, summary
from watchdog.testresults.series import FAMILIES, NOTHING, added, begun, checked, died, parsed, text, unfinished
from watchdog.testresults.tally import Tally

SUITE = Suite("smoke", "checkout", {"environment": "staging"})
AT = 1_795_000_000.0
ROOT = Path(__file__).parent.parent


def run(
    passed: int = 0,
    failed: int = 0,
    error: int = 0,
    skipped: int = 0,
    *,
    flaky: int = 0,
    collected: int | None = None,
    at: float = AT,
    faults: tuple[str, ...] = (),
) -> Run:
    counts = Counts(passed, failed, error, skipped)
    meant = counts.total if collected is None else collected
    return judged(Run(counts, flaky, meant, at - 2.5, at, 2.5, faults))


def counters_of(path: Path) -> dict[str, float]:
    """The counters of tests in a textfile, by result."""
    state = parsed(path.read_text())
    return {result: value for (name, result), value in state.items() if name == "smoke_tests_total"}


# --- what counts ------------------------------------------------------------------------------------------------------


def test_a_run_counts_what_its_tests_came_to() -> None:
    good = run(28, 0, 0, 2, flaky=1)
    assert good.success
    assert good.counted == Counts(28, 0, 0, 2)
    assert not run(28, 1).success
    assert run(27, 1, 1).counted == Counts(27, 1, 1)


@pytest.mark.parametrize(
    ("bad", "fault", "counted"),
    [
        (run(), "no test was found", Counts(error=1)),
        (run(skipped=3), "all of its tests (3) were skipped", Counts(error=1, skipped=3)),
        (run(10, collected=30), "20 of 30 tests never ran to their end", Counts(error=30)),
        (run(9, 1, 0, 2, faults=("critical",)), "critical", Counts(0, 1, 9, 2)),
        (run(0, 2, faults=("interrupted",)), "interrupted", Counts(0, 2)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_in_a_run_that_proves_nothing_no_test_passed(bad: Run, fault: str, counted: Counts) -> None:
    assert bad.faults == (fault,)
    assert not bad.success
    assert bad.counted == counted
    assert bad.counted.failed + bad.counted.error > 0


def test_a_run_is_told_in_a_few_words() -> None:
    told = "3 passed, 1 failed, 2 skipped, 2 never ran; 1 of them flaky"
    assert summary(run(3, 1, 0, 2, collected=8, flaky=1)) == told
    assert summary(run()) == "no test"


# --- reports of pytest ------------------------------------------------------------------------------------------------


def tallied(*reports: tuple[str, str], flaky_passes: bool = True) -> Tally:
    tally = Tally(flaky_passes)
    for phase, outcome in reports:
        tally.report("t", phase, outcome, ("critical",))
    return tally


@pytest.mark.parametrize(
    ("reports", "counts"),
    [
        ("setup:passed call:passed teardown:passed", Counts(passed=1)),
        ("setup:passed call:failed teardown:passed", Counts(failed=1)),
        ("setup:failed teardown:passed", Counts(error=1)),
        ("setup:passed call:passed teardown:failed", Counts(error=1)),
        ("setup:passed call:failed teardown:failed", Counts(error=1)),
        ("setup:skipped teardown:passed", Counts(skipped=1)),
        ("setup:passed call:skipped teardown:passed", Counts(skipped=1)),
        ("setup:passed call:skipped call:passed teardown:passed", Counts(passed=1)),
        ("setup:passed call:failed call:passed teardown:passed", Counts(failed=1)),
        ("setup:passed", Counts()),
        ("???:failed", Counts(failed=1)),
        ("setup:passed call:rerun setup:passed call:passed teardown:passed", Counts(passed=1)),
        ("setup:rerun setup:passed call:rerun setup:passed call:failed teardown:passed", Counts(failed=1)),
        ("setup:passed call:rerun setup:passed", Counts()),
    ],
)
def test_a_test_is_the_worst_of_its_last_try(reports: str, counts: Counts) -> None:
    tally = tallied(*(tuple(each.split(":", 1)) for each in reports.split()))  # type: ignore[arg-type]
    assert tally.counts == counts


def test_a_test_that_passes_when_it_is_run_again_is_flaky_and_counts_as_one_likes() -> None:
    reports = (("call", "rerun"), ("setup", "passed"), ("call", "passed"))
    assert (tallied(*reports).flaky, tallied(*reports).counts) == (1, Counts(passed=1))
    strict = tallied(*reports, flaky_passes=False)
    assert (strict.flaky, strict.counts) == (1, Counts(failed=1))


def test_a_critical_test_that_is_skipped_in_part_is_skipped() -> None:
    assert tallied(("call", "skipped"), ("call", "passed")).critical_skipped == ["t"]
    assert tallied(("call", "passed")).critical_skipped == []
    assert tallied(("call", "passed")).carries("critical")
    assert not tallied(("call", "passed")).carries("other")


# --- series -----------------------------------------------------------------------------------------------------------


def test_counters_go_on_and_gauges_tell_of_the_last_run() -> None:
    state = added(added(NOTHING, run(8, 1, 0, 1)), run(10, at=AT + 60, flaky=1))
    assert state["smoke_tests_total", "passed"] == 18
    assert state["smoke_tests_total", "failed"] == 1
    assert state["smoke_tests_flaky_total", ""] == 1
    assert (state["smoke_tests_runs_total", "failed"], state["smoke_tests_runs_total", "passed"]) == (1, 1)
    assert state["smoke_tests_last_run_tests", "passed"] == 10
    assert state["smoke_tests_last_run_success", ""] == 1
    assert state["smoke_tests_last_run_timestamp_seconds", ""] == AT + 60
    assert state["smoke_tests_last_run_duration_seconds", ""] == 2.5


def test_a_run_that_has_only_begun_shows_as_not_ended_and_all_counters_are_there() -> None:
    state = begun(NOTHING, AT)
    assert unfinished(state)
    assert state["smoke_tests_last_run_success", ""] == 0
    assert {value for (name, _), value in state.items() if name.endswith("_total")} == {0}
    assert not unfinished(added(state, run(1, at=AT + 1)))
    gone = died(state, 12)
    assert (gone["smoke_tests_total", "error"], gone["smoke_tests_runs_total", "failed"]) == (12, 1)


def test_what_is_written_is_read_back_whatever_the_labels_say() -> None:
    state = added(NOTHING, run(8, 1, 2, 1, flaky=1))
    for value in ("plain", 'a "quote"', "back\\slash", 'x",result="passed"} 7', "}", "Überraschung"):
        labels = Suite("smoke", "checkout", {"where": value}).all_labels
        assert parsed(text(state, labels)) == state


@pytest.mark.parametrize(
    "damaged",
    ["", "garbage\n", 'smoke_tests_total{result="passed"} 3\n', text(NOTHING, {}).replace(" 0", " -1"), "x" * 70],
)
def test_what_is_no_set_of_ours_is_refused(damaged: str) -> None:
    with pytest.raises(ValueError, match=r"is no series|is missing|is -1"):
        parsed(damaged)


def test_what_another_version_adds_or_leaves_out_does_no_harm() -> None:
    written = text(added(NOTHING, run(8)), {"suite": "smoke"})
    less = "".join(line for line in written.splitlines(keepends=True) if "_flaky" not in line)
    assert parsed(less + 'smoke_tests_new{suite="smoke"} 7\n')["smoke_tests_total", "passed"] == 8
    with pytest.raises(ValueError, match=r"passed.* is missing"):
        checked({})


def test_promtool_finds_nothing_wrong_with_the_series() -> None:
    written = text(added(NOTHING, run(8, 1)), SUITE.all_labels)
    done = subprocess.run(
        [binary("promtool"), "check", "metrics"], input=written, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("name", "job", "labels", "said"),
    [
        ("", None, [], "suite: found ''"),
        ("../etc", None, [], "suite: found '../etc'"),
        ("smoke", "", [], "job: found ''"),
        ("smoke", None, ["nothing"], "label: found 'nothing'"),
        ("smoke", None, ["result=x"], "label: found 'result=x'"),
        ("smoke", None, ["__name__=x"], "label: found '__name__=x'"),
        ("smoke", None, ["a=1", "a=2"], "a is given twice"),
        ("smoke", None, ["a=x\ny"], "characters that can be printed"),
        ("smoke", None, [f"l{n}=1" for n in range(17)], "at most 16"),
    ],
)
def test_names_that_prometheus_or_a_file_could_not_have_are_refused(
    name: str, job: str | None, labels: list[str], said: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        suite_of(name, job, labels)


def test_without_a_service_the_suite_stands_for_it() -> None:
    assert suite_of("smoke", None, ["b=2", "a=1"]).all_labels == {"job": "smoke", "suite": "smoke", "a": "1", "b": "2"}


def test_the_page_lists_every_series() -> None:
    page = (ROOT / "docs" / "tests-as-a-metric.md").read_text()
    assert [family.name for family in FAMILIES if f"`{family.name}`" not in page] == []
