"""People whom a proxy before us has logged in, as its headers say: believed from the proxy, and from nobody else."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from watchdog.access.model import LONGEST_NAME, Principal, Role, is_name
from watchdog.errors import WatchdogError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Headers = Sequence[tuple[bytes, bytes]]
LONGEST_GROUPS = 16 * 1024
MOST_HOPS = 32


class BadHeader(WatchdogError):
    """A header that decides who somebody is does not have the form of one."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """Which peers are believed, and what their headers mean. `client_header` names who asked them."""

    trusted: tuple[Network, ...]
    user_header: str
    groups_header: str | None = None
    roles: Mapping[str, Role] = field(default_factory=dict)
    default_role: Role | None = None
    client_header: str | None = None

    def trusts(self, peer: str | None) -> bool:
        """Whether this peer is the proxy."""
        try:
            found = ipaddress.ip_address(peer or "")
        except ValueError:
            return False
        mapped = getattr(found, "ipv4_mapped", None)
        return any((mapped or found) in network for network in self.trusted)

    def claimed(self, headers: Headers) -> bool:
        """Whether a request brings one of the headers, whoever sent it."""
        names = {name.lower().encode() for name in (self.user_header, self.groups_header) if name is not None}
        return any(name in names for name, _ in headers)

    def principal(self, headers: Headers) -> Principal | None:
        """The person that a trusted proxy names; None when it names nobody, or somebody without a role.

        Raises BadHeader.
        """
        name = only(headers, self.user_header)
        if not name:
            return None
        if not is_name(name):
            raise BadHeader(
                f"{self.user_header} is no name: expected at most {LONGEST_NAME} printable characters, and none of the "
                "watchdog's own names (what was found is not shown)"
            )
        role = self._role(headers)
        return Principal(name, role, "proxy") if role is not None else None

    def client(self, peer: str, headers: Headers) -> str:
        """Who asked a trusted proxy: the last address in its list that is none of ours. Else the peer itself."""
        if self.client_header is None:
            return peer
        written = ",".join(_text(value, self.client_header) for value in values(headers, self.client_header))
        for hop in reversed(written.split(",")[-MOST_HOPS:]):
            address = hop.strip().strip("[]")
            if address and not self.trusts(address):
                return address if _is_address(address) else peer
        return peer

    def _role(self, headers: Headers) -> Role | None:
        groups: set[str] = set()
        if self.groups_header is not None:
            written = only(headers, self.groups_header) or ""
            if len(written) > LONGEST_GROUPS:
                raise BadHeader(f"{self.groups_header} is longer than {LONGEST_GROUPS} characters")
            groups = {group.strip() for group in written.split(",")}
        found = [role for group, role in self.roles.items() if group in groups]
        return max(found) if found else self.default_role


def only(headers: Headers, name: str) -> str | None:
    """The value of a header that stands there once; None when it is not there. Raises BadHeader."""
    found = values(headers, name)
    if len(found) > 1:
        raise BadHeader(f"{name} stands in the request {len(found)} times, and it decides who asks; send it once")
    return _text(found[0], name).strip() if found else None


def values(headers: Headers, name: str) -> list[bytes]:
    """Every value of a header."""
    wanted = name.lower().encode("latin-1")
    return [value for key, value in headers if key == wanted]


def _text(value: bytes, name: str) -> str:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadHeader(f"{name} is not UTF-8 text") from error
    if not text.replace("\t", " ").isprintable():
        raise BadHeader(f"{name} holds control characters")
    return text


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
