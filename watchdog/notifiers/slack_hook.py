"""Slack by incoming webhook, the small form: each message stands by itself."""

from __future__ import annotations

from watchdog.errors import NotYet
from watchdog.messages import Message
from watchdog.notifiers.base import Memo
from watchdog.notifiers.pace import Pace
from watchdog.notifiers.slack_api import SlackHook
from watchdog.notifiers.slack_blocks import reply
from watchdog.notifiers.slack_errors import CONTENT, SlackError
from watchdog.notifiers.slack_memo import Sent, keep, recall

POST_EVERY = 1.0
"""Seconds between two messages in a channel."""


class SlackWebhook:
    """Messages by incoming webhook: nothing can be edited, attached or looked for."""

    name = "slack"

    def __init__(self, hook: SlackHook) -> None:
        self._hook = hook
        self._posts = Pace(POST_EVERY)

    def ready_in(self, message: Message, now: float) -> float:  # noqa: ARG002
        """Seconds until a message may go to the webhook."""
        return self._posts.ready_in("", now)

    def send(self, message: Message, memo: Memo, now: float, *, again: bool) -> str:  # noqa: ARG002
        """Post it; a repeat is known only where the first was remembered."""
        if recall(memo, Sent, Sent()).key == message.key:
            return "posted before"
        asked = message.rule.slack_channel if message.rule is not None else None
        note = ""
        if asked and memo.get("said_channel") != asked:
            note = f"The rollout asks for {asked}; an incoming webhook reaches its own channel only."
        form, plain = reply(message, note), memo.get("plain") == message.key
        self._posts.used("", now)
        try:
            self._hook.post(form.plain.text if plain else form.text, () if plain else form.blocks)
        except SlackError as error:
            if error.code not in CONTENT or plain:
                raise
            memo.put("plain", message.key)
            raise NotYet("Slack does not take its layout; it is sent as text", retry_after=POST_EVERY) from error
        keep(memo, Sent(message.key))
        if note:
            memo.put("said_channel", str(asked))
        return "posted by webhook"

    def close(self) -> None:
        """Nothing is kept open."""
