"""A writer that holds the lock and stands still: a kill does not wait for it, and it undoes nothing when it goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.flagfiles import FLAG, OFF, edit, serving, to
from watchdog.errors import FlagConflict, FlagServiceError
from watchdog.flags.flagd_disk import Snapshot, exchange
from watchdog.flags.flagd_file import FlagdFile
from watchdog.flags.flagd_storage import URGENT, FlagdStorage
from watchdog.model import NOBODY, Exposure


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkout.flagd.json"


@pytest.fixture
def flags(path: Path) -> FlagdFile:
    service = FlagdFile(path)
    service.init([FLAG, "search"], "me")
    service.set(FLAG, to(10, "qa-1"))
    service.set("search", to(30, rollout="search-1"))
    return service


SETUP = """
import os, signal, sys
from collections import UserDict
from watchdog.errors import FlagServiceError
from watchdog.flags.base import Change
from watchdog.flags.flagd_file import FlagdFile
from watchdog.flags.flagd_storage import FlagdStorage
from watchdog.model import Exposure

def stand():
    os.kill(os.getpid(), signal.SIGSTOP)

def told(write):
    try:
        write()
    except FlagServiceError as error:
        print(type(error).__name__, error)
    else:
        print("written")
"""

BEFORE_COMPARING = """
class Standing(UserDict):  # is asked what the audiences mean, after the file was read and before it is written
    times = 0

    def items(self):
        self.times += 1
        if self.times == 3:  # the first is a look without the lock
            stand()
        return super().items()

flags = FlagdFile(sys.argv[1], audiences=Standing(beta={"var": "beta"}))
told(lambda: flags.set("new-checkout", Change(Exposure(60, True), ("qa-1",), "test", "test", "checkout-1")))
"""

BEFORE_EXCHANGING = r"""
class Standing(FlagdStorage):
    def _put(self, *given):  # after the comparison, before the exchange
        stand()
        super()._put(*given)

storage = Standing(__import__("pathlib").Path(sys.argv[1]), 5.0)
with storage.locked() as alone:
    found = storage.load()
    told(lambda: storage.replace(found.raw.replace(b" 10000\n", b" 60000\n"), found, alone=alone))
"""


@contextmanager
def standing(path: Path, script: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that stopped in the middle of a write, with the lock."""
    command = [sys.executable, "-c", SETUP + script, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            _, status = os.waitpid(process.pid, os.WUNTRACED)
            assert os.WIFSTOPPED(status)
            yield process
        finally:
            process.kill()


def goes_on(process: subprocess.Popen[str]) -> str:
    process.send_signal(signal.SIGCONT)
    said, _ = process.communicate(timeout=20)
    return said


@pytest.mark.parametrize("script", [BEFORE_COMPARING, BEFORE_EXCHANGING], ids=["before comparing", "before exchanging"])
def test_a_kill_passes_a_writer_that_stands_and_is_not_undone_when_it_goes_on(
    path: Path, flags: FlagdFile, script: str
) -> None:
    with standing(path, script) as process:
        began = time.monotonic()
        killed = flags.kill(FLAG, to(0))
        assert time.monotonic() - began < URGENT + 1
        assert killed.exposure == NOBODY
        seen = path.stat().st_mtime_ns

        with pytest.raises(FlagServiceError, match="held its lock"):
            FlagdFile(path, timeout=0.05).set("search", to(31, rollout="search-1"))
        assert flags.set("search", to(20, rollout="search-1")).exposure == Exposure(20)  # lowering waits as little

        assert goes_on(process).startswith("FlagConflict")

    assert serving(path) == OFF
    assert FlagdFile(path).read(FLAG).latch == "checkout-1"
    assert FlagdFile(path).read("search").exposure == Exposure(20)
    assert path.stat().st_mtime_ns > seen  # an application that saw the kill never takes the older document for newer
    assert list(path.parent.glob(".*.tmp")) == []


def test_without_a_kill_it_just_goes_on(path: Path, flags: FlagdFile) -> None:
    with standing(path, BEFORE_EXCHANGING) as process:
        assert goes_on(process) == "written\n"
    assert flags.read(FLAG).exposure == Exposure(40, cohort=True)


def test_an_edit_by_hand_in_the_middle_of_a_write_is_not_lost(path: Path, flags: FlagdFile) -> None:
    with standing(path, BEFORE_EXCHANGING) as process:
        edit(path, lambda flag: flag.update(targeting={"fractional": [["on", 1], ["off", 99]]}))
        assert goes_on(process).startswith("FlagConflict")
    assert flags.read(FLAG).exposure == Exposure(1)


def test_a_writer_ended_while_it_stands_leaves_neither_lock_nor_litter(path: Path, flags: FlagdFile) -> None:
    with standing(path, BEFORE_EXCHANGING) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=20)
    assert flags.set(FLAG, to(11, "qa-1")).exposure == Exposure(11, cohort=True)
    assert list(path.parent.glob(".*.tmp")) == []


RAMPING = """
flags = FlagdFile(sys.argv[1], timeout=60)
reading = flags.read("new-checkout")
print("ready", flush=True)
try:
    for number in range(100_000):
        change = Change(Exposure(number % 50 + 1), (), "test", "test", "checkout-1", expect=reading.version)
        reading = flags.set("new-checkout", change)
except FlagServiceError as error:
    print(type(error).__name__, flush=True)
"""


def test_a_ramp_stopped_at_any_moment_never_writes_over_a_kill(path: Path, flags: FlagdFile) -> None:
    chance = random.Random(7)
    for _ in range(10):
        with subprocess.Popen(
            [sys.executable, "-c", SETUP + RAMPING, str(path)], stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
                started, deadline = path.stat().st_mtime_ns, time.monotonic() + 20
                while path.stat().st_mtime_ns == started and time.monotonic() < deadline:
                    pass
                time.sleep(chance.random() / 100)  # the moment of its write at which it is stopped
                process.send_signal(signal.SIGSTOP)
                os.waitpid(process.pid, os.WUNTRACED)
                flags.kill(FLAG, to(0))
                assert goes_on(process) == "FlagConflict\n"
            finally:
                process.kill()
        assert serving(path) == OFF
        assert flags.read(FLAG).latch == "checkout-1"


def test_two_kills_without_the_lock_do_not_undo_each_other(path: Path, flags: FlagdFile) -> None:
    with standing(path, BEFORE_EXCHANGING) as process:
        command = [sys.executable, "-c", SETUP + KILLING, str(path)]
        flags.set(FLAG, to(5, "qa-1"))
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
            flags.kill(FLAG, to(0))
            said, _ = other.communicate(timeout=20)
        assert said == "written\n"
        assert goes_on(process).startswith("FlagConflict")
    assert serving(path) == serving(path, "search") == OFF


KILLING = """
flags = FlagdFile(sys.argv[1])
told(lambda: flags.kill("search", Change(Exposure(), (), "test", "test", "search-1")))
"""


def test_what_an_exchange_brought_out_is_put_back_however_often_others_write(path: Path, flags: FlagdFile) -> None:
    """Each time the writer wants to put back what it displaced, somebody else has written again."""

    class Crowded(FlagdStorage):
        def __init__(self) -> None:
            super().__init__(path, 5.0)
            self.others = [b"first", b"second", b"third"]

        def _put(self, temporary: Path, target: Path, raw: bytes, over: Snapshot | None) -> None:
            self.intrude()
            super()._put(temporary, target, raw, over)

        def _known_ns(self, *paths: Path) -> int:
            if len(paths) == 2:  # about to be put back
                self.intrude()
            return super()._known_ns(*paths)

        def intrude(self) -> None:
            if self.others:
                other = path.with_name("other")
                other.write_bytes(self.others.pop(0))
                other.replace(path)

    storage = Crowded()
    with storage.locked() as alone, pytest.raises(FlagConflict, match="somebody else wrote it while"):
        storage.replace(b"mine", storage.load(), alone=alone)

    assert path.read_bytes() == b"third"


def test_files_of_two_file_systems_cannot_be_exchanged(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("1")
    with pytest.raises(FileNotFoundError):
        exchange(tmp_path / "one", tmp_path / "two")
    with pytest.raises(OSError, match="cross-device"):
        exchange(tmp_path / "one", Path("/proc/self/comm"))
