"""The container of a bundle: a tar within a gzip, written in exactly one way, and read only if written that way.

The gzip stores and does not compress, so that its bytes follow from the members alone, whatever the version of zlib:
what is read is packed again, and must give the very bytes that were read. No byte of a bundle is without meaning.
Large members are compressed one by one, and their digests are those of the compressed bytes.
"""

from __future__ import annotations

import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from watchdog.errors import WatchdogError

LARGEST_FILE = 256 * 2**20
"""Bytes that a bundle may have."""
LARGEST_INFLATED = 512 * 2**20
"""Bytes that all its compressed members may have together once they are inflated."""
MOST_MEMBERS = 1000
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,60}(/[A-Za-z0-9][A-Za-z0-9_.-]{0,60}){0,2}")
LONGEST_NAME = 99
BLOCK = 512
STORED = 65_535
HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
END = bytes(2 * BLOCK)
LEVEL = 6


class Damaged(WatchdogError):
    """What was handed in is no bundle, or not the one that was written; the text says what differs first."""


def pack(members: Mapping[str, bytes]) -> bytes:
    """The bundle of these members, by name. Equal members give equal bytes."""
    return _stored(b"".join(_tar(members)))


def unpack(data: bytes) -> dict[str, bytes]:
    """The members of a bundle. Raises Damaged for whatever `pack` would not have written."""
    tar = _unstored(data)
    members = dict(_members(tar))
    if pack(members) != data:
        raise Damaged("the archive is not packed as a bundle is: a byte between its members was changed")
    return members


def read_file(path: Path) -> bytes:
    """The bytes of a bundle's file. Raises OSError; Damaged when there are too many."""
    with path.open("rb") as file:
        data = file.read(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        raise Damaged(f"the archive has more than {LARGEST_FILE:,} bytes, which no bundle has")
    return data


def compress(data: bytes) -> bytes:
    """A member's bytes in a gzip without name and time."""
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush()


class Inflater:
    """Inflates members within one bound for all of them together."""

    def __init__(self, most: int = LARGEST_INFLATED) -> None:
        self._left = most

    def inflate(self, name: str, data: bytes) -> bytes:
        """What a compressed member holds. Raises Damaged."""
        opener = zlib.decompressobj(31)
        try:
            found = opener.decompress(data, self._left + 1)
        except zlib.error as error:
            raise Damaged(f"{name} is no gzip: {error}") from error
        if len(found) > self._left:
            raise Damaged(f"{name} inflates beyond the {LARGEST_INFLATED:,} bytes that a bundle may have")
        if not opener.eof:
            raise Damaged(f"{name} ends before its gzip does")
        if opener.unused_data:
            raise Damaged(f"{name} has {len(opener.unused_data)} bytes behind its gzip")
        self._left -= len(found)
        return found


def _tar(members: Mapping[str, bytes]) -> Iterator[bytes]:
    for name in sorted(members):
        if not _plain(name):
            raise Damaged(f"a member of a bundle cannot be called {name!r}")
        data = members[name]
        yield _header(name, len(data))
        yield data
        yield bytes(-len(data) % BLOCK)
    yield END


@lru_cache(maxsize=1000)
def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o644, 0
    return info.tobuf(tarfile.USTAR_FORMAT)


def _plain(name: str) -> bool:
    return len(name) <= LONGEST_NAME and NAME.fullmatch(name) is not None


def _stored(data: bytes) -> bytes:
    parts = [HEADER]
    for start in range(0, len(data), STORED):
        part = data[start : start + STORED]
        last = start + STORED >= len(data)
        parts += (bytes((last,)), len(part).to_bytes(2, "little"), (len(part) ^ 0xFFFF).to_bytes(2, "little"), part)
    parts += (zlib.crc32(data).to_bytes(4, "little"), (len(data) & 0xFFFFFFFF).to_bytes(4, "little"))
    return b"".join(parts)


def _unstored(data: bytes) -> bytes:
    """What lies in a gzip of stored blocks, which are no longer than what was read: nothing can swell here."""
    if data[: len(HEADER)] != HEADER:
        raise Damaged("it does not begin as a bundle does: it is another file, or its first bytes were changed")
    parts, place, last = [], len(HEADER), 0
    while not last:
        head = data[place : place + 5]
        if len(head) < 5:
            raise Damaged("the archive is cut off")
        last, length, check = head[0], int.from_bytes(head[1:3], "little"), int.from_bytes(head[3:5], "little")
        if last > 1 or length ^ 0xFFFF != check:
            raise Damaged(f"the archive is damaged at byte {place}: no block of a bundle begins like that")
        parts.append(data[place + 5 : place + 5 + length])
        place += 5 + length
    tar = b"".join(parts)
    if len(data) - place > 8:
        raise Damaged(f"the archive has {len(data) - place - 8} bytes behind its end")
    if data[place : place + 4] != zlib.crc32(tar).to_bytes(4, "little"):
        raise Damaged("the archive's checksum is not that of its content: a byte was changed")
    return tar


def _members(tar: bytes) -> Iterator[tuple[str, bytes]]:
    place, before = 0, ""
    for _ in range(MOST_MEMBERS + 1):
        head = tar[place : place + BLOCK]
        if head == bytes(BLOCK):
            return
        name, size = _named(head, place)
        if name <= before:
            raise Damaged(f"the archive has the member {name} twice, or out of order")
        place += BLOCK
        data = tar[place : place + size]
        if len(data) < size:
            raise Damaged(f"the archive's member {name} is cut off")
        yield name, data
        before = name
        place += size + -size % BLOCK
    raise Damaged(f"the archive has more than {MOST_MEMBERS} members")


def _named(head: bytes, place: int) -> tuple[str, int]:
    """Name and size of a member whose header is one that `pack` writes: a plain file, and nothing else."""
    name = head[:100].rstrip(b"\0").decode("ascii", "replace")
    size = head[124:135]
    if not _plain(name) or not size.isdigit() or head != _header(name, int(size, 8) if not set(size) & {56, 57} else 0):
        raise Damaged(f"the archive has a member at byte {place} of its tar, {name[:99]!r}, that no bundle has")
    return name, int(size, 8)
