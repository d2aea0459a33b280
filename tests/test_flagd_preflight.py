"""What would make a kill in a flag file unsafe is found before a ramp starts."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.flagfiles import AUDIENCES, FLAG, edit, for_audiences, lock_held, to
from watchdog.flags.base import Check
from watchdog.flags.flagd_file import FlagdFile
from watchdog.flags.flagd_preflight import mounted
from watchdog.model import EMERGENCY_FLAGS

NAMES = (
    "flag file",
    "flag",
    "off variant",
    "all flags of the set",
    "directory",
    "lock",
    "disk space",
    "modification time",
    "mount",
    "write and read back",
    "bucketing",
    "emergency flags",
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkout.flagd.json"


@pytest.fixture
def flags(path: Path) -> FlagdFile:
    service = FlagdFile(path, timeout=0.05, audiences=AUDIENCES)
    service.init([FLAG, "search"], "me")
    return service


def failed(checks: tuple[Check, ...]) -> dict[str, Check]:
    assert tuple(check.name for check in checks) == NAMES
    assert all(check.found for check in checks)
    assert all(check.todo for check in checks if not check.ok)
    return {check.name: check for check in checks if not check.ok}


def whole(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_a_sound_file_passes_and_the_no_op_write_changes_nothing_of_the_flags(path: Path, flags: FlagdFile) -> None:
    for change in (to(0), for_audiences(10, "staff", cohort=("qa",)), to(100)):
        before = flags.set(FLAG, change)
        neighbour, time_before = flags.read("search"), path.stat().st_mtime_ns

        assert failed(flags.preflight(FLAG)) == {}

        assert (flags.read(FLAG), flags.read("search")) == (before, neighbour)
        assert path.stat().st_mtime_ns > time_before  # it was written


@pytest.mark.parametrize(
    ("damage", "names", "words"),
    [
        (lambda path: path.unlink(), {"flag file", "flag", "off variant", "write and read back"}, "no such file"),
        (lambda path: path.write_text("{"), {"flag file", "flag", "off variant", "write and read back"}, "not JSON"),
        (
            lambda path: edit(path, lambda flag: flag.update(variants={"on": True, "off": True})),
            {"flag", "off variant"},
            "variants",
        ),
        (lambda path: edit(path, lambda flag: flag.update(state="DISABLED")), {"flag"}, "DISABLED"),
        (
            lambda path: edit(
                path, lambda flag: flag.update(targeting={"fractional": [["on", 1], ["off", 1]]}, defaultVariant="on")
            ),
            {"flag", "off variant"},
            "without a targeting key",
        ),
        (lambda path: edit(path, lambda flag: flag.update(extra=1), "search"), {"all flags of the set"}, "extra"),
        (
            lambda path: whole(path, lambda document: document.update({"$evaluators": {"x": {"==": ["é", "é"]}}})),
            {"all flags of the set"},
            "flagd's Python core refuses the document",
        ),
        (lambda path: whole(path, lambda document: document["flags"].pop(FLAG)), {"flag"}, "it is missing"),
        (lambda path: os.utime(path, (4e9, 4e9)), {"modification time"}, "days ahead of the clock"),
    ],
    ids=["gone", "broken", "off is true", "disabled", "default on", "property", "evaluator", "missing", "future"],
)
def test_a_blocker_is_named(
    path: Path, flags: FlagdFile, damage: Callable[[Path], object], names: set[str], words: str
) -> None:
    damage(path)
    found = failed(flags.preflight(FLAG))
    assert names <= set(found)
    assert any(words in check.found for check in found.values()), found
    assert not {"directory", "lock", "disk space", "mount"} & set(found)


def test_a_lock_that_somebody_holds_is_a_blocker(path: Path, flags: FlagdFile) -> None:
    with lock_held(path):
        assert set(failed(flags.preflight(FLAG))) == {"lock", "write and read back"}


def test_another_hash_in_the_middle_of_a_ramp_is_a_blocker(path: Path, flags: FlagdFile) -> None:
    flags.set("search", to(10))
    found = failed(FlagdFile(path, bucketing="flagd-v3").preflight(FLAG))
    assert set(found) == {"bucketing"}
    assert "dealt by flagd-v2, flags.bucketing is flagd-v3, and search is partly on" in found["bucketing"].found


def test_emergency_flags_have_a_file_of_their_own(path: Path, flags: FlagdFile, tmp_path: Path) -> None:
    flags.init(["ops.shutdown"], "me")
    assert set(failed(flags.preflight(FLAG))) == {"emergency flags"}
    mixed = FlagdFile(path, emergency=True)
    assert "also holds new-checkout, search" in failed(mixed.preflight("ops.shutdown"))["emergency flags"].found

    own = FlagdFile(tmp_path / "ops.flagd.json", emergency=True)
    own.init(EMERGENCY_FLAGS, "me")
    assert failed(own.preflight("ops.shutdown")) == {}


def test_the_time_is_held_against_the_clock_that_the_service_was_given(path: Path, flags: FlagdFile) -> None:
    late = FlagdFile(path, now=lambda: time.time() - 2 * 86_400)
    assert set(failed(late.preflight(FLAG))) == {"modification time"}


MOUNTS = r"""
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
610 598 254:1 /srv/flags.json /etc/flags/checkout\040two.json rw,relatime - ext4 /dev/vda1 rw
611 598 0:52 / /etc/flags/whole rw,relatime - tmpfs none rw
"""


def test_a_single_file_that_is_mounted_is_told_from_a_mounted_directory() -> None:
    assert mounted("/etc/flags/checkout two.json", MOUNTS)
    assert not mounted("/etc/flags/whole/checkout.json", MOUNTS)
    assert not mounted("/etc/flags/checkout", MOUNTS)
