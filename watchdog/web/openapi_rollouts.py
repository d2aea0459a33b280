"""The part of the API's description that is about rollouts: what the ledger tells of them, and orders to them."""

from __future__ import annotations

from typing import Any

from watchdog.web.describe import ACCESS, changing, listing, located, operation, path, query, reading
from watchdog.web.orders import VERBS
from watchdog.web.reports import FORMATS
from watchdog.web.reports import KINDS as REPORT_KINDS
from watchdog.web.schemas import text

Json = dict[str, Any]

ROLLOUTS = "/api/v1/rollouts"
ROLLOUT = f"{ROLLOUTS}/{{id}}"
COMMANDS = {
    "hold": "Let the ramp stand still until `resume`.",
    "resume": "End the hold and let the detectors begin anew.",
    "rollback": "Take the flag back to where the rule says; accepted in every phase.",
    "stop": "End the rollout and leave the flag as it is.",
    "start": "Start a pending rollout; it waits for whatever its start waits for.",
    "adopt": "Start a pending rollout at what the flag reads, and ramp on from there.",
}
MOMENT = {"type": "string", "format": "date-time"}
_STARTS = ("start", "adopt")
_READING = ("unknown-rollout", "ledger")


def rollout_paths() -> Json:
    """Every address about rollouts."""
    return {
        ROLLOUTS: {"get": listing("rollouts", "The status of every rollout.", "Rollouts", "ledger")},
        ROLLOUT: _of(reading("rollout", "The status of one rollout.", "Status", *_READING)),
        f"{ROLLOUT}/evaluations": _of(_evaluations()),
        **{f"{ROLLOUT}/{name}": _of(one) for name, one in _lists().items()},
        f"{ROLLOUT}/commands/{{command}}": _of(
            reading(
                *("command", "A command with what came of it.", "Command", *_READING, "unknown-command"),
                parameters=[path("command", "The command's number.", type="integer", minimum=1)],
            )
        ),
        f"{ROLLOUT}/explanation": _of(
            reading(
                *("explanation", "The rollout in plain words, with what a person must do.", "Explanation"),
                *(*_READING, "bad-parameter"),
                parameters=[query("at", "As of when; default the newest slot.", MOMENT)],
            )
        ),
        f"{ROLLOUT}/effect": _of(
            reading(
                *("effect", "What an order would do now; it is not given.", "Effect", *_READING, "bad-parameter"),
                parameters=[{**query("verb", "The order.", {"type": "string", "enum": list(VERBS)}), "required": True}],
            )
        ),
        f"{ROLLOUT}/report": _of(_report()),
        **{f"{ROLLOUT}/{verb}": _of(_command(verb), "post") for verb in COMMANDS},
        f"{ROLLOUT}/waive": _of(_waive(), "post"),
    }


def _evaluations() -> Json:
    limit = {"type": "integer", "minimum": 1, "maximum": 2000, "default": 2000}
    parameters = [
        query("objective", "Only this objective.", {"type": "string"}),
        query("from", "Later than this; default one hour before `to`. `next` goes on from here.", MOMENT),
        query("to", "Not later than this; default now.", MOMENT),
        query("limit", "How many at most, rounded to whole slots.", limit),
    ]
    told = ("evaluations", "What the slots said, at most 2000 in one answer.", "Evaluations")
    return reading(*told, *_READING, "bad-parameter", parameters=parameters)


def _lists() -> Json:
    told = {
        "transitions": ("What happened to the rollout.", "Transitions"),
        "commands": ("Every order to the rollout with what came of it.", "Commands"),
        "slices": ("The slices of the window, as it judged them.", "Slices"),
        "breaches": ("Every breach of an objective.", "Breaches"),
        "detectors": ("Each detector's statistic against its threshold.", "Detectors"),
        "notifications": ("What people were told, and how each channel fares with it.", "Notifications"),
        "waivers": ("Who let the rollout start without a preflight that held.", "Waivers"),
    }
    return {name: listing(name, about, schema, *_READING) for name, (about, schema) in told.items()}


def _report() -> Json:
    content: Json = {mime: {"schema": {"type": "string"}} for mime in FORMATS.values()}
    content["application/json"] = {"schema": {"type": "object"}}
    headers = {
        "X-Report-Kind": {"schema": text("final, interim or now (built from the ledger).", enum=list(REPORT_KINDS))},
        "X-Report-Sha256": {"schema": text("The sha256 of the bytes.", pattern="^[0-9a-f]{64}$")},
    }
    ok = {
        "200": {"description": "The report.", "headers": headers, "content": content},
        "304": {"description": "What the caller has already; of the report as JSON."},
    }
    kind = "Which: the frozen `final` or `interim` one, or one built `now`. Default: final once signed off, else now."
    return operation(
        "report",
        "The sign-off report.",
        ok,
        *(*ACCESS, *_READING, "bad-parameter", "no-report", "report-changed"),
        parameters=[
            query("format", "Default html.", {"type": "string", "enum": list(FORMATS), "default": "html"}),
            query("kind", kind, {"type": "string", "enum": list(REPORT_KINDS)}),
        ],
    )


def _command(verb: str) -> Json:
    about = "Recorded; the next tick, which follows at once, carries it out."
    accepted = located("Command", "202", about, "Where the outcome will be.")
    refusals = ("unknown-rollout", *(("rollout-refused",) if verb in _STARTS else ()))
    return changing(verb, COMMANDS[verb], accepted, "Order", *refusals)


def _waive() -> Json:
    about = "Let a pending rollout start without a preflight that held, until a time; it does not start it."
    recorded = located("Waiver", "201", "Recorded.", "Where all waivers are.")
    return changing("waive", about, recorded, "WaiveOrder", "unknown-rollout", "rollout-refused")


def _of(described: Json, method: str = "get") -> Json:
    return {"parameters": [path("id", "The rollout's name.")], method: described}
