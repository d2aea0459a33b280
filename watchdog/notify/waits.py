"""How long until the next try. Pure."""

from __future__ import annotations

import zlib

FIRST_WAIT = 30.0
LONGEST_WAIT = 900.0
JITTER = 0.1
"""A wait is shortened by up to this share, so that what failed together is not tried again together."""


def wait_after(notification_id: int, failures: int) -> float:
    """Seconds until the next try after so many failures (1 or more): 30, 60, 120 .. 900, a little less each."""
    doubled = min(FIRST_WAIT * 2.0 ** min(failures - 1, 10), LONGEST_WAIT)
    spread = zlib.crc32(f"{notification_id}:{failures}".encode()) / 2**32
    return doubled * (1.0 - JITTER * spread)
