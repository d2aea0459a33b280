"""Keeps secrets out of sentences: whatever a server or a library says is cleaned before it is shown."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit, urlunsplit

SHOWN = 300
"""Characters of somebody else's text that are shown."""

_CREDENTIALS = re.compile(r"//[^/\s@]+@")


class Redactor:
    """Takes secrets out of text that is shown: known ones, and user:password@ of any address."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = sorted({secret for secret in secrets if secret}, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """The text on one line, shortened, without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        flat = " ".join(_CREDENTIALS.sub("//***@", text).split())
        flat = "".join(letter if letter.isprintable() else "?" for letter in flat)
        return flat if len(flat) <= SHOWN else flat[: SHOWN - 6] + " [...]"


def split_credentials(url: str) -> tuple[str, tuple[str, str] | None]:
    """A base address without user:password@ and without the last slash, and what was taken out."""
    parts = urlsplit(url)
    auth = (unquote(parts.username or ""), unquote(parts.password or ""))
    host = parts.netloc.rpartition("@")[2]
    clean = urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
    return clean, auth if any(auth) else None


def causes(error: BaseException) -> list[BaseException]:
    """The error and what the libraries have wrapped in it, innermost last."""
    found: list[BaseException] = []
    step: BaseException | None = error
    while step is not None and step not in found:
        found.append(step)
        reason = getattr(step, "reason", None)
        nested = [arg for arg in step.args if isinstance(arg, BaseException)]
        step = reason if isinstance(reason, BaseException) else nested[0] if nested else step.__cause__
    return found


def said(error: BaseException) -> str:
    """An error's own words, fit for the middle of a sentence."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    text = text or type(error).__name__
    head = text[:1].lower() if text[1:2].islower() else text[:1]  # names such as SSL keep their letters
    return head + text[1:].rstrip(".")


def without_query(address: str) -> str:
    """An address without credentials and query: sign-in redirects carry secrets there."""
    head = address.partition("?")[0].partition("#")[0]
    scheme, slashes, rest = head.partition("//")
    host, slash, path = rest.partition("/")
    return scheme + slashes + host.rpartition("@")[2] + slash + path
