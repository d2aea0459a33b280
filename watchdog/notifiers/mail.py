"""What a mail looks like: one message as plain text and as HTML, in one thread a rollout, with the report if it fits.

Nothing in it is fetched from anywhere, and no text of others becomes a header line or markup.
"""

from __future__ import annotations

import hashlib
import html
import mimetypes
from collections.abc import Sequence
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from pathlib import Path
from urllib.parse import urlsplit

from watchdog.messages import Message
from watchdog.notifiers.texts import cut, one_line, readable, whole

LARGEST_REPORT = 10 * 1024 * 1024
"""Bytes of a report that is attached."""

SUBJECT, TEXT, MOST = 180, 8_000, 100
"""Characters of the longest subject, and of the longest text in a body; facts, links and older messages in one mail."""

# Everything as ASCII: a server that knows no 8BITMIME gets the same mail.
_POLICY = SMTP.clone(cte_type="7bit", max_line_length=76)
_COLOURS = {"critical": "#b00020", "warning": "#8a5a00", "info": "#1a5fb4"}


def mail_of(
    message: Message, sender: str, to: Sequence[str], now: float, *, thread: str = "", report: bool = True
) -> EmailMessage:
    """The mail, dated `now`. `thread` is the Message-ID of the rollout's first mail; without `report` none is attached.

    `sender` and `to` went through `address`.
    """
    mail = EmailMessage(policy=_POLICY)
    own = message_id(message.key, sender)
    mail["Subject"] = subject(message)
    mail["From"] = _header(sender)
    mail["To"] = tuple(_header(each) for each in to)
    mail["Date"] = format_datetime(datetime.fromtimestamp(now, UTC))
    mail["Message-ID"] = own
    if thread and thread != own:
        mail["In-Reply-To"] = thread
        mail["References"] = thread
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    mail["X-Slo-Watchdog-Key"] = hashed(message.key)
    data, missing = _report(message.report) if report else (b"", "it is too large for the mail server")
    note = f"The report {message.report} is not attached: {missing}." if message.report and missing else ""
    mail.set_content(_plain(message, note))
    mail.add_alternative(_html(message, note), subtype="html")
    if data:
        kind, _ = mimetypes.guess_type(message.report)
        main, _, sub = (kind or "application/octet-stream").partition("/")
        name = one_line(Path(message.report).name)
        mail.add_attachment(data, maintype=main, subtype=sub, filename=name, cte="base64")
    return mail


def address(text: str) -> str:
    """The bare address in `Name <name@example>`. ValueError for what is none, or what would break out of its line."""
    bare = parseaddr(text)[1] if text.isprintable() else ""
    try:
        Address(addr_spec=bare)
    except (ValueError, IndexError, HeaderParseError) as error:
        raise ValueError("is no address such as ops@example.com") from error
    local, _, domain = bare.rpartition("@")
    if not (local and domain and bare.isascii()) or " " in bare:
        raise ValueError("is no address such as ops@example.com")
    return bare


def message_id(key: str, sender: str) -> str:
    """The same for the same message, in every process: repeats are known by it."""
    return f"<{hashed(key)}@{address(sender).rpartition('@')[2]}>"


def hashed(key: str) -> str:
    """A key as a header can hold it, whatever its letters and length."""
    return hashlib.sha256(whole(key).encode()).hexdigest()[:40]


def subject(message: Message) -> str:
    """`[slo-watchdog] CRITICAL checkout-2.14.0: ...`, on one line."""
    rollout = f" {message.rollout}" if message.rollout else ""
    return cut(one_line(f"[slo-watchdog] {message.severity.value.upper()}{rollout}: {message.summary}"), SUBJECT)


def _header(text: str) -> Address:
    name = parseaddr(text)[0]
    return Address(display_name=one_line(name), addr_spec=address(text))


def _report(place: str) -> tuple[bytes, str]:
    """The report's bytes, or why it cannot be attached; neither where there is none."""
    if not place:
        return b"", ""
    try:
        with Path(place).open("rb") as file:
            data = file.read(LARGEST_REPORT + 1)
    except (OSError, ValueError) as error:
        return b"", getattr(error, "strerror", None) or "its name is no file's"
    if len(data) > LARGEST_REPORT:
        return b"", f"it is larger than {LARGEST_REPORT // 1024 // 1024} MB"
    return data, "" if data else "it is empty"


def _said(text: str) -> str:
    return cut(readable(text), TEXT)


def _rows(message: Message) -> list[tuple[str, str]]:
    """What the body says below the summary, as (name, text)."""
    at = datetime.fromtimestamp(message.at, UTC).isoformat(sep=" ", timespec="seconds").replace("+00:00", " UTC")
    rows = [("Done", message.done), ("To do", message.todo), ("When", at)]
    rows += [("Service", " ".join(filter(None, (message.service, message.version)))), ("Flag", message.flag)]
    rows += message.facts[:MOST]
    rows += [("Before", summary) for summary in message.earlier[-MOST:]]
    return [(one_line(_said(name)), _said(text)) for name, text in rows if text]


def _plain(message: Message, note: str) -> str:
    lines = [_said(message.summary), ""]
    lines += [f"{name}: {text}" for name, text in _rows(message)]
    lines += ["", *(f"{one_line(_said(link.text))}: {one_line(_said(link.url))}" for link in message.links[:MOST])]
    lines += [one_line(_said(note))] if note else []
    return "\n".join(lines) + "\n"


def _html(message: Message, note: str) -> str:
    def safe(text: str) -> str:
        return html.escape(text, quote=True).replace("\n", "<br>")

    colour = _COLOURS[message.severity.value]
    rows = "".join(
        f'<tr><th style="text-align:left;vertical-align:top;padding-right:1em">{safe(name)}</th>'
        f"<td>{safe(text)}</td></tr>\n"
        for name, text in _rows(message)
    )
    links = "".join(f"<p>{_link(one_line(_said(link.text)), link.url)}</p>\n" for link in message.links[:MOST])
    noted = f"<p>{safe(one_line(_said(note)))}</p>\n" if note else ""
    return (
        f'<!doctype html>\n<html><body style="font-family:sans-serif">\n'
        f'<p style="color:{colour}"><strong>{safe(message.severity.value.upper())}</strong></p>\n'
        f"<p><strong>{safe(_said(message.summary))}</strong></p>\n<table>\n{rows}</table>\n{links}{noted}</body></html>\n"
    )


def _link(text: str, url: str) -> str:
    """A link to a page; anything else is shown and leads nowhere."""
    try:
        parts = urlsplit(url)
        leads = parts.scheme in {"http", "https"} and bool(parts.hostname) and url.isprintable() and len(url) <= TEXT
    except ValueError:
        leads = False
    shown = html.escape(one_line(_said(url)), quote=True)
    return f'{html.escape(text)}: <a href="{shown}">{shown}</a>' if leads else f"{html.escape(text)}: {shown}"
