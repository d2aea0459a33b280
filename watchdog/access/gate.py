"""The gate: whose a request is, by token, session or proxy; and how often somebody may be wrong."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from watchdog.access.attempts import Attempts
from watchdog.access.model import SHARED, Principal, Role
from watchdog.access.proxy import Headers, Proxy, only, values
from watchdog.access.sessions import Session, Sessions
from watchdog.access.tokenfile import TokenFile
from watchdog.access.tokens import Token, digest, match
from watchdog.errors import WatchdogError
from watchdog.quantities import rfc3339

COOKIE = "slo-watchdog"
SECURE_COOKIE = f"__Host-{COOKIE}"
"""Under https: no other host, no other path and no unencrypted answer can set a cookie of this name."""
MOST_SAID = 64
"""Peers of which it is said, once each, that they are no trusted proxy."""
ELSEWHERE = "an unknown address"
log = structlog.get_logger()


class TooMany(WatchdogError):
    """An address was wrong too often; `retry_after` seconds have to go by."""

    def __init__(self, retry_after: float) -> None:
        self.retry_after = max(1, round(retry_after + 0.5))
        super().__init__(f"too many tokens from this address were wrong; try again in {self.retry_after} s")


@dataclass(frozen=True, slots=True)
class Asker:
    """A request, as far as it says who sends it. Names of headers are in small letters."""

    peer: str | None
    headers: Headers
    secure: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """Who it is. `ambient`: a browser sends the proof by itself, so a change must show that it was meant.

    `why` says what was wrong with what was brought, empty when nothing was.
    """

    principal: Principal | None = None
    why: str = ""
    client: str = ELSEWHERE
    session: Session | None = None
    kind: str = ""
    about: str = ""
    token: str = ""
    """The id of the token that was shown, now or when the session was opened."""

    @property
    def ambient(self) -> bool:
        """Whether a foreign page could make a browser send this request in somebody's name."""
        return self.kind != ""


class Gate:
    """Every way in. `shared` is the one token of old, an approver's; `sessions` are made by showing a token once."""

    def __init__(
        self,
        *,
        shared: str | None = None,
        tokens: TokenFile | None = None,
        proxy: Proxy | None = None,
        sessions: Sessions | None = None,
        attempts: Attempts | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._shared = shared or None
        self._tokens = tokens
        self._proxy = proxy
        self.sessions = sessions if sessions is not None else Sessions()
        self.attempts = attempts if attempts is not None else Attempts(time.monotonic)  # an empty one is false
        self._clock = clock
        self._said: set[str] = set()

    @property
    def closed(self) -> bool:
        """Whether nobody can ever be let in: no kind of proof is configured."""
        return self._shared is None and self._tokens is None and self._proxy is None

    @property
    def takes_tokens(self) -> bool:
        """Whether a token can be shown at all."""
        return self._shared is not None or self._tokens is not None

    def find(self, asker: Asker) -> Found:
        """Whose this request is. Raises TooMany, and BadHeader for what no honest client sends."""
        client = self.client(asker)
        vouched = self._vouched(asker)
        given = bearer(asker.headers)
        why = ""
        if given:
            try:
                shown = self._shown(given, client, vouched is None)
            except TooMany:
                if vouched is None:
                    raise
            else:
                if shown.principal is not None:
                    return shown
                why = shown.why
        found = self._session(asker, client)
        if found is not None and not (given and vouched is None):
            return found
        if vouched is not None:
            about = vouched.name
            return Found(vouched, client=client, kind="proxy", about=about)
        return Found(why=why, client=client)

    def client(self, asker: Asker) -> str:
        """The address that attempts are counted for. Raises BadHeader."""
        if asker.peer is None:
            return ELSEWHERE
        if self._proxy is not None and self._proxy.trusts(asker.peer):
            return self._proxy.client(asker.peer, asker.headers)
        return asker.peer

    def try_token(self, given: str, client: str) -> Token | None:
        """The valid token that this is, None for any other, which counts as a failed attempt. Raises TooMany."""
        if (wait := self.attempts.wait(client)) > 0:
            raise TooMany(wait)
        token = match(self._known(), given)
        if token is None:
            self.attempts.failed(client)
        return token

    def login(self, given: str, client: str) -> tuple[str | None, str]:
        """The cookie of a new session for whoever shows this token; else None, and why not. Raises TooMany."""
        token, now = self.try_token(given, client), self._clock()
        if token is None:
            return None, "that is no token of this watchdog"
        if not token.valid(now):
            return None, _over(token)
        return self.sessions.issue(token.id, now), ""

    def logout(self, session: Session) -> None:
        """End a session, here and for all who share its key."""
        self.sessions.end(session, self._clock())

    def look(self) -> None:
        """Hear of the sessions that were ended elsewhere."""
        self.sessions.logouts.look(self._clock())

    def standing(self) -> Callable[[Found], bool]:
        """Whether what somebody has proved before is good now, as a test for many: tokens are looked at once for all.

        What a proxy says holds for the request that it came with; nobody can be asked whether it still does.
        """
        now = self._clock()
        valid = {token.id for token in self._known() if token.valid(now)}

        def stands(found: Found) -> bool:
            if found.kind == "proxy":
                return True
            return found.token in valid and (found.session is None or self.sessions.lasts(found.session, now))

        return stands

    def csrf(self, found: Found) -> str:
        """What a form of theirs must carry; empty where no form is needed."""
        return self.sessions.csrf(found.kind, found.about) if found.ambient else ""

    def _known(self) -> list[Token]:
        shared = [Token(SHARED, Role.APPROVER, digest(self._shared), 0.0)] if self._shared is not None else []
        return [*shared, *(self._tokens.tokens() if self._tokens is not None else ())]

    def _shown(self, given: str, client: str, counts: bool) -> Found:  # noqa: FBT001
        """Who brings this token. One that goes along with a proxy's word is often the proxy's own, and not counted."""
        token = self.try_token(given, client) if counts else match(self._known(), given)
        if token is None:
            return Found(why="another token than one", client=client)
        if not token.valid(self._clock()):
            return Found(why=_over(token), client=client)
        return Found(_principal(token, client, "token"), client=client, token=token.id)

    def _session(self, asker: Asker, client: str) -> Found | None:
        cookie = cookie_of(asker)
        session = self.sessions.read(cookie, self._clock()) if cookie else None
        if session is None:
            return None
        for token in self._known():
            if hmac.compare_digest(token.id.encode(), session.subject.encode()) and token.valid(self._clock()):
                principal = _principal(token, client, "session")
                return Found(principal, "", client, session, "session", session.login, token.id)
        return None

    def _vouched(self, asker: Asker) -> Principal | None:
        proxy = self._proxy
        if proxy is None:
            return None
        if proxy.trusts(asker.peer):
            return proxy.principal(asker.headers)
        peer = asker.peer or ELSEWHERE
        if proxy.claimed(asker.headers) and peer not in self._said and len(self._said) < MOST_SAID:
            self._said.add(peer)
            why = f"brings {proxy.user_header} and is not in http.proxy.trusted: that header is ignored"
            log.warning("http", peer=peer, why=why)
        return None


def bearer(headers: Headers) -> str:
    """The token that a request brings in its header, empty when it brings none. Raises BadHeader for two of them."""
    if len(values(headers, "authorization")) > 1:
        only(headers, "authorization")
    written = b"".join(values(headers, "authorization")).decode("utf-8", "surrogateescape")
    scheme, _, given = written.partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""


def cookie_of(asker: Asker) -> str:
    """Our cookie; empty when there is none, or two of one name, for then somebody else has set one."""
    found: dict[str, list[str]] = {COOKIE: [], SECURE_COOKIE: []}
    for header in values(asker.headers, "cookie"):
        for piece in header.decode("latin-1").split(";"):
            name, _, value = piece.strip().partition("=")
            if name in found:
                found[name].append(value)
    name = SECURE_COOKIE if found[SECURE_COOKIE] or asker.secure else COOKIE
    return found[name][0] if len(found[name]) == 1 else ""


def _principal(token: Token, client: str, how: str) -> Principal:
    if token.name == SHARED:
        return Principal(f"api ({client})", token.role, SHARED)
    return Principal(token.name, token.role, how)


def _over(token: Token) -> str:
    return f"the token of {token.name}, which expired at {rfc3339(token.expires or 0.0)}"
