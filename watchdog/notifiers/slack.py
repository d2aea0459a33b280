"""Slack: one message a rollout that is edited as it moves, with all that is told of it in its thread.

Slack knows no repeats. Each message carries its key as metadata, and an attempt whose end nobody knows looks for that
key before it posts again. What was posted is remembered before anything else is done.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr

from watchdog.errors import ConfigError, NotYet, Problem
from watchdog.messages import Message, View
from watchdog.model import NotifyRule
from watchdog.notifiers.base import Memo
from watchdog.notifiers.pace import Pace
from watchdog.notifiers.slack_api import SlackApi, SlackHook
from watchdog.notifiers.slack_blocks import Form, announcement, reply, stamped, standing
from watchdog.notifiers.slack_errors import CONTENT, GONE, PLACE, SlackError
from watchdog.notifiers.slack_hook import POST_EVERY, SlackWebhook
from watchdog.notifiers.slack_memo import Parent, Sent, Upload, keep, recall

EDIT_EVERY, EDITS_AT_ONCE = 2.0, 20
"""Seconds between two edits, after so many at once: Slack takes 50 a minute of all channels together."""
SKEW = 3600.0
"""How far Slack's clock and ours may differ, in seconds, when a message is looked for."""
UPLOADS = 3
"""How often a report is brought to Slack before its message goes without."""
LOST = 3
"""Parents that may be deleted before no new one is posted for the state alone."""
_ID = re.compile(r"[CGD][A-Z0-9]{7,}")


class SlackSettings(Protocol):
    """What `notify.slack` of the settings says: a token and a channel, or a webhook's address. `timeout` in seconds."""

    @property
    def token(self) -> SecretStr | None:
        """The bot's token."""
        ...

    @property
    def channel(self) -> str | None:
        """Where rollouts go that name no channel of their own: a name or an id."""
        ...

    @property
    def webhook_url(self) -> SecretStr | None:
        """An incoming webhook instead of both."""
        ...

    @property
    def url(self) -> str | None:
        """Another address of the Web API than Slack's own."""
        ...

    @property
    def timeout(self) -> float:
        """Seconds for each call."""
        ...


def open_slack(settings: SlackSettings) -> Slack | SlackWebhook:
    """The channel, by token or by webhook. Reaches nothing yet. Raises ConfigError."""
    if settings.webhook_url is not None:
        return SlackWebhook(SlackHook(settings.webhook_url.get_secret_value(), timeout=settings.timeout))
    if settings.token is None or settings.channel is None:
        raise ConfigError([Problem("notify.slack", "needs token_file and channel, or webhook_url_file")])
    api = SlackApi(settings.token.get_secret_value(), url=settings.url, timeout=settings.timeout)
    return Slack(api, settings.channel)


class Slack:
    """Messages by token. `every` is how often the state of a rollout is looked at, in seconds."""

    name = "slack"
    every = 60.0

    def __init__(self, api: SlackApi, channel: str) -> None:
        self._api = api
        self._channel = channel
        self._ids: dict[str, str] = {}
        """Channels as configured -> their ids, as far as Slack has told."""
        self._posts = Pace(POST_EVERY)
        self._edits = Pace(EDIT_EVERY, EDITS_AT_ONCE)
        self._blind = False
        """The token may not read, so nothing is looked for."""
        self._no_files = False
        """The token may not upload, which was said."""

    def ready_in(self, message: Message, now: float) -> float:
        """Seconds until a message may go to the rollout's channel."""
        return self._posts.ready_in(self._place(self._asked(message.rule)), now)

    def send(self, message: Message, memo: Memo, now: float, *, again: bool) -> str:
        """Post it in the rollout's thread, then the report that belongs to it."""
        try:
            return self._send(message, memo, now, again=again)
        except SlackError as error:
            raise _blamed(error, message.rule) from error

    def refresh(self, view: View, memo: Memo, now: float) -> None:
        """Edit the rollout's message where its state is another one. Raises NotYet where Slack's limit is reached."""
        try:
            self._refresh(view, memo, now)
        except SlackError as error:
            raise _blamed(error, view.rule) from error

    def close(self) -> None:
        """Nothing is kept open."""

    def _send(self, message: Message, memo: Memo, now: float, *, again: bool) -> str:
        parent = self._parent(memo, message.rule)
        alone = message.kind == "test" or not message.rollout
        if not parent.ts and not alone:
            self._open(announcement(message), message.rollout, parent, memo, now)
            raise NotYet("the rollout's message is posted; this one follows in its thread", retry_after=POST_EVERY)
        sent, note = recall(memo, Sent, Sent()), _unreadable(message.report)
        if sent.key != message.key:
            try:
                sent = self._reply(message, note, parent, memo, now, again=again)
            except SlackError as error:
                self._second_try(error, message.key, parent, memo)
                raise
            keep(memo, sent)
            if message.report and not note and not self._no_files:
                raise NotYet("the message is posted; its report follows", retry_after=POST_EVERY)
        elif message.report and not note and not self._no_files:
            return self._attach(message, sent, parent, memo, now)
        return f"posted in {parent.channel or parent.asked} as {sent.ts}"

    def _reply(self, message: Message, note: str, parent: Parent, memo: Memo, now: float, *, again: bool) -> Sent:
        thread = "" if message.kind == "test" else parent.ts
        channel = parent.channel or self._place(parent.asked)
        found = self._found(channel, message.key, thread, message.at) if again else None
        if found is not None:
            return Sent(message.key, found)
        form = reply(message, note)
        if memo.get("plain") == message.key:
            form = form.plain
        self._posts.used(channel, now)
        broadcast = message.broadcast
        _, ts = self._api.post(channel, form.text, form.blocks, key=message.key, thread=thread, broadcast=broadcast)
        return Sent(message.key, ts)

    def _second_try(self, error: SlackError, key: str, parent: Parent, memo: Memo) -> None:
        """Raises NotYet where another attempt, in another way, may succeed; once for each message."""
        if error.code in GONE and parent.ts and memo.get("lost") != key:
            keep(memo, Parent(parent.asked, lost=parent.lost + 1))
            memo.put("lost", key)
            raise NotYet("the rollout's message is gone; a new one is posted", retry_after=POST_EVERY) from error
        if error.code in CONTENT and memo.get("plain") != key:
            memo.put("plain", key)
            raise NotYet("Slack does not take its layout; it is sent as text", retry_after=POST_EVERY) from error

    def _open(self, form: Form, rollout: str, parent: Parent, memo: Memo, now: float) -> Parent:
        """Post the rollout's message, or find the one that an earlier attempt has posted."""
        channel, key = self._place(parent.asked), f"parent:{rollout}:{parent.lost}"
        ts = None if parent.begun is None else self._found(channel, key, "", parent.begun)
        if ts is None:
            keep(memo, replace(parent, begun=now if parent.begun is None else parent.begun))
            self._posts.used(channel, now)
            if memo.get("plain") == key:
                form = form.plain
            try:
                channel, ts = self._api.post(channel, form.text, form.blocks, key=key)
            except SlackError as error:
                self._second_try(error, key, parent, memo)
                raise
        opened = Parent(parent.asked, channel, ts, lost=parent.lost)
        keep(memo, opened)
        if self._place(parent.asked) != channel:
            self._ids[parent.asked] = channel
            self._posts.used(channel, now)
        return opened

    def _refresh(self, view: View, memo: Memo, now: float) -> None:
        parent, form = self._parent(memo, view.rule), standing(view)
        if parent.ts and (parent.fixed or parent.shown == form.digest):
            return
        if parent.ts:
            parent = self._edit(form, view.at, parent, memo, now)
        if parent.ts or view.over or parent.lost > LOST:
            return
        wait = self._posts.ready_in(self._place(parent.asked), now)
        if wait > 0:
            raise NotYet("the rollout's message waits for the channel's limit", retry_after=wait)
        opened = self._open(stamped(form, view.at), view.rollout, parent, memo, now)
        keep(memo, replace(opened, shown=form.digest))

    def _edit(self, form: Form, at: float, parent: Parent, memo: Memo, now: float) -> Parent:
        """Bring the rollout's message up to date; what is left of it."""
        wait = self._edits.ready_in("", now)
        if wait > 0:
            raise NotYet("the edit waits for Slack's limit", retry_after=wait)
        try:
            self._write(stamped(form, at), parent.channel, parent.ts, now)
        except SlackError as error:
            if error.code == "edit_window_closed":
                parent = replace(parent, fixed=True)
            elif error.code in GONE:
                parent = Parent(parent.asked, lost=parent.lost + 1)
            else:
                raise
        else:
            parent = replace(parent, shown=form.digest)
        keep(memo, parent)
        return parent

    def _write(self, form: Form, channel: str, ts: str, now: float) -> None:
        self._edits.used("", now)
        try:
            self._api.edit(channel, ts, form.text, form.blocks)
        except SlackError as error:
            if error.code not in CONTENT:
                raise
            self._edits.used("", now)
            self._api.edit(channel, ts, form.plain.text, ())

    def _attach(self, message: Message, sent: Sent, parent: Parent, memo: Memo, now: float) -> str:
        """Bring the report into the thread. The message is there already: what fails here loses nothing."""
        upload = recall(memo, Upload, Upload())
        if upload.key != message.key:
            upload = Upload(message.key)
        path, known = Path(message.report), bool(upload.file)
        upload = replace(upload, tries=upload.tries + 1)
        keep(memo, upload)
        self._posts.used(parent.channel, now)
        try:
            if not known:
                upload = replace(upload, file=self._api.upload(path.name, path.read_bytes()))
                keep(memo, upload)
            self._api.share(upload.file, f"{message.rollout}: {path.name}", parent.channel, parent.ts)
        except OSError as error:
            why = f"the file cannot be read ({error.strerror})"
        except SlackError as error:
            if not error.permanent and upload.tries < UPLOADS:
                # Files may fail while messages go through: only this rollout waits.
                raise SlackError(str(error), error.code, retry_after=error.retry_after) from error
            if known and error.permanent and error.code != "missing_scope":
                return f"posted in {parent.channel} as {sent.ts}, with its report"  # an earlier try got through
            self._no_files = error.code == "missing_scope"
            why = "the token lacks the scope files:write" if self._no_files else str(error)
        else:
            return f"posted in {parent.channel} as {sent.ts}, with its report"
        note = f"Its report is not attached: {why.rstrip('.')}."
        try:
            self._write(reply(message, note), parent.channel, sent.ts, now)
        except SlackError as error:
            note += f" Nor could that be said there: {error}"
        return f"posted in {parent.channel} as {sent.ts}. {note}"

    def _found(self, channel: str, key: str, thread: str, since: float) -> str | None:
        """The message with that key, where the token may look and Slack tells."""
        if self._blind or _ID.fullmatch(channel) is None:
            return None
        try:
            return self._api.find(channel, key, thread=thread, since=since - SKEW)
        except SlackError as error:
            if not error.permanent or error.code in GONE:
                raise
            self._blind = error.code == "missing_scope"
            return None

    def _parent(self, memo: Memo, rule: NotifyRule | None) -> Parent:
        asked = self._asked(rule)
        parent = recall(memo, Parent, Parent(asked))
        if parent.asked != asked:
            return Parent(asked)
        if parent.channel:
            self._ids[asked] = parent.channel
        return parent

    def _asked(self, rule: NotifyRule | None) -> str:
        return (rule.slack_channel if rule is not None else None) or self._channel

    def _place(self, asked: str) -> str:
        return self._ids.get(asked, asked)


def _blamed(error: SlackError, rule: NotifyRule | None) -> SlackError:
    """The error, with a word on where to look when it is about a channel that the rollout itself has named."""
    if error.code in PLACE and rule is not None and rule.slack_channel:
        found = f"{error} The rollout's notify.slack_channel names it."
        return SlackError(found, error.code, permanent=error.permanent, everything=error.everything)
    return error


def _unreadable(report: str) -> str:
    """Why a report cannot be attached; empty where it can, or there is none."""
    if not report or Path(report).is_file():
        return ""
    return "Its report is not attached: the file is not there."
