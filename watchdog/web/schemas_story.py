"""The shapes of what the ledger tells of a rollout beside its status, and of orders, as JSON Schema 2020-12."""

from __future__ import annotations

from watchdog.detectors import ARMED, BLIND, OPEN
from watchdog.model import Severity, SliceVerdict
from watchdog.web.orders import VERBS
from watchdog.web.schemas import NAME, NEXT, Schema, many, maybe, number, order, ref, text, thing, time, whole

_VERDICT = text("What it says; idle is looked at, with too little traffic.", enum=[one.value for one in SliceVerdict])
_FIGURES: Schema = {
    "value": maybe(number("The measured number.")),
    "bad": maybe(number("Bad events.")),
    "total": maybe(number("All events.")),
}
_STATE = text("open during a breach; blind while it has nothing to judge.", enum=[ARMED, OPEN, BLIND])
_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)"
_UNTIL = rf"^({_TIME}|[1-9][0-9]{{0,3}}[smhdw])$"


def _flag(about: str) -> Schema:
    return {"type": "boolean", "description": about}


def _list(about: str, name: str, items: str, order_of: str) -> Schema:
    return thing(about, {"rollout": NAME, name: many(ref(items), order_of), "next": NEXT})


STORY_SCHEMAS: dict[str, Schema] = {
    "Commands": _list("Orders to a rollout.", "commands", "Command", "Oldest first."),
    "Slices": _list("The slices of the window.", "slices", "Slice", "Oldest first."),
    "Slice": thing(
        "One slice, as the window judged it.",
        {
            "from": time("Its beginning; its slots are later than this."),
            "to": time("Its end."),
            "verdict": _VERDICT,
            "why": text("Why; empty when it passed."),
            "final": _flag("Whether no later data can turn it."),
            "exposure": maybe(ref("Served")),
            "unmeasured_s": whole("Seconds that nobody measured."),
            "objectives": many(ref("SliceObjective"), "In the order of the rule."),
        },
    ),
    "SliceObjective": thing(
        "One objective over one slice.",
        {
            "name": text("Its name."),
            "verdict": _VERDICT,
            "why": text("In words."),
            **_FIGURES,
            "slots": whole("Slots of the slice."),
            "measured": whole("Those that were measured."),
            "failed": whole("Those that failed."),
        },
    ),
    "Served": thing(
        "Who has the feature.",
        {
            "percent": number("Percent of all.", minimum=0, maximum=100),
            "cohort": _flag("Whether the canary cohort has it besides."),
            "audiences": many(text("A name."), "Audiences that have it besides."),
            "words": text("The same in words."),
        },
    ),
    "Breaches": _list("Breaches.", "breaches", "Breach", "By their detector step, oldest first."),
    "Breach": thing(
        "A detector's finding that an objective is broken.",
        {
            "objective": text("Which."),
            "at": time("The detector step."),
            "detected_at": maybe(time("When it was found.")),
            "closed_at": maybe(time("When it was over.")),
            "detector": text("Which detector."),
            "statistic": number("What it found."),
            "threshold": number("What was needed."),
            **_FIGURES,
            "why": text("In words."),
            "late": _flag("Whether it was found in data that came late."),
            "unconfirmed": _flag("Whether settled data no longer shows it."),
        },
    ),
    "Detectors": _list("Detectors as they stand.", "detectors", "Detector", "In the order of the rule."),
    "Detector": thing(
        "One detector; a breach is called when the statistic reaches the threshold.",
        {
            "objective": text("Its objective."),
            "detector": text("sequential or confirm."),
            "at": time("As of which slot."),
            "state": _STATE,
            "statistic": number("Evidence, or failing steps.", minimum=0),
            "threshold": number("What is needed.", minimum=0),
            "of": maybe(whole("confirm: among how many of the newest steps.")),
        },
    ),
    "Notifications": _list("Messages to people.", "notifications", "Notification", "Oldest first."),
    "Notification": thing(
        "One message.",
        {
            "id": whole("Its number."),
            "at": time("When."),
            "kind": text("What it is about."),
            "key": text("Names the event: a repeat is no second message."),
            "severity": text("critical wakes somebody.", enum=[one.value for one in Severity]),
            "summary": text("What it says."),
            "details": {"type": "object", "description": "The numbers behind it; instants are epoch seconds."},
            "deliveries": many(ref("Delivery"), "How each channel fares; none where no channel has tried."),
        },
    ),
    "Delivery": thing(
        "How one channel fares with one message.",
        {
            "channel": text("Which."),
            "attempts": whole("Tries."),
            "sent_at": maybe(time("When it was sent.")),
            "next_try_at": maybe(time("When it is tried again.")),
            "given_up": _flag("Whether trying again cannot help."),
            "withheld": _flag("Whether the rules keep it from this channel."),
            "superseded_by": maybe(whole("The newer message that stands for it.")),
            "error": maybe(text("The last error.")),
        },
    ),
    "Waivers": _list("Waivers.", "waivers", "Waiver", "Oldest first."),
    "WaiveOrder": order(
        "Why, and until when.",
        until=text("A time to come, at most a year away, or a duration from now such as 48h.", pattern=_UNTIL),
    ),
    "Explanation": thing(
        "A rollout in plain words.", {"rollout": NAME, "text": text("Lines for a person, as `explain` prints them.")}
    ),
    "Effect": thing(
        "What an order would do now.",
        {
            "rollout": NAME,
            "verb": text("The order.", enum=list(VERBS)),
            "refused": maybe(text("Why it would not be carried out; null where it would.")),
            "sentences": many(text("A sentence."), "What would happen, in words."),
            "exposure": thing(
                "Whom the flag serves; null where that cannot be read.",
                {"before": maybe(ref("Served")), "after": maybe(ref("Served"))},
            ),
            "window_lost": whole("Consecutive good slices that would count for nothing."),
        },
    ),
}
