"""The section `http` of `watchdog.yaml`: the page and the API, and who is let in there."""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from watchdog.config.sections import Part
from watchdog.config.values import Address, File, Listen, Secret, Url
from watchdog.quantities import shown
from watchdog.rolloutfile.fields import listing, mapping, text, word

ROLES = ("viewer", "operator", "approver")
SHORTEST_KEY = 32
"""Characters of a session key: what `openssl rand -hex 16` gives."""
_TAKEN = {"authorization", "connection", "content-length", "content-type", "cookie", "host", "origin"}
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def _networks(found: Any) -> tuple[str, ...]:
    """Networks as people write them, each checked."""
    if isinstance(found, str):
        try:
            found = json.loads(found) if found.lstrip().startswith("[") else found.split(",")
        except ValueError as error:
            raise ValueError(f"found {shown(found)}, expected a list, as JSON or separated by commas") from error
    networks = []
    for item in found if isinstance(found, tuple) else listing(found):
        try:
            network = ipaddress.ip_network(text(item))
        except ValueError as error:
            raise ValueError(f"found {shown(item)}, expected networks such as 10.0.0.0/8 or 127.0.0.1/32") from error
        if network.prefixlen == 0:
            raise ValueError(f"found {network}, which is everybody: anybody could write the headers; name the proxy")
        networks.append(str(network))
    return tuple(networks)


def _header(found: Any) -> str:
    """The name of a header that has no other meaning."""
    name = text(found)
    if re.fullmatch(r"[A-Za-z0-9-]{1,60}", name) is None or name.lower() in _TAKEN:
        raise ValueError(f"found {shown(name)}, expected a header of the proxy's own such as X-Forwarded-User")
    return name


def _roles(found: Any) -> dict[str, str]:
    """Groups with the role of each; from the environment as JSON."""
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except ValueError as error:
            raise ValueError(f"found {shown(found)}, expected a mapping, or one as JSON") from error
    role = word(*ROLES)
    return {text(group): role(value) for group, value in mapping(found).items()}


Networks = Annotated[tuple[str, ...], BeforeValidator(_networks)]
Header = Annotated[str, BeforeValidator(_header)]
Roles = Annotated[dict[str, str], BeforeValidator(_roles)]
Role = Annotated[str, BeforeValidator(word(*ROLES))]


class ProxySettings(Part):
    """A proxy before the page that logs people in and says in headers who they are, see docs/access.md.

    For example::

        http:
          proxy:
            trusted: [127.0.0.1/32]
            user_header: X-Auth-Request-Email
            groups_header: X-Auth-Request-Groups
            roles: {sre: approver, developers: operator}
            default_role: viewer
    """

    trusted: Networks = Field(description="trusted: [127.0.0.1/32], the addresses that the proxy connects from")
    """Addresses that the proxy connects from. The headers of anybody else are ignored."""
    user_header: Header = "X-Forwarded-User"
    """Header with the person's name, which goes on record."""
    groups_header: Header | None = None
    """Header with the person's groups, separated by commas."""
    roles: Roles = Field(default_factory=dict)
    """The role of each group: `viewer`, `operator` or `approver`. Who is in several has the highest."""
    default_role: Role | None = None
    """The role of a person in none of them; without it they have none."""
    client_header: Header | None = None
    """Header with the addresses of those who asked the proxy, such as `X-Forwarded-For`. With it, wrong tokens are
    counted by client, without it by proxy."""

    @model_validator(mode="after")
    def _complete(self) -> ProxySettings:
        if not self.trusted:
            raise ValueError("has no address in trusted, so it trusts nobody; name the proxy's, or remove proxy")
        if self.roles and self.groups_header is None:
            raise ValueError("has roles and no groups_header; write the header in which the proxy sends groups")
        return self


class TlsSettings(Part):
    """TLS at `http.listen` itself, version 1.2 or later. New files are taken without a restart.

    For example::

        http:
          tls: {cert_file: tls.crt, key_file: tls.key}
    """

    cert_file: File = Field(description="cert_file: tls.crt, the certificate with its chain as PEM")
    """Certificate with its chain, PEM."""
    key_file: File = Field(description="key_file: tls.key, the certificate's key as PEM")
    """Its key, PEM, without a passphrase."""


class HttpSettings(Part):
    """The status page and API.

    For example::

        http:
          listen: 127.0.0.1:8799
          external_url: https://watchdog.example
          tokens_file: tokens.yaml
          session_key_file: session.key
          reads: token
    """

    listen: Listen = Address("127.0.0.1", 8799)
    """Address of the status page, the API and `/metrics`. Port 0 takes a free one."""
    external_url: Url | None = None
    """How people reach it, for links."""
    tokens_file: File | None = None
    """Named tokens with their roles, written by `slo-watchdog tokens`, read anew when it changes; see
    docs/access.md."""
    token: Secret | None = None
    """One token for all: whoever brings it is an approver, by the name that the request says. `tokens_file` is
    better."""
    token_file: File | None = None
    reads: Annotated[str, BeforeValidator(word("public", "token"))] = "public"
    """`public`: everybody who reaches the address may read. `token`: only who is at least a viewer, but for probes."""
    session_key: Secret | None = None
    """Signs browser sessions, at least 32 characters. Without it each process makes its own, so that a restart ends
    every session; replicas need one in common."""
    session_key_file: File | None = None
    proxy: ProxySettings | None = None
    tls: TlsSettings | None = None

    @model_validator(mode="after")
    def _sensible(self) -> HttpSettings:
        key = self.session_key
        if key is not None and len(key.get_secret_value()) < SHORTEST_KEY:
            raise ValueError(
                f"has a session_key (not shown) of fewer than {SHORTEST_KEY} characters; make one with "
                "`openssl rand -hex 32`"
            )
        if self.reads == "token" and not self.lets_in:
            raise ValueError("has reads: token and no tokens_file, token_file or proxy, so nobody could read anything")
        return self

    @property
    def lets_in(self) -> bool:
        """Whether there is any way to prove who one is."""
        return self.token is not None or self.tokens_file is not None or self.proxy is not None

    @property
    def warnings(self) -> list[str]:
        """What is legal and still worth a sentence of `check`."""
        if self.listen.host in LOOPBACK or self.lets_in:
            return []
        ways = "http.token, http.tokens_file or http.proxy"
        return [f"http.listen: is open to the network without {ways}; changing calls will be refused"]
