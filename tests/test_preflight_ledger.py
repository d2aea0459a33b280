"""What the preflight says of the ledger: whether it is written for good, where it lies, and how much room there is."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.drilling import with_active
from tests.ledgers import ledger_at
from tests.preflighting import OBJECTIVES, RULE, failed, held, look, setting, warned
from tests.processes import Installation
from tests.rollouts import rollout
from watchdog.config import load_settings
from watchdog.model import Rollout
from watchdog.preflight.recording import DURABLE, _committed
from watchdog.preflight.storage import BASE, filesystem, needed
from watchdog.rolloutfile import load_rollout

MOUNTS = r"""21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
22 21 0:5 / /dev/shm rw,nosuid shared:2 - tmpfs tmpfs rw
23 21 254:16 / /var/lib/slo\040watchdog rw - xfs /dev/vdb rw
24 21 0:9 / /var rw - overlay overlay rw,lowerdir=/a:/b - odd
"""


@pytest.fixture
def site(tmp_path: Path) -> Installation:
    site = Installation(tmp_path, "http://127.0.0.1:9")
    site.rollout("checkout-1", OBJECTIVES, **RULE)
    return site


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory on tmpfs, which every Linux has there."""
    directory = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="slo-watchdog-test-"))
    yield directory
    shutil.rmtree(directory)


def test_a_ledger_that_lasts_says_what_it_rests_on(site: Installation) -> None:
    setting(site, "preflight", {"allow_ephemeral": True})  # whatever these tests run on
    verdict = look(site, "ledger")
    found = held(verdict)
    assert failed(verdict) == warned(verdict) == {}
    assert "took a row, read it back, and gave it up again" in found["ledger: can be written"]
    assert found["ledger: a commit outlives a crash"] == "journal_mode is wal, synchronous is 2"
    assert "are free in" in found["ledger: has room"]
    assert "for 1 rollouts of up to 9d" in found["ledger: has room"]


def test_a_ledger_in_memory_is_refused_unless_somebody_accepts_it(site: Installation, memory: Path) -> None:
    setting(site, "ledger", f"sqlite:///{memory / 'watchdog.db'}")
    wrong = failed(look(site, "ledger"))
    assert list(wrong) == ["ledger: lies on storage that lasts"]
    assert "is on tmpfs (mounted at /dev/shm), memory, which forgets" in wrong["ledger: lies on storage that lasts"]

    setting(site, "preflight", {"allow_ephemeral": True})
    accepted = look(site, "ledger")
    assert failed(accepted) == {}
    assert "preflight.allow_ephemeral accepts it" in held(accepted)["ledger: lies on storage that lasts"]


def test_a_link_to_memory_is_memory(site: Installation, memory: Path) -> None:
    (memory / "watchdog.db").touch()
    site.ledger_file.symlink_to(memory / "watchdog.db")
    assert "ledger: lies on storage that lasts" in failed(look(site, "ledger"))


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/watchdog.db", "ext4"),
        ("/dev/shm/watchdog.db", "tmpfs"),  # noqa: S108 - a place in the table above
        ("/var/lib/watchdog.db", "overlay"),
        ("/var/lib/slo watchdog/watchdog.db", "xfs"),
    ],
)
def test_the_file_system_of_a_path_is_that_of_the_longest_mount(path: str, kind: str) -> None:
    assert filesystem(Path(path), MOUNTS)[0] == kind
    assert filesystem(Path(path), "")[0] == "unknown"


def test_how_much_room_is_needed_grows_with_the_watch_and_its_objectives() -> None:
    rule = rollout(ramp="{strategy: progressive, over: 7d, every: 1h}", window="{slices: 48, slice: 1h}")
    once = needed([rule]) - BASE
    assert needed([]) == BASE
    assert needed([rule, rule]) - BASE == 2 * once
    assert needed([replace(rule, interval=rule.interval * 2)]) - BASE == once / 2
    assert 5e6 < once < 1e9


def test_too_little_room_stands_in_the_way(site: Installation) -> None:
    """Twenty watches of eight years, a slot each second: terabytes."""
    ramp = {"ramp": "{strategy: progressive, over: 3000d, every: 1d}", "interval": "1s"}
    rule = {**RULE, **ramp, "waive": "{pooled_exposure: a test, rollback_bound: a test}"}
    for number in range(20):
        site.rollout(f"long-{number}", OBJECTIVES, **{**rule, "flag": f"flag-{number}"})
    found = failed(look(site, "ledger"))["ledger: has room"]
    assert "for 21 rollouts of up to 3002d" in found


def loaded(site: Installation, name: str) -> Rollout:
    return load_rollout(site.directory / "rollouts" / f"{name}.yaml", load_settings(site.config).facts())


def test_a_ledger_that_cannot_be_used_fails_whatever_needs_it(site: Installation) -> None:
    site.ledger_file.write_bytes(b"not a database at all, by no means" * 100)
    wrong = failed(look(site, "ledger", "drill", "worst case"))
    assert "is not a ledger" in wrong["ledger: can be looked at"]
    assert "is not a ledger" in wrong["drill: can be looked at"]
    assert "worst case: can be looked at" not in wrong


def test_a_rule_that_changed_after_it_was_frozen_stands_in_the_way(site: Installation) -> None:
    setting(site, "preflight", {"allow_ephemeral": True})
    ledger = ledger_at(site.ledger_file)
    ledger.add_rollout(loaded(site, "checkout-1"), file="x", engine="test", now=1.0)
    ledger.close()
    assert failed(look(site, "ledger")) == {}
    site.rollout("checkout-1", OBJECTIVES, **{**RULE, "delay": "45s"})
    assert list(failed(look(site, "ledger"))) == ["ledger: checkout-1: rule unchanged"]


def test_reports_that_cannot_be_written_stand_in_the_way(site: Installation) -> None:
    setting(site, "preflight", {"allow_ephemeral": True})
    (site.directory / "taken").write_text("a file")
    setting(site, "reports", {"dir": "taken"})
    assert list(failed(look(site, "ledger"))) == ["ledger: reports directory"]


def test_looking_leaves_the_ledger_as_it_was(site: Installation) -> None:
    ledger = ledger_at(site.ledger_file)
    with_active(ledger, "search-1")
    with ledger.reading() as connection:
        before = connection.exec_driver_sql("SELECT digest, text FROM texts").all()
    look(site, "ledger")
    with ledger.reading() as connection:
        assert connection.exec_driver_sql("SELECT digest, text FROM texts").all() == before
    ledger.close()


def test_a_database_that_does_not_wait_for_the_disk_is_told() -> None:
    for wrong in ({"journal_mode": "memory", "synchronous": "2"}, {"fsync": "off", "full_page_writes": "on"}):
        check = _committed(wrong)
        assert not check.ok
        assert "set " in check.todo
    assert _committed({"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}).ok
    assert set(DURABLE) == {"journal_mode", "synchronous", "fsync", "synchronous_commit", "full_page_writes"}
