"""What is asked along the grid, and the queries that it takes: small enough for Prometheus, enough for all workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from watchdog.prometheus.fanout import Piece, cut

MOST_POINTS = 10_000
"""Points of one range query; Prometheus refuses above 11,000."""

FEWEST_POINTS = 2_000
"""A large range is not cut smaller than this to keep all workers busy: each query has a fixed cost."""


@dataclass(frozen=True, slots=True)
class Range:
    """One expression at `start`, `start + step`, ... up to `end`: whole seconds, all on the grid."""

    expression: str
    start: int
    end: int
    step: int

    @property
    def instants(self) -> range:
        """Every instant that is asked for."""
        return range(self.start, self.end + 1, self.step)


def pieces(distinct: Sequence[Range], workers: int) -> list[Piece]:
    """The range queries that answer the requests: small enough for Prometheus, enough of them for all workers."""
    points = sum(len(request.instants) for request in distinct)
    most = min(MOST_POINTS, max(FEWEST_POINTS, -(-points // workers)))
    return [
        Piece(k, request.expression, part, over_range=True)
        for k, request in enumerate(distinct)
        for part in cut(request.instants, most)
    ]
