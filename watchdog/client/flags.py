"""Flags over HTTP: what they serve, who changed them, and changing them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from watchdog.client.connection import Connection, part
from watchdog.client.shapes.flags import Flag, FlagAudit, FlagChange, FlagChanged, ListedFlag

FLAGS = "/api/v1/flags"


class Flags:
    """The part of the client that is about flags. Everything raises ClientError.

    `service` is a name in `services:`; `by` and `key` are as in `Orders`.
    """

    _connection: Connection

    def flags(self) -> list[ListedFlag]:
        """Every flag that is known, as it was last seen or recorded."""
        return list(self._connection.every(FLAGS, "flags"))

    def flag(self, flag: str, *, service: str | None = None) -> Flag:
        """One flag, as its service says now."""
        return cast("Flag", self._connection.ask("GET", f"{FLAGS}/{part(flag)}", query=_of(service)).json)

    def flag_history(self, flag: str, *, service: str | None = None, limit: int = 100) -> list[FlagChange]:
        """Its newest changes, the newest first, at most 1000."""
        query = {"limit": str(limit), **_of(service)}
        found = self._connection.ask("GET", f"{FLAGS}/{part(flag)}/history", query=query).json
        return cast("list[FlagChange]", found["history"])

    def flags_audit(self, *, anchor: str | None = None) -> FlagAudit:
        """The chain of all changes, recomputed; `anchor` is a head (`ID:HASH`) that was kept."""
        query = {"anchor": anchor} if anchor is not None else {}
        return cast("FlagAudit", self._connection.ask("GET", "/api/v1/flags-audit", query=query).json)

    def set_flag(
        self,
        flag: str,
        percent: float,
        reason: str,
        *,
        by: str | None = None,
        service: str | None = None,
        key: str | None = None,
    ) -> FlagChanged:
        """Serve it to a percentage of all; refused if that raises what an active rollout owns."""
        return self._change(f"{FLAGS}/{part(flag)}/set", _said(reason, by, percent=percent), service, key)

    def kill_flag(
        self, flag: str, reason: str, *, by: str | None = None, service: str | None = None, key: str | None = None
    ) -> FlagChanged:
        """Take it from everybody; the daemon needs no ledger for it."""
        return self._change(f"{FLAGS}/{part(flag)}/kill", _said(reason, by), service, key)

    def revert_flag(
        self,
        flag: str,
        version: int,
        reason: str,
        *,
        by: str | None = None,
        service: str | None = None,
        key: str | None = None,
    ) -> FlagChanged:
        """Give it what an earlier version had, as a new version."""
        return self._change(f"{FLAGS}/{part(flag)}/revert", _said(reason, by, version=version), service, key)

    def switch_emergency(
        self, flag: str, reason: str, *, on: bool, by: str | None = None, key: str | None = None
    ) -> FlagChanged:
        """Turn an emergency flag on or off for everybody."""
        return self._change(f"/api/v1/emergency/{part(flag)}", _said(reason, by, on=on), None, key)

    def _change(self, path: str, said: Mapping[str, object], service: str | None, key: str | None) -> FlagChanged:
        return cast("FlagChanged", self._connection.change(path, said, query=_of(service), key=key).json)


def _said(reason: str, by: str | None, **to: object) -> dict[str, object]:
    return {"reason": reason, **to, **({"by": by} if by is not None else {})}


def _of(service: str | None) -> dict[str, str]:
    return {"service": service} if service is not None else {}
