"""Alert noise as plain data: what the command line, the API and the report show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from watchdog.model import NoiseRule
from watchdog.noise.classify import Judged, Known, classify
from watchdog.noise.counts import concerns, count, quality
from watchdog.noise.episodes import Said
from watchdog.noise.hearing import Hearing
from watchdog.quantities import rfc3339

Json = dict[str, Any]
MINUTE = 60
"""Hearing is marked at the end of its minute."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is summed up: the pages that started in (first, last], as they are classified at `at`.

    Of all services, or what concerns one.
    """

    rule: NoiseRule
    first: float
    last: float
    at: float
    service: str | None = None


def pages_of(known: Known, asked: Asked) -> list[Judged]:
    """The pages that are asked for, by time."""
    found = classify(known, asked.rule, asked.at)
    return [one for one in found if asked.first < one.page.started_at <= asked.last and concerns(one, asked.service)]


def summary(known: Known, asked: Asked) -> Json:
    """The count and what it says of the alerts. Times RFC 3339 in UTC, durations in seconds."""
    rule, first, last, at, service = asked.rule, asked.first, asked.last, asked.at, asked.service
    found = pages_of(known, asked)
    counted = count(found, rule, first, last, at)
    breaches = [one for one in known.breaches if first < one.at <= last and service in (None, one.service)]
    good = quality(found, breaches, counted, at)
    heard = Hearing(known.heard, rule.heartbeat).at(at)
    newest = next((min(minute, at) for minute in reversed(known.heard) if minute - MINUTE <= at), None)
    return {
        "from": rfc3339(first),
        "to": rfc3339(last),
        "service": service,
        "lower": counted.lower,
        "upper": counted.upper,
        "unclassified_young": counted.young,
        "true_positives": counted.true,
        "pages": counted.pages,
        "grace_s": rule.grace,
        "precision": good.precision,
        "recall": good.recall,
        "breaches": good.breaches,
        "breaches_with_page": good.found,
        "detected_in_s": good.detected_in,
        "reset_in_s": good.reset_in,
        "heard": heard.reason is None,
        "heard_why": heard.detail,
        "last_heard_at": None if newest is None else rfc3339(newest),
    }


def rows(found: Sequence[Judged], said: Sequence[Said], at: float) -> list[Json]:
    """One object for each page, with what people said of it until `at`, oldest first."""
    by_episode: dict[str, list[Said]] = {}
    for one in sorted(said, key=lambda label: (label.at, label.id)):
        if one.at <= at:
            by_episode.setdefault(one.episode, []).append(one)
    return [_row(judged, by_episode) for judged in found]


def label_row(said: Said) -> Json:
    """A label as plain data."""
    times = {"at": rfc3339(said.at), "happened_at": rfc3339(said.happened_at)}
    return {"episode": said.episode, "label": said.label.value, "by": said.by, "why": said.why, **times}


def _row(judged: Judged, said: dict[str, list[Said]]) -> Json:
    page, first = judged.page, judged.page.first
    notes = first.annotations
    return {
        "id": first.id,
        "source": first.source,
        "alertname": first.alertname,
        "service": first.service,
        "severity": first.severity,
        "page": page.wakes,
        "started_at": rfc3339(page.started_at),
        "seen_at": rfc3339(page.seen_at),
        "ended_at": None if page.ended_at is None else rfc3339(page.ended_at),
        "alerts": len(page.episodes),
        "notified": sum(episode.notified for episode in page.episodes),
        "class": judged.found.value,
        "why": judged.why,
        "by": judged.by,
        "group_key": first.group_key,
        "url": first.url,
        "summary": notes.get("summary") or notes.get("description") or "",
        "labels": [label_row(one) for episode in page.episodes for one in said.get(episode.id, ())],
    }
