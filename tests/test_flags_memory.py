"""The in-memory flag service behaves as the port promises, and fails, drifts and remembers when told to."""

from __future__ import annotations

from pathlib import Path

import pytest

from watchdog.config.flagsettings import FlagSettings
from watchdog.errors import ConfigError, FlagServiceError
from watchdog.flags import open_service
from watchdog.flags.base import Change, FlagService
from watchdog.flags.flagd_file import FlagdFile
from watchdog.flags.memory import InMemoryFlags
from watchdog.model import NOBODY, Exposure

FLAG = "new-checkout"
DOWN = FlagServiceError("flag service: connection refused; expected an answer; it is tried again.")


def to(percent: float, *cohort: str, rollout: str | None = "checkout-1") -> Change:
    return Change(Exposure(percent, bool(cohort)), cohort, "watchdog", "because", rollout)


def test_a_flag_reads_what_was_set() -> None:
    flags = InMemoryFlags([FLAG])

    assert flags.read(FLAG).exposure == NOBODY
    assert flags.set(FLAG, to(25)).exposure == Exposure(25)
    assert flags.set(FLAG, to(25, "qa-1")).exposure == Exposure(25, cohort=True)
    assert flags.read(FLAG).exposure == Exposure(25, cohort=True)


def test_setting_what_is_set_already_writes_nothing() -> None:
    flags = InMemoryFlags([FLAG])
    first = flags.set(FLAG, to(25))

    again = flags.set(FLAG, to(25))

    assert again.version == first.version
    assert [write.verb for write in flags.writes] == ["set"]
    assert flags.calls["set"] == 2


def test_every_change_has_its_own_version() -> None:
    flags = InMemoryFlags([FLAG])
    versions = [flags.set(FLAG, to(percent)).version for percent in (10, 20, 10)]
    versions.append(flags.changed_by_person(FLAG, Exposure(10)).version)

    assert len(set(versions)) == 4


def test_percentages_are_kept_to_the_smallest_step() -> None:
    assert InMemoryFlags([FLAG]).set(FLAG, to(33.33333)).exposure.percent == 33.333
    assert InMemoryFlags([FLAG], smallest_step=1).set(FLAG, to(33.3)).exposure.percent == 33


def test_a_kill_takes_everybody_off_and_leaves_a_latch() -> None:
    flags = InMemoryFlags({FLAG: Exposure(50, cohort=True)})

    killed = flags.kill(FLAG, to(0))

    assert killed.exposure == NOBODY
    assert killed.latch == "checkout-1"
    assert flags.kill(FLAG, to(0)) == killed
    assert len(flags.writes) == 1


def test_a_latch_stays_until_another_rollout_sets_the_flag() -> None:
    flags = InMemoryFlags([FLAG])
    flags.kill(FLAG, to(0))

    assert flags.set(FLAG, to(0)).latch == "checkout-1"
    assert flags.set(FLAG, to(5, rollout=None)).latch == "checkout-1"
    assert flags.set(FLAG, to(5, rollout="checkout-2")).latch is None


def test_a_person_can_change_the_flag_behind_the_watchdog() -> None:
    flags = InMemoryFlags([FLAG])
    flags.set(FLAG, to(50))

    flags.changed_by_person(FLAG, Exposure(5))

    assert flags.read(FLAG).exposure == Exposure(5)
    assert [(write.verb, write.change is None) for write in flags.writes] == [("set", False), ("person", True)]


def test_a_scripted_failure_is_raised_once_and_changes_nothing() -> None:
    flags = InMemoryFlags([FLAG])
    flags.fail(DOWN, on=["set"])

    assert flags.read(FLAG).exposure == NOBODY
    with pytest.raises(FlagServiceError, match="connection refused"):
        flags.set(FLAG, to(25))
    assert flags.read(FLAG).exposure == NOBODY
    assert flags.set(FLAG, to(25)).exposure == Exposure(25)


def test_an_answer_can_get_lost_after_the_change_took_effect() -> None:
    flags = InMemoryFlags([FLAG])
    flags.fail(DOWN, on=["kill", "set"], after=True, times=2)

    with pytest.raises(FlagServiceError):
        flags.set(FLAG, to(25))
    assert flags.read(FLAG).exposure == Exposure(25)
    with pytest.raises(FlagServiceError):
        flags.kill(FLAG, to(0))
    assert flags.read(FLAG).latch == "checkout-1"


def test_failures_are_used_in_order_until_the_service_recovers() -> None:
    flags = InMemoryFlags([FLAG])
    forbidden = FlagServiceError("flag service: 403; expected 200; renew the token.", permanent=True)
    flags.fail(DOWN)
    flags.fail(forbidden, times=9)

    with pytest.raises(FlagServiceError) as first:
        flags.read(FLAG)
    with pytest.raises(FlagServiceError) as second:
        flags.kill(FLAG, to(0))
    flags.recover()

    assert not first.value.permanent
    assert second.value.permanent
    assert flags.read(FLAG).exposure == NOBODY
    assert flags.calls == {"read": 2, "kill": 1}


def test_an_unknown_or_removed_flag_is_an_error_that_says_what_there_is() -> None:
    flags = InMemoryFlags([FLAG, "other"])
    flags.removed_by_person("other")

    with pytest.raises(
        FlagServiceError, match="'other': not in the in-memory service, which holds new-checkout"
    ) as raised:
        flags.read("other")
    assert raised.value.permanent


def test_services_are_opened_by_name(tmp_path: Path) -> None:
    memory: FlagService = open_service(FlagSettings(service="memory"))
    written = FlagSettings(service="flagd-file", path=tmp_path / "shop.flagd.json", propagation=2.5)
    file = open_service(written)

    assert memory.read("any flag at all").exposure == NOBODY
    assert isinstance(file, FlagdFile)
    assert file.capabilities.propagation == 2.5
    assert open_service(FlagSettings(path=tmp_path / "shop.flagd.json")).capabilities.propagation == 1.0
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_service_is_refused_at_start() -> None:
    stranger = FlagSettings().model_copy(update={"service": "flagd"})
    with pytest.raises(ConfigError, match=r"flags\.service: is 'flagd'; expected one of flagd-file, launchdarkly"):
        open_service(stranger)
