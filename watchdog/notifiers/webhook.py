"""A channel of your own: every message as one signed JSON document, POSTed to an address (docs/notify/webhook.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from watchdog.messages import Message
from watchdog.notifiers.base import Memo
from watchdog.notifiers.wire import Post, document, instant, signed

if TYPE_CHECKING:
    from watchdog.config.notifysettings import WebhookSettings

FORMAT = 1
"""Version of the document; a receiver refuses what it does not know."""

MOST = 100
"""Facts, links, and older messages in one document; of the older messages the newest."""


def open_webhook_channel(settings: WebhookSettings) -> WebhookChannel:
    """The receiver of these settings. Reaches nothing yet."""
    secret = settings.secret.get_secret_value() if settings.secret is not None else ""
    return WebhookChannel(settings.url, secret, settings.timeout)


class WebhookChannel:
    """The receiver at `url`, answered within `timeout` seconds; messages are signed where there is a `secret`."""

    name = "webhook"

    def __init__(self, url: str, secret: str = "", timeout: float = 10.0) -> None:
        self._post = Post(url, channel=self.name, timeout=timeout, secrets=[secret] if secret else [])
        self._secret = secret

    def ready_in(self, message: Message, now: float) -> float:  # noqa: ARG002 - the port's shape
        """0: a receiver that wants to be left alone says so."""
        return 0.0

    def send(self, message: Message, memo: Memo, now: float, *, again: bool) -> str:  # noqa: ARG002 - repeats have one id
        """POST the message; a receiver knows a repeat by its id, and may say so (409). Raises NotifierError."""
        body = document(described(message))
        answer = self._post.send(body, signed(self._secret, body, message, now))
        said = f": {answer.text}" if answer.text else ""
        if answer.status == 409:
            return f"had it already (409){said}"
        if not 200 <= answer.status < 300:
            raise self._post.refused(answer)
        return f"took it ({answer.status}){said}"

    def close(self) -> None:
        """Nothing is kept open."""


def described(message: Message) -> dict[str, Any]:
    """Everything that is told, but not where else it goes."""
    return {
        "format": FORMAT,
        "key": message.key,
        "id": message.id,
        "kind": message.kind,
        "severity": message.severity.value,
        "effect": message.effect.value,
        "incident": message.incident,
        "closes": list(message.closes),
        "rollout": message.rollout,
        "service": message.service,
        "version": message.version,
        "flag": message.flag,
        "at": instant(message.at),
        "summary": message.summary,
        "done": message.done,
        "todo": message.todo,
        "facts": [{"name": name, "value": value} for name, value in message.facts[:MOST]],
        "links": [{"text": link.text, "url": link.url} for link in message.links[:MOST]],
        "broadcast": message.broadcast,
        "change": message.change,
        "earlier": list(message.earlier[-MOST:]),
        "report": message.report,
        "details": dict(message.details),
    }
