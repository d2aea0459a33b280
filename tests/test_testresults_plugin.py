"""The pytest plugin in real runs of pytest, each a process of its own: what it counts, and when it keeps out of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.processes import Finished, wait_for
from tests.test_testresults import counters_of
from watchdog.testresults.series import State, parsed, unfinished

ROOT = Path(__file__).parent.parent
GOOD = "def test_a(): pass\ndef test_b(): pass\n"
RERUN = '''
import pytest
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    """What pytest-rerunfailures does: reports of a try that failed and will be repeated have the outcome `rerun`."""
    hook = item.ihook
    hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for last in (False, True):
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        again = not last and any(report.failed for report in reports)
        for report in reports:
            if again and report.failed:
                report.outcome = "rerun"
            hook.pytest_runtest_logreport(report=report)
            if report.outcome == "rerun":
                break
        if not again:
            break
        item._initrequest()
    hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True

def pytest_report_teststatus(report):
    return ("rerun", "R", "RERUN") if report.outcome == "rerun" else None
'''
FLAKY = """
tries = []
def test_shaky():
    tries.append(1)
    assert len(tries) > 1
def test_broken(): assert 0
def test_fine(): pass
"""


class Project:
    """A directory with tests and a textfile directory, and pytest run in it as a user would."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.textfiles = root / "textfiles"
        self.textfiles.mkdir()
        (root / "pytest.ini").write_text("[pytest]\nmarkers =\n  critical: x\n  vital: x\n")
        self.write("test_it.py", GOOD)

    def write(self, name: str, text: str) -> None:
        (self.root / name).write_text(text)

    def command(self, *arguments: str) -> Sequence[str]:
        counted = ("--slo-suite", "smoke", "--slo-textfile", str(self.textfiles), "--slo-job", "checkout")
        loaded = ("-p", "watchdog.testresults.plugin", "-p", "no:cacheprovider")
        return (sys.executable, "-m", "pytest", "-q", *loaded, *counted, *arguments)

    @property
    def environ(self) -> dict[str, str]:
        """These tests run below xdist themselves; and the plugin may be installed or not."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        return {**kept, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}

    def run(self, *arguments: str, command: Sequence[str] = ()) -> Finished:
        done = subprocess.run(
            command or self.command(*arguments),
            cwd=self.root, env=self.environ, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        return Finished(done.returncode, done.stdout, done.stderr)

    @property
    def file(self) -> Path:
        (file,) = self.textfiles.glob("*.prom")
        return file

    @property
    def counted(self) -> tuple[int, ...]:
        """Passed, failed, error, skipped so far."""
        return tuple(int(value) for value in counters_of(self.file).values())

    @property
    def state(self) -> State:
        return parsed(self.file.read_text())

    def success(self) -> bool:
        return bool(self.state["smoke_tests_last_run_success", ""])


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_runs_add_up_and_are_told_at_the_end(project: Project) -> None:
    project.write("test_more.py", "import pytest\n@pytest.mark.skip\ndef test_c(): pass\ndef test_d(): assert 0\n")
    first = project.run()
    assert first.status == 1
    assert f"2 passed, 1 failed, 1 skipped\ncounted in {project.file}" in first.out
    assert project.counted == (2, 1, 0, 1)
    assert not project.success()
    (project.root / "test_more.py").unlink()
    assert project.run().status == 0
    assert project.counted == (4, 1, 0, 1)
    assert project.success()
    assert 'smoke_tests_total{job="checkout",suite="smoke",result="passed"} 4\n' in project.file.read_text()


def test_workers_of_xdist_count_once(project: Project) -> None:
    project.write("test_bad.py", "import pytest\n@pytest.mark.critical\n@pytest.mark.skip\ndef test_c(): pass\n")
    done = project.run("-p", "xdist.plugin", "-n", "2")
    assert done.status == 1, done.out
    assert "counts as failed: critical tests were skipped (test_bad.py::test_c)" in done.out
    assert project.counted == (0, 0, 2, 1)
    assert project.state["smoke_tests_runs_total", "failed"] == 1


def test_a_test_that_passes_when_it_is_run_again_is_flaky(project: Project) -> None:
    project.write("conftest.py", RERUN)
    project.write("test_it.py", FLAKY)
    assert "2 passed, 1 failed; 1 of them flaky" in project.run().out
    assert project.counted == (2, 1, 0, 0)
    assert project.state["smoke_tests_flaky_total", ""] == 1
    project.run("--slo-flaky", "failed")
    assert project.counted == (3, 3, 0, 0)


EXPECTED = """
import pytest
@pytest.mark.xfail
def test_known(): assert 0
@pytest.mark.xfail
def test_better(): pass
@pytest.mark.xfail(strict=True)
def test_unexpected(): pass
def test_parts(subtests):
    with subtests.test("a"): pytest.skip("no")
def test_broken_parts(subtests):
    with subtests.test("a"): assert 0
"""


def test_expected_failures_are_skipped_and_unexpected_passes_pass_unless_they_are_strict(project: Project) -> None:
    project.write("test_it.py", EXPECTED)
    project.run()
    assert project.counted == (2, 2, 0, 1)


BAD_RUNS = {
    "nothing": ("", [], 5, (0, 0, 1, 0), "no test was found"),
    "all skipped": ("import pytest\npytestmark = pytest.mark.skip\n" + GOOD, [], 1, (0, 0, 1, 2), "were skipped"),
    "import": ("import nowhere\n", [], 2, (0, 0, 1, 0), "cannot be collected (test_it.py)"),
    "import, others": ("import nowhere\n", ["--continue-on-collection-errors"], 1, (0, 0, 1, 0), "be collected"),
    "no such file": (GOOD, ["nowhere.py"], 4, (0, 0, 1, 0), "pytest was called wrongly"),
    "first failure": ("def test_0(): assert 0\n" + GOOD, ["-x"], 1, (0, 1, 2, 0), "2 of 3 tests never ran"),
    "interrupted": (GOOD + "def test_c(): raise KeyboardInterrupt\n", [], 2, (0, 0, 3, 0), "ended by Keyboard"),
    "exit": (GOOD + "import pytest\ndef test_c(): pytest.exit('x', 0)\n", [], 1, (0, 0, 3, 0), "ended by Exit"),
    "critical": (GOOD + "import pytest\n@pytest.mark.critical\ndef test_c(): pytest.skip()\n", [], 1, (0, 0, 2, 1),
                 "critical tests were skipped (test_it.py::test_c)"),
    "critical, expected": (GOOD + "import pytest\n@pytest.mark.critical\n@pytest.mark.xfail\ndef test_c(): assert 0\n",
                           [], 1, (0, 0, 2, 1), "critical tests were skipped"),
    "other marker": (GOOD, ["--slo-critical", "vital"], 1, (0, 0, 2, 0), "carries the critical marker vital"),
    "unknown option": (GOOD, ["--nonsense"], 4, (0, 0, 1, 0), ""),
}  # fmt: skip


@pytest.mark.parametrize(("text", "options", "status", "counted", "said"), BAD_RUNS.values(), ids=BAD_RUNS)
def test_a_run_that_proves_nothing_counts_as_failed(
    project: Project, text: str, options: list[str], status: int, counted: tuple[int, ...], said: str
) -> None:
    project.write("test_it.py", text)
    done = project.run(*options)
    assert done.status == status, done.out + done.err
    assert said in done.out
    assert project.counted == counted
    assert not project.success()
    assert not unfinished(project.state)


def test_a_file_that_skips_itself_counts_if_something_critical_is_in_it(project: Project) -> None:
    text = "import pytest\npytest.importorskip('nowhere_at_all')\n{}\ndef test_c(): pass\n"
    project.write("test_hidden.py", text.format(""))
    assert project.run().status == 0
    project.write("test_hidden.py", text.format("@pytest.mark.critical"))
    assert "critical tests were skipped (test_hidden.py)" in project.run().out
    assert project.counted == (2, 0, 2, 0)


def test_what_breaks_before_the_run_begins_counts_too(project: Project) -> None:
    project.write("conftest.py", "import nowhere\n")
    done = project.run()
    assert done.status == 4
    assert "nowhere" in done.err
    assert project.counted == (0, 0, 1, 0)


def test_an_internal_error_of_pytest_counts(project: Project) -> None:
    project.write("conftest.py", "def pytest_runtest_logfinish(): raise ValueError('a broken plugin')\n")
    done = project.run()
    assert done.status == 3
    assert project.counted == (0, 0, 2, 0)


def test_a_run_that_is_killed_shows_as_not_ended_and_is_counted_by_the_next(project: Project) -> None:
    project.write("test_slow.py", "import time\ndef test_c(): open('there', 'w').close(); time.sleep(60)\n")
    with subprocess.Popen(
        project.command(), cwd=project.root, env=project.environ, stdout=subprocess.DEVNULL
    ) as process:
        try:
            wait_for(lambda: (project.root / "there").exists() or None, 60, lambda: "the slow test has not begun")
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(20)
    assert unfinished(project.state)
    assert project.counted == (0, 0, 0, 0)
    (project.root / "test_slow.py").unlink()
    assert "a run before this one never ended" in project.run().out
    assert project.counted == (2, 0, 3, 0)


def test_a_metric_that_cannot_be_written_fails_a_green_run(project: Project) -> None:
    project.write("test_it.py", f"import os\ndef test_a(): os.rename({str(project.textfiles)!r}, 'gone')\n")
    done = project.run()
    assert done.status == 1
    assert "NOT COUNTED: textfile" in done.out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--slo-suite", "a b"], "slo-watchdog: suite: found 'a b'"),
        (["--slo-label", "x"], "slo-watchdog: label: found 'x'"),
        (["--slo-textfile", "nowhere"], "is not a directory"),
        (["--slo-pushgateway", "http://127.0.0.1:9"], "are both given"),
    ],
)
def test_wrong_options_are_refused(project: Project, options: list[str], said: str) -> None:
    done = project.run(*options)
    assert done.status == 4
    assert said in done.err
    assert "Traceback" not in done.err


def test_a_target_without_a_suite_is_refused(project: Project) -> None:
    command = [sys.executable, "-m", "pytest", "-p", "watchdog.testresults.plugin", "--slo-textfile", "."]
    done = project.run(command=command)
    assert (done.status, "needs --slo-suite NAME" in done.err) == (4, True)


def test_nothing_is_counted_where_no_test_is_run(project: Project) -> None:
    for option in ("--collect-only", "--help"):
        assert project.run(option).status == 0
    assert list(project.textfiles.iterdir()) == []


INERT = """
import sys
heavy = [name for name in sys.modules if name.startswith("watchdog.") or name in ("requests", "sqlalchemy", "pydantic")]
def test_a(request):
    assert heavy == ["watchdog.testresults", "watchdog.testresults.plugin"]
    assert not request.config.pluginmanager.has_plugin("slo-watchdog-recorder")
"""


def test_without_its_options_it_does_nothing_and_loads_nothing(project: Project) -> None:
    project.write("test_it.py", INERT)
    done = project.run(command=[sys.executable, "-m", "pytest", "-q", "-p", "watchdog.testresults.plugin"])
    assert done.status == 0, done.out
    assert "slo-watchdog" not in done.out
    assert list(project.textfiles.iterdir()) == []


def test_pytest_finds_it_by_its_entry_point() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"slo_watchdog": "watchdog.testresults.plugin"}
    assert "pytest" in project["optional-dependencies"]
