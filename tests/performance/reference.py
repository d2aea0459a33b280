"""What our work is measured against: raw work of the same kind on the same machine, at the same moment.

Times are processor time, so that waiting for a disk or for another process counts in neither. Both sides are measured
in turns, and each counts by its quickest round: what disturbs a machine makes work slower, never quicker.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

DOCUMENT = {
    "rollout": "checkout-2.14.0",
    "objectives": [
        {
            "name": f"objective_{n}",
            "at": 1_764_028_800 + 30 * n,
            "bad": n / 7,
            "total": 3000.0,
            "why": "as it should be",
        }
        for n in range(20)
    ],
}
"""About 2 kB of JSON."""
Work = Callable[[], object]


def json_round_trip() -> None:
    """Encode and decode the document once."""
    json.loads(json.dumps(DOCUMENT))


def quickest(ours: Work, bare: Work, *, rounds: int = 7) -> tuple[float, float]:
    """Processor seconds of each, in turns: the quickest of so many rounds."""
    found: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        pair = (ours, found[0]), (bare, found[1])
        for work, times in pair if number % 2 else reversed(pair):
            began = time.process_time()
            work()
            times.append(time.process_time() - began)
    return min(found[0]), min(found[1])


def times(count: int, work: Work) -> Work:
    """The same work so many times over: long enough for the clock."""

    def repeated() -> None:
        for _ in range(count):
            work()

    return repeated
