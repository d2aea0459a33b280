"""Who tests let in: tokens in a real file, a browser that behaves as browsers do, a connection from another address."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from watchdog.access.model import Role
from watchdog.access.tokens import Token, digest, render
from watchdog.config.httpsettings import HttpSettings

ADA, BOB, EVE = "swd_ada-who-operates", "swd_bob-who-approves", "swd_eve-who-only-looks"
"""Tokens: an operator's, an approver's and a viewer's."""
PROXY = "127.0.0.2"
"""The one address from which headers about people are believed."""
CREATED = 1_700_000_000.0


def entry(name: str, role: Role, token: str, expires: float | None = None) -> Token:
    return Token(name, role, digest(token), CREATED, expires)


ADAS, BOBS, EVES = (
    entry("ada", Role.OPERATOR, ADA),
    entry("bob", Role.APPROVER, BOB),
    entry("eve", Role.VIEWER, EVE),
)


def tokens_file(directory: Path, *tokens: Token) -> Path:
    """A tokens file with these, all three if none are named."""
    path = directory / "tokens.yaml"
    path.write_text(render(tokens or (ADAS, BOBS, EVES)))
    return path


def http(directory: Path, **more: Any) -> HttpSettings:
    """The settings of a site that knows the three."""
    return HttpSettings(tokens_file=tokens_file(directory), **more)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def via(address: str) -> requests.Session:
    """A client that connects from this address of the loopback network."""
    session = requests.Session()
    session.mount("http://", _From(address))
    return session


class _From(HTTPAdapter):
    def __init__(self, address: str) -> None:
        self.address = address
        super().__init__()

    def init_poolmanager(self, *args: Any, **named: Any) -> None:
        super().init_poolmanager(*args, source_address=(self.address, 0), **named)


@dataclass
class Browser:
    """Keeps cookies, and says with each request which page it comes from, as browsers do; follows no redirect."""

    url: str
    session: requests.Session = field(default_factory=requests.Session)
    verify: str | bool = True

    def get(self, path: str, **headers: str) -> requests.Response:
        sent = {"Accept": "text/html,*/*;q=0.8", "Sec-Fetch-Site": "same-origin", **_dashed(headers)}
        return self.session.get(self.url + path, headers=sent, allow_redirects=False, timeout=20, verify=self.verify)

    def post(self, path: str, fields: dict[str, str] | None = None, **how: Any) -> requests.Response:
        sent = {"Accept": "text/html,*/*;q=0.8", "Sec-Fetch-Site": "same-origin", "Origin": self.url}
        headers = {name: value for name, value in (sent | how.pop("headers", {})).items() if value is not None}
        how |= {"allow_redirects": False, "timeout": 20, "verify": self.verify}
        return self.session.post(self.url + path, data=fields, headers=headers, **how)

    def login(self, token: str, wanted: str = "/") -> requests.Response:
        """Open the page, fill the form in, send it."""
        shown = self.get(f"/login?next={wanted}")
        return self.post("/login", {"csrf": csrf_of(shown, "/login"), "next": wanted, "token": token})

    @property
    def csrf(self) -> str:
        """What the pages of this session carry in their forms."""
        return csrf_of(self.get("/login"), "/logout")


def csrf_of(answer: requests.Response, action: str) -> str:
    """The hidden field of the form with this action."""
    (form,) = re.findall(rf'<form method="post" action="{action}".*?</form>', answer.text, re.DOTALL)
    (found,) = re.findall(r'name="csrf" value="([^"]+)"', form)
    return str(found)


def _dashed(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
