"""The values that settings are made of: how each is written, and what is said when it is not.

Everything takes text, for that is what an environment gives. Secrets never appear in a sentence.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlsplit

from pydantic import BeforeValidator, SecretStr

from watchdog.quantities import shown
from watchdog.rolloutfile.fields import listing, mapping, positive_duration, text


class Address(NamedTuple):
    """Where to listen. Port 0 lets the system choose a free one."""

    host: str
    port: int


def _path(found: Any) -> Path:
    return found if isinstance(found, Path) else Path(text(found)).expanduser()


def _paths(found: Any) -> tuple[Path, ...]:
    return tuple(_path(item) for item in _words(found))


def _words(found: Any) -> tuple[str, ...]:
    """A list, or the same as text from the environment: JSON, or separated by commas."""
    if isinstance(found, str):
        try:
            found = json.loads(found) if found.lstrip().startswith("[") else found.split(",")
        except ValueError as error:
            raise ValueError(f"found {shown(found)}, expected a list, as JSON or separated by commas") from error
    return tuple(text(item) for item in listing(found))


def _secret(found: Any) -> SecretStr:
    if isinstance(found, SecretStr):
        return found
    if not isinstance(found, str) or not found.strip():
        raise ValueError("expected text (what was found is not shown)")
    return SecretStr(found.strip())


def _url(found: Any) -> str:
    url = text(found)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if host is None or parts.scheme not in {"http", "https"}:
        raise ValueError(f"found {shown(_without_userinfo(url))}, expected an address such as http://127.0.0.1:9090")
    if parts.username is not None or parts.password is not None:
        raise ValueError("holds a user or a password, which would print; write username and password_file instead")
    return url.rstrip("/")


def _without_userinfo(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//...@", url)


def _ledger(found: Any) -> str:
    url = text(found)
    if url.startswith("sqlite:///"):
        if url.removeprefix("sqlite:///").partition("?")[0] in {"", ":memory:"}:
            raise ValueError("found a ledger in memory, which forgets everything; expected sqlite:///FILE")
        return url
    if url.startswith("postgresql+psycopg://"):
        return url
    scheme = url.partition(":")[0] if "://" in url else ""
    hint = " (write postgresql+psycopg://)" if scheme in {"postgres", "postgresql"} else ""
    raise ValueError(
        f"found the scheme {scheme!r}, expected sqlite:///FILE or postgresql+psycopg://HOST/DATABASE{hint}"
    )


def _address(found: Any) -> Address:
    if isinstance(found, Address):
        return found
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):(\d{1,5})", text(found))
    if match is None or int(match[2]) > 65535:
        raise ValueError(f"found {shown(found)}, expected HOST:PORT such as 127.0.0.1:8799")
    return Address(match[1].strip("[]"), int(match[2]))


def _headers(found: Any) -> dict[str, SecretStr]:
    """A mapping, or one as JSON from the environment."""
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except ValueError as error:
            raise ValueError("expected headers as a mapping, or as JSON (what was found is not shown)") from error
    headers = {}
    for name, value in mapping(found).items():
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
            raise ValueError(f"found the header {shown(name)}, expected a header's name such as X-Scope-OrgID")
        headers[name] = _secret(value)
    return headers


def _flag(found: Any) -> bool:
    """True or false; from the environment also as text."""
    if isinstance(found, bool):
        return found
    if isinstance(found, str) and found.strip().lower() in {"true", "false"}:
        return found.strip().lower() == "true"
    raise ValueError(f"found {shown(found)}, expected true or false")


Flag = Annotated[bool, BeforeValidator(_flag)]
Duration = Annotated[float, BeforeValidator(positive_duration)]
Text = Annotated[str, BeforeValidator(text)]
Url = Annotated[str, BeforeValidator(_url)]
Secret = Annotated[SecretStr, BeforeValidator(_secret)]
File = Annotated[Path, BeforeValidator(_path)]
Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
Files = Annotated[tuple[Path, ...], BeforeValidator(_paths)]
Ledger = Annotated[str, BeforeValidator(_ledger)]
Listen = Annotated[Address, BeforeValidator(_address)]
Headers = Annotated[dict[str, SecretStr], BeforeValidator(_headers)]
