"""What PagerDuty's Events API v2 publishes of its events: fields, types, sizes. `tests.pagerdutyserver` enforces it."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

LARGEST = 512_000
SEVERITIES = ("info", "warning", "error", "critical")
_ALERT = {"routing_key", "event_action", "dedup_key", "payload", "client", "client_url", "links", "images"}
_CHANGE = {"routing_key", "payload", "links"}
_PAYLOAD = {"summary", "source", "severity", "timestamp", "component", "group", "class", "custom_details"}
_CHANGE_PAYLOAD = {"summary", "source", "timestamp", "custom_details"}
_ACTIONS = ("trigger", "acknowledge", "resolve")
_TEXTS = ("source", "component", "group", "class")

Event = dict[str, Any]


def errors(event: Any, *, change: bool) -> list[str]:
    """Everything that the published contract forbids."""
    if not isinstance(event, dict):
        return ["Event object format is unrecognized"]
    found = [f"'{name}' is not known" for name in sorted(set(event) - (_CHANGE if change else _ALERT))]
    key = event.get("routing_key")
    if not isinstance(key, str) or len(key) != 32:
        found.append("Length of 'routing_key' is incorrect (should be 32 characters)")
    elif not (key.isascii() and key.isalnum()):
        found.append("'routing_key' cannot contain non-alphanumeric characters.")
    found += _link_errors(event)
    if not change:
        found += _alert_errors(event)
    if change or event.get("event_action") == "trigger" or "payload" in event:
        found += _payload_errors(event.get("payload"), change=change)
    return found


def _alert_errors(event: Event) -> list[str]:
    found, action, dedup = [], event.get("event_action"), event.get("dedup_key")
    if action not in _ACTIONS:
        found.append("'event_action' is missing or is not one of trigger, acknowledge, resolve")
    if dedup is None and action != "trigger":
        found.append("'dedup_key' is missing or blank")
    if dedup is not None and not (isinstance(dedup, str) and 1 <= len(dedup) <= 255):
        found.append("'dedup_key' is not a text of 1 to 255 characters")
    if "client_url" in event and not _is_url(event["client_url"]):
        found.append("'client_url' is not a URL")
    return found


def _payload_errors(payload: Any, *, change: bool) -> list[str]:
    if not isinstance(payload, dict):
        return ["'payload' is missing or is not an object"]
    known = _CHANGE_PAYLOAD if change else _PAYLOAD
    found = [f"'payload.{name}' is not known" for name in sorted(set(payload) - known)]
    summary = payload.get("summary")
    if not isinstance(summary, str) or not summary.strip():
        found.append("'payload.summary' is missing or blank")
    elif len(summary) > 1024:
        found.append("'payload.summary' is longer than 1024 characters")
    if not change and not payload.get("source"):
        found.append("'payload.source' is missing or blank")
    if not change and payload.get("severity") not in SEVERITIES:
        found.append("'payload.severity' is invalid (must be one of 'critical', 'warning', 'error' or 'info')")
    found += [f"'payload.{name}' is not a text" for name in _TEXTS if not isinstance(payload.get(name, ""), str)]
    if not isinstance(payload.get("custom_details", {}), dict):
        found.append("'payload.custom_details' is not an object")
    if "timestamp" in payload and not _is_time(payload["timestamp"]):
        found.append("'payload.timestamp' is not an ISO 8601 time with its zone")
    return found


def _link_errors(event: Event) -> list[str]:
    found = []
    for name, address in (("links", "href"), ("images", "src")):
        listed = event.get(name, [])
        if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
            found.append(f"'{name}' is not an array of objects")
            continue
        found += [f"'{name}.{address}' is missing or not a URL" for each in listed if not _is_url(each.get(address))]
        if name == "images" and any(not str(each.get("src")).startswith("https://") for each in listed):
            found.append("'images.src' is not served by HTTPS")
    return found


def _is_url(found: Any) -> bool:
    return isinstance(found, str) and urlsplit(found).scheme in {"http", "https"} and bool(urlsplit(found).netloc)


def _is_time(found: Any) -> bool:
    try:
        return datetime.fromisoformat(found).tzinfo is not None
    except (ValueError, TypeError):
        return False
