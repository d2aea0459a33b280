"""Messages, a memo and a channel, for the tests of PagerDuty."""

from __future__ import annotations

import itertools
from typing import Any

from tests.pagerdutyserver import KEY, PagerDutyServer
from watchdog.errors import LedgerError
from watchdog.messages import Effect, Link, Message
from watchdog.messages.notices import cause_of, notice_of
from watchdog.model import Severity
from watchdog.notifiers.pagerduty import PagerDuty

NOON = 1_790_000_000.0
ROLLOUT = "checkout-2.14.0"
BREACH = f"slo-watchdog:{ROLLOUT}:breach:latency"
_ids = itertools.count(1)


class Notes:
    """A memo that keeps everything; while it is `full` nothing can be written."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self.full = False

    def get(self, name: str) -> str | None:
        return self.found.get(name)

    def put(self, name: str, value: str) -> None:
        if self.full:
            raise LedgerError("the disk is full")
        self.found[name] = value


def message(kind: str = "rollback", **fields: Any) -> Message:
    """A message as the table of messages has it; newer ones have higher ids."""
    notice, number = notice_of(kind), next(_ids)
    cause = cause_of(kind, {"objective": "latency"})
    usual: dict[str, Any] = {
        "id": number,
        "key": f"{ROLLOUT}:{kind}:{number}",
        "kind": kind,
        "severity": notice.severity,
        "effect": notice.effect,
        "rollout": ROLLOUT,
        "service": "checkout",
        "version": "2.14.0",
        "flag": "new-checkout",
        "at": NOON,
        "summary": f"{ROLLOUT}: {notice.when}",
        "incident": f"slo-watchdog:{ROLLOUT}:{cause}" if cause else "",
        "change": notice.change,
        "facts": (("objective", "latency"), ("found", "240 ms"), ("target", "below 200 ms")),
        "links": (Link("status", f"https://watchdog.example/rollouts/{ROLLOUT}"),),
    }
    return Message(**{**usual, **fields})


class Talk:
    """One channel, one memo and a clock that stands still, speaking to one server."""

    def __init__(
        self, server: PagerDutyServer, key: str = KEY, timeout: float = 5.0, notes: Notes | None = None
    ) -> None:
        self.channel = PagerDuty(key, server.url, timeout)
        self.notes = notes or Notes()
        self.now = NOON

    def send(self, told: Message, *, again: bool = False) -> str:
        return self.channel.send(told, self.notes, self.now, again=again)

    def say(self, kind: str, **fields: Any) -> str:
        return self.send(message(kind, **fields))


__all__ = ["BREACH", "NOON", "ROLLOUT", "Effect", "Link", "Notes", "Severity", "Talk", "message"]
