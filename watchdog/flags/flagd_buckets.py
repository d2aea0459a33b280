"""Which bucket of a flag a targeting key falls into, for the two hashes that flagd's `fractional` rule has had.

Both take the murmur3 hash (x86, 32 bits, seed 0) of the flag key with the targeting key, and stretch it over the total
of the weights; they differ in the bytes that are hashed. `flagd-v2` hashes the two keys written one after the other:
flagd itself, its JavaScript core and Python's up to 1.x. `flagd-v3` hashes them as a CBOR list of two texts: Python's
core from 2.0 on. The same rule picks different people under each, so an era belongs to a flag set like its name.
"""

from __future__ import annotations

import struct

import mmh3

TOTAL = 100_000
"""Buckets of a flag unless told otherwise: as many as the weights in our own rules add up to."""
ERAS = ("flagd-v2", "flagd-v3")


def bucket(flag_key: str, targeting_key: str, era: str, total: int = TOTAL) -> int:
    """The bucket, 0 to `total` - 1: who is in a bucket below the weight of "on" has the feature.

    Raises ValueError for an unknown era, and for a key with half a surrogate pair, which no UTF-8 can say.
    """
    if era == "flagd-v2":
        return stretched(flag_key + targeting_key, total)
    if era == "flagd-v3":
        return _stretched(b"\x82" + _cbor(flag_key) + _cbor(targeting_key), total)
    raise ValueError(f"bucketing is {era!r}; expected one of {', '.join(ERAS)}")


def stretched(text: str, total: int) -> int:
    """The bucket of a text as `flagd-v2` hashes it: the two keys in a row, or what a rule names instead of them."""
    return _stretched(text.encode(), total)


def _stretched(hashed: bytes, total: int) -> int:
    return mmh3.hash(hashed, 0, signed=False) * total >> 32


def _cbor(text: str) -> bytes:
    """A text as CBOR: its kind and length in as few bytes as will do, then its UTF-8."""
    encoded = text.encode()
    length = len(encoded)
    if length < 24:
        head = bytes([0x60 | length])
    elif length < 1 << 8:
        head = struct.pack(">BB", 0x78, length)
    elif length < 1 << 16:
        head = struct.pack(">BH", 0x79, length)
    else:
        head = struct.pack(">BI", 0x7A, length)
    return head + encoded
