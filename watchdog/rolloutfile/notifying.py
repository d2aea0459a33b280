"""`notify:` of a rollout, and the parts of it that the daemon's settings share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from watchdog.messages.notices import BY_KIND
from watchdog.model import NotifyRule, Quiet, Severity, TransitionHook
from watchdog.quantities import shown
from watchdog.rolloutfile.fields import Section, listing, mapping, nullable, text, unknown, word

NONE = "none"
LEVELS = (*(severity.value for severity in Severity), NONE)
_HOURS = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)\s*-\s*([01]?\d|2[0-3]):([0-5]\d)")
_SECRETS = {
    "routing_key": "routing_key_file",
    "token": "token_file",
    "secret": "secret_file",
}


def read_severities(found: Any) -> dict[str, str]:
    """Kind -> severity or `none`; ValueError for a kind that no message has."""
    read = {}
    for kind, level in mapping(found).items():
        if kind not in BY_KIND:
            raise ValueError(unknown("kind of message", str(kind), BY_KIND))
        if level not in LEVELS:
            raise ValueError(f"found {shown(level)} for {kind}, expected one of {', '.join(LEVELS)}")
        read[kind] = str(level)
    return read


def read_quiet(found: Any) -> Quiet:
    """Quiet hours, such as `{between: 22:00-07:00, zone: Europe/Berlin, below: critical}`; ValueError otherwise."""
    data = mapping(found)
    if strange := sorted(set(data) - {"between", "zone", "below"}):
        raise ValueError(f"has the unknown key {strange[0]}; expected between, zone and below")
    hours = _HOURS.fullmatch(str(data.get("between", "")).strip())
    if hours is None:
        raise ValueError(f"between: found {shown(data.get('between'))}, expected hours such as 22:00-07:00")
    first, last = (60 * int(hours[part]) + int(hours[part + 1]) for part in (1, 3))
    if first == last:
        raise ValueError("between: begins and ends at the same time; leave quiet out, or write two different times")
    zone, below = data.get("zone", "UTC"), data.get("below", Severity.CRITICAL.value)
    try:
        ZoneInfo(str(zone))
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(f"zone: found {shown(zone)}, expected a time zone such as Europe/Berlin") from error
    if below not in (Severity.WARNING, Severity.CRITICAL):
        raise ValueError(f"below: found {shown(below)}, expected warning or critical; critical is never held back")
    return Quiet(first, last, str(zone), Severity(below))


def read_notify(root: Section, directory: Path) -> NotifyRule | None:
    """The rollout's `notify`; files are relative to `directory`, that of its file."""
    if not root.has("notify") or root.data["notify"] is None:
        return None
    section = root.section("notify")
    _refuse_secrets(section)

    def file(found: Any) -> str:
        return str(directory / Path(text(found)).expanduser())

    rule = NotifyRule(
        section.take("routing_key_file", nullable(file), None),
        section.take("slack_channel", nullable(text), None),
        section.take("email_to", _addresses, ()),
        section.take("severities", read_severities, {}),
        section.take("quiet", nullable(read_quiet), None),
        _hook(section, file),
    )
    section.close()
    return rule


def _hook(section: Section, file: Any) -> TransitionHook | None:
    if not section.has("on_transition") or section.data["on_transition"] is None:
        return None
    hook = section.section("on_transition")
    if not section.sound("on_transition"):
        return None
    _refuse_secrets(hook)
    url = hook.need("url", _url, "", "the address that takes the POST")
    style = hook.take("style", word("plain", "github"), "plain")
    secret, token = (hook.take(key, nullable(file), None) for key in ("secret_file", "token_file"))
    if hook.sound("style", "token_file", "secret_file"):
        if style == "github" and token is None:
            hook.problem("token_file", "is missing; GitHub takes a repository_dispatch with a token only")
        if style == "plain" and secret is None:
            hook.problem("secret_file", "is missing; without a signature a pipeline could not tell who sent it")
    hook.close()
    return TransitionHook(url, style, secret, token)


def _refuse_secrets(section: Section) -> None:
    """A rollout's text is kept in the ledger and printed in reports: no secret may stand in it."""
    for key, file in _SECRETS.items():
        if key in section.data and section.has(key):
            section.problem(key, f"must not be written into a rollout, whose text is kept and shown; write {file}")


def _addresses(found: Any) -> tuple[str, ...]:
    return tuple(text(item) for item in (listing(found) if not isinstance(found, str) else [found]))


def _url(found: Any) -> str:
    url = text(found)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    if not host or parts.scheme not in {"http", "https"}:
        harmless = re.sub(r"//[^/@]*@", "//...@", url)
        raise ValueError(f"found {shown(harmless)}, expected an address such as https://ci.example/hooks/rollout")
    if parts.username is not None or parts.password is not None:
        raise ValueError("holds a user or a password, which would print; write token_file instead")
    return url
