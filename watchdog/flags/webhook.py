"""The flag service that is told by signed messages: whatever a receiver behind an address does with them.

Every message is a POST of one JSON document, signed over its time and its bytes, so that a receiver can refuse what
others made up, changed or sent again (docs/flags/webhook.md). What a flag reads is the receiver's word. One that cannot
say is taken at its acknowledgements, which only this process remembers: it can be killed safely, but not ramped.
"""

from __future__ import annotations

import hashlib
import json
import math
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from watchdog.errors import FlagConflict, FlagServiceError
from watchdog.flags.base import Capabilities, Change, Check, Prepared
from watchdog.flags.rest import Answer, Rest
from watchdog.model import NOBODY, Exposure, FlagReading
from watchdog.signing import SIGNATURE, TIMESTAMP, signature

if TYPE_CHECKING:
    from watchdog.flags.settings import ServiceSettings

FORMAT = 1
"""Version of the document; a receiver refuses what it does not know."""

STEP = 0.001
LARGEST_COHORT = 1000
REPLAY_WINDOW = 300.0
"""Seconds; a receiver refuses a message that is older or from further in the future."""

ANY_STATUS = tuple(range(200, 600))
TAKEN = (200, 202, 204)
DUMB = 501
"""The status by which a receiver says that it cannot tell what a flag reads."""


def open_webhook(settings: ServiceSettings) -> Webhook:
    """The service of these settings (`url` and `secret` are given). Reaches nothing yet. Raises ConfigError."""
    return Webhook(
        settings.url or "",
        settings.secret.get_secret_value() if settings.secret is not None else "",
        settings.timeout,
        propagation=settings.worst_propagation,
        ca_file=str(settings.ca_file) if settings.ca_file is not None else None,
    )


class Webhook:
    """The receiver at `url`, which shares `secret` with us; each message is answered within `timeout` seconds.

    `capabilities` begin with those of a receiver that can only be told; the first answer to `read` adds the others.
    `now` is wall time, for the signature.
    """

    def __init__(
        self,
        url: str,
        secret: str,
        timeout: float = 5.0,
        *,
        propagation: float = 0.0,
        ca_file: str | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.capabilities = Capabilities(STEP, propagation, readable=False, audiences=True)
        self._rest = Rest(url, service="webhook", timeout=timeout, headers={}, secrets=[secret], verify=ca_file or True)
        self._host = urlsplit(url).netloc
        self._secret = secret.encode()
        self._now = now
        self._lock = threading.Lock()
        self._acknowledged: dict[str, FlagReading] = {}
        self._turns: dict[str, int] = {}

    def read(self, flag: str) -> FlagReading:
        """What the receiver says, or what it last acknowledged to this process. Raises FlagServiceError."""
        answer = self._send("read", flag, expected=(*TAKEN, DUMB))
        if answer.body is not None and answer.status != DUMB:
            self.capabilities = replace(self.capabilities, readable=True, compare_and_set="emulated")
            return self._reading(answer, flag)
        with self._lock:
            known = self._acknowledged.get(flag)
        if known is None:
            found = "it does not say what the flag reads, and no change of it stands acknowledged to this process"
            todo = "make the receiver answer `read`, or use it in `also:` only, where nothing has to be read"
            raise FlagServiceError(f"{self._place(flag)}: {found}; {todo}.")
        return known

    def set(self, flag: str, change: Change) -> FlagReading:
        """Tell the receiver to serve `change.exposure`; with `expect` it is read and compared before.

        Returns what it says, or what was asked when it only acknowledges. Raises FlagServiceError and FlagConflict.
        """
        asked = self._asked(flag, change)
        if change.expect is not None and (version := self.read(flag).version) != change.expect:
            found = f"{self._place(flag)}: it has version {version}, expected {change.expect}"
            raise FlagConflict(f"{found}; nothing was sent; it is read and decided again.")
        return self._tell("set", flag, change, asked)

    def kill(self, flag: str, change: Change) -> FlagReading:
        """Tell the receiver to take the feature from everybody, whatever it has at present. Raises FlagServiceError."""
        try:
            reading = self._tell("kill", flag, replace(change, expect=None), FlagReading(NOBODY))
        except FlagConflict as error:
            message = f"{error} A receiver must take a kill whatever it has; it is killed again."
            raise FlagServiceError(message) from error
        if not reading.exposure.none:
            found = f"it took the kill, yet says that the flag reads {reading.exposure}"
            raise FlagServiceError(f"{self._place(flag)}: {found}; it is killed again.")
        return reading

    def init(self, flags: Sequence[str], by: str) -> Prepared:
        """Nothing can be created at a receiver; it is asked whether it knows the flags. Raises FlagServiceError."""
        for flag in dict.fromkeys(flags):
            self._send("check", flag, {"by": by, "why": "flags init"}, expected=TAKEN)
        return Prepared(f"the receiver at {self._host}")

    def preflight(self, flag: str) -> tuple[Check, ...]:
        """Whether the receiver answers, knows the flag, and refuses what is not signed, or was long ago.

        Sends only `check` and `read`: a `set` to the same exposure need not be nothing to a receiver.
        """
        return (
            self._look("the receiver takes our messages", lambda: self._takes(flag)),
            self._look("a wrong signature is refused", lambda: self._refuses(flag, key=secrets.token_bytes(32))),
            self._look("an old message is refused", lambda: self._refuses(flag, late=2 * REPLAY_WINDOW)),
            self._look("what the flag reads", lambda: self._says(flag)),
        )

    def _tell(self, action: str, flag: str, change: Change, asked: FlagReading) -> FlagReading:
        """Send one change. While its answer is out, and if it is lost, nobody knows what the flag reads."""
        key = _key(change.idem)
        what = {
            "percent": asked.exposure.percent,
            "cohort": list(asked.members),
            "audiences": list(asked.exposure.audiences),
            "by": change.by,
            "why": change.why,
            "rollout": change.rollout,
            "expect": change.expect,
        }
        with self._lock:
            turn = self._turns[flag] = self._turns.get(flag, 0) + 1
            before = self._acknowledged.pop(flag, None)
        try:
            answer = self._send(action, flag, what, key=key, expected=TAKEN)
        except FlagServiceError as error:
            if error.permanent or isinstance(error, FlagConflict):
                self._remember(flag, turn, before)
            raise
        if answer.body is not None:
            return self._reading(answer, flag)
        reading = replace(asked, version=f"acknowledged to this process: {key}", idem=change.idem)
        self._remember(flag, turn, reading)
        return reading

    def _remember(self, flag: str, turn: int, reading: FlagReading | None) -> None:
        """What the flag reads after that turn; of two changes that crossed, nobody here knows which came last."""
        with self._lock:
            self._acknowledged.pop(flag, None)
            if reading is not None and self._turns[flag] == turn:
                self._acknowledged[flag] = reading

    def _send(
        self,
        action: str,
        flag: str,
        what: dict[str, Any] | None = None,
        *,
        key: str = "",
        expected: Sequence[int],
        secret: bytes | None = None,
        late: float = 0.0,
    ) -> Answer:
        """One signed message. `secret` and `late` (seconds) make one that must be refused."""
        now = self._now() - late
        key = key or _key("")
        sent_at = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        document = {"format": FORMAT, "action": action, "flag": flag, "idempotency_key": key, "sent_at": sent_at}
        body = json.dumps({**document, **(what or {})}, allow_nan=False).encode()
        timestamp = str(int(now))
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": key,
            TIMESTAMP: timestamp,
            SIGNATURE: f"v1={signature(secret or self._secret, timestamp, body)}",
        }
        return self._rest.call("POST", "", data=body, headers=headers, place=f"flag {flag}", expected=expected)

    def _reading(self, answer: Answer, flag: str) -> FlagReading:
        """What the receiver says that the flag reads."""
        said = answer.body if isinstance(answer.body, dict) else {}
        percent, members, audiences = said.get("percent"), said.get("cohort", []), said.get("audiences", [])
        version = said.get("version", "")
        named = _texts(members) and _texts(audiences) and isinstance(version, str) and len(version) <= 200
        if isinstance(percent, bool) or not isinstance(percent, int | float) or not (0 <= percent <= 100 and named):
            expected = '{"percent": 0 to 100, "version": "...", and if it has them "cohort": [...], "audiences": [...]}'
            raise FlagServiceError(f"{self._place(flag)}: it answered {answer.text}; expected {expected}.")
        exposure = Exposure(float(percent), bool(members), tuple(sorted(audiences)))
        latch, idem = said.get("latch"), said.get("idempotency_key")
        return FlagReading(
            exposure,
            version or f"as it reads: {exposure}",
            latch if isinstance(latch, str) else None,
            idem if isinstance(idem, str) else "",
            tuple(members),
        )

    def _asked(self, flag: str, change: Change) -> FlagReading:
        """What a change asks for, checked, and rounded down to the smallest step."""
        percent, members = change.exposure.percent, tuple(dict.fromkeys(change.cohort))
        problem = ""
        if not (math.isfinite(percent) and 0 <= percent <= 100):
            problem = f"{percent} % was asked; expected 0 to 100"
        elif change.exposure.cohort and not 1 <= len(members) <= LARGEST_COHORT:
            problem = f"a cohort of {len(members)} was asked; expected 1 to {LARGEST_COHORT} targeting keys"
        if problem:
            raise FlagServiceError(f"{self._place(flag)}: {problem}; correct the ramp.", permanent=True)
        percent = round(math.floor(round(percent / STEP, 6)) * STEP, 9)
        exposure = replace(change.exposure, percent=percent)
        return FlagReading(exposure, members=members if exposure.cohort else ())

    def _look(self, name: str, look: Callable[[], tuple[bool, str, str]]) -> Check:
        try:
            ok, found, todo = look()
        except FlagServiceError as error:
            return Check(name, ok=False, found=str(error), todo="make the receiver answer, then run preflight again")
        return Check(name, ok, found, "" if ok else todo)

    def _takes(self, flag: str) -> tuple[bool, str, str]:
        answer = self._send("check", flag, expected=TAKEN)
        actions = answer.body.get("actions") if isinstance(answer.body, dict) else None
        if isinstance(actions, list) and "kill" not in actions:
            return False, f"it does nothing on `kill` for {flag}", "give the receiver something to do on `kill`"
        return True, f"{self._host} took a signed `check` for {flag}", ""

    def _refuses(self, flag: str, *, key: bytes | None = None, late: float = 0.0) -> tuple[bool, str, str]:
        answer = self._send("check", flag, expected=ANY_STATUS, secret=key, late=late)
        todo = "make the receiver verify signature and timestamp, or anybody can switch this flag"
        return 400 <= answer.status < 500, f"it was answered with status {answer.status}", todo

    def _says(self, flag: str) -> tuple[bool, str, str]:
        answer = self._send("read", flag, expected=(*TAKEN, DUMB))
        if answer.body is None or answer.status == DUMB:
            found = (
                "the receiver cannot say: a kill counts as done when it is acknowledged; good for `also:`, not to ramp"
            )
            return True, found, ""
        reading = self._reading(answer, flag)
        return True, f"{flag} reads {reading.exposure}, version {reading.version}", ""

    def _place(self, flag: str) -> str:
        return f"webhook, flag {flag}: the receiver at {self._host}"


def _key(idem: str) -> str:
    """An idempotency key that a header can hold; one of its own for a change that has none."""
    if not idem:
        return secrets.token_hex(16)
    plain = idem.isascii() and idem.isprintable() and idem == idem.strip() and len(idem) <= 200
    return idem if plain else hashlib.sha256(idem.encode()).hexdigest()


def _texts(found: Any) -> bool:
    return isinstance(found, list) and all(isinstance(text, str) for text in found)
