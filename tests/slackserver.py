"""A strict local Slack: the methods of the Web API that the watchdog uses, and an incoming webhook.

with SlackServer() as slack:
    slack.fail("chat.postMessage", limited(2), lost(reply(500)))
    ...
    assert [message.text for message in slack.thread(parent.ts)]

Facts from the reference: paths, content types, errors in `{"ok": false, "error": ...}` with status 200 but for 429,
limits of texts and blocks, metadata shown on request only, one message a second in a channel, 50 edits a minute, three
steps of an upload of which the last may be taken once, plain words of webhooks. Inferred, for lack of the real service:
`thread_not_found` for a reply to what is not there, `file_not_found` for a second completion, the 429 of short bursts
(here a tenth of a second is forgiven), and that arguments nobody knows are refused.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import parse_qsl

from tests.answering import Answering, Reply, Request, reply
from tests.slackcontract import Refused, check_message
from tests.slackworkspace import TOKEN, Channel, Shown, Workspace, failing, limited

__all__ = ["HOOK", "TOKEN", "Call", "Channel", "Shown", "SlackServer", "failing", "limited", "lost"]

HOOK = "/services/T0AAAAAAA/B0BBBBBBB/staplebatteryhorse24"
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
_ARGUMENTS = {
    "chat.postMessage": "channel text blocks thread_ts reply_broadcast unfurl_links unfurl_media mrkdwn parse metadata",
    "chat.update": "channel ts text blocks parse metadata",
    "conversations.replies": "channel ts oldest limit cursor include_all_metadata",
    "conversations.history": "channel oldest limit cursor include_all_metadata",
    "files.getUploadURLExternal": "filename length",
    "files.completeUploadExternal": "files channel_id thread_ts",
}
_SCOPES = {"chat": "chat:write", "conversations": "channels:history", "files": "files:write"}
Behaviour = Reply | Callable[["SlackServer", Request], Reply]


@dataclass(frozen=True)
class Call:
    """One request: the method (or `webhook`, `upload`), when it came by the server's clock, and its arguments."""

    method: str
    at: float
    body: dict[str, Any]


def lost(answer: Reply) -> Behaviour:
    """The request is carried out, but the client is given something else."""

    def behave(server: SlackServer, request: Request) -> Reply:
        server.carried_out(request)
        return answer

    return behave


class SlackServer(Workspace):
    """The workspace with the server in front of it; made with the arguments of `Workspace`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.calls: list[Call] = []
        self._behaviours: dict[str, deque[Behaviour]] = {}
        self._lock = threading.RLock()
        self._server = Answering()

    def __enter__(self) -> Self:
        self._server.always(self._answer)
        self.url = f"{self._server.url}/api/"
        self._server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.__exit__()

    @property
    def hook_url(self) -> str:
        """The address of the incoming webhook of the first channel."""
        return self._server.url + HOOK

    @property
    def received(self) -> list[Request]:
        """The raw requests."""
        return self._server.asked

    def fail(self, method: str, *behaviours: Behaviour) -> Self:
        """What the next requests to the method meet, in order; `webhook` and `upload` are methods, too."""
        self._behaviours.setdefault(method, deque()).extend(behaviours)
        return self

    def recover(self) -> None:
        """Forget the behaviours not yet met."""
        self._behaviours.clear()

    def of(self, method: str) -> list[Call]:
        """The requests to one method."""
        return [call for call in self.calls if call.method == method]

    def carried_out(self, request: Request) -> Reply:
        """What Slack does with a request, and says."""
        try:
            if request.method != "POST":
                return reply(405, b"method_not_allowed")
            if request.target.startswith("/upload/"):
                return self._received(request)
            if not request.target.startswith("/api/"):
                return self._hooked(request)
            return self._called(request.target.removeprefix("/api/"), request)
        except Refused as refused:
            more = {"response_metadata": {"messages": [f"[ERROR] {each}" for each in refused.details]}}
            return failing(refused.code, **more)

    def _answer(self, request: Request) -> Reply:
        method = request.target.removeprefix("/api/")
        if method == request.target:
            method = "upload" if method.startswith("/upload/") else "webhook"
        with self._lock:
            self.calls.append(Call(method, self.clock(), {} if method == "upload" else arguments(request)))
            waiting = self._behaviours.get(method)
            behaviour = waiting.popleft() if waiting else None
            if isinstance(behaviour, Reply):
                return behaviour
            return behaviour(self, request) if behaviour else self.carried_out(request)

    def _called(self, method: str, request: Request) -> Reply:
        allowed = (JSON, FORM) if method.startswith(("chat.", "files.complete")) else (FORM,)
        if request.headers.get("content-type", "").partition(";")[0] not in allowed:
            raise Refused("invalid_form_data")
        sent = request.headers.get("authorization", "")
        if sent != f"Bearer {self.token}":
            raise Refused("invalid_auth" if sent else "not_authed")
        if method not in _ARGUMENTS:
            raise Refused("unknown_method")
        body = arguments(request)
        if set(body) - set(_ARGUMENTS[method].split()) or None in body.values():
            raise Refused("invalid_arguments", str(sorted(body)))
        scope = _SCOPES[method.partition(".")[0]]
        if scope not in self.scopes:
            return failing("missing_scope", needed=scope, provided=",".join(sorted(self.scopes)))
        calls: dict[str, Callable[[dict[str, Any]], Reply]] = {
            "chat.postMessage": self._post,
            "chat.update": self._update,
            "conversations.replies": self._listed,
            "conversations.history": self._listed,
            "files.getUploadURLExternal": self._upload,
            "files.completeUploadExternal": self._share,
        }
        return calls[method](body)

    def _received(self, request: Request) -> Reply:
        file, _, length = self._uploads.get(request.target, ("", "", -1))
        if len(request.body) != length or "authorization" in request.headers:
            return reply(400, b"bad upload")
        self.files[file] = request.body
        return reply(200, f"OK - {length}".encode())

    def _hooked(self, request: Request) -> Reply:
        first = next(iter(self.channels.values()))
        if request.target != HOOK:
            return reply(404, b"no_service")
        if first.archived:
            return reply(410, b"channel_is_archived")
        body = arguments(request)
        if request.headers.get("content-type", "").partition(";")[0] != JSON or not body:
            return reply(400, b"invalid_payload")
        if set(body) - {"text", "blocks", "mrkdwn", "unfurl_links", "unfurl_media"}:
            return reply(400, b"invalid_payload")
        try:
            check_message(body)
        except Refused as refused:
            return reply(400, refused.code.encode())
        if (wait := self._limit(first.id)) is not None:
            return wait
        self._show(first.id, body, "")
        return reply(200, b"ok")


def arguments(request: Request) -> dict[str, Any]:
    """The body as a document, from JSON or a form; empty when it is neither."""
    try:
        if request.headers.get("content-type", "").startswith(JSON):
            found = json.loads(request.body.decode())
            return found if isinstance(found, dict) else {}
        return dict(parse_qsl(request.body.decode(), strict_parsing=True))
    except ValueError:
        return {}
