"""Mail through an SMTP server: one connection a mail, the whole of it within a bounded time.

A server may take a mail for some of its recipients only. It is then not sent again to those who have it: what is left
is kept in the memo, and addresses that were refused for now are tried again for a day.
"""

from __future__ import annotations

import base64
import io
import json
import smtplib
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from watchdog.errors import NotifierError, NotYet
from watchdog.exchange.wire import Deadline, TimedRaw, connected
from watchdog.messages import Effect, Message
from watchdog.notifiers.base import Memo
from watchdog.notifiers.mail import address, mail_of, message_id
from watchdog.notifiers.texts import cut, one_line

if TYPE_CHECKING:
    from watchdog.config.notifysettings import EmailSettings

WHOLE = 6
"""A whole mail has so many times the `timeout` of a connection: a report has to be carried, and scanned over there."""

LATER = 300.0
"""Seconds until addresses that were refused for now are tried again; greylisting servers want some minutes."""

PATIENCE = 86_400.0
"""Seconds after a message for which such addresses are tried."""

SHOWN = 300
NOT_MAILED = ("step",)
"""Changes that are not mailed: a ramp takes many, and who wants each of them reads Slack."""

_UNAVAILABLE = 421
_TOO_LARGE = 552
_THREAD, _LEFT = "first mail", "addresses left"


@dataclass(frozen=True)
class Server:
    """How to reach the server. `security` is starttls, tls or none; `timeout` seconds to connect."""

    host: str
    port: int
    security: str = "starttls"
    username: str = ""
    password: str = ""
    timeout: float = 10.0


def open_email(settings: EmailSettings) -> Email:
    """The mail server of these settings. Reaches nothing yet."""
    host, port = settings.smtp
    password = settings.password.get_secret_value() if settings.password is not None else ""
    server = Server(host, port, settings.security, settings.username or "", password, settings.timeout)
    return Email(server, settings.sender, settings.to)


class Email:
    """Mails from `sender` to the rollout's own recipients, or else to `to`. `tls` is what certificates are held to."""

    name = "email"
    repeats_known = True

    def __init__(self, server: Server, sender: str, to: Sequence[str], tls: ssl.SSLContext | None = None) -> None:
        self._server = server
        self._sender = sender
        self._to = tuple(to)
        self._tls = tls
        self._who = f"email: the server {server.host}:{server.port}"

    def ready_in(self, message: Message, now: float) -> float:  # noqa: ARG002 - the port's shape
        """0: a mail server that wants to be left alone says so."""
        return 0.0

    def send(self, message: Message, memo: Memo, now: float, *, again: bool) -> str:  # noqa: ARG002 - repeats have one id
        """Mail the message; a repeat has the same Message-ID. Raises NotifierError, NotYet for recipients to come."""
        if not mailed(message):
            return f"not sent: {message.kind} is not mailed"
        left = _left(memo)
        wanted = tuple(left[message.key]) if message.key in left else self._recipients(message)
        thread = memo.get(_THREAD) or ""
        refused = self._deliver(message, wanted, now, thread)
        if not thread:
            memo.put(_THREAD, message_id(message.key, self._sender))
        return self._told(message, memo, now, wanted, refused)

    def close(self) -> None:
        """Nothing is kept open."""

    def _recipients(self, message: Message) -> tuple[str, ...]:
        own = message.rule.email_to if message.rule is not None else ()
        return tuple(dict.fromkeys(own or self._to))

    def _deliver(self, message: Message, wanted: Sequence[str], now: float, thread: str) -> dict[str, tuple[int, str]]:
        """Send it; who was refused, as `wanted` names them, with status and reason. Raises NotifierError."""
        refused: dict[str, tuple[int, str]] = {}
        bare: dict[str, str] = {}
        for each in wanted:
            try:
                bare[each] = address(each)
            except ValueError as error:
                refused[each] = (553, str(error))
        try:
            sender = address(self._sender)
        except ValueError as error:
            found = f"email: the sender {self._shown(self._sender)} {error}; correct from."
            raise NotifierError(found, permanent=True, everything=True) from error
        if not wanted:
            raise NotifierError("email: there is no address to write to; name some as to.", permanent=True)
        if not bare:
            raise self._all_refused(refused)
        try:
            with self._session() as smtp:
                raw = mail_of(message, self._sender, list(bare), now, thread=thread).as_bytes()
                limit = smtp.esmtp_features.get("size", "")
                if limit.isdecimal() and 0 < int(limit) < len(raw):
                    raw = mail_of(message, self._sender, list(bare), now, thread=thread, report=False).as_bytes()
                said = smtp.sendmail(sender, list(dict.fromkeys(bare.values())), raw)
        except smtplib.SMTPRecipientsRefused as error:
            hung_up = (_UNAVAILABLE, b"it hung up before")
            said = {each: error.recipients.get(each, hung_up) for each in bare.values()}
        except (smtplib.SMTPException, OSError, ValueError) as error:
            raise self._failed(error) from error
        for each, plain in bare.items():
            if plain in said:
                status, text = said[plain]
                refused[each] = (status, self._shown(text))
        if len(refused) == len(wanted):
            raise self._all_refused(refused)
        return refused

    def _told(
        self, message: Message, memo: Memo, now: float, wanted: Sequence[str], refused: dict[str, tuple[int, str]]
    ) -> str:
        later = [each for each, (status, _) in refused.items() if status < 500]
        _leave(memo, message.key, later if now < message.at + PATIENCE else [])
        taken = len(wanted) - len(refused)
        reasons = "; ".join(f"{self._shown(each)}: {status} {text}" for each, (status, text) in refused.items())
        sentence = f"took it for {taken} of {len(wanted)} addresses"
        if later and now < message.at + PATIENCE:
            raise NotYet(f"{self._who} {sentence}; not yet for {reasons}.", retry_after=LATER)
        return f"{sentence}; refused for good: {reasons}" if refused else sentence

    def _all_refused(self, refused: dict[str, tuple[int, str]]) -> NotifierError:
        reasons = "; ".join(f"{self._shown(each)}: {status} {text}" for each, (status, text) in refused.items())
        permanent = all(status >= 500 for status, _ in refused.values())
        todo = "correct the addresses" if permanent else "it is sent again"
        return NotifierError(f"{self._who} took it for nobody: {reasons}; {todo}.", permanent=permanent)

    @contextmanager
    def _session(self) -> Iterator[smtplib.SMTP]:
        """A connection that is ready for a mail."""
        server = self._server
        smtp = _Session(server, self._tls or ssl.create_default_context())
        try:
            if server.security == "starttls":
                smtp.starttls(context=smtp.tls)
            smtp.ehlo_or_helo_if_needed()
            if server.username:
                smtp.login(server.username, server.password)
            yield smtp
            with suppress(smtplib.SMTPException, OSError):
                smtp.quit()  # the mail is taken by now, whatever becomes of the goodbye
        finally:
            smtp.close()

    def _failed(self, error: Exception) -> NotifierError:
        """The error that an exchange ended with, by whose trouble it is."""
        if isinstance(error, smtplib.SMTPNotSupportedError):
            found = f"cannot do what is needed: {self._shown(error)}; check security and username"
            return self._error(found, permanent=True, everything=True)
        if isinstance(error, smtplib.SMTPResponseException):
            return self._answered(error)
        if isinstance(error, ssl.SSLError):
            found = (
                f"failed in TLS: {self._shown(error)}; check host, port, security and which certificates are trusted"
            )
            return self._error(found, everything=True)
        if isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):
            return self._error(
                "gave no whole answer in time; it is sent again, under the same Message-ID", everything=True
            )
        if isinstance(error, OSError) and not isinstance(error, smtplib.SMTPException):
            text = self._shown(error.strerror or error)
            return self._error(f"could not be reached: {text}; it is sent again", everything=True)
        if isinstance(error, smtplib.SMTPException):
            text = self._shown(error)
            return self._error(
                f"broke the exchange off: {text}; it is sent again, under the same Message-ID", everything=True
            )
        return self._error(f"cannot be given this mail: {self._shown(error)}", permanent=True)

    def _answered(self, error: smtplib.SMTPResponseException) -> NotifierError:
        status, said = error.smtp_code, self._shown(error.smtp_error)
        refused = 500 <= status < 600
        if isinstance(error, smtplib.SMTPAuthenticationError) and refused:
            found = f"refused user and password ({status}): {said}; correct username and password_file"
            return self._error(found, permanent=True, everything=True)
        if isinstance(error, smtplib.SMTPDataError) and status != _UNAVAILABLE:
            todo = "this mail is not sent again" if refused else "it is sent again"
            return self._error(f"did not take the mail ({status}): {said}; {todo}", permanent=refused)
        if isinstance(error, smtplib.SMTPSenderRefused) and refused:
            found = f"refused the sender ({status}): {said}; "
            if status == _TOO_LARGE:
                return self._error(f"{found}the mail is too large for it", permanent=True)
            return self._error(f"{found}write another address as from", permanent=True, everything=True)
        return self._error(f"is not ready ({status}): {said}; it is sent again", everything=True)

    def _error(self, found: str, *, permanent: bool = False, everything: bool = False) -> NotifierError:
        return NotifierError(f"{self._who} {found}.", permanent=permanent, everything=everything)

    def _shown(self, found: object) -> str:
        """Somebody else's text on one line, shortened, without the password."""
        text = found.decode(errors="replace") if isinstance(found, bytes) else str(found)
        if password := self._server.password:
            login = f"\0{self._server.username}\0{password}"
            for secret in (password, *(base64.b64encode(each.encode()).decode() for each in (password, login))):
                text = text.replace(secret, "***")
        return cut(one_line(text), SHOWN).rstrip(".")


class _Session(smtplib.SMTP):
    """A connection of which nothing lasts for ever: smtplib's own time limit starts anew with each byte."""

    def __init__(self, server: Server, tls: ssl.SSLContext) -> None:
        self.tls = tls
        self._wraps = server.security == "tls"
        self._deadline = Deadline(server.timeout * WHOLE)
        # Not the resolver's idea of our name, which may take its own time.
        own = socket.gethostname() if "." in socket.gethostname() else "[127.0.0.1]"
        super().__init__(server.host, server.port, own, server.timeout)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        sock = connected(host, port, (), Deadline(timeout))
        return self.tls.wrap_socket(sock, server_hostname=host) if self._wraps else sock

    def getreply(self) -> tuple[int, bytes]:
        """The next answer, in what is left of the time."""
        if self.file is None and self.sock is not None:
            raw = self.sock.makefile("rb", buffering=0)
            self.file = io.BufferedReader(TimedRaw(raw, self.sock, self._deadline))
        return super().getreply()


def mailed(message: Message) -> bool:
    """Whether people get a mail of it: incidents, what is broadcast, changes but for single steps, and tests."""
    changes = message.change and message.kind not in NOT_MAILED
    return message.effect is not Effect.TELL or message.broadcast or changes or message.kind == "test"


def _left(memo: Memo) -> dict[str, list[str]]:
    """Message -> the recipients that it has still to go to."""
    found = memo.get(_LEFT)
    left: dict[str, list[str]] = json.loads(found) if found else {}
    return left


def _leave(memo: Memo, key: str, recipients: Sequence[str]) -> None:
    left = _left(memo)
    after = {each: names for each, names in left.items() if each != key}
    if recipients:
        after[key] = list(recipients)
    if after != left:
        memo.put(_LEFT, json.dumps(after))
