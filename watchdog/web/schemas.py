"""The shapes of what the API takes and gives, as JSON Schema 2020-12 (the dialect of OpenAPI 3.1)."""

from __future__ import annotations

from typing import Any

from watchdog.model import Mode, Phase, Reason, Verdict
from watchdog.web.bodies import LONGEST_BY, LONGEST_REASON
from watchdog.web.problems import KINDS

Schema = dict[str, Any]


def text(about: str, **more: Any) -> Schema:
    """Text."""
    return {"type": "string", "description": about, **more}


def time(about: str) -> Schema:
    """An RFC 3339 instant in UTC."""
    return text(about, format="date-time")


def number(about: str, **more: Any) -> Schema:
    """A finite number."""
    return {"type": "number", "description": about, **more}


def whole(about: str, **more: Any) -> Schema:
    """A whole number, not negative unless it says so."""
    return {"type": "integer", "description": about, "minimum": 0, **more}


def maybe(schema: Schema) -> Schema:
    """The same, or null."""
    if "enum" in schema:
        schema = {**schema, "enum": [*schema["enum"], None]}
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    return {**schema, "type": [schema["type"], "null"]}


def many(items: Schema, about: str) -> Schema:
    """A list."""
    return {"type": "array", "description": about, "items": items}


def ref(name: str) -> Schema:
    """One of `SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def thing(about: str, properties: Schema) -> Schema:
    """An object that has all of these; later versions may add others."""
    return {"type": "object", "description": about, "required": list(properties), "properties": properties}


NAME: Schema = text("The rollout's name.")
NEXT = maybe(text("Where to go on; null on the last page.", format="uri-reference"))
PRINTED = r"[^\s\x1c-\x1f\x85]"
"""Text of which something can be read: Python takes more for blanks than a regular expression of JavaScript does."""
BY: Schema = text("Who; whoever has a name here already is named before it.", minLength=1, maxLength=LONGEST_BY)


def order(about: str, **more: Schema) -> Schema:
    """Why something is to be done, with what else must be said."""
    reason = text("Recorded.", minLength=1, maxLength=LONGEST_REASON, pattern=PRINTED)
    described = {**thing(about, {"reason": reason, **more}), "additionalProperties": False}
    described["properties"]["by"] = {**BY, "pattern": PRINTED}
    return described


_FIGURES: Schema = {
    "verdict": text("What the slot says.", enum=[verdict.value for verdict in Verdict]),
    "reason": maybe(text("Why it is unknown.", enum=[reason.value for reason in Reason])),
    "value": maybe(number("The number that is held against the target; the bad share of an event objective.")),
    "bad": maybe(number("Bad events.")),
    "total": maybe(number("All events.")),
    "at": time("The slot."),
    "why": text("The evaluation in words."),
}
_MAYBE_FIGURES = {**_FIGURES, "verdict": maybe(_FIGURES["verdict"]), "at": maybe(_FIGURES["at"])}
_PHASE: Schema = text("Where the rollout is.", enum=[phase.value for phase in Phase])

SCHEMAS: dict[str, Schema] = {
    "Health": thing(
        "The process answers.", {"status": text("Always ok.", const="ok"), "version": text("Its version.")}
    ),
    "Ready": thing("The daemon works.", {"status": text("Always ready.", const="ready"), "why": text("In words.")}),
    "Rollouts": thing("All rollouts.", {"rollouts": many(ref("Status"), "Oldest first."), "next": NEXT}),
    "Status": thing(
        "One rollout, as `status --json` gives it.",
        {
            "rollout": NAME,
            "service": text("What is released."),
            "version": text("Its version."),
            "mode": text("Whether the flag is written.", enum=[mode.value for mode in Mode]),
            "flag": text("The flag that is steered."),
            "phase": _PHASE,
            "started_at": maybe(time("When it started.")),
            "hold": maybe(ref("Hold")),
            "waiting": many(text("A reason."), "What the next step waits for; it ends by itself."),
            "exposure": ref("Exposure"),
            "window": ref("Window"),
            "objectives": many(ref("ObjectiveStatus"), "In the order of the rule."),
            "rollback": maybe(ref("Rollback")),
            "also": many(ref("Deed"), "What else was decided for safety, each with stamps of its own."),
            "preflight": maybe(ref("Proof")),
            "waiver": maybe(ref("Waiver")),
            "interim_at": maybe(time("The interim sign-off.")),
            "last_slot": maybe(time("The newest slot that was evaluated.")),
            "next_slot": maybe(time("The slot that comes next; null when it is not watched.")),
            "leader": maybe(text("Which process acts for it; null where none has to stand in for another.")),
        },
    ),
    "Hold": thing(
        "The ramp stands still until a person resumes it.",
        {
            "cause": text("operator, breach, shared_cause, drift, emergency or internal_error."),
            "by": text("Who."),
            "since": time("When."),
            "why": text("Why."),
        },
    ),
    "Exposure": thing(
        "Who has the feature.",
        {
            "desired": number("Percent that the ledger asks for.", minimum=0, maximum=100),
            "actual": maybe(number("Percent that the flag last read.", minimum=0, maximum=100)),
            "cohort": {"type": "boolean", "description": "Whether the canary cohort is asked for besides."},
            "audiences": many(text("A name."), "Audiences asked for besides."),
            "confirmed": {"type": "boolean", "description": "Whether the flag has read what is asked for."},
            "error": maybe(text("Why the flag cannot be read now; null while it can.")),
        },
    ),
    "Window": thing(
        "Progress towards a complete window of good slices, at whatever exposure (`final`: at full exposure).",
        {
            "required": whole("Good slices of a complete window.", minimum=1),
            "current": whole("Consecutive good slices now."),
            "longest": whole("The most there ever were."),
            "completed_at": maybe(time("When the first window was complete.")),
            "idle": whole("Slices with too few events to judge, in this window."),
            "unknown_s": number("Seconds that were not measured, in this window.", minimum=0),
            "resets": many(ref("Reset"), "Oldest first."),
            "final": thing(
                "The window that ends in the final sign-off.",
                {
                    "current": whole("Consecutive good slices at full exposure."),
                    "completed_at": maybe(time("When it was complete.")),
                },
            ),
        },
    ),
    "Reset": thing(
        "A window that began anew.",
        {"at": time("When."), "objective": text("Because of which objective."), "why": text("Why.")},
    ),
    "ObjectiveStatus": thing("The newest verdict on one objective.", {"name": text("Its name."), **_MAYBE_FIGURES}),
    "Rollback": thing(
        "The stamps of the rollback, in the order in which they come.",
        {
            "cause": text("In words."),
            "detected_at": time("The breach was found."),
            "decided_at": time("The rollback was decided."),
            "acted_at": maybe(time("The flag was written.")),
            "confirmed_at": maybe(time("The flag read it.")),
            "recovered_at": maybe(time("The breach had closed.")),
        },
    ),
    "Deed": thing(
        "Something done for safety beside the rollout's own flag; it is tried until it is confirmed.",
        {
            "kind": text("kill: a flag of another service; emergency: an emergency flag that was switched on."),
            "service": text("Name of the service."),
            "flag": text("The flag there."),
            "why": text("In words."),
            "decided_at": time("It was decided."),
            "acted_at": maybe(time("The service was told.")),
            "confirmed_at": maybe(time("The service read it.")),
            "error": maybe(text("Why the newest try failed.")),
        },
    ),
    "Evaluations": thing(
        "The evaluations of the slots in (from, to].",
        {
            "rollout": NAME,
            "from": time("As asked for."),
            "to": time("As asked for."),
            "evaluations": many(ref("Evaluation"), "By time, then by objective."),
            "next": maybe(text("Where to go on when there are more than fit in one answer.", format="uri-reference")),
        },
    ),
    "Evaluation": thing("One objective in one slot.", {"objective": text("Its name."), **_FIGURES}),
    "Transitions": thing(
        "What happened.", {"rollout": NAME, "transitions": many(ref("Transition"), "In order."), "next": NEXT}
    ),
    "Transition": thing(
        "Something that happened to the rollout.",
        {
            "at": time("When."),
            "kind": text("What: start, step, waiting, hold, breach, reset, rollback, signed_off and so on."),
            "from": {**_PHASE, "description": "The phase before."},
            "to": {**_PHASE, "description": "The phase after."},
            "why": text("In words."),
            "by": text("Who."),
            "objective": maybe(text("The objective that it is about.")),
        },
    ),
    "Order": order("Why a command is given."),
    "Command": thing(
        "An operator's command.",
        {
            "rollout": NAME,
            "command": whole("Its number.", minimum=1),
            "verb": text("hold, resume, rollback, stop, start or adopt."),
            "by": text("Who gave it."),
            "reason": text("Why."),
            "at": time("When."),
            "outcome": maybe(text("What came of it; null until a tick has carried it out.")),
        },
    ),
    "Problem": thing(
        "An error (RFC 9457).",
        {
            "type": text("Its kind.", enum=[f"urn:problem-type:slo-watchdog:{kind}" for kind in KINDS]),
            "title": text("Its kind in words."),
            "status": whole("The HTTP status.", minimum=400, maximum=599),
            "detail": text("What was found, what was expected and what to do."),
            "instance": text("The address that was asked.", format="uri-reference"),
        },
    ),
}
