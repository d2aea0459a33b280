"""Who changes a flag, once, on what they had read; the hash that deals users; and emergency flags."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.flagfiles import FLAG, OFF, edit, entry, serving, to
from watchdog.errors import FlagConflict, FlagServiceError
from watchdog.flags.base import Change
from watchdog.flags.flagd_file import FlagdFile
from watchdog.model import EMERGENCY_FLAGS, NOBODY, Exposure


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkout.flagd.json"


@pytest.fixture
def flags(path: Path) -> FlagdFile:
    service = FlagdFile(path)
    service.init([FLAG, "search"], "me")
    return service


# Versions and idempotency keys


def test_a_change_replaces_the_version_that_was_read_and_no_other(path: Path, flags: FlagdFile) -> None:
    first = flags.read(FLAG)
    second = flags.set(FLAG, replace(to(10), expect=first.version))
    before = path.read_bytes()

    with pytest.raises(FlagConflict, match=rf"it has version {second.version}; expected {first.version}"):
        flags.set(FLAG, replace(to(20), expect=first.version))
    assert path.read_bytes() == before

    flags.set("search", to(50))  # a neighbour's change is none of this flag
    assert flags.set(FLAG, replace(to(20), expect=second.version)).exposure == Exposure(20)


def test_an_edit_by_hand_is_another_version(path: Path, flags: FlagdFile) -> None:
    read = flags.set(FLAG, to(10))
    edit(path, lambda flag: flag["metadata"].update(owner="payments"))
    with pytest.raises(FlagConflict):
        flags.set(FLAG, replace(to(20), expect=read.version))


def test_a_kill_compares_nothing(flags: FlagdFile) -> None:
    flags.set(FLAG, to(10))
    assert flags.kill(FLAG, replace(to(0), expect="something else")).exposure == NOBODY


def test_the_same_key_twice_is_one_change(path: Path, flags: FlagdFile) -> None:
    change = replace(to(10), idem="checkout-1:step:1", expect=flags.read(FLAG).version)
    first = flags.set(FLAG, change)
    before = (path.read_bytes(), path.stat().st_mtime_ns)

    assert flags.set(FLAG, change) == first  # its answer was lost; what it expected is long replaced, by itself
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert first.idem == flags.read(FLAG).idem == "checkout-1:step:1"
    assert entry(path)["metadata"]["slo-watchdog.idem"] == "checkout-1:step:1"


def test_a_key_does_not_hide_what_a_person_did_since(path: Path, flags: FlagdFile) -> None:
    change = replace(to(10), idem="checkout-1:step:1", expect=flags.read(FLAG).version)
    flags.set(FLAG, change)
    edit(path, lambda flag: flag.update(OFF, targeting={}))
    with pytest.raises(FlagConflict):
        flags.set(FLAG, change)
    assert flags.read(FLAG).exposure == NOBODY


def test_the_key_is_that_of_the_last_change(flags: FlagdFile) -> None:
    flags.set(FLAG, replace(to(10), idem="one"))
    assert flags.kill(FLAG, replace(to(0), idem="two")).idem == "two"
    assert flags.set(FLAG, to(1)).idem == ""


def test_percentages_are_rounded_down(flags: FlagdFile) -> None:
    for asked, then in [(33.33399, 33.333), (0.0009, 0.0), (99.9999, 99.999), (12.345, 12.345), (0.007, 0.007)]:
        assert flags.set(FLAG, to(asked)).exposure == Exposure(then)


def test_the_document_has_a_version_of_its_own(flags: FlagdFile) -> None:
    version, document = flags.document()
    assert flags.document() == (version, document)
    assert set(document["flags"]) == {FLAG, "search"}

    flags.set(FLAG, to(10))

    assert flags.document()[0] != version
    assert document["flags"][FLAG]["defaultVariant"] == "off"
    assert "targeting" not in document["flags"][FLAG]  # what was handed out does not change


# The hash that deals users to percentages


def era(path: Path) -> str:
    return str(json.loads(path.read_text())["metadata"]["slo-watchdog.bucketing"])


def test_the_hash_is_noted_and_adopted_while_nothing_hangs_on_it(path: Path, flags: FlagdFile) -> None:
    assert era(path) == "flagd-v2"
    flags.set("search", to(100))
    newer = FlagdFile(path, bucketing="flagd-v3")
    assert newer.set(FLAG, to(10)).exposure == Exposure(10)
    assert era(path) == "flagd-v3"


def test_a_document_without_the_note_takes_the_configured_hash(path: Path, flags: FlagdFile) -> None:
    flags.set(FLAG, to(10))
    document = json.loads(path.read_text())
    del document["metadata"]["slo-watchdog.bucketing"]
    path.write_text(json.dumps(document))
    FlagdFile(path, bucketing="flagd-v3").set(FLAG, to(20))
    assert era(path) == "flagd-v3"


def test_another_hash_in_the_middle_of_a_ramp_can_lower_and_kill_but_not_raise(path: Path, flags: FlagdFile) -> None:
    flags.set(FLAG, to(50))
    newer = FlagdFile(path, bucketing="flagd-v3")
    assert newer.read(FLAG).exposure == Exposure(50)
    sentence = (
        r"users are dealt by flagd-v2 and flags.bucketing is flagd-v3; .* while new-checkout is partly on "
        r"\(new-checkout at 50 %\).*; finish or roll back first"
    )
    for flag, percent in ((FLAG, 51), (FLAG, 100), ("search", 1)):
        with pytest.raises(FlagServiceError, match=sentence) as raised:
            newer.set(flag, to(percent))
        assert raised.value.permanent
    assert newer.set(FLAG, to(20)).exposure == Exposure(20)
    assert newer.init(["more"], "me").created == ("more",)
    assert era(path) == "flagd-v2"
    assert newer.kill(FLAG, to(0)).exposure == NOBODY
    assert newer.set("search", to(1)).exposure == Exposure(1)
    assert era(path) == "flagd-v3"


# Emergency flags


@pytest.fixture
def emergency(path: Path) -> FlagdFile:
    service = FlagdFile(path, emergency=True)
    service.init(EMERGENCY_FLAGS, "me")
    return service


def switch(percent: float) -> Change:
    return Change(Exposure(percent), (), "me", "an incident")


def test_an_emergency_flag_is_on_or_off_for_everybody_by_its_default_alone(path: Path, emergency: FlagdFile) -> None:
    for flag in EMERGENCY_FLAGS:
        assert serving(path, flag) == OFF
        assert emergency.set(flag, switch(100)).exposure == Exposure(100)
        assert serving(path, flag) == OFF | {"defaultVariant": "on"}
        assert emergency.set(flag, switch(0)).exposure == NOBODY
        assert emergency.kill(flag, switch(0)).exposure == NOBODY


def test_an_emergency_flag_is_never_ramped(emergency: FlagdFile) -> None:
    for exposure in (Exposure(50), Exposure(100, cohort=True), Exposure(0, audiences=("staff",))):
        with pytest.raises(FlagServiceError, match="was asked of an emergency flag, which is a switch"):
            emergency.set("ops.shutdown", Change(exposure, ("a",), "me", "why"))


@pytest.mark.parametrize("content", [b"", b"{}", b"{", None], ids=["empty", "bare map", "truncated", "gone"])
@pytest.mark.parametrize("restarted", [False, True], ids=["running", "restarted"])
def test_an_emergency_flag_goes_on_on_top_of_a_broken_file(
    path: Path, emergency: FlagdFile, content: bytes | None, *, restarted: bool
) -> None:
    emergency.read("ops.shutdown")
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    service = FlagdFile(path, emergency=True) if restarted else emergency

    assert service.set("ops.shutdown", switch(100)).exposure == Exposure(100)
    assert service.read("ops.maintenance").exposure == NOBODY


def test_an_emergency_flag_that_somebody_deleted_or_disabled_goes_on(path: Path, emergency: FlagdFile) -> None:
    emergency.read("ops.shutdown")
    edit(path, lambda flag: flag.update(state="DISABLED"), "ops.shutdown")
    assert emergency.set("ops.shutdown", switch(100)).exposure == Exposure(100)

    document = json.loads(path.read_text())
    del document["flags"]["ops.shutdown"]
    path.write_text(json.dumps(document))
    assert emergency.set("ops.shutdown", switch(100)).exposure == Exposure(100)


def test_an_emergency_flag_in_a_set_that_was_never_there_says_what_to_do(path: Path) -> None:
    with pytest.raises(FlagServiceError, match=r"there is no such file.*flags init") as raised:
        FlagdFile(path, emergency=True).set("ops.shutdown", switch(100))
    assert raised.value.missing_set
