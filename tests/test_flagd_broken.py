"""A flag file that somebody broke: exposure can be lowered on top of it, never raised, and nothing is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.flagfiles import FLAG, NOON, OFF, edit, serving, to
from watchdog.errors import FlagServiceError
from watchdog.flags.flagd_file import FlagdFile
from watchdog.model import Exposure


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkout.flagd.json"


@pytest.fixture
def flags(path: Path) -> FlagdFile:
    service = FlagdFile(path, now=lambda: NOON)
    service.init([FLAG, "search"], "me")
    return service


BROKEN = {
    "empty": (b"", "the file is empty; expected a flagd document"),
    "blank": (b" \n", "the file is empty"),
    "bare map": (b"{}", r"it holds \{\}; expected a map with \"flags\""),
    "no flags": (b'{"flags": {}}', r"flags: it is \{\}; expected a map from flag key to flag"),
    "list of flags": (b'{"flags": [{"key": "new-checkout"}]}', "flags: it is .*; expected a map from flag key"),
    "a list": (b"[1]", r"it holds \[1\]"),
    "truncated": (b'{"flags": {"new-checkout": {"sta', "32 bytes that are not JSON"),
    "not text": (b"\xff\xfe\x00", "3 bytes that are not JSON"),
    "no number": (b'{"flags": {"a": NaN}}', "NaN is no JSON number"),
    "large number": (b'{"flags": {"a": 1e999}}', "1e999 is too large a number"),
    "huge integer": (b'{"flags": ' + b"9" * 5000 + b"}", "not JSON"),
    "deep": (b"[" * 300 + b"]" * 300, "nested more than 100 levels"),
    "bottomless": (b"[" * 100_000, "not JSON"),
    "metadata": (b'{"metadata": [], "flags": {"a": {}}}', "metadata: it is"),
    "nested metadata": (b'{"metadata": {"a": []}, "flags": {"a": {}}}', r"metadata\.a: it is \[\]"),
    "flag is text": (b'{"flags": {"a": "on"}}', r"flags\.a: it is \"on\"; expected a map"),
    "state": (b'{"flags": {"a": {"state": "on"}}}', r"flags\.a\.state: it is \"on\""),
    "variants": (b'{"flags": {"a": {"state": "ENABLED"}}}', r"flags\.a\.variants: it is missing"),
    "default": (
        b'{"flags": {"a": {"state": "ENABLED", "variants": {"x": 1}, "defaultVariant": "y"}}}',
        r"flags\.a\.defaultVariant: it is \"y\"; expected one of x",
    ),
    "property": (
        b'{"flags": {"a": {"state": "ENABLED", "variants": {"x": 1}, "note": "hi"}}}',
        r"flags\.a\.note: it is not a property of a flag; .*; move it into metadata",
    ),
    "gone": (None, "there is no such file; .*flags init"),
}


def breaks(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("restarted", [False, True], ids=["running", "restarted"])
def test_a_broken_file_can_be_killed_and_lowered_but_not_raised(
    path: Path, flags: FlagdFile, case: str, *, restarted: bool
) -> None:
    content, sentence = BROKEN[case]
    flags.set("search", to(30, rollout="search-1"))
    flags.set(FLAG, to(50))
    breaks(path, content)
    service = FlagdFile(path) if restarted else flags

    with pytest.raises(FlagServiceError, match=sentence) as raised:
        service.read(FLAG)
    assert str(path) in str(raised.value)
    assert "last known good document (version 3) is kept in .checkout.flagd.json.last-good" in str(raised.value)
    with pytest.raises(FlagServiceError, match="not set to 51%"):
        service.set(FLAG, to(51))
    with pytest.raises(FlagServiceError, match="not set to 10% and the cohort"):
        service.set(FLAG, to(10, "qa-1"))
    if content is not None:
        assert path.read_bytes() == content

    assert service.set(FLAG, to(10)).exposure == Exposure(10)
    breaks(path, content)
    assert service.kill(FLAG, to(0)).latch == "checkout-1"

    assert serving(path) == OFF
    assert service.read("search").exposure == Exposure(30)
    if content is not None and content.strip():
        assert path.with_name(".checkout.flagd.json.rejected").read_bytes() == content


def test_the_last_known_good_document_holds_what_people_wrote(path: Path, flags: FlagdFile) -> None:
    edit(path, lambda flag: flag.update(targeting={"fractional": [["on", 1], ["off", 4]]}), "search")
    flags.read(FLAG)
    path.write_text("oops")

    FlagdFile(path).kill(FLAG, to(0))

    assert flags.read("search").exposure == Exposure(20)


def test_a_flag_that_vanished_is_an_error_and_comes_back_killed(path: Path, flags: FlagdFile) -> None:
    flags.set(FLAG, to(50))
    document = json.loads(path.read_text())
    del document["flags"][FLAG]
    path.write_text(json.dumps(document))

    with pytest.raises(
        FlagServiceError, match=r"flags\.new-checkout: it is missing; the file holds search; .*flags init"
    ):
        flags.read(FLAG)
    flags.kill(FLAG, to(0))

    assert serving(path) == OFF


def test_nothing_is_invented_where_nothing_is_known(path: Path) -> None:
    service = FlagdFile(path)
    for call in (service.kill, service.set):
        with pytest.raises(FlagServiceError, match=r"there is no such file.*No last known good document"):
            call(FLAG, to(0))
    assert not path.exists()

    service.init(["search"], "me")
    for call in (service.kill, service.set):
        with pytest.raises(FlagServiceError, match="it is missing; the file holds search"):
            call(FLAG, to(0))


def test_init_leaves_a_broken_file_alone_and_brings_a_latch_back(path: Path, flags: FlagdFile) -> None:
    flags.set(FLAG, to(50))
    flags.kill(FLAG, to(0))
    path.write_text("oops")
    with pytest.raises(FlagServiceError, match="not JSON"):
        flags.init([FLAG], "me")
    assert path.read_text() == "oops"

    path.unlink()
    assert FlagdFile(path).init([FLAG], "me").created == (FLAG,)

    assert flags.read(FLAG).latch == "checkout-1"
    assert json.loads(path.read_text())["metadata"]["version"] == "4"
