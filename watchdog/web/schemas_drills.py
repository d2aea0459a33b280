"""The shapes of what the API takes and says of rollback drills, as JSON Schema 2020-12."""

from __future__ import annotations

from watchdog.web.schemas import NEXT, PRINTED, Schema, many, maybe, number, order, ref, text, thing, time, whole
from watchdog.web.wishes import LONGEST_FLAG, MOST_RUNS

DRILL_SCHEMAS: dict[str, Schema] = {
    "Drills": thing(
        "Rollback drills, whoever held them.",
        {
            "running": maybe(ref("DrillRunning")),
            "trouble": maybe(text("Why the last one that was started here recorded no result.")),
            "drills": many(ref("Drill"), "Newest first."),
            "next": NEXT,
        },
    ),
    "DrillRunning": thing(
        "A drill that was started here and has not ended.",
        {"started_at": time("When."), "deadline_at": time("When it is ended."), "by": text("Who asked for it.")},
    ),
    "DrillStarted": thing("It is under way.", {"running": ref("DrillRunning")}),
    "Drill": thing(
        "One drill.",
        {
            "id": whole("Its number.", minimum=1),
            "at": time("When it began."),
            "finished_at": maybe(time("When it ended; null while it runs, and for good when it died.")),
            "service": text("The flag service."),
            "flag": text("The flag that was switched."),
            "reader": text("Who was asked what the flag is."),
            "by": text("Who asked for it."),
            "reason": text("Why."),
            "runs": whole("Planned runs."),
            "within_s": number("The bound of every run, in seconds.", minimum=0),
            "passed": maybe({"type": "boolean", "description": "Whether every run was within the bound."}),
            "worst_s": maybe(number("The longest run, in seconds.", minimum=0)),
            "why": maybe(text("What was found, in words.")),
        },
    ),
    "DrillOrder": order("Why, and with what."),
}
DRILL_SCHEMAS["DrillReport"] = thing(
    "One drill with everything that was measured.",
    {
        **DRILL_SCHEMAS["Drill"]["properties"],
        "report": {"type": ["object", "null"], "description": "As `drill --json` gives it; null while it runs."},
    },
)
DRILL_SCHEMAS["DrillOrder"]["properties"] |= {
    "flag": text("A flag that nothing uses; default drill.flag.", minLength=1, maxLength=LONGEST_FLAG, pattern=PRINTED),
    "runs": whole("How many kills; default drill.runs.", minimum=1, maximum=MOST_RUNS),
}
