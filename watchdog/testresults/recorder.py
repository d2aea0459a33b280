"""What watches a run of pytest and counts it at the end; imported only where `--slo-suite` is given."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Generator, Sequence

import pytest

from watchdog.errors import ConfigError, SourceError
from watchdog.testresults.model import Counts, Run, judged, names, suite_of, summary
from watchdog.testresults.sinks import Sink, sink_of
from watchdog.testresults.tally import Tally

CRITICAL = "critical"
"""The marker that counts unless others are named."""
ENDS = {
    pytest.ExitCode.INTERRUPTED: "the run was interrupted",
    pytest.ExitCode.INTERNAL_ERROR: "pytest itself failed (internal error)",
    pytest.ExitCode.USAGE_ERROR: "pytest was called wrongly (usage error)",
}


class Marks:
    """Writes on each report which critical markers its test carries, since a controller of xdist sees no tests."""

    def __init__(self, markers: Sequence[str]) -> None:
        self._markers = tuple(markers) or (CRITICAL,)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport | None, pytest.TestReport | None]:
        """Attributes of a report travel from a worker to its controller."""
        report = yield
        if report is not None:
            carried = [name for name in self._markers if item.get_closest_marker(name) is not None]
            vars(report)["slo_critical"] = carried
        return report


class Recorder:
    """One run, from its first sign to the metric."""

    def __init__(self, sink: Sink, markers: Sequence[str], *, flaky_passes: bool) -> None:
        self._sink = sink
        self._asked = tuple(markers)
        self._tally = Tally(flaky_passes)
        self._broken: set[str] = set()
        self._hidden: set[str] = set()
        self._faults: list[str] = []
        self._lines: list[str] = []
        self._began = (time.time(), time.perf_counter())
        self._started = self._ended = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Say that it started before anything else can go wrong."""
        try:
            self._note(self._sink.begin(self._began[0]))
        except ConfigError as error:
            raise pytest.UsageError(*(f"slo-watchdog: {problem}" for problem in error.problems)) from error
        except SourceError as error:
            # The gateway may be back at the end, and the tests are worth running in any case.
            self._note([str(error)])
        self._started = True

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that cannot be imported hides its tests, and so does one that skips itself as a whole."""
        if report.failed:
            self._broken.add(report.nodeid)
        elif report.skipped:
            self._hidden.add(report.nodeid)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Say how many tests there are, for the case that nothing is heard of this run again."""
        self._collected(len(session.items))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Likewise where workers collect."""
        self._collected(len(ids))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One phase of one test."""
        critical: Sequence[str] = vars(report).get("slo_critical", ())
        self._tally.report(report.nodeid, str(report.when), str(report.outcome), critical)

    def pytest_internalerror(self) -> None:
        """Told apart from tests that fail, whatever exit status comes of it."""
        self._faults.append(ENDS[pytest.ExitCode.INTERNAL_ERROR])

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Also pytest.exit(), which chooses an exit status of its own."""
        self._faults.append(f"the run was ended by {excinfo.typename}")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Judge the run and add it; what proves nothing, or cannot be told, is no success of pytest either."""
        faults = list(self._faults)
        if exitstatus in ENDS and not faults and not (exitstatus == pytest.ExitCode.INTERRUPTED and self._broken):
            faults.append(ENDS[pytest.ExitCode(exitstatus)])
        if self._broken:
            faults.append(f"{len(self._broken)} of its files cannot be collected ({names(sorted(self._broken))})")
        faults += self._critical(session)
        run = self._run(session.testscollected, faults)
        told = self._publish(run)
        if exitstatus == pytest.ExitCode.OK and (run.faults or not told):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """What was counted, where, and why it counts as failed."""
        terminalreporter.section("slo-watchdog")
        for line in self._lines:
            terminalreporter.line(line)

    def close(self) -> None:
        """The end of pytest; a run that began and never came to its end in a regular way is told here."""
        if self._started and not self._ended:
            self._publish(self._run(len(self._tally.tests), ["pytest ended before the run did"]))

    def _critical(self, session: pytest.Session) -> list[str]:
        markers = self._asked or (CRITICAL,)
        skipped = self._tally.critical_skipped
        marked = re.compile(rf"\bmark\.({'|'.join(map(re.escape, markers))})\b")
        for name in sorted(self._hidden):
            # Its tests were never seen; only its text can tell whether something critical was among them.
            with contextlib.suppress(OSError, UnicodeDecodeError):
                if marked.search((session.config.rootpath / name.partition("::")[0]).read_text(encoding="utf-8")):
                    skipped.append(name)
        found = [f"critical tests were skipped ({names(skipped)})"] if skipped else []
        absent = [name for name in self._asked if not self._tally.carries(name)]
        if absent and not self._broken:
            found.append(f"no test that ran carries the critical marker {names(absent)}")
        return found

    def _run(self, collected: int, faults: Sequence[str]) -> Run:
        counts = self._tally.counts
        tests = Counts(counts.passed, counts.failed, counts.error + len(self._broken), counts.skipped)
        seconds = time.perf_counter() - self._began[1]
        meant = max(collected, len(self._tally.tests)) + len(self._broken)
        return judged(Run(tests, self._tally.flaky, meant, self._began[0], time.time(), seconds, tuple(faults)))

    def _publish(self, run: Run) -> bool:
        self._ended = True
        self._note([summary(run), *(f"counts as failed: {fault}" for fault in run.faults)])
        try:
            self._note(self._sink.finish(run))
        except (ConfigError, SourceError) as error:
            self._note([f"NOT COUNTED: {error}"])
            return False
        self._note([f"counted in {self._sink.where}"])
        return True

    def _collected(self, tests: int) -> None:
        with contextlib.suppress(ConfigError):
            self._sink.collected(tests)

    def _note(self, lines: Sequence[str]) -> None:
        self._lines += lines


def recorder_of(config: pytest.Config) -> Recorder:
    """The recorder that the options ask for. Raises ConfigError."""
    option = config.option
    return Recorder(_sink(option), option.slo_critical, flaky_passes=option.slo_flaky == "passed")


def never_began(config: pytest.Config) -> None:
    """Count a run that ended before pytest was configured: a conftest.py, a plugin or the command line is broken."""
    now = time.time()
    fault = "pytest ended before it began: a wrong command line, or a conftest.py or plugin that cannot be imported"
    run = Run(Counts(error=1), 0, 1, now, now, 0.0, (fault,))
    # Pytest is about to say what was wrong; that the metric could not be told would only hide it.
    with contextlib.suppress(ConfigError, SourceError):
        _sink(config.known_args_namespace).add(run)


def _sink(option: object) -> Sink:
    given = vars(option)
    suite = suite_of(given["slo_suite"], given["slo_job"], given["slo_label"])
    ways = ("--slo-textfile", "--slo-pushgateway")
    return sink_of(suite, given["slo_textfile"], given["slo_pushgateway"], ways)
