"""Slack's Web API and its incoming webhooks, through `slack_sdk`: the only module that knows the library.

The library makes the requests and reads the answers; the exchange itself is ours (`slack_wire`). Its retry handlers
and its logger are off: the one would wait in here, the other would write addresses down.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request

from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web import SlackResponse, WebClient
from slack_sdk.webhook import WebhookClient, WebhookResponse

from watchdog.errors import ConfigError, Problem
from watchdog.exchange.answer import parsed
from watchdog.notifiers.slack_errors import SlackError, refusal, word
from watchdog.notifiers.slack_wire import Answer, NoAnswer, posted

EVENT = "slo_watchdog"
"""The type of the metadata by which our messages are known again."""
PAGES = 10
"""Pages of a thread that are looked through."""


class _Strange(Exception):
    """An answer that Slack cannot have given."""


def _silent() -> logging.Logger:
    logger = logging.getLogger("slack_sdk.silent")
    logger.setLevel(logging.CRITICAL + 1)
    logger.disabled = True
    return logger


def _exchanged(request: Request, timeout: float) -> Answer:
    headers = {name: str(text) for name, text in request.header_items()}
    headers.pop("Content-length", None)
    return posted(request.full_url, headers, bytes(request.data or b""), timeout)  # type: ignore[arg-type]


class _Client(WebClient):
    """The library's client over our own exchange."""

    def __init__(self, token: str, url: str, timeout: float) -> None:
        super().__init__(token, url, logger=_silent(), retry_handlers=[])
        self.seconds = timeout

    def _perform_urllib_http_request_internal(self, url: str, req: Request) -> dict[str, Any]:  # noqa: ARG002
        answer = _exchanged(req, self.seconds)
        body: Any = None
        try:
            body = parsed(answer.body)
        except ValueError as error:
            if answer.status == 200:
                raise _Strange("something that is no JSON") from error
        if not isinstance(body, dict):
            if answer.status == 200:
                raise _Strange("something that is no document")
            body = {}
        return {"status": answer.status, "headers": dict(answer.headers), "body": json.dumps(body)}


class _Hook(WebhookClient):
    """Likewise for a webhook."""

    def __init__(self, url: str, timeout: float) -> None:
        super().__init__(url, logger=_silent(), retry_handlers=[])
        self.seconds = timeout

    def _perform_http_request_internal(self, url: str, req: Request) -> WebhookResponse:
        answer = _exchanged(req, self.seconds)
        text = answer.body[:4096].decode(errors="replace").strip()
        return WebhookResponse(url=url, status_code=answer.status, body=text, headers=dict(answer.headers))


class SlackApi:
    """The calls of the Web API that we make, each of them within `timeout` seconds. Reaches nothing when it is made.

    Every method raises SlackError. Raises ConfigError for a token that no HTTP header can hold.
    """

    def __init__(self, token: str, *, url: str | None, timeout: float) -> None:
        if not (token.isascii() and token.isprintable()) or " " in token:
            raise ConfigError([Problem("notify.slack", "the token (not shown) holds blanks or letters of no token")])
        self._url = url or WebClient.BASE_URL
        self._client = _Client(token, self._url, timeout)
        self._token = token
        self._timeout = timeout

    def post(
        self,
        channel: str,
        text: str,
        blocks: Sequence[Mapping[str, Any]],
        *,
        key: str,
        thread: str = "",
        broadcast: bool = False,
    ) -> tuple[str, str]:
        """Post a message, in a thread where one is given; its channel's id and its timestamp, which name it."""
        said = self._call(
            channel,
            lambda: self._client.chat_postMessage(
                channel=channel,
                text=text,
                blocks=[dict(block) for block in blocks] or None,
                thread_ts=thread or None,
                reply_broadcast=True if thread and broadcast else None,
                unfurl_links=False,
                unfurl_media=False,
                mrkdwn=False,
                parse="none",
                metadata={"event_type": EVENT, "event_payload": {"key": key}},
            ),
        )
        where, ts = said.get("channel"), said.get("ts")
        if not isinstance(where, str) or not isinstance(ts, str):
            raise self._strange(channel, "no channel and ts of the message")
        return where, ts

    def edit(self, channel: str, ts: str, text: str, blocks: Sequence[Mapping[str, Any]]) -> None:
        """Replace a message of ours; its metadata stay."""
        self._call(
            channel,
            lambda: self._client.chat_update(
                channel=channel, ts=ts, text=text, blocks=[dict(block) for block in blocks], parse="none"
            ),
        )

    def find(self, channel: str, key: str, *, thread: str = "", since: float) -> str | None:
        """The timestamp of our message with that key, in the thread or in the channel; None when it is not there.

        Only messages from wall time `since` on are looked at. `channel` must be an id.
        """
        more: dict[str, Any] = {"oldest": f"{max(0.0, since):.6f}", "limit": 200, "include_all_metadata": True}
        for _ in range(PAGES):
            said = self._call(
                channel,
                lambda: (
                    self._client.conversations_replies(channel=channel, ts=thread, **more)
                    if thread
                    else self._client.conversations_history(channel=channel, **more)
                ),
            )
            messages, more_of_it = said.get("messages") or [], said.get("response_metadata") or {}
            if not isinstance(messages, list) or not isinstance(more_of_it, dict):
                raise self._strange(channel, "no list of messages")
            for message in messages:
                if _key(message) == key:
                    return str(message.get("ts"))
            cursor = more_of_it.get("next_cursor")
            if not cursor:
                return None
            more["cursor"] = cursor
        return None

    def upload(self, name: str, content: bytes) -> str:
        """Bring a file to Slack, where nobody sees it yet; its id."""
        said = self._call(name, lambda: self._client.files_getUploadURLExternal(filename=name, length=len(content)))
        url, file = said.get("upload_url"), said.get("file_id")
        if not isinstance(url, str) or not isinstance(file, str):
            raise self._strange(name, "no address for the upload")
        if _scheme(url) not in {"https", _scheme(self._url)}:
            raise self._strange(name, "an address for the upload that is not https")
        try:
            answer = posted(url, {"Content-Type": "application/octet-stream"}, content, self._timeout)
        except NoAnswer as error:
            raise SlackError(f"slack: {name} {error}; the file is uploaded again.", everything=True) from None
        if answer.status != 200:
            found = f"slack: {name} refused the file with status {answer.status}"
            raise SlackError(f"{found}.", permanent=400 <= answer.status < 500 and answer.status != 429)
        return file

    def share(self, file: str, title: str, channel: str, thread: str) -> None:
        """Show an uploaded file in a thread."""
        self._call(
            channel,
            lambda: self._client.files_completeUploadExternal(
                files=[{"id": file, "title": title}], channel_id=channel, thread_ts=thread
            ),
        )

    def _call(self, place: str, call: Callable[[], SlackResponse]) -> Mapping[str, Any]:
        try:
            data = call().data
        except SlackApiError as error:
            raise self._refused(place, error.response) from error
        except NoAnswer as error:
            raise SlackError(f"slack: {place} {error}; it is tried again.", everything=True) from None
        except _Strange as error:
            raise self._strange(place, str(error)) from error
        except (SlackClientError, ValueError, TypeError, AttributeError) as error:
            raise self._strange(place, f"something the client cannot read ({type(error).__name__})") from None
        return data if isinstance(data, dict) else {}

    def _refused(self, place: str, response: SlackResponse) -> SlackError:
        said = response.get("error")
        code = word(said.replace(self._token, "***") if isinstance(said, str) else "")
        needed = response.get("needed")
        detail = f" (scope {word(needed)})" if code == "missing_scope" and isinstance(needed, str) else ""
        return refusal(f"slack: {place}", code, detail, response.status_code, response.headers)

    def _strange(self, place: str, found: str) -> SlackError:
        return SlackError(f"slack: {place} answered with {found}; check url; it is tried again.", everything=True)


class SlackHook:
    """An incoming webhook, whose address is a secret. Reaches nothing when it is made. Raises ConfigError."""

    def __init__(self, url: str, *, timeout: float) -> None:
        parts = urlsplit(url)
        sound = url.isascii() and url.isprintable() and " " not in url
        if not sound or parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigError([Problem("notify.slack", "webhook_url (not shown) is no address of a webhook")])
        self._hook = _Hook(url, timeout)
        self._secrets = sorted({url, parts.path, parts.path.rpartition("/")[2]} - {"", "/"}, key=len, reverse=True)

    def post(self, text: str, blocks: Sequence[Mapping[str, Any]]) -> None:
        """Post a message. Raises SlackError."""
        body: dict[str, Any] = {"text": text, "mrkdwn": False, "unfurl_links": False, "unfurl_media": False}
        if blocks:
            body["blocks"] = [dict(block) for block in blocks]
        try:
            answer = self._hook.send_dict(body)
        except NoAnswer as error:
            raise SlackError(f"slack: webhook {error}; it is sent again.", everything=True) from None
        said = answer.body
        if answer.status_code == 200 and said == "ok":
            return
        if answer.status_code == 200:
            found = "slack: webhook answered with something else than ok; check the webhook's address"
            raise SlackError(f"{found}; it is sent again.", everything=True)
        for secret in self._secrets:
            said = said.replace(secret, "***")
        raise refusal("slack: webhook", word(said), "", answer.status_code, answer.headers)


def _scheme(address: str) -> str | None:
    """How the address is spoken to; None where it is none."""
    try:
        return urlsplit(address).scheme
    except ValueError:
        return None


def _key(message: Any) -> str | None:
    metadata = message.get("metadata") if isinstance(message, dict) else None
    if not isinstance(metadata, dict) or metadata.get("event_type") != EVENT:
        return None
    payload = metadata.get("event_payload")
    return payload.get("key") if isinstance(payload, dict) else None
