"""The shapes of what the API says of flags and takes for them, as JSON Schema 2020-12."""

from __future__ import annotations

from watchdog.web.schemas import NEXT, Schema, many, maybe, number, order, ref, text, thing, time, whole

_PERCENT = number("Percent of all who have the feature.", minimum=0, maximum=100)
_NAMES = {"flag": text("The flag."), "service": text("The flag service: flags, emergency, or a name in services.")}
_SERVES: Schema = {
    "percent": maybe(_PERCENT),
    "cohort": maybe({"type": "boolean", "description": "Whether the canary cohort has it besides."}),
    "audiences": many(text("A name."), "Audiences that have it besides."),
    "latch": maybe(text("The rollout whose rollback killed the flag.")),
}
_ERROR = maybe(text("Why the flag cannot be read now; null while it can."))
_ACTION = text("init, set, kill, revert, emergency, drill, external or seen.")
_RESULT = text("What came of it.", enum=["intended", "applied", "unchanged", "failed", "found"])
_AT = time("When.")
_BY = text("Who; unknown for what was changed outside.")

FLAG_SCHEMAS: dict[str, Schema] = {
    "Flags": thing(
        "All flags that are known.", {"flags": many(ref("ListedFlag"), "By service, then by name."), "next": NEXT}
    ),
    "ListedFlag": thing(
        "One flag, as it was last seen or recorded.",
        {
            **_NAMES,
            **_SERVES,
            "error": _ERROR,
            "last_change": maybe(ref("LastChange")),
            "owner": maybe(text("The active rollout that steers it.")),
        },
    ),
    "LastChange": thing("The newest change.", {"at": _AT, "action": _ACTION, "result": _RESULT, "by": _BY}),
    "Flag": thing(
        "One flag, as its service says at this moment.",
        {
            **_NAMES,
            **_SERVES,
            "members": many(text("A targeting key."), "The cohort."),
            "service_version": maybe(text("The service's own word for this state.")),
            "error": _ERROR,
            "rollout": maybe(ref("FlagRollout")),
            "history": many(ref("FlagChange"), "The newest changes, newest first."),
        },
    ),
    "FlagRollout": thing(
        "The rollout that steers the flag, or the last one that did.",
        {
            "rollout": text("Its name."),
            "phase": text("Where it is."),
            "mode": text("act or observe."),
            "strategy": text("How it ramps."),
            "steps": whole("Planned steps."),
            "step": whole("Steps taken."),
            "desired": _PERCENT,
            "confirmed": {"type": "boolean", "description": "Whether the flag has read what is asked for."},
            "next": maybe(ref("NextStep")),
            "waiting": many(text("A reason."), "What the next step waits for; it ends by itself."),
            "hold": maybe(ref("Hold")),
        },
    ),
    "NextStep": thing(
        "The next planned exposure.",
        {
            "percent": _PERCENT,
            "cohort": {"type": "boolean", "description": "Whether the cohort has it then."},
            "audiences": many(text("A name."), "Audiences that have it then."),
            "not_before": maybe(time("The earliest time; null before the start and during a hold.")),
        },
    ),
    "FlagHistory": thing(
        "The changes of one flag.", {**_NAMES, "history": many(ref("FlagChange"), "The newest first."), "next": NEXT}
    ),
    "FlagChange": thing(
        "One change, tried or found.",
        {
            "id": whole("Its number among all changes.", minimum=1),
            "version": maybe(whole("What `revert` takes; null where the flag got no new content.", minimum=1)),
            "at": _AT,
            **_NAMES,
            "action": _ACTION,
            "result": _RESULT,
            "by": _BY,
            "why": text("Why."),
            "rollout": maybe(text("The rollout that did it.")),
            "before": maybe(ref("FlagContent")),
            "after": maybe(ref("FlagContent")),
            "service_version": text("The service's own word for the state after it; empty where nobody saw it."),
            "idem": text("Idempotency key."),
            "error": maybe(text("Why it failed.")),
            "hash": text("Ties it to the change before.", pattern="^[0-9a-f]{64}$"),
        },
    ),
    "FlagContent": {
        "type": "object",
        "description": "What the flag serves; for what was intended or failed, what was asked for.",
    },
    "FlagAudit": thing(
        "What verifying the chain of all changes found.",
        {
            "ok": {"type": "boolean", "description": "Whether nothing is wrong."},
            "rows": whole("Changes on record."),
            "head": maybe(text("ID:HASH of the newest one; keep a copy elsewhere.")),
            "anchors": many(text("ID:HASH."), "Copies that the chain was held against."),
            "waiting": whole("Changes that wait for the ledger in its journal."),
            "findings": many(ref("AuditFinding"), "What is wrong."),
        },
    ),
    "AuditFinding": thing(
        "One thing that is wrong.",
        {
            "id": {"type": "integer", "description": "The change's number."},
            "service": text("Its flag service."),
            "flag": text("Its flag."),
            "what": text("In words."),
        },
    ),
    "FlagChanged": thing(
        "What the flag reads after a change.",
        {
            **_NAMES,
            **_SERVES,
            "service_version": text("The service's own word for this state."),
            "recorded": text(
                "Where the change is on record: journal while the ledger fails.", enum=["ledger", "journal"]
            ),
        },
    ),
}


FLAG_SCHEMAS["SetFlag"] = order("Why, and to what.", percent=_PERCENT)
FLAG_SCHEMAS["KillFlag"] = order("Why.")
FLAG_SCHEMAS["RevertFlag"] = order(
    "Why, and to what.", version=whole("A version of the history.", minimum=1, maximum=2**31 - 1)
)
FLAG_SCHEMAS["SwitchFlag"] = order("Why, and to what.", on={"type": "boolean", "description": "For everybody."})
