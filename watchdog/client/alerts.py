"""Alerts and preflights over HTTP: what fired, what it was, and whether a rollout may start."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import cast

from watchdog.client.connection import Connection, part
from watchdog.client.shapes.alerts import (
    AlertMessage,
    AlertsTaken,
    Episode,
    EpisodeLabel,
    Episodes,
    LabelEpisode,
    Noise,
)
from watchdog.client.shapes.preflights import AskPreflight, PreflightRunning, Preflights
from watchdog.quantities import rfc3339

ALERTS = "/api/v1/alerts"
PREFLIGHT = "/api/v1/preflight"


class Alerts:
    """The part of the client that is about alerts. Instants are epoch seconds. Everything raises ClientError."""

    _connection: Connection

    def noise(self, *, after: float | None = None, until: float | None = None, service: str | None = None) -> Noise:
        """How many false alarms there were in (after, until], by default in the last 24 h."""
        query = _span(after, until, service=service)
        return cast("Noise", self._connection.ask("GET", "/api/v1/noise", query=query).json)

    def episodes(
        self,
        *,
        after: float | None = None,
        until: float | None = None,
        service: str | None = None,
        class_: str | None = None,
    ) -> Episodes:
        """What fired and what it turned out to be, the newest 1000; `left_out` says how many more there are.

        `every_episode` has them all.
        """
        query = _span(after, until, service=service, **{"class": class_})
        return cast("Episodes", self._connection.ask("GET", f"{ALERTS}/episodes", query=query).json)

    def every_episode(
        self,
        *,
        after: float | None = None,
        until: float | None = None,
        service: str | None = None,
        class_: str | None = None,
    ) -> Iterator[Episode]:
        """The same, all of them, page by page."""
        query = _span(after, until, service=service, **{"class": class_})
        return self._connection.every(f"{ALERTS}/episodes", "episodes", query)

    def label_episode(self, episode: str, label: LabelEpisode, *, key: str | None = None) -> EpisodeLabel:
        """Say what an episode was; the newest label counts."""
        path = f"{ALERTS}/episodes/{part(episode)}/label"
        return cast("EpisodeLabel", self._connection.change(path, label, key=key).json)

    def send_alerts(self, message: AlertMessage) -> AlertsTaken:
        """Hand over a message of Alertmanager's webhook; it wants the token of `alerts`. A repeat changes nothing."""
        return cast("AlertsTaken", self._connection.ask("POST", ALERTS, body=json.dumps(message).encode()).json)

    def preflights(self) -> Preflights:
        """The newest preflight with its age, and whether one is under way."""
        return cast("Preflights", self._connection.ask("GET", PREFLIGHT).json)

    def start_preflight(self, asked: AskPreflight | None = None, *, key: str | None = None) -> PreflightRunning:
        """Start one in the background; `preflights` tells the result when it is over."""
        answer = self._connection.change(PREFLIGHT, asked or {}, key=key)
        return cast("PreflightRunning", answer.json["running"])


def _span(after: float | None, until: float | None, **more: str | None) -> dict[str, str]:
    given = {
        "from": rfc3339(after) if after is not None else None,
        "to": rfc3339(until) if until is not None else None,
        **more,
    }
    return {name: value for name, value in given.items() if value is not None}
