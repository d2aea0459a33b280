"""A real SMTP server (aiosmtpd) on a loopback port for the tests, and one that says exactly what a test wants.

with MailServer(certificate) as server:
    server.answers["RCPT nobody@example.com"] = "550 no such user"
    ...
    assert server.mails[0]["Subject"] == "..."
"""

from __future__ import annotations

import email
import email.policy
import socket
import ssl
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.servers import free_port
from watchdog.notifiers.email import Server


@dataclass(frozen=True)
class Certificate:
    """A self-made certificate for 127.0.0.1: what a server shows, and what a client trusts."""

    server: ssl.SSLContext
    client: ssl.SSLContext


def made_certificate(directory: Path) -> Certificate:
    """One that `openssl` makes in that directory."""
    key, cert = directory / "key.pem", directory / "cert.pem"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*make, *names, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert, key)
    return Certificate(server, ssl.create_default_context(cafile=str(cert)))


@dataclass
class Taken:
    """One mail as the server took it."""

    sender: str
    to: list[str]
    raw: bytes
    user: str = ""
    encrypted: bool = False
    mail: EmailMessage = field(init=False)

    def __post_init__(self) -> None:
        parsed = email.message_from_bytes(self.raw, policy=email.policy.default)
        assert isinstance(parsed, EmailMessage)
        self.mail = parsed


class MailServer:
    """`security` is starttls, tls or none. With `logins` (user -> password) nobody else may send.

    `answers` are replies to `MAIL`, `RCPT address` and `DATA` other than 250, such as `451 later`; `once` forgets each
    after it was given.
    """

    def __init__(
        self,
        certificate: Certificate,
        security: str = "starttls",
        logins: dict[str, str] | None = None,
        **options: Any,
    ) -> None:
        self.security = security
        self.logins = logins or {}
        self.taken: list[Taken] = []
        self.answers: dict[str, str] = {}
        self.once = False
        starttls = {"tls_context": certificate.server, "require_starttls": True} if security == "starttls" else {}
        self._controller = Controller(
            self,
            hostname="127.0.0.1",
            port=free_port(),
            ssl_context=certificate.server if security == "tls" else None,
            authenticator=self._may,
            **{"auth_require_tls": security == "starttls", **starttls, **options},
        )

    @property
    def mails(self) -> list[EmailMessage]:
        return [taken.mail for taken in self.taken]

    def settings(self, **changes: Any) -> Server:
        """How to reach it."""
        return Server(**{"host": "127.0.0.1", "port": self._controller.port, "security": self.security, **changes})

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = self._answer("MAIL") if session.authenticated or not self.logins else "530 sign in first"
        if answer.startswith("250"):
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        return answer

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        answer = self._answer(f"RCPT {address}")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        answer = self._answer("DATA")
        if answer.startswith("250"):
            raw = envelope.content if isinstance(envelope.content, bytes) else b""
            user = session.auth_data.decode() if session.auth_data else ""
            encrypted = session.ssl is not None
            self.taken.append(Taken(envelope.mail_from or "", list(envelope.rcpt_tos), raw, user, encrypted))
        return answer

    def _answer(self, about: str) -> str:
        return (self.answers.pop(about, None) if self.once else self.answers.get(about)) or "250 OK"

    def _may(self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        user, password = data.login.decode(), data.password.decode()
        fits = self.logins.get(user) == password
        return AuthResult(success=fits, handled=False, message=None, auth_data=user.encode())


class Scripted:
    """Says each of `lines` after what the client sent, the first one as its greeting; then it hangs or hangs up.

    A line may be several of the protocol, and need not be one at all.
    """

    def __init__(self, lines: Sequence[bytes], *, hang: bool = False, drip: float = 0.0) -> None:
        self.lines, self.hang, self.drip = list(lines), hang, drip
        self.heard: list[bytes] = []
        self._over = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        # Closing a listening socket wakes nobody who waits in accept; a connection does.
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._over.is_set():
            connection, _ = self._socket.accept()
            with connection:
                connection.settimeout(10)
                try:
                    self._talk(connection)
                except OSError:
                    continue  # the client has hung up, which some tests make it do

    def _talk(self, connection: socket.socket) -> None:
        for k, line in enumerate(self.lines):
            if k:
                heard = connection.recv(1 << 16)
                if not heard:
                    return
                self.heard.append(heard)
            for byte in line if self.drip else [line]:
                connection.sendall(bytes([byte]) if isinstance(byte, int) else byte)
                if self.drip and self._over.wait(self.drip):
                    return
        if self.hang:
            self._over.wait()
