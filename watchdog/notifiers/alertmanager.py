"""Alertmanager: every open incident as an alert that stands until it is over.

An alert is known by its labels alone, so the labels of an incident are those of its first message, whatever comes
later; the rest is annotations. Nobody is told anew when an annotation changes. An escalation is therefore a second
alert beside the first, and both end together.

Alertmanager keeps alerts in memory, and ends those that nobody repeats. So what is open is sent again every minute.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from watchdog.errors import NotifierError
from watchdog.messages import Effect, Message, View
from watchdog.notifiers.base import Memo
from watchdog.notifiers.texts import cut, one_line, readable, whole
from watchdog.notifiers.wire import Post, instant

if TYPE_CHECKING:
    from watchdog.config.notifysettings import AlertmanagerSettings

EVERY = 60.0
STANDS = 900.0
"""Seconds that an alert stands without being repeated: longer than any restart of ours, shorter than a shift."""

TEST_STANDS = 60.0
SUMMARY, DESCRIPTION, LABEL = 500, 4_000, 200
"""Characters of the longest annotation `summary` and `description`, and of a label."""

Alert = dict[str, Any]
_PLAIN = re.compile(r"[!-~]+")


def open_alertmanager(settings: AlertmanagerSettings) -> Alertmanager:
    """The Alertmanager of these settings. Reaches nothing yet."""
    token = settings.bearer_token.get_secret_value() if settings.bearer_token is not None else ""
    return Alertmanager(settings.url, token, settings.timeout)


class Alertmanager:
    """The Alertmanager at `url`, answered within `timeout` seconds a call; `token` is its bearer token, or empty.

    A rollout's memo holds the alerts of each incident as they were sent, so that a restart repeats the very same.
    """

    name = "alertmanager"
    repeats_known = True
    every = EVERY

    def __init__(self, url: str, token: str = "", timeout: float = 10.0) -> None:
        self._post = Post(
            f"{url.rstrip('/')}/api/v2/alerts", channel=self.name, timeout=timeout, secrets=[token] if token else []
        )
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def ready_in(self, message: Message, now: float) -> float:  # noqa: ARG002 - the port's shape
        """0: Alertmanager has no limit."""
        return 0.0

    def send(self, message: Message, memo: Memo, now: float, *, again: bool) -> str:  # noqa: ARG002 - repeats are equal
        """Begin, change or end the alerts of an incident; a message without one says so and is not sent."""
        ended = [alert for incident in message.closes for alert in _known(memo, incident)]
        firing: list[Alert] = []
        known: list[Alert] = []
        if message.effect is Effect.RESOLVE and message.incident:
            ended += _known(memo, message.incident)
        elif message.effect is not Effect.TELL and message.incident:
            known = _known(memo, message.incident)
            firing, over = _changed(known, message)
            ended += over
            # Before it is sent: whoever dies in between must not forget that there is something to end.
            memo.put(_place(message.incident), json.dumps(firing))
        elif message.kind == "test":
            return self._tested(message, now)
        if firing or ended:
            try:
                self._send([*(_until(each, now + STANDS) for each in firing), *(_until(each, now) for each in ended)])
            except NotifierError as error:
                if firing and error.permanent and not error.everything:
                    memo.put(_place(message.incident), json.dumps(known))  # repeated it would be refused each minute
                raise
        closed = (*message.closes, *((message.incident,) if message.effect is Effect.RESOLVE else ()))
        for incident in closed:
            if memo.get(_place(incident)):
                memo.put(_place(incident), "")
        return _told(firing, ended, message)

    def refresh(self, view: View, memo: Memo, now: float) -> None:
        """Repeat the alerts of each open incident, as they were sent. Raises NotifierError."""
        incidents = dict.fromkeys(message.incident for message in view.open)
        standing = [alert for incident in incidents for alert in _known(memo, incident)]
        if standing:
            self._send([_until(alert, now + STANDS) for alert in standing])

    def close(self) -> None:
        """Nothing is kept open."""

    def _tested(self, message: Message, now: float) -> str:
        alert = _alert("SloWatchdogTest", message, "test")
        self._send([_until(alert, now + TEST_STANDS)])
        return f"took the alert SloWatchdogTest, which ends by itself in {TEST_STANDS:g} s"

    def _send(self, alerts: list[Alert]) -> None:
        answer = self._post.send(json.dumps(alerts).encode(), self._headers)
        if answer.status != 200:
            raise self._post.refused(answer)


def _changed(known: list[Alert], message: Message) -> tuple[list[Alert], list[Alert]]:
    """The alerts of an incident after this message, the incident's own first; and those that end with it."""
    cause = _cause(message)
    if not known:
        known = [_alert(_camel(cause.partition(":")[0]), message, cause)]
    own, *escalations = known
    own = {**own, "annotations": _annotations(message)}
    if message.effect is not Effect.ESCALATE:
        return [own], escalations  # what it says takes the place of what was the matter before
    escalation = _alert(_camel(message.kind), message, cause)
    others = [each for each in escalations if each["labels"] != escalation["labels"]]
    return [own, *others, escalation], []


def _alert(name: str, message: Message, cause: str) -> Alert:
    labels = {
        "alertname": name,
        "cause": cause,
        "rollout": message.rollout,
        "service": message.service,
        "severity": message.severity.value,
        "source": "slo-watchdog",
    }
    status = _address(message, "status")
    return {
        # An empty label is none to Alertmanager.
        "labels": {key: shown for key, text in labels.items() if (shown := cut(one_line(text), LABEL))},
        "annotations": _annotations(message),
        "startsAt": instant(message.at),
        **({"generatorURL": status} if status else {}),
    }


def _annotations(message: Message) -> Mapping[str, str]:
    facts = [f"{name}: {value}" for name, value in message.facts]
    said = [
        f"Done: {message.done}" if message.done else "",
        f"To do: {message.todo}" if message.todo else "",
        *facts,
        *(f"Before: {summary}" for summary in message.earlier),
    ]
    links = "\n".join(f"{one_line(link.text)}: {whole(link.url)}" for link in message.links)
    annotations = {
        "summary": cut(one_line(message.summary), SUMMARY),
        "description": cut("\n".join(readable(line) for line in said if line), DESCRIPTION),
        "runbook_url": _address(message, "runbook"),
        "links": cut(links, DESCRIPTION),
    }
    return {name: text for name, text in annotations.items() if text}


def _address(message: Message, word: str) -> str:
    """The link with that word in its text; empty when there is none that Alertmanager would take."""
    return next((link.url for link in message.links if word in link.text.lower() and _leads(link.url)), "")


def _leads(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and _PLAIN.fullmatch(url) is not None
    except ValueError:
        return False


def _cause(message: Message) -> str:
    return message.incident.removeprefix(f"slo-watchdog:{message.rollout}:") or message.kind


def _camel(words: str) -> str:
    """`rollback_late` as `SloWatchdogRollbackLate`."""
    letters = "".join(letter if letter.isalnum() else " " for letter in one_line(words).replace("_", " "))
    return "SloWatchdog" + "".join(word[:1].upper() + word[1:] for word in letters.split())


def _known(memo: Memo, incident: str) -> list[Alert]:
    found = memo.get(_place(incident))
    alerts: list[Alert] = json.loads(found) if found else []
    return alerts


def _place(incident: str) -> str:
    return f"alerts of {incident}"


def _until(alert: Alert, at: float) -> Alert:
    """The alert, ending then; never before it began, which would be refused."""
    return {**alert, "endsAt": max(instant(at), alert["startsAt"])}


def _told(firing: list[Alert], ended: list[Alert], message: Message) -> str:
    parts = [
        *(f"{each['labels']['alertname']} stands" for each in firing),
        *(f"{each['labels']['alertname']} has ended" for each in ended),
    ]
    if parts:
        return f"took it: {', '.join(parts)}"
    if message.effect is Effect.TELL:
        return "not sent: it opens and ends no incident, and alerts are about incidents only"
    return "nothing to end: no alert of this incident was sent here"
