"""Named tokens: what the tokens file says, how a new one is made, and whose a given one is.

The file holds hashes only. A token is 32 random bytes, so its sha256 gives nothing away and needs no salt.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from watchdog.access.model import RESERVED, ROLES, Role
from watchdog.errors import ConfigError, Problem
from watchdog.quantities import parse_time, rfc3339, shown
from watchdog.rolloutfile.fields import listing, mapping, text, unknown
from watchdog.rolloutfile.yamltext import load_mapping

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
NAME_FORM = "1 to 64 letters, digits and . _ @ + -, such as ada or ada@shop.example"
PREFIX = "swd_"
"""A token begins so: whoever looks for secrets in texts can find it."""
MOST = 1000
HEAD = """\
# Who may do what over HTTP, written by `slo-watchdog tokens`. It holds hashes, no tokens. The daemon reads it anew when
# it changes. Comments are not kept.
"""
_KEYS = ("name", "role", "sha256", "created", "expires")


@dataclass(frozen=True, slots=True)
class Token:
    """One entry. Times are epoch seconds; `expires` None: never."""

    name: str
    role: Role
    sha256: str
    created: float
    expires: float | None = None

    @property
    def id(self) -> str:
        """What a session keeps of it: a token that is made anew under the same name is another one."""
        return f"{self.name}:{self.sha256[:16]}"

    def valid(self, now: float) -> bool:
        """Whether it is not over yet."""
        return self.expires is None or now < self.expires


def mint() -> tuple[str, str]:
    """A new token, and its sha256."""
    token = PREFIX + secrets.token_urlsafe(32)
    return token, digest(token)


def digest(token: str) -> str:
    """The sha256 by which a token is known, as hex digits."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def match(tokens: Sequence[Token], given: str) -> Token | None:
    """Whose token this is. Every entry is compared, each in the same time, whatever was given."""
    wanted = digest(given).encode()
    found = None
    for token in tokens:
        if hmac.compare_digest(token.sha256.encode(), wanted):
            found = token
    return found


def parse_tokens(content: str, place: str) -> tuple[Token, ...]:
    """The tokens of a file's text. Raises ConfigError with everything that is wrong in it."""
    data, problems = load_mapping(content, place)
    problems += [
        Problem(f"{place}: {key}", unknown("key", key, ["tokens"])) for key in sorted(data.keys() - {"tokens"})
    ]
    try:
        entries = listing(data.get("tokens", []))
    except ValueError as error:
        raise ConfigError([*problems, Problem(f"{place}: tokens", str(error))]) from error
    if len(entries) > MOST:
        problems.append(Problem(f"{place}: tokens", f"has {len(entries)} entries, expected at most {MOST}"))
    tokens = []
    for number, entry in enumerate(entries[:MOST]):
        try:
            tokens.append(_token(entry))
        except ValueError as error:
            problems.append(Problem(f"{place}: tokens[{number}]", str(error)))
    for what in ("name", "sha256"):
        values = [getattr(token, what) for token in tokens]
        for twice in sorted({value for value in values if values.count(value) > 1}):
            said = f"the name {twice!r}" if what == "name" else "one sha256"
            problems.append(Problem(f"{place}: tokens", f"{said} stands there twice; each token has its own"))
    if problems:
        raise ConfigError(problems)
    return tuple(tokens)


def _token(entry: Any) -> Token:
    data = mapping(entry)
    for key in data:
        if key not in _KEYS:
            raise ValueError(unknown("key", key, _KEYS))
    for key in _KEYS[:4]:
        if key not in data:
            raise ValueError(f"{key} is missing; `slo-watchdog tokens add NAME --role ROLE` writes whole entries")
    role, sha256 = data["role"], text(data["sha256"])
    if not isinstance(role, str) or role not in ROLES:
        raise ValueError(f"role: found {shown(role)}, expected one of {', '.join(ROLES)}")
    if re.fullmatch(r"[0-9a-f]{64}", sha256) is None:
        raise ValueError("sha256: expected 64 hex digits in small letters (what was found is not shown)")
    expires = parse_time(data["expires"]) if data.get("expires") is not None else None
    return Token(name_of(text(data["name"])), ROLES[role], sha256, parse_time(data["created"]), expires)


def name_of(written: str) -> str:
    """A token's name. Raises ValueError when it cannot be one."""
    if NAME.fullmatch(written) is None or written.lower() in RESERVED:
        ours = " (that one is the watchdog's own)" if written.lower() in RESERVED else ""
        raise ValueError(f"name: found {shown(written)}{ours}, expected {NAME_FORM}")
    return written


def render(tokens: Sequence[Token]) -> str:
    """The text of a tokens file."""
    lines = [HEAD, "tokens:\n" if tokens else "tokens: []\n"]
    for token in tokens:
        lines.append(f'  - name: "{token.name}"\n    role: {token.role}\n    sha256: {token.sha256}\n')
        lines.append(f"    created: {rfc3339(token.created)}\n")
        if token.expires is not None:
            lines.append(f"    expires: {rfc3339(token.expires)}\n")
    return "".join(lines)
