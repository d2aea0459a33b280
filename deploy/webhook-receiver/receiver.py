#!/usr/bin/env python3
"""Receives the watchdog's flag messages and runs a command for each: `receiver.py CONFIG`. README.md says how.

It is an example to start from, whole enough to be used: the Python standard library only, no shell anywhere.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from commands import Commands, Failed
from memory import Memory

WINDOW = 300.0
"""Seconds that a message may be old, or ahead of this clock."""

LARGEST = 64 * 1024
SHORTEST_SECRET = 16
ACTIONS = ("set", "kill", "read", "check")


class Refused(Exception):
    """A message that is not obeyed: the HTTP status and a sentence."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


class Receiver:
    """Judges messages, and does what they say."""

    def __init__(self, config: dict[str, Any], base: Path) -> None:
        files = config["secret_file"] if isinstance(config["secret_file"], list) else [config["secret_file"]]
        self.secrets = [(base / name).read_text().strip().encode() for name in files]
        if any(len(secret) < SHORTEST_SECRET for secret in self.secrets):
            raise ValueError(
                f"a secret is shorter than {SHORTEST_SECRET} letters; make one with `openssl rand -hex 32`"
            )
        self.flags: dict[str, dict[str, Any]] = config["flags"]
        self.memory = Memory(base / config.get("state", "receiver.db"))
        self.commands = Commands(self.flags, float(config.get("command_timeout", 4)))
        self._turns = {flag: threading.Lock() for flag in self.flags}

    def answer(self, headers: Any, body: bytes) -> tuple[int, dict[str, Any]]:
        """Status and document for one message. Raises Refused and Failed."""
        signature = self._authentic(headers, body)
        document = _document(body, headers.get("Idempotency-Key", ""))
        flag, action = document["flag"], document["action"]
        if flag not in self.flags:
            raise Refused(404, f"flag {flag} is not configured here; configured are {', '.join(self.flags)}")
        if not self.memory.first_time(signature, time.time(), 2 * WINDOW):
            raise Refused(409, "this very message came before; a message counts once")
        if action == "check":
            return 200, {"actions": self.commands.ready(flag)}
        if action == "read":
            return self._reads(flag)
        if action == "kill":
            self.commands.overtake(flag)
        with self._turns[flag]:
            self._do(document)
            status, reading = self._reads(flag)
        # What cannot be read is acknowledged without a body.
        return (204, {}) if status == 501 else (200, reading)

    def _authentic(self, headers: Any, body: bytes) -> str:
        """The message's signature. Raises Refused for one that is not ours, or not of now."""
        timestamp = headers.get("X-Slo-Watchdog-Timestamp", "")
        version, _, given = headers.get("X-Slo-Watchdog-Signature", "").partition("=")
        signed = timestamp.encode() + b"." + body
        ours = [hmac.new(secret, signed, hashlib.sha256).hexdigest() for secret in self.secrets]
        fits = [hmac.compare_digest(each.encode(), given.encode()) for each in ours]
        if version != "v1" or not any(fits):
            raise Refused(401, "the signature does not fit; give both sides the same secret")
        if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > WINDOW:
            raise Refused(401, f"the message is not of the last {WINDOW:g} s; check the clocks of both sides")
        return given

    def _do(self, document: dict[str, Any]) -> None:
        """Run the command of a change, unless it was done before."""
        flag, action, key = document["flag"], document["action"], document["idempotency_key"]
        last_kill = self.memory.last_kill(flag)
        if action == "set" and last_kill >= document["sent_at"]:
            raise Refused(409, f"flag {flag} was killed after this was sent")
        expect = document.get("expect")
        if action == "set" and expect is not None and (version := self._reads(flag)[1].get("version")) != expect:
            raise Refused(409, f"flag {flag} has version {version}, and {expect} was expected")
        once = action == "kill" and self.flags[flag].get("kill_once") is True
        before = self.memory.outcome(key, flag, action, document.get("rollout") if once else None)
        if before == "done":
            return
        if before == "begun" and once:
            raise Refused(500, f"whether the kill of {flag} ran is not known, and it must not run twice; look yourself")
        args = self.commands.of(flag, action, document)
        if args is None:
            raise Refused(422, f"nothing is configured for `{action}` of flag {flag}")
        change = self.memory.begin(document)
        try:
            self.commands.run(flag, action, args, document)
        except Failed as failure:
            self.memory.end(change, "failed" if failure.known else "begun")
            raise
        self.memory.end(change, "done")

    def _reads(self, flag: str) -> tuple[int, dict[str, Any]]:
        how = self.flags[flag].get("read")
        if how is None:
            return 501, {"message": f"nothing here can say what flag {flag} reads"}
        last = self.memory.last_done(flag)
        if how == "last":
            if self.memory.uncertain(flag):
                raise Refused(503, f"whether the last change of flag {flag} took effect is not known; change it again")
            return 200, {**last, "version": str(last["version"])}
        percent = self.commands.percent(flag)
        return 200, {**last, "percent": percent, "version": f"{last['version']}-{percent:g}"}


def _document(body: bytes, key: str) -> dict[str, Any]:
    """The message's document, checked as far as it is used."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or document.get("format") != 1:
        raise Refused(400, "expected a JSON document of format 1")
    texts = [document.get(name) for name in ("flag", "action", "idempotency_key", "sent_at")]
    if not all(isinstance(text, str) and text for text in texts) or document["action"] not in ACTIONS:
        raise Refused(400, f"expected flag, idempotency_key, sent_at and action, one of {', '.join(ACTIONS)}")
    if document["idempotency_key"] != key:
        raise Refused(400, "the header Idempotency-Key is not that of the document")
    percent, cohort = document.get("percent", 0), document.get("cohort", [])
    number = isinstance(percent, int | float) and not isinstance(percent, bool) and 0 <= percent <= 100
    if not number or not isinstance(cohort, list):
        raise Refused(400, "expected percent from 0 to 100, and cohort as a list")
    return document


class Handler(BaseHTTPRequestHandler):
    """POST: a message, whatever its path. GET /healthz: whether the program lives."""

    receiver: Receiver
    timeout = 10

    def do_GET(self) -> None:
        """Answer a health check."""
        self._send(200 if self.path == "/healthz" else 404, {})

    def do_POST(self) -> None:
        """Take one message."""
        began = time.monotonic()
        try:
            status, document = self.receiver.answer(self.headers, self._body())
        except Refused as refused:
            status, document = refused.status, {"message": str(refused)}
        except Failed as failed:
            status, document = 502 if failed.known else 504, {"message": str(failed)}
        self._send(status, document)
        line = {"status": status, "seconds": round(time.monotonic() - began, 3), **document}
        print(json.dumps(line), file=sys.stderr, flush=True)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """One line a message is written above."""

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > LARGEST:
            raise Refused(413, f"expected a Content-Length of at most {LARGEST}")
        return self.rfile.read(int(length))

    def _send(self, status: int, document: dict[str, Any]) -> None:
        body = b"" if status == 204 else json.dumps(document).encode()
        self.send_response(status)
        if body:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> int:
    """Serve until SIGTERM or SIGINT."""
    try:
        path = Path(sys.argv[1])
        config = json.loads(path.read_text())
        host, _, port = config.get("listen", "127.0.0.1:8808").rpartition(":")
        Handler.receiver = Receiver(config, path.parent)
        server = ThreadingHTTPServer((host, int(port)), Handler)
    except (OSError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        print(f"receiver.py CONFIG: cannot start: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    print(json.dumps({"listening": server.server_address[1]}), file=sys.stderr, flush=True)
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
