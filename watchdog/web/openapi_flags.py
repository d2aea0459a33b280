"""The part of the API's description that is about flags."""

from __future__ import annotations

from typing import Any

from watchdog.web.describe import answer, changing, listing, path, query, reading

Json = dict[str, Any]

FLAG = "/api/v1/flags/{flag}"
CHANGES = {
    "set": ("SetFlag", "Serve the flag to a percentage of all; refused if that raises what an active rollout owns."),
    "kill": ("KillFlag", "Take the flag from everybody; works without a ledger."),
    "revert": ("RevertFlag", "Give the flag what an earlier version had, as a new version."),
}
_REFUSALS = ("flag-refused", "flag-conflict", "flag-service", "no-flags")
_SERVICE = query("service", "A name in services; default where such a flag belongs.", {"type": "string"})


def flag_paths() -> Json:
    """Every address about flags."""
    head = {"type": "string", "pattern": "^[1-9][0-9]{0,8}:[0-9a-f]{64}$"}
    anchor = query("anchor", "ID:HASH of a head that somebody kept.", head)
    one = "One flag with its rollout and its newest changes; the service is asked."
    unknown = ("unknown-flag", "no-flags", "ledger")
    history = "Who changed the flag, from what to what and why; 100 where no limit is given."
    return {
        "/api/v1/flags": {"get": listing("flags", "Every flag that is known.", "Flags", "no-flags", "ledger")},
        FLAG: _of_flag("get", reading("flag", one, "Flag", *unknown, parameters=[_SERVICE])),
        f"{FLAG}/history": _of_flag(
            "get", listing("flag_history", history, "FlagHistory", *unknown, parameters=[_SERVICE])
        ),
        "/api/v1/flags-audit": {
            "get": reading(
                *("flags_audit", "Recompute the chain of all changes.", "FlagAudit"),
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
    described = changing(f"flag_{verb}", about, answer("FlagChanged"), schema, *_REFUSALS)
    if verb != "switch":  # an emergency flag has one place only
        described["parameters"] = [*described["parameters"], _SERVICE]
    return described


def _of_flag(method: str, described: Json) -> Json:
    return {"parameters": [path("flag", "The flag.")], method: described}
