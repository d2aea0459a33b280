"""The part of the API's description that is about rollback drills."""

from __future__ import annotations

from typing import Any

from watchdog.web.describe import changing, listing, located, path, reading

Json = dict[str, Any]


def drill_paths() -> Json:
    """Every address about drills."""
    about = "It is under way; GET tells the result when it is over."
    started = located("DrillStarted", "202", about, "Where the result will be.")
    refusals = ("drill-running", "flag-refused", "no-drill")
    number = path("drill", "The drill's number.", type="integer", minimum=1)
    return {
        "/api/v1/drills": {
            "get": listing("drills", "Every drill, newest first.", "Drills", "ledger"),
            "post": changing("start_drill", "Start a drill; one at a time.", started, "DrillOrder", *refusals),
        },
        "/api/v1/drills/{drill}": {
            "parameters": [number],
            "get": reading("drill", "One drill with its whole report.", "DrillReport", "unknown-drill", "ledger"),
        },
    }
