"""Alertmanager's webhook message, version 4 -> alerts, within bounds. What newer versions add is not looked at."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from watchdog.noise.episodes import Alert
from watchdog.quantities import parse_time, shown
from watchdog.web.problems import Problem

VERSION = "4"
LONGEST_TEXT = 1000
"""Characters that are kept of a label, an annotation and an address."""
MOST_TEXTS = 64
"""Labels, and annotations, that are kept of an alert."""
NEVER_A_PAGE = frozenset({"Watchdog", "InfoInhibitor"})
"""Alerts that always fire: they show that Alertmanager is heard."""
OURS = "slo-watchdog"
"""The label `source` of what this program itself sends to an Alertmanager: it is counted from the ledger already."""
_FINER = re.compile(r"(\.\d{6})\d+")
"""Alertmanager writes nanoseconds."""
_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


@dataclass(frozen=True, slots=True)
class Payload:
    """What one message holds. `quiet` counts alerts that are no episodes, `truncated` those that were left out."""

    alerts: tuple[Alert, ...] = ()
    quiet: int = 0
    truncated: int = 0


@dataclass(frozen=True, slots=True)
class Labels:
    """Which labels of an alert name its service and its severity."""

    service: str = "service"
    severity: str = "severity"

    @property
    def named(self) -> tuple[str, str]:
        """Both."""
        return (self.service, self.severity)


def payload_of(body: bytes, labels: Labels) -> Payload:
    """The alerts in a message. 400 unless it is JSON, 422 unless it is such a message; then all of it is refused."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Problem("bad-request", "the body is not JSON; expected Alertmanager's webhook message") from error
    if not isinstance(found, dict):
        raise Problem("bad-body", f"the body is {shown(found)}, expected Alertmanager's webhook message")
    if found.get("version") != VERSION:
        raise Problem("bad-body", f'version is {shown(found.get("version"))}, expected the text "{VERSION}"')
    alerts = found.get("alerts")
    if not isinstance(alerts, list):
        raise Problem("bad-body", f"alerts is {shown(alerts)}, expected a list")
    group = _group(found.get("groupKey"))
    taken, quiet = [], 0
    for place, one in enumerate(alerts):
        alert = _alert(one, f"alerts[{place}]", group, labels)
        if alert.alertname in NEVER_A_PAGE or alert.severity == "none" or alert.labels.get("source") == OURS:
            quiet += 1
        else:
            taken.append(alert)
    truncated = found.get("truncatedAlerts", 0)
    return Payload(tuple(taken), quiet, truncated if isinstance(truncated, int) and truncated > 0 else 0)


def _alert(found: Any, place: str, group: str, labels: Labels) -> Alert:
    if not isinstance(found, dict):
        raise Problem("bad-body", f"{place} is {shown(found)}, expected an object")
    status = found.get("status")
    if status not in ("firing", "resolved"):
        raise Problem("bad-body", f"{place}.status is {shown(status)}, expected firing or resolved")
    given, names = found.get("labels"), f"{place}.labels"
    texts = _texts(given, names)
    known = {name: _text((given or {}).get(name), f"{names}.{name}") for name in ("alertname", *labels.named)}
    fingerprint = _text(found.get("fingerprint"), f"{place}.fingerprint")
    return Alert(
        fingerprint if 0 < len(fingerprint) <= 64 else _digest(json.dumps(sorted(texts.items()))),
        known["alertname"],
        known[labels.service],
        known[labels.severity],
        _time(found.get("startsAt"), f"{place}.startsAt"),
        _time(found.get("endsAt"), f"{place}.endsAt") if status == "resolved" else None,
        group,
        _text(found.get("generatorURL"), f"{place}.generatorURL"),
        texts,
        _texts(found.get("annotations"), f"{place}.annotations"),
    )


def _time(found: Any, place: str) -> float:
    try:
        return parse_time(_FINER.sub(r"\1", found) if isinstance(found, str) and len(found) < 64 else found)
    except ValueError as error:
        raise Problem("bad-body", f"{place}: {error}") from error


def _texts(found: Any, place: str) -> Mapping[str, str]:
    """A mapping of texts, by name; what there is too much of is left out."""
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise Problem("bad-body", f"{place} is {shown(found)}, expected an object of texts")
    return {_cut(name): _text(found[name], f"{place}.{_cut(name)[:60]}") for name in sorted(found)[:MOST_TEXTS]}


def _text(found: Any, place: str) -> str:
    if found is None:
        return ""
    if not isinstance(found, str):
        raise Problem("bad-body", f"{place} is {shown(found)}, expected text")
    return _cut(found)


def _cut(text: str) -> str:
    """The text without what no database holds, cut to what is kept of it."""
    plain = text[: LONGEST_TEXT + 1].replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    return plain if len(plain) <= LONGEST_TEXT else f"{plain[: LONGEST_TEXT - 1]}{_ELLIPSIS}"


def _group(found: Any) -> str:
    """The group's key; one that was cut could be two groups', so its digest stands at its end."""
    key = _text(found, "groupKey")
    return f"{key[:900]} {_digest(found)}" if key.endswith(_ELLIPSIS) else key


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
