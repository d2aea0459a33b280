"""How the flag file is replaced: always newer, never torn, one writer at a time, whatever the disk does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.flagfiles import FLAG, NOON, OFF, lock_held, serving, to
from watchdog.errors import FlagConflict, FlagServiceError
from watchdog.flags.flagd_file import FlagdFile
from watchdog.flags.flagd_storage import URGENT, FlagdStorage
from watchdog.model import NOBODY, Exposure


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkout.flagd.json"


@pytest.fixture
def flags(path: Path) -> FlagdFile:
    service = FlagdFile(path, now=lambda: NOON)
    service.init([FLAG, "search"], "me")
    return service


def test_the_time_is_always_newer_even_than_one_in_the_future(path: Path, flags: FlagdFile) -> None:
    seen = path.stat().st_mtime_ns
    for percent in range(1, 20):
        flags.set(FLAG, to(percent))
        assert path.stat().st_mtime_ns >= seen + 1_000_000
        seen = path.stat().st_mtime_ns
    future = time.time_ns() + 86_400_000_000_000
    os.utime(path, ns=(future, future))
    flags.set(FLAG, to(20))
    assert path.stat().st_mtime_ns >= future + 1_000_000

    path.unlink()
    FlagdFile(path).kill(FLAG, to(0))
    assert path.stat().st_mtime_ns >= future + 2_000_000


def test_an_older_file_moved_into_place_gets_a_newer_time(path: Path, flags: FlagdFile) -> None:
    backup = path.with_name("backup.json")
    backup.write_bytes(path.read_bytes())
    os.utime(backup, ns=(1, 1))
    flags.set(FLAG, to(50))
    seen = path.stat().st_mtime_ns
    backup.replace(path)

    assert flags.read(FLAG).exposure == NOBODY

    assert path.stat().st_mtime_ns > seen
    settled = path.stat().st_mtime_ns
    flags.read(FLAG)
    assert path.stat().st_mtime_ns == settled


def test_mode_and_owner_stay(path: Path, flags: FlagdFile) -> None:
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 1234, 2345)
    before = path.stat()

    flags.set(FLAG, to(50))

    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino


def test_a_symbolic_link_stays_and_its_target_is_written(path: Path, flags: FlagdFile, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere" / "real.json"
    target.parent.mkdir()
    path.rename(target)
    path.symlink_to(target)

    flags.set(FLAG, to(50))
    target.unlink()
    flags.kill(FLAG, to(0))

    assert path.is_symlink()
    assert serving(target) == OFF


def test_raising_waits_for_the_lock_in_vain_and_reading_goes_on(path: Path, flags: FlagdFile) -> None:
    impatient = FlagdFile(path, timeout=0.05)
    with lock_held(path):
        for write in (lambda: impatient.set(FLAG, to(10)), lambda: impatient.init(["more"], "me")):
            with pytest.raises(FlagServiceError, match=r"another process has held its lock for 0.05 s") as raised:
                write()
            assert not raised.value.permanent
        assert impatient.read(FLAG).exposure == NOBODY
    assert impatient.set(FLAG, to(10)).exposure == Exposure(10)


def test_killing_and_lowering_do_without_the_lock(path: Path, flags: FlagdFile) -> None:
    flags.set(FLAG, to(50, "qa-1"))
    with lock_held(path):
        began = time.monotonic()
        assert flags.set(FLAG, to(20, "qa-1")).exposure == Exposure(20, cohort=True)
        assert flags.kill(FLAG, to(0)).exposure == NOBODY
        assert time.monotonic() - began < 2 * URGENT + 1
        breaks = path.read_bytes()[:20]
        path.write_bytes(breaks)
        assert flags.kill(FLAG, to(0)).exposure == NOBODY
    assert path.with_name(f".{path.name}.rejected").read_bytes() == breaks
    assert list(path.parent.glob(".*.tmp")) == []


def test_a_kill_does_not_need_a_lock_file_that_it_may_open(path: Path, flags: FlagdFile) -> None:
    flags.set(FLAG, to(50))
    lock = path.with_name(f".{path.name}.lock")
    lock.unlink()
    lock.symlink_to("nowhere/at/all")
    with pytest.raises(FlagServiceError, match="cannot be locked"):
        flags.set(FLAG, to(60))
    assert flags.kill(FLAG, to(0)).exposure == NOBODY


class NoExchange(FlagdStorage):
    """On a file system that can only rename."""

    def _exchanged(self, temporary: Path, target: Path) -> bool:
        return False


def test_where_files_cannot_be_exchanged_they_are_renamed_after_the_comparison(path: Path, flags: FlagdFile) -> None:
    storage = NoExchange(path, 5.0)
    found = storage.load()
    storage.replace(b"new", found, alone=True)
    assert path.read_bytes() == b"new"
    with pytest.raises(FlagConflict):
        storage.replace(b"newer", found, alone=True)
    assert path.read_bytes() == b"new"


def test_a_file_is_created_only_where_there_is_none(path: Path) -> None:
    storage = FlagdStorage(path, 5.0)
    storage.replace(b"new", None, alone=False)
    with pytest.raises(FlagConflict, match="somebody else wrote it"):
        storage.replace(b"newer", None, alone=False)
    assert path.read_bytes() == b"new"
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_the_same_content_has_the_same_version_wherever_it_comes_from(path: Path, flags: FlagdFile) -> None:
    before = flags.set(FLAG, to(50))
    whole = flags.document()[0]
    path.write_text(json.dumps(json.loads(path.read_text())))  # laid out anew
    assert flags.read(FLAG) == before
    assert flags.document()[0] == whole
    path.rename(path.with_name("elsewhere"))
    path.with_name("elsewhere").rename(path)
    assert flags.read(FLAG) == before
    assert flags.document()[0] == whole


def test_an_older_file_put_back_by_a_person_reads_as_it_did_then(path: Path, flags: FlagdFile) -> None:
    then = flags.set(FLAG, to(5))
    backup = path.read_bytes()
    now = flags.set(FLAG, to(50))
    path.write_bytes(backup)
    assert flags.read(FLAG) == then
    with pytest.raises(FlagConflict, match="expected"):
        flags.set(FLAG, replace(to(60), expect=now.version))


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("missing/checkout.flagd.json", "No such file or directory.*create its directory|no such file.*flags init"),
        ("file/checkout.flagd.json", "Not a directory.*correct flags.path"),
        ("directory", "Is a directory.*correct flags.path"),
        ("pipe", "it is not a regular file"),
        ("loop", "symbolic links"),
    ],
)
def test_a_path_that_cannot_hold_the_file_is_a_sentence(tmp_path: Path, place: str, sentence: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    service = FlagdFile(tmp_path / place)

    for call in (service.set, service.kill):
        with pytest.raises(FlagServiceError, match=sentence):
            call(FLAG, to(10))
    with pytest.raises(FlagServiceError, match=r"flagd\.json|directory|pipe|loop"):
        service.read(FLAG)


def test_a_reader_never_sees_half_a_document(path: Path, flags: FlagdFile) -> None:
    done = threading.Event()
    read: list[str] = []

    def look() -> None:
        while not done.is_set():
            read.append(json.loads(path.read_bytes())["metadata"]["version"])

    with ThreadPoolExecutor() as pool:
        looking = pool.submit(look)
        for percent in range(1, 101):
            flags.set(FLAG, to(percent))
        done.set()
        looking.result()

    assert len(read) > 100
    assert read == sorted(read, key=int)


def test_two_writers_lose_nothing(path: Path, flags: FlagdFile) -> None:
    names = [f"flag-{number}" for number in range(4)]
    flags.init(names, "me")

    def ramp(name: str) -> None:
        service = FlagdFile(path, timeout=60)
        for percent in range(1, 21):
            service.set(name, to(percent))

    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(ramp, names))

    assert [flags.read(name).exposure for name in names] == [Exposure(20)] * len(names)
    assert json.loads(path.read_text())["metadata"]["version"] == str(2 + 20 * len(names))


WRITER = """
import sys, time
from watchdog.flags.base import Change
from watchdog.flags.flagd_file import FlagdFile
from watchdog.model import Exposure
if sys.argv[3] != "0":
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
flags = FlagdFile(sys.argv[1], timeout=60)
print("ready", flush=True)
for n in range(100_000):
    flags.set(sys.argv[2], Change(Exposure(n % 50 + 1), (), "test", "test", "other-process"))
    time.sleep(0.002)  # leaves the lock to others now and then
"""


@contextmanager
def writer(path: Path, flag: str, largest_file: int = 0) -> Iterator[subprocess.Popen[str]]:
    """Another process that writes the file without end."""
    command = [sys.executable, "-c", WRITER, str(path), flag, str(largest_file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def test_a_writer_killed_at_any_moment_leaves_a_whole_document_and_no_lock(path: Path, flags: FlagdFile) -> None:
    flags = FlagdFile(path, timeout=60)
    for percent in (10, 20, 30):
        with writer(path, "search") as process:
            before = flags.read("search").version
            deadline = time.monotonic() + 20
            while flags.read("search").version == before and time.monotonic() < deadline:
                pass
            assert flags.set(FLAG, to(percent)).exposure == Exposure(percent)
            process.send_signal(signal.SIGKILL)
        assert flags.read(FLAG).exposure == Exposure(percent)
        assert flags.read("search").exposure.percent >= 1
        assert flags.set(FLAG, to(percent + 1)).exposure == Exposure(percent + 1)
    assert list(path.parent.glob(".*.tmp")) == []


def test_a_disk_that_takes_no_more_leaves_the_old_document(path: Path, flags: FlagdFile) -> None:
    before = path.read_bytes()
    with writer(path, FLAG, largest_file=100) as process:
        _, complaint = process.communicate(timeout=20)

    assert "checkout.flagd.json: cannot be written (File too large)" in complaint
    assert path.read_bytes() == before
    assert list(path.parent.glob(".*.tmp")) == []
