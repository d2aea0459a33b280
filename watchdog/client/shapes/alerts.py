"""Shapes of alerts: what the API takes and gives, written by `python scripts/client_shapes.py`."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict


class AlertMessageAlerts(TypedDict):
    """The field `alerts` of AlertMessage."""

    status: Literal["firing", "resolved"]
    """Whether it fires."""
    startsAt: str
    """When it began."""
    endsAt: NotRequired[Any]
    """When it ended, a time; looked at when it is resolved."""
    fingerprint: NotRequired[str | None]
    """Names the alert; by default a digest of its labels."""
    generatorURL: NotRequired[str | None]
    """Where it comes from."""
    labels: NotRequired[dict[str, str | None] | None]
    annotations: NotRequired[dict[str, str | None] | None]


class AlertMessage(TypedDict):
    """Alertmanager's webhook message, version 4; what is not named here is not looked at."""

    version: str
    """Always 4."""
    groupKey: NotRequired[str | None]
    """The group."""
    truncatedAlerts: NotRequired[Any]
    """How many alerts Alertmanager left out; what is no number is not read."""
    alerts: list[AlertMessageAlerts]
    """The alerts of the group."""


class AlertsTaken(TypedDict):
    """What the message brought; it is on record."""

    alerts: int
    """Alerts in it."""
    new: int
    """Firings that were not known."""
    ended: int
    """Alerts that are over."""


Noise = TypedDict(
    "Noise",
    {
        "from": "str",
        "to": "str",
        "service": "str | None",
        "lower": "int",
        "upper": "int",
        "unclassified_young": "int",
        "true_positives": "int",
        "pages": "int",
        "grace_s": "float",
        "precision": "float | None",
        "recall": "float | None",
        "breaches": "int",
        "breaches_with_page": "int",
        "detected_in_s": "float | None",
        "reset_in_s": "float | None",
        "heard": "bool",
        "heard_why": "str",
        "last_heard_at": "str | None",
    },
)
"""How many false alarms there were in (from, to], and how good the alerts are."""


class Episodes(TypedDict):
    """Episodes of one template that overlap are one."""

    episodes: list[Episode]
    """Newest first."""
    left_out: int
    """Older ones that did not fit in the answer."""
    next: str | None
    """Where to go on; null on the last page."""


Episode = TypedDict(
    "Episode",
    {
        "id": "str",
        "source": "str",
        "alertname": "str",
        "service": "str",
        "severity": "str",
        "page": "bool",
        "started_at": "str",
        "seen_at": "str",
        "ended_at": "str | None",
        "alerts": "int",
        "notified": "int",
        "class": 'Literal["false_positive", "true_positive", "unclassified"]',
        "why": "str",
        "by": "str",
        "group_key": "str",
        "url": "str",
        "summary": "str",
        "labels": "list[EpisodeLabel]",
    },
)
"""One firing of an alert, or of several that are one page."""


class EpisodeLabel(TypedDict):
    """What somebody said of an episode."""

    episode: str
    """Its id."""
    label: Literal["false_positive", "true_positive", "not_actionable", "acknowledged", "silenced"]
    """What it was."""
    by: str
    """Who."""
    why: str
    """Why."""
    at: str
    """When it was recorded."""
    happened_at: str
    """When it was so."""


class LabelEpisode(TypedDict):
    """What an episode was."""

    reason: str
    """Recorded."""
    label: Literal["false_positive", "true_positive", "not_actionable", "acknowledged", "silenced"]
    """What it was."""
    by: NotRequired[str]
    """Who; whoever has a name here already is named before it."""
    at: NotRequired[str]
    """When it was acknowledged or silenced; by default now."""
