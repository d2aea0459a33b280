"""Browser sessions without a memory: a signed cookie names a token and when it was shown.

The cookie holds no token. It is worth nothing once that token is revoked or over, after 12 hours, after a logout, or
under another key. Only logouts are remembered, see `logouts.py`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass

from watchdog.access.logouts import Logouts, Shared

LONGEST = 12 * 3600.0
"""Seconds that a session lasts at most."""
AHEAD = 60.0
"""Seconds that another replica's clock may be ahead."""
LONGEST_COOKIE = 1024


@dataclass(frozen=True, slots=True)
class Session:
    """What a cookie says: the id of the token, when it was shown (epoch seconds), and which login that was."""

    subject: str
    issued: int
    login: str


class Sessions:
    """Signs and reads cookies. `key` None: one of this process, so that a restart ends every session.

    With a key others believe the same cookies; they hear of logouts through `shared`.
    """

    def __init__(self, key: str | None = None, shared: Shared | None = None) -> None:
        self._key = key.encode() if key else secrets.token_bytes(32)
        self.logouts = Logouts(shared if key else None)

    def issue(self, subject: str, now: float) -> str:
        """The cookie of a new session. Each login makes its own: what a browser brought before counts nothing."""
        session = Session(subject, int(now), secrets.token_urlsafe(16))
        return f"{_packed(session)}.{self._sign('session', _packed(session))}"

    def read(self, cookie: str, now: float) -> Session | None:
        """The session of a cookie, None when we did not sign it or it is over."""
        packed, _, signature = cookie.rpartition(".")
        if len(cookie) > LONGEST_COOKIE or not self._signed("session", packed, signature):
            return None
        subject, issued, login = packed.split(".")
        session = Session(_text(subject), int(issued), login)
        return session if self.lasts(session, now) else None

    def lasts(self, session: Session, now: float) -> bool:
        """Whether it was not logged out and is not over; its token is another question."""
        return session.login not in self.logouts and -AHEAD <= now - session.issued < LONGEST

    def end(self, session: Session, now: float) -> None:
        """Believe its cookie no more, should somebody have a copy."""
        self.logouts.add(session.login, session.issued + LONGEST + AHEAD, now)

    def csrf(self, kind: str, about: str) -> str:
        """What a form must carry: bound to a login, a visitor or a person, and of no use to any other."""
        return self._sign(f"csrf-{kind}", about)

    def carries(self, kind: str, about: str, given: str) -> bool:
        """Whether a form carries that."""
        return self._signed(f"csrf-{kind}", about, given)

    def _sign(self, purpose: str, text: str) -> str:
        found = hmac.new(self._key, f"{purpose}\0{text}".encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(found).rstrip(b"=").decode()

    def _signed(self, purpose: str, text: str, signature: str) -> bool:
        given = signature.encode("utf-8", "surrogatepass")
        return hmac.compare_digest(self._sign(purpose, text).encode(), given)


def _packed(session: Session) -> str:
    subject = base64.urlsafe_b64encode(session.subject.encode()).rstrip(b"=").decode()
    return f"{subject}.{session.issued}.{session.login}"


def _text(packed: str) -> str:
    return base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)).decode()
