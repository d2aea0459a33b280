"""The textfile of a suite: added to by many, read by the exporter, and what becomes of runs that die."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.processes import wait_for
from tests.test_testresults import AT, ROOT, SUITE, counters_of, run
from watchdog.errors import ConfigError
from watchdog.testresults.model import Suite
from watchdog.testresults.series import parsed, unfinished
from watchdog.testresults.textfile import Textfile


def test_each_run_is_added_to_the_file_and_the_exporter_may_read_it(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        for number in (1, 2):
            file = Textfile(tmp_path, SUITE)
            assert file.begin(AT + 60 * number) == []
            assert file.finish(run(4, 1, at=AT + 60 * number)) == []
            assert counters_of(file.path) == {"passed": 4 * number, "failed": number, "error": 0, "skipped": 0}
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o644
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == [file.path.name]
    assert not list(tmp_path.glob(".*.run"))


def test_a_file_that_is_lost_or_spoilt_begins_anew(tmp_path: Path) -> None:
    file = Textfile(tmp_path, SUITE)
    file.add(run(4))
    file.path.unlink()
    assert file.add(run(5, at=AT + 1)) == []
    assert counters_of(file.path)["passed"] == 5
    file.path.write_text("half a fi")
    (note,) = file.add(run(6, at=AT + 2))
    assert "begin at 0 again" in note
    assert counters_of(file.path)["passed"] == 6


def test_suites_and_labels_have_files_of_their_own(tmp_path: Path) -> None:
    suites = [SUITE, Suite("smoke", "search"), Suite("e2e", "checkout")]
    for suite in suites:
        Textfile(tmp_path, suite).add(run(1))
    assert len(list(tmp_path.glob("*.prom"))) == 3


def test_the_same_results_are_added_once(tmp_path: Path) -> None:
    file = Textfile(tmp_path, SUITE)
    assert file.add(run(4)) == []
    (note,) = file.add(run(4))
    assert "added before" in note
    assert counters_of(file.path)["passed"] == 4


def test_runs_that_end_at_the_same_time_all_count(tmp_path: Path) -> None:
    """Each thread has a lock of its own, as processes have."""

    def one(number: int) -> None:
        file = Textfile(tmp_path, SUITE)
        file.begin(AT + number)
        file.finish(run(10, at=AT + number))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert counters_of(Textfile(tmp_path, SUITE).path) == {"passed": 160, "failed": 0, "error": 0, "skipped": 0}


KILLED = """
import sys, time
from pathlib import Path
from watchdog.testresults.model import Suite
from watchdog.testresults.textfile import Textfile
file = Textfile(Path(sys.argv[1]), Suite("smoke", "checkout", {"environment": "staging"}))
file.begin(time.time())
file.collected(12)
print("begun", flush=True)
time.sleep(60)
"""


def test_a_run_that_was_killed_is_counted_by_the_next_and_one_that_still_runs_is_not(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"begun\n"
            file = Textfile(tmp_path, SUITE)
            assert unfinished(parsed(file.path.read_text()))
            assert file.begin(AT) == []
            file.finish(run(1))
            assert counters_of(file.path)["error"] == 0
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(20)
    (note,) = file.begin(AT + 60)
    assert "never ended" in note
    assert counters_of(file.path) == {"passed": 1, "failed": 0, "error": 12, "skipped": 0}
    file.finish(run(1, at=AT + 60))
    assert file.begin(AT + 120) == []


def test_a_lock_that_somebody_holds_is_waited_for(tmp_path: Path) -> None:
    file = Textfile(tmp_path, SUITE)
    file.add(run(1))
    (lock,) = tmp_path.glob(".*.lock")
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        late = threading.Thread(target=file.add, args=(run(2, at=AT + 1),))
        late.start()
        assert counters_of(file.path)["passed"] == 1
    late.join(20)
    wait_for(lambda: counters_of(file.path)["passed"] == 3 or None, 5, file.path.read_text)


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--collector\.textfile\.directory"):
        Textfile(tmp_path / "none", SUITE)
    file = Textfile(tmp_path, SUITE)
    file.path.mkdir()
    with pytest.raises(ConfigError, match="Is a directory"):
        file.add(run(1))
