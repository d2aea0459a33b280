"""Rollback drills over HTTP: what they found, and starting one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from watchdog.client.connection import Connection
from watchdog.client.shapes.drills import Drill, DrillReport, DrillRunning, Drills

DRILLS = "/api/v1/drills"


class DrillCalls:
    """The part of the client that is about drills. Everything raises ClientError."""

    _connection: Connection

    def drills(self, *, limit: int = 20) -> Drills:
        """The newest drills, and the one that is under way; `next` in it is where older ones are."""
        return cast("Drills", self._connection.ask("GET", DRILLS, query={"limit": str(limit)}).json)

    def every_drill(self) -> Iterator[Drill]:
        """All of them, the newest first, page by page."""
        return self._connection.every(DRILLS, "drills")

    def drill(self, number: int) -> DrillReport:
        """One drill with its whole report."""
        return cast("DrillReport", self._connection.ask("GET", f"{DRILLS}/{number}").json)

    def start_drill(
        self,
        reason: str,
        *,
        by: str | None = None,
        flag: str | None = None,
        runs: int | None = None,
        key: str | None = None,
    ) -> DrillRunning:
        """Start one in the background; `drills` tells the result when it is over. Raises Conflict while one runs."""
        given = {name: value for name, value in (("flag", flag), ("runs", runs)) if value is not None}
        return cast("DrillRunning", self._connection.order(DRILLS, reason, by, key, **given).json["running"])
