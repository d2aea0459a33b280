"""The container of a bundle: one way to write it, and whatever else somebody hands in is refused in a sentence."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchdog.evidence import archive, columns
from watchdog.evidence.archive import Damaged, Inflater, compress, pack, read_file, unpack
from watchdog.evidence.verify import verify

MEMBERS = {"manifest.json": b"{}\n", "rows/steps.json.gz": bytes(range(256)) * 5, "empty": b""}
PLAIN = pack(MEMBERS)


def stored(tar: bytes) -> bytes:
    """A tar as a bundle stores it, whatever is in it."""
    return archive._stored(tar)


def tar_of(change: Callable[[tarfile.TarFile], None], kind: int = tarfile.USTAR_FORMAT) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=kind) as tar:
        change(tar)
    return held.getvalue()


def member(name: str, data: bytes = b"x", **more: object) -> Callable[[tarfile.TarFile], None]:
    def add(tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(data), 0o644
        for key, value in more.items():
            setattr(info, key, value)
        tar.addfile(info, io.BytesIO(data))

    return add


def both(one: str, other: str) -> Callable[[tarfile.TarFile], None]:
    def add(tar: tarfile.TarFile) -> None:
        member(one, b"1")(tar)
        member(other, b"2")(tar)

    return add


def test_what_is_packed_is_unpacked() -> None:
    assert unpack(PLAIN) == MEMBERS
    assert gzip.decompress(PLAIN) == archive._unstored(PLAIN)
    many = {f"rows/{place:04}": b"x" * 70_000 for place in range(3)}
    assert unpack(pack(many)) == many


def test_each_flipped_byte_of_an_archive_is_noticed() -> None:
    for place in range(len(PLAIN)):
        changed = PLAIN[:place] + bytes((PLAIN[place] ^ 1 << place % 8,)) + PLAIN[place + 1 :]
        with pytest.raises(Damaged):
            unpack(changed)


def test_each_flipped_byte_is_noticed_when_its_checksum_was_made_again_or_is_a_members_own() -> None:
    tar = archive._unstored(PLAIN)
    inside = {offset for offset in range(len(tar)) if _is_content(offset, tar)}
    for place in range(len(tar)):
        changed = stored(tar[:place] + bytes((tar[place] ^ 1 << place % 8,)) + tar[place + 1 :])
        if place in inside:
            assert unpack(changed) != MEMBERS
        else:
            with pytest.raises(Damaged):
                unpack(changed)


def _is_content(offset: int, tar: bytes) -> bool:
    place = 0
    while tar[place : place + 512] != bytes(512):
        size = int(tar[place + 124 : place + 135], 8)
        if place + 512 <= offset < place + 512 + size:
            return True
        place += 512 + size + -size % 512
    return False


@pytest.mark.parametrize("length", [0, 1, 9, 10, 14, 200, 600, len(PLAIN) - 1])
def test_an_archive_that_is_cut_off_is_refused(length: int) -> None:
    with pytest.raises(Damaged):
        unpack(PLAIN[:length])


@pytest.mark.parametrize(
    "hostile",
    [
        PLAIN + b"\0",
        PLAIN + PLAIN,
        gzip.compress(archive._unstored(PLAIN), mtime=0),
        stored(archive._unstored(PLAIN) + bytes(512)),
        stored(tar_of(member("../../etc/passwd"))),
        stored(tar_of(member("/etc/passwd"))),
        stored(tar_of(member("a/../../b"))),
        stored(tar_of(member("rows//steps"))),
        stored(tar_of(member("a", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd"))),
        stored(tar_of(member("a", b"", type=tarfile.LNKTYPE, linkname="b"))),
        stored(tar_of(member("a", b"", type=tarfile.CHRTYPE))),
        stored(tar_of(member("a", b"", type=tarfile.DIRTYPE))),
        stored(tar_of(member("a" * 200, b"x"), tarfile.PAX_FORMAT)),
        stored(tar_of(member("a" * 200, b"x"), tarfile.GNU_FORMAT)),
        stored(tar_of(both("a", "a"))),
        stored(tar_of(both("b", "a"))),
        stored(tar_of(member("a", b"x", mtime=1))),
        stored(tar_of(member("a", b"x", mode=0o4755))),
        stored(tar_of(member("a", b"x", uname="root"))),
        stored(b"".join(archive._header(f"m{place:05}", 0) for place in range(1100)) + bytes(1024)),
        stored(archive._header("huge", 8**11 - 1) + bytes(1024)),
        b"",
        b"\x1f\x8b",
        b"PK\x03\x04 no bundle",
    ],
)
def test_a_hostile_archive_is_refused_in_a_sentence(hostile: bytes) -> None:
    with pytest.raises(Damaged) as refused:
        unpack(hostile)
    assert len(str(refused.value)) < 300
    found = verify(hostile)
    assert (found.consistent, found.first) == (False, f"archive: {refused.value}")


def test_a_member_that_swells_is_stopped_at_the_bound() -> None:
    bomb = compress(bytes(2_000_000))
    with pytest.raises(Damaged, match="inflates beyond"):
        Inflater(1_000_000).inflate("rows/steps.json.gz", bomb)
    both = Inflater(3_000_000)
    assert len(both.inflate("one", bomb)) == 2_000_000
    with pytest.raises(Damaged, match="two inflates beyond"):
        both.inflate("two", bomb)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"no gzip", "is no gzip"),
        (compress(b"x")[:-4], "ends before its gzip does"),
        (compress(b"x") + b"more", "4 bytes behind its gzip"),
        (zlib.compress(b"x"), "is no gzip"),
    ],
)
def test_a_compressed_member_is_one_gzip_and_nothing_else(data: bytes, said: str) -> None:
    with pytest.raises(Damaged, match=said):
        Inflater().inflate("m", data)


def test_a_file_beyond_all_bounds_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "sparse"
    with file.open("wb") as handle:
        handle.truncate(archive.LARGEST_FILE + 1)
    with pytest.raises(Damaged, match="which no bundle has"):
        read_file(file)


@pytest.mark.parametrize("name", ["", "..", "a/../b", "/a", "a/", "a b", "a/b/c/d", "é", "x" * 100, ".hidden"])
def test_no_member_has_a_name_that_leads_elsewhere(name: str) -> None:
    with pytest.raises(Damaged, match="cannot be called"):
        pack({name: b""})


@pytest.mark.parametrize(
    "text",
    [
        b"[]",
        b"nonsense",
        b'{"table": "steps", "rows": 2, "columns": {"at": [1]}}',
        b'{"table": "other", "rows": 1, "columns": {"at": [1]}}',
        b'{"table": "steps", "rows": -1, "columns": {"at": []}}',
        b'{"table": "steps", "rows": 1e9, "columns": {"at": {"all": 1}}}',
        b'{"table": "steps", "rows": 99999999999, "columns": {"at": {"all": 1}}}',
        b'{"table": "steps", "rows": 1, "columns": {}}',
        b'{"table": "steps", "rows": 1, "columns": {"at": [[1]]}}',
        b'{"table": "steps", "rows": 1, "columns": {"at": {"all": {}}}}',
        b'{"table": "steps", "rows": 1, "columns": {"at": [NaN]}}',
        b'{"table": "steps", "rows": 1, "columns": {"at": [1]}, "more": 1}',
        b'{"table": "steps", "rows": 1, "rows": 1, "columns": {"at": [1]}}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"\xff\xfe",
        b'{"table": "steps", "rows": ' + b"9" * 10_000 + b', "columns": {"at": [1]}}',
    ],
)
def test_columns_that_are_none_are_refused(text: bytes) -> None:
    with pytest.raises(Damaged):
        columns.decode("rows/steps.json.gz", "steps", text)


SCALAR = st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(SCALAR | st.text(max_size=5), SCALAR), min_size=1, max_size=8))
def test_rows_survive_columns_to_the_bit(pairs: list[tuple[object, object]]) -> None:
    rows = [{"place": place, "one": one, "other": other} for place, (one, other) in enumerate(pairs)]
    again = columns.rows_of(columns.decode("m", "t", columns.encode("t", columns.columns_of(rows))))
    assert [[(type(v), repr(v)) for v in row.values()] for row in again] == [
        [(type(v), repr(v)) for v in row.values()] for row in rows
    ]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_nothing_that_begins_like_a_bundle_makes_it_raise_anything_else(tail: bytes) -> None:
    assert not verify(archive.HEADER + tail).consistent
