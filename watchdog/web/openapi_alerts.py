"""The part of the API's description that is about alerts."""

from __future__ import annotations

from typing import Any

from watchdog.noise.classify import Class
from watchdog.web.describe import answer, changing, listing, operation, path, query, reading
from watchdog.web.schemas import ref

Json = dict[str, Any]


def alert_paths() -> Json:
    """Every address about alerts."""
    moment = {"type": "string", "format": "date-time"}
    span = [
        query("from", "Later than this; default 24 h before `to`.", moment),
        query("to", "Not later than this; default now.", moment),
        query("service", "What concerns this service; default all.", {"type": "string"}),
    ]
    class_ = query("class", "Only these.", {"type": "string", "enum": [found.value for found in Class]})
    message = {"required": True, "content": {"application/json": {"schema": ref("AlertMessage")}}}
    heard = ("bad-request", "bad-body", "too-large", "too-slow")
    episodes = ("episodes", "What fired, newest first, and what it turned out to be.", "Episodes")
    said = ("label_episode", "Say what an episode was; the newest label counts.")
    return {
        "/api/v1/alerts": {
            "post": {
                **operation(
                    "receive_alerts",
                    "Take a message of Alertmanager's webhook; a repeat changes nothing.",
                    answer("AlertsTaken"),
                    *("alerts-closed", "unauthorized", "too-many-attempts", *heard, "ledger"),
                ),
                "security": [{"alerts": []}],
                "requestBody": message,
            }
        },
        "/api/v1/noise": {
            "get": reading(
                *("noise", "How many false alarms there were.", "Noise", "bad-parameter", "ledger"), parameters=span
            ),
        },
        "/api/v1/alerts/episodes": {"get": listing(*episodes, "ledger", parameters=[*span, class_])},
        "/api/v1/alerts/episodes/{episode}/label": {
            "parameters": [path("episode", "The episode's id.")],
            "post": changing(*said, answer("EpisodeLabel", "201", "Recorded."), "LabelEpisode", "unknown-episode"),
        },
    }
