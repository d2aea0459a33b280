"""From a recorded notification to the message that channels send: how loud, of which incident, in which words. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from watchdog.messages.advice import advice
from watchdog.messages.facts import facts_of
from watchdog.messages.links import graph, rollout_links, runbook
from watchdog.messages.message import Effect, Link, Message
from watchdog.messages.notices import TRANSITION, Notice, cause_of, notice_of
from watchdog.model import Notification, NotifyRule, Severity

NONE = "none"
"""The severity of what is not sent at all."""


@dataclass(frozen=True, slots=True)
class About:
    """What a message says of its rollout and where it leads; an address that nobody configured is empty."""

    rollout: str
    service: str
    version: str
    flag: str
    rule: NotifyRule | None
    """The rollout's own."""
    defaults: NotifyRule
    """The daemon's."""
    external_url: str = ""
    runbook_url: str = ""
    prometheus_url: str = ""


def compose(
    id: int,  # noqa: A002 - the ledger's own word for it
    notification: Notification,
    about: About,
    *,
    opened: Sequence[str] = (),
    report: str = "",
    earlier: Sequence[str] = (),
) -> Message | None:
    """The message of a recorded notification; None when its kind is not to be sent (severity `none`).

    `opened` are the keys of the rollout's incidents that are open before it (see `open_incidents`): what ends other
    incidents names them in `closes`, and what is only `info` opens none, it updates one that is open.
    """
    kind, details = notification.kind, notification.details
    notice, cause = notice_of(kind), cause_of(kind, details)
    incident = incident_key(about.rollout, cause) if cause else ""
    closes = tuple(key for key in opened if key != incident and _ends(notice, key))
    effect = Effect.RESOLVE if kind == "rolled_back" and cause == "rollback" else notice.effect
    severity = _severity(notification, about, effect, ends=bool(closes) or incident in opened)
    if severity is None:
        return None
    if effect is Effect.OPEN and severity is Severity.INFO and incident not in opened:
        effect = Effect.TELL
    done, todo = advice(notification, about.rollout, about.flag)
    return Message(
        id=id,
        key=_key(notification.key, about.rollout),
        kind=kind,
        severity=severity,
        effect=effect,
        rollout=about.rollout,
        service=about.service,
        version=about.version,
        flag=about.flag,
        at=notification.at,
        summary=notification.summary,
        incident=incident,
        closes=closes,
        done=done,
        todo=todo,
        facts=facts_of(details),
        links=_links(notification, about),
        broadcast=notice.broadcast,
        change=notice.change,
        earlier=tuple(earlier),
        report=report,
        rule=about.rule,
        details=details,
    )


def open_incidents(messages: Iterable[Message]) -> tuple[Message, ...]:
    """The newest message of each incident that is still open after all these, which are one rollout's in order."""
    found: dict[str, Message] = {}
    for message in messages:
        notice = notice_of(message.kind)
        for key in {*message.closes, *(key for key in found if _ends(notice, key))}:
            found.pop(key, None)
        if message.effect is Effect.RESOLVE:
            found.pop(message.incident, None)
        elif message.effect is not Effect.TELL and message.incident:
            found[message.incident] = message
    return tuple(found.values())


def incident_key(rollout: str, cause: str) -> str:
    """The key of an incident: one rollout, one cause; the same after restarts and in every process."""
    return f"slo-watchdog:{rollout}:{cause}"


def _key(key: str, rollout: str) -> str:
    return key if key.startswith(f"{rollout}:") else f"{rollout}:{key}"


def _ends(notice: Notice, key: str) -> bool:
    """Whether a message of this row ends the incident of that key, besides its own."""
    family = key.split(":", 3)[2]
    return family in notice.ends or (notice.ends_all and family != "deed")


def _severity(notification: Notification, about: About, effect: Effect, *, ends: bool) -> Severity | None:
    """The rollout's own rule, else the daemon's, else what was recorded; None for not at all.

    It cannot silence that something got worse, nor keep an incident open that is over.
    """
    own: Mapping[str, str] = about.rule.severities if about.rule is not None else {}
    level = own.get(notification.kind) or about.defaults.severities.get(notification.kind)
    if level is None or notification.kind == TRANSITION:
        return notification.severity
    if effect is Effect.ESCALATE and level in (NONE, Severity.INFO):
        return Severity.WARNING
    if level == NONE:
        return Severity.INFO if ends and effect is not Effect.OPEN else None
    return Severity(level)


def _links(notification: Notification, about: About) -> tuple[Link, ...]:
    links = rollout_links(about.external_url, about.rollout) + runbook(about.runbook_url, notification.kind)
    query = notification.details.get("query")
    if not about.prometheus_url or not isinstance(query, str):
        return links
    at = notification.details.get("at")
    instant = at if isinstance(at, int | float) else notification.at
    return (*links, Link("graph", graph(about.prometheus_url, query, instant)))
