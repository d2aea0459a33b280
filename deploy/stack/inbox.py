"""Stands for everybody whom Alertmanager tells: PagerDuty, Slack, a mail server and the dead man's switch.

    python deploy/stack/inbox.py --port 8090 [--smtp-port 8025]

It takes what they would be sent and shows it: `GET /` as lines, newest first, `GET /messages` as JSON with all of it.
The last 500 are kept. Nothing leaves this machine.
"""

from __future__ import annotations

import argparse
import email
import email.policy
import json
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiosmtpd.smtp import SMTP, Envelope, Session

KEPT = 500
LONGEST = 1024 * 1024
ANSWERS = {"pagerduty": (202, b'{"status":"success","message":"Event processed"}'), "slack": (200, b"ok")}


@dataclass(frozen=True)
class Message:
    """One message: when (epoch seconds), by which channel, its title, and all of it."""

    at: float
    channel: str
    title: str
    body: Any


class Inbox:
    """The newest messages."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque(maxlen=KEPT)

    def take(self, channel: str, title: str, body: object) -> None:
        """Keep one message."""
        self._messages.appendleft(Message(time.time(), channel, title, body))

    def newest(self) -> list[Message]:
        """All that are kept, newest first."""
        return list(self._messages)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        """Take a mail."""
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        mail = email.message_from_bytes(content, policy=email.policy.default)
        text = mail.get_body(("plain", "html"))
        self.take("mail", str(mail["Subject"]), text.get_content() if text is not None else "")
        return "250 taken"


def title_of(channel: str, body: dict[str, Any]) -> str:
    """What a person would read first."""
    if channel == "pagerduty":
        payload = body.get("payload") or {}
        return f"{body.get('event_action')}: {payload.get('summary', body.get('dedup_key'))}"
    if channel == "slack":
        attachments = body.get("attachments") or [{}]
        return f"{body.get('channel', '')} {attachments[0].get('title') or body.get('text', '')}"
    alerts = [alert["labels"].get("alertname", "") for alert in body.get("alerts", [])]
    return ": ".join(filter(None, (body.get("status"), ", ".join(alerts))))


class Handler(BaseHTTPRequestHandler):
    """POST /CHANNEL takes a message, GET shows them."""

    server: Desk

    def do_POST(self) -> None:
        """Take a message of pagerduty, slack or a webhook."""
        channel = self.path.split("/")[1]
        said = self.rfile.read(min(int(self.headers.get("Content-Length", "0")), LONGEST))
        try:
            body = json.loads(said)
        except ValueError:
            self._answer(400, b"not JSON\n")
            return
        self.server.inbox.take(channel, title_of(channel, body), body)
        self._answer(*ANSWERS.get(channel, (200, b"taken\n")))

    def do_GET(self) -> None:
        """Show what came."""
        messages = self.server.inbox.newest()
        if self.path == "/messages":
            self._answer(200, json.dumps([asdict(message) for message in messages]).encode())
            return
        lines = [f"{time.strftime('%H:%M:%S', time.gmtime(m.at))}  {m.channel:10}  {m.title}\n" for m in messages]
        self._answer(200, "".join(lines).encode() or b"nobody was told of anything yet\n")

    def log_message(self, *_: object) -> None:
        """Log nothing: the messages are what there is to see."""

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header(
            "Content-Type", "application/json" if body[:1] in {b"[", b"{"} else "text/plain; charset=utf-8"
        )
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Desk(ThreadingHTTPServer):
    """The HTTP side of an inbox."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], inbox: Inbox) -> None:
        self.inbox = inbox
        super().__init__(address, Handler)


@contextmanager
def mail_server(inbox: Inbox, host: str, port: int | None) -> Iterator[None]:
    """Take mails, too, where there is a port for them; only that needs aiosmtpd."""
    if port is None:
        yield
        return
    from aiosmtpd.controller import Controller  # noqa: PLC0415 - without mails it need not be installed

    mail = Controller(inbox, hostname=host, port=port)
    mail.start()
    try:
        yield
    finally:
        mail.stop()


def main() -> None:
    """Command line; until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description="Takes what people would be told.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at")
    parser.add_argument("--port", type=int, required=True, help="port for HTTP")
    parser.add_argument("--smtp-port", type=int, help="port for mail; without it none is taken")
    options = parser.parse_args()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    inbox = Inbox()
    desk = Desk((options.host, options.port), inbox)
    with mail_server(inbox, options.host, options.smtp_port):
        threading.Thread(target=desk.serve_forever, args=(0.1,), daemon=True).start()
        mails = f", mail on {options.host}:{options.smtp_port}" if options.smtp_port is not None else ""
        print(f"inbox on {options.host}:{options.port}{mails}", flush=True)
        ended.wait()
        desk.shutdown()
        desk.server_close()


if __name__ == "__main__":
    main()
