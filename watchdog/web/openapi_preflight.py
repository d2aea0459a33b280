"""The part of the API's description that is about preflights."""

from __future__ import annotations

from typing import Any

from watchdog.web.describe import changing, located, reading

Json = dict[str, Any]


def preflight_paths() -> Json:
    """The one address of preflights."""
    about = "It is under way; GET tells the result when it is over."
    started = located("PreflightStarted", "202", about, "Where the result will be.")
    refusals = ("preflight-running", "no-preflight")
    begin = ("start_preflight", "Start a preflight; one at a time.", started, "AskPreflight")
    return {
        "/api/v1/preflight": {
            "get": reading("preflight", "The newest result with its age.", "Preflights", "ledger"),
            "post": changing(*begin, *refusals, required=False),
        }
    }
