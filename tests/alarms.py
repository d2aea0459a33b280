"""Alerts for tests: episodes, what people said of them, and what is known of all that, in few words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from watchdog.model import NoiseRule
from watchdog.noise.classify import Judged, Known, Look, Looked, classify
from watchdog.noise.episodes import ALERTMANAGER, Alert, BreachSpan, Episode, Label, Said

NOON = 1_700_049_600
MINUTE, HOUR, DAY = 60, 3600, 86_400
RULE = NoiseRule()


def episode(at: float, lasts: float | None = 600.0, name: str = "HighLatency", **more: Any) -> Episode:
    """An episode that began at `at`, was heard of at once, and of whose end, too."""
    number = more.pop("id", f"a{int(at)}-{name}")
    given: dict[str, Any] = {
        "fingerprint": f"f-{name}",
        "service": "checkout",
        "severity": "critical",
        "seen_at": at,
        "group_key": "g",
        **({} if lasts is None else {"ended_at": at + lasts, "end_seen_at": at + lasts}),
    }
    return Episode(number, ALERTMANAGER, alertname=name, started_at=at, **(given | more))


def said(
    one: Episode,
    label: str,
    at: float,
    *,
    id: int = 1,  # noqa: A002 - as the field is called
    happened_at: float | None = None,
) -> Said:
    return Said(id, one.id, Label(label), "ada", "because", at, at if happened_at is None else happened_at)


def breach(at: int, lasts: int | None = 600, **more: Any) -> BreachSpan:
    closed = None if lasts is None else at + lasts
    return BreachSpan(
        **({"rollout": "c1", "service": "checkout", "objective": "error_rate"} | more), at=at, closed_at=closed
    )


def clear(_service: str, _first: float, _last: float) -> Looked:
    return Looked.CLEAR


def known(
    episodes: Iterable[Episode] = (),
    labels: Iterable[Said] = (),
    breaches: Iterable[BreachSpan] = (),
    look: Look = clear,
    heard: Iterable[int] = (),
) -> Known:
    return Known(tuple(episodes), tuple(labels), tuple(breaches), tuple(heard), look)


def judged(
    *episodes: Episode,
    at: float = NOON + 2 * HOUR,
    labels: Iterable[Said] = (),
    breaches: Iterable[BreachSpan] = (),
    look: Look = clear,
) -> list[Judged]:
    return classify(known(episodes, labels, breaches, look), RULE, at)


def verdicts(*episodes: Episode, **how: Any) -> list[str]:
    return [one.found.value for one in judged(*episodes, **how)]


def alert(at: float, name: str = "HighLatency", *, ended: float | None = None, **more: Any) -> Alert:
    given = {"service": "checkout", "severity": "critical", "group_key": "g", "labels": {"alertname": name}}
    return Alert(more.pop("fingerprint", f"f-{name}"), name, started_at=at, ended_at=ended, **(given | more))
