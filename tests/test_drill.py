"""A drill: what is measured, what fails it, who is told, and that its flag is off afterwards, whatever happens."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.drilling import (
    FLAG,
    Mirrored,
    SleepyReader,
    StuckReader,
    a_plan,
    drill,
    found,
    settings,
    told,
    with_active,
)
from tests.ledgers import ledger_at
from watchdog.drill.holding import hold
from watchdog.drill.plan import Wish
from watchdog.drill.report import STAGES, Report, Run, spread
from watchdog.errors import FlagServiceError, Refused
from watchdog.flags.base import Capabilities, Change
from watchdog.flags.flagd_file import FlagdFile
from watchdog.flags.memory import InMemoryFlags
from watchdog.ledger import DrillIntent, Ledger
from watchdog.model import NOBODY, Exposure, FlagReading, Severity
from watchdog.readers.base import KEY, ReaderError, Sight
from watchdog.readers.opening import open_reader, reader_name
from watchdog.readers.service import ServiceReader


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = ledger_at(tmp_path / "watchdog.db")
    yield ledger
    ledger.close()


@pytest.fixture
def flags() -> InMemoryFlags:
    return InMemoryFlags((FLAG,))


def through(flags: InMemoryFlags, name: str = "memory") -> ServiceReader:
    return ServiceReader(flags, name)


def serves(flags: InMemoryFlags | FlagdFile) -> Exposure:
    return flags.read(FLAG).exposure


# --- what is measured ---------------------------------------------------------------------------------------------


def test_every_run_is_kept_with_its_stages_in_order_since_the_decision(ledger: Ledger, flags: InMemoryFlags) -> None:
    report = drill(flags, through(flags), ledger, a_plan(runs=5))

    assert report.passed, report.why
    assert [run.number for run in report.runs] == [1, 2, 3, 4, 5]
    for run in report.runs:
        assert set(run.stages) == set(STAGES)
        assert 0.0 < run.stages["recorded"] < run.stages["written"] < run.stages["read_back"]
        assert run.stages["recorded"] < run.stages["reader"]
    assert report.worst == max(run.stages["reader"] for run in report.runs)
    assert serves(flags) == NOBODY


def test_the_flag_goes_on_for_everybody_and_off_by_a_kill_in_each_run(ledger: Ledger, flags: InMemoryFlags) -> None:
    drill(flags, through(flags), ledger, a_plan(runs=2))

    done = [(write.verb, write.reading.exposure.percent) for write in flags.writes]
    assert done == [("set", 100.0), ("kill", 0.0)] * 2
    keys = [write.change.idem for write in flags.writes if write.change is not None]
    assert len(set(keys)) == 4
    assert all(write.change is not None and write.change.by == "ada" for write in flags.writes)
    assert flags.read(FLAG).latch is None


def test_kills_come_at_random_phases_that_a_seed_repeats(ledger: Ledger, flags: InMemoryFlags) -> None:
    def phases(seed: int) -> list[float]:
        return [run.phase for run in drill(flags, through(flags), ledger, seed=seed).runs]

    assert phases(1) == phases(1) != phases(2)
    assert len(set(phases(3))) == 3


def test_what_was_found_is_in_the_ledger(ledger: Ledger, flags: InMemoryFlags) -> None:
    report = drill(flags, through(flags), ledger)

    stored = ledger.last_drill()
    assert stored is not None
    assert (stored.id, stored.passed, stored.runs, stored.within) == (report.id, True, 3, 900.0)
    assert (stored.service, stored.flag, stored.reader, stored.by) == ("memory", FLAG, "memory", "ada")
    assert stored.worst == report.worst
    assert stored.report == report.as_data()
    assert ledger.drilled(0.0, 2**40)[-1].worst == report.worst


def test_each_decision_is_on_record_before_its_kill(ledger: Ledger, flags: InMemoryFlags) -> None:
    class Looks(InMemoryFlags):
        seen: list[float]

        def kill(self, flag: str, change: Change) -> FlagReading:
            stored = ledger.last_drill()
            assert stored is not None
            assert stored.finished_at is None
            self.seen.append(stored.touched_at)
            return super().kill(flag, change)

    service = Looks((FLAG,))
    service.seen = []
    report = drill(service, ServiceReader(service, "memory"), ledger)

    assert service.seen == [run.at for run in report.runs]


def test_percentiles_are_numbers_that_occurred() -> None:
    assert spread([5.0]).p99 == 5.0
    many = spread([float(number) for number in range(200, 0, -1)])
    assert (many.min, many.p50, many.p99, many.max) == (1.0, 100.0, 198.0, 200.0)


# --- the real client of a flag file -------------------------------------------------------------------------------


def test_a_flag_file_is_measured_to_the_real_provider(tmp_path: Path, ledger: Ledger) -> None:
    wanted = settings(tmp_path)
    service = FlagdFile(wanted.flags.path)
    service.init([FLAG, "new-checkout"], "a test")

    report = drill(service, open_reader(wanted, service), ledger, a_plan(runs=10), name="flagd-file")

    assert report.passed, report.why
    assert (report.reader, report.poll) == ("flagd-file", 0.1)
    for run in report.runs:
        assert run.version.startswith(run.seen_version)  # what it was told is the version that was acknowledged
        assert int(run.seen_version) > 0
    assert len({run.phase for run in report.runs}) == 10
    assert serves(service) == NOBODY
    assert service.read("new-checkout").exposure == NOBODY


def test_it_looks_as_often_as_the_settings_say_that_applications_do(tmp_path: Path) -> None:
    wanted = settings(tmp_path, drill__refresh="30ms")
    service = FlagdFile(wanted.flags.path)

    assert open_reader(wanted, service).poll == 0.03


def test_an_application_that_never_hears_of_the_kill_fails_the_drill(tmp_path: Path, ledger: Ledger) -> None:
    """The file is carried to the application by something that carries ramps, but no kills."""
    wanted, active = settings(tmp_path), with_active(ledger)
    carried = settings(tmp_path, flags__path=str(tmp_path / "carried.json"))
    service = FlagdFile(wanted.flags.path)
    service.init([FLAG], "a test")
    mirrored = Mirrored(service, wanted.flags.path, carried.flags.path, ["set"])
    mirrored.set(FLAG, _change())
    service.kill(FLAG, _change())

    reader = open_reader(carried, service)
    report = drill(mirrored, reader, ledger, a_plan(within=0.5), name="flagd-file")

    assert (report.result, len(report.runs)) == ("late", 1)
    assert "the reader flagd-file was not told off within 0.5 s of the decision: it still said on" in report.why
    assert report.runs[0].stages.keys() == {"recorded", "written", "read_back"}
    assert serves(service) == NOBODY
    (page,) = told(ledger, active)
    assert page.severity is Severity.CRITICAL


def _change() -> Change:
    return Change(Exposure(100.0), (), "a test", "made up")


# --- what fails it ------------------------------------------------------------------------------------------------


def test_a_reader_that_stays_on_fails_at_the_bound_and_pages(ledger: Ledger, flags: InMemoryFlags) -> None:
    first, second = with_active(ledger), with_active(ledger, "search-1")
    report = drill(flags, StuckReader(flags), ledger, a_plan(within=0.3))

    assert not report.passed
    assert report.result == "late"
    assert report.worst is None
    assert len(report.runs) == 1, "a drill ends with its first failed run"
    for rollout in (first, second):
        (page,) = told(ledger, rollout)
        assert (page.severity, page.key) == (Severity.CRITICAL, f"drill:{report.id}")
        assert "run 1 of 3" in page.summary
        assert page.details["result"] == "late"
    stored = ledger.last_drill()
    assert stored is not None
    assert (stored.passed, stored.worst) == (False, None)


def test_a_reader_that_never_sees_the_flag_on_measures_nothing_and_warns(ledger: Ledger, flags: InMemoryFlags) -> None:
    active = with_active(ledger)
    report = drill(flags, SleepyReader(), ledger, a_plan(within=0.3))

    assert report.result == "blind"
    assert "did not see the flag on within 0.3 s, so nothing was measured: FLAG_NOT_FOUND" in report.why
    assert "kill" not in [write.verb for write in flags.writes[:1]]
    assert serves(flags) == NOBODY
    (page,) = told(ledger, active)
    assert page.severity is Severity.WARNING


def test_a_kill_that_fails_for_good_fails_the_drill_at_once(ledger: Ledger, flags: InMemoryFlags) -> None:
    active = with_active(ledger)
    flags.fail(FlagServiceError("403: this token must not change flags", permanent=True), on=("kill",))

    report = drill(flags, through(flags), ledger)

    assert report.result == "broken"
    assert "the kill failed: 403" in report.why
    assert serves(flags) == NOBODY, "it was tried once more at the end"
    (page,) = told(ledger, active)
    assert page.severity is Severity.CRITICAL


def test_a_kill_is_tried_again_and_the_time_that_this_takes_is_measured(ledger: Ledger, flags: InMemoryFlags) -> None:
    flags.fail(FlagServiceError("the service is away", retry_after=0.2), on=("kill",))

    report = drill(flags, through(flags), ledger, a_plan(runs=1))

    assert report.passed
    assert report.worst is not None
    assert report.worst > 0.2


def test_a_flag_that_cannot_be_switched_off_again_is_said_loudly(ledger: Ledger, flags: InMemoryFlags) -> None:
    active = with_active(ledger)
    flags.fail(FlagServiceError("403: this token must not change flags", permanent=True), on=("kill",), times=9)

    report = drill(flags, through(flags), ledger)

    assert report.result == "broken"
    assert report.why == f"the flag {FLAG} could not be switched off again: 403: this token must not change flags"
    (page,) = told(ledger, active)
    assert page.severity is Severity.CRITICAL


def test_a_flag_that_does_not_exist_measures_nothing(ledger: Ledger) -> None:
    flags = InMemoryFlags(("new-checkout",))
    report = drill(flags, through(flags), ledger)

    assert report.result == "blind"
    assert "could not be switched on" in report.why


def test_a_service_that_acknowledges_and_does_nothing_is_found_by_its_read_back(ledger: Ledger) -> None:
    class Pretends(InMemoryFlags):
        def kill(self, flag: str, change: Change) -> FlagReading:
            return replace(self.read(flag), exposure=NOBODY)

    flags = Pretends((FLAG,))
    report = drill(flags, through(flags), ledger, a_plan(within=0.3))

    assert report.result == "broken"
    assert "the service acknowledged the kill, but its read-back says: 100%" in report.why


def test_a_page_is_not_repeated_and_ended_rollouts_are_left_alone(ledger: Ledger, flags: InMemoryFlags) -> None:
    report = drill(flags, StuckReader(flags), ledger, a_plan(within=0.2))
    assert not report.passed, "nobody is active, so nobody is told"

    active = with_active(ledger)
    drill(flags, StuckReader(flags), ledger, a_plan(within=0.2))
    drill(flags, StuckReader(flags), ledger, a_plan(within=0.2))
    assert [page.key for page in told(ledger, active)] == ["drill:2", "drill:3"]


# --- where no client is shipped -----------------------------------------------------------------------------------


def test_without_a_reader_it_measures_to_the_read_back_and_adds_what_is_declared(
    ledger: Ledger, flags: InMemoryFlags
) -> None:
    report = drill(flags, through(flags, "service"), ledger, a_plan(propagation=5.0), name="launchdarkly")

    assert (report.reader, report.measured_to, report.passed) == ("service", "read_back", True)
    assert report.worst is not None
    assert report.worst > 5.0
    assert "no reader ships for launchdarkly: its declared propagation, 5s, is added unmeasured" in report.why
    assert "the service's own read-back" in report.why


def test_what_is_declared_alone_may_be_over_the_bound(ledger: Ledger, flags: InMemoryFlags) -> None:
    plan = a_plan(propagation=901.0)
    assert drill(flags, through(flags, "service"), ledger, plan, name="launchdarkly").result == "late"


def test_a_service_that_can_only_be_told_is_measured_to_its_acknowledgement(ledger: Ledger) -> None:
    class Deaf(InMemoryFlags):
        def read(self, flag: str) -> FlagReading:
            raise FlagServiceError("a webhook tells nothing", permanent=True)

    flags = Deaf((FLAG,))
    flags.capabilities = Capabilities(100.0, 0.0, readable=False)
    report = drill(flags, through(flags, "service"), ledger, name="webhook")

    assert (report.measured_to, report.passed) == ("written", True)
    assert "at the acknowledgement" in report.why


# --- notes --------------------------------------------------------------------------------------------------------


def a_report(reader_at: float, propagation: float) -> Report:
    stages = {"recorded": 0.01, "written": 0.02, "read_back": 0.03, "reader": reader_at}
    run = Run(1, 0.0, 0.0, stages, "passed")
    return Report(1, 0.0, "flagd-file", "flagd-file", "reader", a_plan(1, propagation=propagation), 0.1, (run,))


def test_readers_slower_than_declared_are_told_for_the_worst_case_stands_on_it() -> None:
    assert a_report(0.5, 1.0).notes == []
    (note,) = a_report(2.5, 1.0).notes
    assert "2.48s after the write, later than flags.propagation (1s)" in note


# --- how it ends --------------------------------------------------------------------------------------------------


def test_a_drill_that_is_stopped_leaves_the_flag_off_and_nobody_is_told(ledger: Ledger) -> None:
    active, stop = with_active(ledger), threading.Event()

    class Stops(InMemoryFlags):
        def set(self, flag: str, change: Change) -> FlagReading:
            reading = super().set(flag, change)
            if self.calls["set"] == 2:
                stop.set()
            return reading

    flags = Stops((FLAG,))
    report = drill(flags, through(flags), ledger, stop=stop)

    assert (report.result, report.passed, len(report.runs)) == ("stopped", False, 1)
    assert serves(flags) == NOBODY
    assert told(ledger, active) == []
    stored = ledger.last_drill()
    assert stored is not None
    assert stored.passed is False
    assert "stopped after 1 of 3 runs" in found(stored.report)["why"]


def test_an_error_that_nobody_thought_of_leaves_the_flag_off_too(ledger: Ledger, flags: InMemoryFlags) -> None:
    active = with_active(ledger)

    class Bursts(ServiceReader):
        def is_on(self, flag: str, key: str = KEY) -> Sight:
            raise ZeroDivisionError("a bug in a client")

    with pytest.raises(ZeroDivisionError):
        drill(flags, Bursts(flags, "memory"), ledger)

    assert serves(flags) == NOBODY
    stored = ledger.last_drill()
    assert stored is not None
    assert stored.passed is False
    (page,) = told(ledger, active)
    assert "an error inside the drill ended it" in page.summary


# --- refusals -----------------------------------------------------------------------------------------------------


def held(tmp_path: Path, ledger: Ledger, flag: str | None = None, **variables: str) -> Report:
    wanted = settings(tmp_path, **variables)
    return hold(wanted, ledger, [], Wish("ada", "a test", flag, 1))


@pytest.mark.parametrize(
    ("flag", "said"), [("new-checkout", "the flag of rollout checkout-2.14.0"), ("ops.shutdown", "an emergency flag")]
)
def test_a_flag_that_means_something_is_refused(tmp_path: Path, ledger: Ledger, flag: str, said: str) -> None:
    from tests.ledgers import added  # noqa: PLC0415

    added(ledger)
    with pytest.raises(Refused, match=said):
        held(tmp_path, ledger, flag)
    assert ledger.last_drill() is None


def test_one_drill_of_a_flag_at_a_time(ledger: Ledger, flags: InMemoryFlags) -> None:
    intent = DrillIntent("memory", FLAG, "memory", "bob", "another", 5, 900.0)
    first = ledger.begin_drill(intent, 1000.0, 60.0)

    with pytest.raises(Refused, match=rf"drill {first} by bob is under way on {FLAG}, it began a run 59 s ago"):
        ledger.begin_drill(intent, 1059.0, 60.0)

    assert ledger.begin_drill(intent, 1061.0, 60.0) == first + 1, "one that died stands in nobody's way for long"


def test_a_reader_that_cannot_be_opened_is_a_failed_drill(tmp_path: Path, ledger: Ledger) -> None:
    active = with_active(ledger)
    report = held(tmp_path, ledger, drill__reader="flagd")

    assert report.result == "blind"
    assert "write drill.url: http://127.0.0.1:8016" in report.why
    (page,) = told(ledger, active)
    assert page.severity is Severity.WARNING


def test_a_flag_file_that_is_not_there_is_a_failed_drill(tmp_path: Path, ledger: Ledger) -> None:
    assert held(tmp_path, ledger).result == "blind"


# --- readers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({}, "flagd-file"),
        ({"drill__reader": "ofrep"}, "ofrep"),
        ({"flags__service": "redis", "flags__url": "redis://127.0.0.1:1/0"}, "redis"),
        ({"flags__service": "unleash", "flags__url": "http://127.0.0.1:1", "flags__token": "t"}, "unleash"),
        ({"flags__service": "webhook", "flags__url": "http://127.0.0.1:1", "flags__secret": "s"}, "service"),
        ({"flags__service": "memory"}, "memory"),
    ],
)
def test_the_reader_is_the_one_that_belongs_to_the_service(
    tmp_path: Path, variables: dict[str, str], name: str
) -> None:
    assert reader_name(settings(tmp_path, **variables)) == name


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"drill__reader": "redis"}, "reads what the service redis keeps, but flags.service is flagd-file"),
        ({"drill__reader": "ofrep", "http__listen": "127.0.0.1:0"}, "write drill.url"),
        ({"drill__reader": "flagd"}, "write drill.url"),
    ],
)
def test_a_reader_that_cannot_be_is_told(tmp_path: Path, variables: dict[str, str], said: str) -> None:
    with pytest.raises(ReaderError, match=said):
        open_reader(settings(tmp_path, **variables), InMemoryFlags((FLAG,)))


def test_nobody_serving_is_not_taken_for_off(tmp_path: Path) -> None:
    """The code default of a drill is on: an evaluation that fails must never look like a rollback."""
    wanted = settings(tmp_path, drill__reader="ofrep", drill__url="http://127.0.0.1:1")
    with open_reader(wanted, InMemoryFlags((FLAG,))) as reader:
        sight = reader.is_on(FLAG)

    assert sight.on is None
    assert "GENERAL" in sight.problem


def test_a_flag_file_that_is_broken_at_the_start_cannot_be_read(tmp_path: Path) -> None:
    wanted = settings(tmp_path)
    wanted.flags.path.write_text("{")
    with pytest.raises(ReaderError, match="the reader flagd-file cannot be started"), open_reader(wanted, _none()):
        pass


def _none() -> InMemoryFlags:
    return InMemoryFlags((FLAG,))


def test_a_client_that_is_not_installed_is_named_with_what_to_install(tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
sys.modules["openfeature.contrib.provider.flagd"] = None
from tests.drilling import settings
from watchdog.flags.memory import InMemoryFlags
from watchdog.readers.base import KEY, ReaderError, Sight
from watchdog.readers.opening import open_reader
try:
    open_reader(settings(Path({str(tmp_path)!r})), InMemoryFlags())
except ReaderError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert "the reader flagd-file needs a client that is not installed" in done.stdout
    assert "pip install slo-watchdog[drill]" in done.stdout


def test_importing_the_schedule_loads_no_client() -> None:
    """The daemon has it, and must stay small."""
    program = (
        "import sys, watchdog.drill.schedule, watchdog.readers.opening\n"
        "print([name for name in ('grpc', 'openfeature', 'UnleashClient', 'redis') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
