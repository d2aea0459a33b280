"""The shapes of what the API takes and says of preflights, as JSON Schema 2020-12."""

from __future__ import annotations

from watchdog.web.bodies import LONGEST_BY
from watchdog.web.schemas import BY, PRINTED, Schema, many, maybe, ref, text, thing, time, whole

_PERCENT = {"maximum": 100}
_HELD: Schema = {"type": "boolean", "description": "Whether every blocker held, none of them waived by the rule."}
_COUNTS: Schema = {
    "failed": whole("Blockers that do not hold."),
    "waived": whole("Blockers that only the rule's own waive.preflight excuses."),
    "score": whole("Percent, rounded down.", **_PERCENT),
}

PREFLIGHT_SCHEMAS: dict[str, Schema] = {
    "AskPreflight": {
        "type": "object",
        "description": "What is wanted of a preflight; the body may be left out.",
        "additionalProperties": False,
        "properties": {
            "by": {**BY, "pattern": PRINTED},
            "drill": {"type": "boolean", "description": "Whether a drill may be held; by default it may."},
            "image": text(
                "The image that is released, with its digest.", minLength=1, maxLength=LONGEST_BY, pattern=PRINTED
            ),
            "commit": text("The commit that is released.", minLength=1, maxLength=LONGEST_BY, pattern=PRINTED),
        },
    },
    "PreflightStarted": thing("It is under way.", {"running": ref("PreflightRunning")}),
    "PreflightRunning": thing(
        "A preflight that was started here and has not ended.",
        {"started_at": time("When."), "deadline_at": time("When it is ended."), "by": text("Who asked for it.")},
    ),
    "Preflights": thing(
        "The newest preflight, whoever made it.",
        {
            "running": maybe(ref("PreflightRunning")),
            "trouble": maybe(text("Why the last one that was started here recorded no result.")),
            "last": maybe(ref("Preflight")),
        },
    ),
    "Preflight": thing(
        "A result on record.",
        {
            "id": whole("Its number."),
            "sha256": text("That of the recorded text.", pattern="^[0-9a-f]{64}$"),
            "at": time("When it began."),
            "finished_at": time("When it ended."),
            "age_s": {"type": "number", "description": "Seconds since then.", "minimum": 0},
            "by": text("Who made it."),
            "passed": {"type": "boolean", "description": "Whether nothing stands in the way."},
            "score": whole("Percent, rounded down; it overrules no blocker.", **_PERCENT),
            "failed": whole("Checks that stand in the way."),
            "warnings": whole("Warnings that do not hold."),
            "waived": whole("Checks that need not hold."),
            "areas": many(ref("PreflightArea"), "In the order in which they were looked at."),
            "checks": many(ref("PreflightCheck"), "Every check."),
            "rollouts": many(ref("PreflightRule"), "What it says of each rule."),
            "builds": many(ref("PreflightBuild"), "What was found, and what was said of the release."),
        },
    ),
    "PreflightArea": thing(
        "An area.",
        {
            "area": text("Its name."),
            "weight": whole("What it counts for, of 100."),
            "score": whole("Percent, rounded down.", **_PERCENT),
            "checks": whole("How many there are."),
            "failed": whole("Those that stand in the way."),
            "warning": whole("Warnings that do not hold."),
        },
    ),
    "PreflightCheck": thing(
        "One thing that was looked at.",
        {
            "area": text("Its area."),
            "name": text("Its name, after that of its rollout."),
            "rollout": maybe(text("The rollout that it is about; null for all.")),
            "level": text("What it counts for.", enum=["blocker", "warning"]),
            "ok": {"type": "boolean", "description": "Whether it holds."},
            "outcome": text("What comes of that.", enum=["ok", "failed", "warning", "waived"]),
            "found": text("What was found."),
            "todo": text("What to do."),
            "waived": maybe(text("Why it need not hold.")),
        },
    ),
    "PreflightRule": thing(
        "What it says of one rule.",
        {"rollout": text("The rollout."), "rule": text("The rule's sha256."), "held": _HELD, **_COUNTS},
    ),
    "PreflightBuild": thing("A build.", {"what": text("Of what."), "value": text("Which.")}),
    "Proof": thing(
        "The preflight on which a rollout started.",
        {
            "id": whole("Its number."),
            "at": time("When it ended."),
            "held": _HELD,
            **_COUNTS,
            "sha256": text("That of the recorded result."),
        },
    ),
    "Waiver": thing(
        "On whose word the rollout started.",
        {
            "name": text("What was waived."),
            "by": text("Who."),
            "reason": text("Why."),
            "at": time("When it was given."),
            "until": time("Its end."),
        },
    ),
}
