"""What PagerDuty is told: which events a message needs, and their bodies as its Events API v2 takes them. Pure.

Limits that PagerDuty publishes: a summary of 1,024 characters, a key of an incident of 255, a whole event of 512 KB.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from watchdog.messages import Message
from watchdog.notifiers.texts import cut, one_line, readable, whole
from watchdog.quantities import rfc3339

LONGEST_SUMMARY = 1024
LONGEST_KEY = 255
LARGEST_EVENT = 512_000
"""Bytes, as they are sent."""
_REST = 2_000
"""Bytes kept free for the routing key and what a proxy may add."""
_FIELD, _NAME, _LINK, _LINKS, _FACTS = 255, 100, 2_000, 20, 200
"""Characters of a field, a detail's name and an address; numbers of links and of facts."""

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """One event to send: `trigger` or `resolve` of an incident, or a `change`."""

    action: str
    incident: str = ""
    severity: str = "info"

    def __str__(self) -> str:
        if self.action == "change":
            return "a change event"
        return f"the end of {self.incident}" if self.action == "resolve" else f"{self.incident} as {self.severity}"


def dedup_key(incident: str) -> str:
    """The incident's key, the same for ever; a long one keeps its beginning and ends with a hash."""
    written = whole(incident).encode()
    if len(written) <= LONGEST_KEY:
        return written.decode()
    digest = hashlib.sha256(incident.encode(errors="surrogatepass")).hexdigest()
    return written[: LONGEST_KEY - 65].decode(errors="ignore") + "~" + digest


def alert_event(message: Message, step: Step) -> Event:
    """The body of a trigger or a resolve, without the routing key."""
    links = _links(message)
    event: Event = {
        "event_action": step.action,
        "dedup_key": dedup_key(step.incident),
        "client": "slo-watchdog",
        "payload": {
            "summary": cut(one_line(message.summary), LONGEST_SUMMARY) or message.kind,
            "source": _source(message),
            "severity": step.severity,
            "timestamp": rfc3339(message.at),
            "component": cut(one_line(message.flag), _FIELD),
            "group": cut(one_line(message.service), _FIELD),
            "class": cut(one_line(message.kind), _FIELD),
            "custom_details": _details(message),
        },
    }
    payload = event["payload"]
    event["payload"] = {name: found for name, found in payload.items() if found}
    if links:
        event |= {"client_url": links[0]["href"], "links": links}
    return fitted(event)


def change_event(message: Message, *, repeat: bool = False) -> Event:
    """The body of a change event, without the routing key.

    PagerDuty does not know a repeat of a change event, so that one which may be a repeat says so.
    """
    note = {"note": "possibly a repeat: an earlier attempt broke off unanswered"} if repeat else {}
    event: Event = {
        "payload": {
            "summary": cut(one_line(message.summary), LONGEST_SUMMARY) or message.kind,
            "source": _source(message),
            "timestamp": rfc3339(message.at),
            "custom_details": {**note, **_details(message)},
        },
    }
    links = _links(message)
    return fitted({**event, "links": links} if links else event)


def fitted(event: Event) -> Event:
    """The event within PagerDuty's size: the longest details are cut first, all to one length, and say so."""
    details = event["payload"].get("custom_details", {})

    def with_details(most: int) -> Event:
        shorter = {name: cut(text, most) for name, text in details.items()}
        return {**event, "payload": {**event["payload"], "custom_details": shorter}}

    if _fits(event):
        return event
    fits, too_long = 0, min(LARGEST_EVENT, max(map(len, details.values()), default=0)) + 1
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        fits, too_long = (middle, too_long) if _fits(with_details(middle)) else (fits, middle)
    return with_details(fits)


def _fits(event: Event) -> bool:
    # The client writes it in the same way, with every other letter than ASCII escaped.
    return len(json.dumps(event)) <= LARGEST_EVENT - _REST


def _source(message: Message) -> str:
    parts = "/".join(part for part in (message.service, message.rollout) if part)
    return cut(one_line(parts), _FIELD) or "slo-watchdog"


def _links(message: Message) -> list[dict[str, str]]:
    """Those that lead somewhere: PagerDuty takes addresses only."""
    good = [link for link in message.links if len(link.url) <= _LINK and urlsplit(link.url).scheme in {"http", "https"}]
    return [{"href": one_line(link.url), "text": cut(one_line(link.text), _NAME) or link.url} for link in good[:_LINKS]]


def _details(message: Message) -> dict[str, str]:
    """Everything that a person who was woken wants to know, the most useful first; empty ones are left out."""
    facts = message.facts[:_FACTS]
    left_out = len(message.facts) - len(facts)
    earlier = "\n".join(f"- {cut(one_line(text), LONGEST_SUMMARY)}" for text in message.earlier)
    pairs = (
        ("what to do", message.todo),
        ("what was done", message.done),
        *facts,
        ("further facts", f"{left_out} are left out" if left_out else ""),
        ("earlier updates", earlier),
        ("rollout", message.rollout),
        ("service", message.service),
        ("version", message.version),
        ("flag", message.flag),
        ("report", message.report),
        ("message", message.key),
    )
    return _named(pairs)


def _named(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The pairs as a mapping; a name that is taken gets a number, and the same fact is not told twice."""
    named: dict[str, str] = {}
    for name, text in pairs:
        clean, base = cut(readable(text), LARGEST_EVENT).strip(), cut(one_line(name), _NAME) or "fact"
        if not clean or named.get(base) == clean:
            continue
        number, free = 1, base
        while free in named:
            number += 1
            free = f"{base} ({number})"
        named[free] = clean
    return named
