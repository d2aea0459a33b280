"""A Slack workspace in memory: its channels, messages, threads and files, and what its methods do to them.

`tests/slackserver.py` puts it behind HTTP and says which facts it rests on.
"""

from __future__ import annotations

import json
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.answering import Reply, reply
from tests.slackcontract import Refused, check_message, texts

TOKEN = "xoxb-1234-5678-correcthorsebattery"
SCOPES = frozenset({"chat:write", "files:write", "channels:history", "groups:history"})


@dataclass
class Shown:
    """One message as people see it. `before` are the texts that edits have replaced."""

    channel: str
    ts: str
    text: str
    blocks: list[dict[str, Any]]
    thread: str = ""
    broadcast: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)

    @property
    def words(self) -> str:
        """All that stands in its blocks; its text where it has none."""
        return "\n".join(part for block in self.blocks for part in texts(block)) or self.text


@dataclass
class Channel:
    """`member` and `archived` may be changed by a test."""

    id: str
    name: str
    member: bool = True
    archived: bool = False


def failing(code: str, **more: Any) -> Reply:
    """The Web API's way to say no."""
    return reply(json={"ok": False, "error": code, **more})


def limited(seconds: int | None = None) -> Reply:
    headers = {} if seconds is None else {"Retry-After": str(seconds)}
    return reply(429, json={"ok": False, "error": "ratelimited"}, headers=headers)


class Workspace:
    """The workspace. With `paced` it keeps Slack's limits by `clock`; messages are named after `wall`. Seconds both."""

    url = ""

    def __init__(
        self,
        channels: Iterable[str] = ("deploys", "payments"),
        *,
        scopes: Iterable[str] = SCOPES,
        paced: bool = False,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.channels = {name: Channel(f"C0{number:07}X", name) for number, name in enumerate(channels)}
        self.token, self.scopes, self.paced, self.clock, self.wall = TOKEN, set(scopes), paced, clock, wall
        self.messages: list[Shown] = []
        self.files: dict[str, bytes] = {}
        self.foreign: set[str] = set()
        """Timestamps of messages that another app has posted."""
        self.fixed = False
        """Nobody may edit messages."""
        self.page = 200
        self._uploads: dict[str, tuple[str, str, int]] = {}
        self._last: dict[str, float] = {}
        self._edits: deque[float] = deque()
        self._count = 0

    def top(self) -> list[Shown]:
        """What stands in the channels themselves, oldest first, without replies."""
        return [message for message in self.messages if not message.thread]

    def thread(self, ts: str) -> list[Shown]:
        """The replies to a message, oldest first."""
        return [message for message in self.messages if message.thread == ts]

    def delete(self, ts: str) -> None:
        """Somebody deletes a message."""
        self.messages = [message for message in self.messages if message.ts != ts]

    def _post(self, body: dict[str, Any]) -> Reply:
        channel = self._channel(body.get("channel"), names=True)
        check_message(body)
        thread = body.get("thread_ts", "")
        if (body.get("reply_broadcast") and not thread) or body.get("parse") not in (None, "none", "full"):
            raise Refused("invalid_arguments")
        if thread:
            self._message(channel.id, thread, "thread_not_found", parent=True)
        if (wait := self._limit(channel.id)) is not None:
            return wait
        shown = self._show(channel.id, body, thread)
        return reply(json={"ok": True, "channel": channel.id, "ts": shown.ts, "message": {"text": shown.text}})

    def _update(self, body: dict[str, Any]) -> Reply:
        channel = self._channel(body.get("channel"))
        message = self._message(channel.id, body.get("ts"), "message_not_found")
        if message.ts in self.foreign:
            raise Refused("cant_update_message")
        if self.fixed:
            raise Refused("edit_window_closed")
        check_message({"blocks": message.blocks, **body})
        now = self.clock()
        while self._edits and self._edits[0] <= now - 60:
            self._edits.popleft()
        if self.paced and len(self._edits) >= 50:
            return limited(int(self._edits[0] + 61 - now))
        self._edits.append(now)
        message.before.append(message.words)
        message.text, message.blocks = body.get("text", ""), body.get("blocks", message.blocks)
        return reply(json={"ok": True, "channel": channel.id, "ts": message.ts, "text": message.text})

    def _listed(self, body: dict[str, Any]) -> Reply:
        channel = self._channel(body.get("channel"))
        if "ts" in body:
            parent = self._message(channel.id, body["ts"], "thread_not_found")
            found = [parent, *self.thread(parent.ts)]
        else:
            found = [each for each in reversed(self.messages) if not each.thread or each.broadcast]
        since, start = float(body.get("oldest", 0)), int(body.get("cursor") or 0)
        found = [each for each in found if each.channel == channel.id and float(each.ts) >= since]
        size = min(self.page, int(body.get("limit", 100)))
        whole = str(body.get("include_all_metadata")).lower() in {"1", "true"}
        shown = [_as_listed(each, whole=whole) for each in found[start : start + size]]
        cursor = str(start + size) if start + size < len(found) else ""
        return reply(json={"ok": True, "messages": shown, "response_metadata": {"next_cursor": cursor}})

    def _upload(self, body: dict[str, Any]) -> Reply:
        if not body.get("filename") or not str(body.get("length", "")).isdecimal() or not int(body["length"]):
            raise Refused("invalid_arguments")
        self._count += 1
        file, path = f"F0{self._count:07}X", f"/upload/v1/{secrets.token_hex(8)}"
        self._uploads[path] = (file, body["filename"], int(body["length"]))
        return reply(json={"ok": True, "upload_url": self.url.removesuffix("/api/") + path, "file_id": file})

    def _share(self, body: dict[str, Any]) -> Reply:
        channel = self._channel(body.get("channel_id"))
        self._message(channel.id, body.get("thread_ts"), "thread_not_found", parent=True)
        (file,) = json.loads(body["files"]) if isinstance(body["files"], str) else body["files"]
        name = next((name for path, (id_, name, _) in self._uploads.items() if id_ == file["id"]), None)
        if name is None or file["id"] not in self.files:
            raise Refused("file_not_found")
        if (wait := self._limit(channel.id)) is not None:
            return wait
        self._uploads = {path: one for path, one in self._uploads.items() if one[0] != file["id"]}
        self._show(channel.id, {"text": file.get("title", name)}, body["thread_ts"]).files.append(name)
        return reply(json={"ok": True, "files": [{"id": file["id"], "title": file.get("title", name)}]})

    def _show(self, channel: str, body: dict[str, Any], thread: str) -> Shown:
        self._count += 1
        ts = f"{self.wall():.3f}{self._count % 1000:03}"
        broadcast = body.get("reply_broadcast") is True
        shown = Shown(channel, ts, body.get("text", ""), body.get("blocks") or [], thread, broadcast)
        shown.metadata = body.get("metadata") or {}
        self.messages.append(shown)
        return shown

    def _channel(self, named: Any, *, names: bool = False) -> Channel:
        for channel in self.channels.values():
            if named == channel.id or (names and str(named).removeprefix("#") == channel.name):
                if channel.archived:
                    raise Refused("is_archived")
                if not channel.member:
                    raise Refused("not_in_channel")
                return channel
        raise Refused("channel_not_found")

    def _message(self, channel: str, ts: Any, code: str, *, parent: bool = False) -> Shown:
        for message in self.messages:
            if message.channel == channel and message.ts == ts and not (parent and message.thread):
                return message
        raise Refused(code)

    def _limit(self, channel: str) -> Reply | None:
        now = self.clock()
        if self.paced and now - self._last.get(channel, now - 10) < 0.9:
            return limited(1)
        self._last[channel] = now
        return None


def _as_listed(message: Shown, *, whole: bool) -> dict[str, Any]:
    metadata = message.metadata if whole else {"event_type": message.metadata.get("event_type")}
    return {"type": "message", "text": message.text, "ts": message.ts, "metadata": metadata}
