"""The part of the API's description that is about flags."""

from __future__ import annotations

from typing import Any

from watchdog.web.describe import answer, operation, path, query
from watchdog.web.schemas import ref

Json = dict[str, Any]

FLAG = "/api/v1/flags/{flag}"
CHANGES = {
    "set": ("SetFlag", "Serve the flag to a percentage of all; refused if that raises what an active rollout owns."),
    "kill": ("KillFlag", "Take the flag from everybody; works without a ledger."),
    "revert": ("RevertFlag", "Give the flag what an earlier version had, as a new version."),
}
_CHANGING = (
    *("no-token", "unauthorized", "not-json", "bad-request", "bad-body", "too-large", "too-slow"),
    *("flag-refused", "flag-conflict", "flag-service", "no-flags", "ledger"),
)
_SERVICE = query("service", "A name in services; default where such a flag belongs.", {"type": "string"})


def flag_paths() -> Json:
    """Every address about flags."""
    limit = {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}
    anchor = query("anchor", "ID:HASH of a head that somebody kept.", {"type": "string"})
    return {
        "/api/v1/flags": {
            "get": operation("flags", "Every flag that is known.", answer("Flags"), "no-flags", "ledger"),
        },
        FLAG: _of_flag(
            "get",
            operation(
                "flag",
                "One flag with its rollout and its newest changes; the service is asked.",
                answer("Flag"),
                *("unknown-flag", "no-flags", "ledger"),
                parameters=[_SERVICE],
            ),
        ),
        f"{FLAG}/history": _of_flag(
            "get",
            operation(
                "flag_history",
                "Who changed the flag, from what to what and why.",
                answer("FlagHistory"),
                *("bad-parameter", "unknown-flag", "no-flags", "ledger"),
                parameters=[_SERVICE, query("limit", "How many of the newest.", limit)],
            ),
        ),
        "/api/v1/flags-audit": {
            "get": operation(
                "flags_audit",
                "Recompute the chain of all changes.",
                answer("FlagAudit"),
                *("bad-parameter", "no-flags", "ledger"),
                parameters=[anchor],
            ),
        },
        **{f"{FLAG}/{verb}": _of_flag("post", _change(verb, *said)) for verb, said in CHANGES.items()},
        "/api/v1/emergency/{flag}": _of_flag(
            "post", _change("switch", "SwitchFlag", "Turn an emergency flag on or off for everybody.")
        ),
    }


def _change(verb: str, schema: str, about: str) -> Json:
    # An emergency flag has one place only.
    more: Json = {} if verb == "switch" else {"parameters": [_SERVICE]}
    described = operation(f"flag_{verb}", about, answer("FlagChanged"), *_CHANGING)
    body = {"required": True, "content": {"application/json": {"schema": ref(schema)}}}
    return {**described, **more, "security": [{"bearer": []}], "requestBody": body}


def _of_flag(method: str, described: Json) -> Json:
    return {"parameters": [path("flag", "The flag.")], method: described}
