"""What the tests of channels share: messages as they are composed, a memo, and errors that hold no secret."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from watchdog.errors import NotifierError
from watchdog.messages import Effect, Link, Message, View
from watchdog.model import Severity
from watchdog.notifiers.base import Notifier

NOON = 1_800_000_000.25
"""Wall time in these tests: 2027-01-15T08:00:00.250Z."""
ROLLOUT = "checkout-2.14.0"
INCIDENT = f"slo-watchdog:{ROLLOUT}:breach:error_rate"
SECRET = 'a-s3cret/"key"+of-32-letters-or-so'
HOSTILE = (
    'x\r\nBcc: thief@evil.example\r\n\r\n<script>alert(1)</script> <!channel> "; DROP \x00\x1b[31m '
    "\u202egnirts\u202c \ud83d\ude00 \ud800 Grüße 日本語 {{ .Labels }}"
)
"""A label's value that tries everything: headers, markup, control characters, half a surrogate pair."""


class Notes:
    """A memo that forgets at the end of the test."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def get(self, name: str) -> str | None:
        return self.values.get(name)

    def put(self, name: str, value: str) -> None:
        self.values[name] = value


def told(**changes: Any) -> Message:
    """A rollback that was decided, unless `changes` say otherwise."""
    message = Message(
        id=7,
        key=f"{ROLLOUT}:rollback:1",
        kind="rollback",
        severity=Severity.CRITICAL,
        effect=Effect.OPEN,
        rollout=ROLLOUT,
        service="checkout",
        version="2.14.0",
        flag="new-checkout",
        at=NOON,
        summary="error_rate_exposed is 2.1 %, at most 0.1 % is allowed: rolled back from 25 %",
        incident=INCIDENT,
        done="The flag new-checkout is set to 0 %.",
        todo="Find the cause, then start a new release.",
        facts=(("Value", "2.1 %"), ("Target", "at most 0.1 %"), ("Window", "5 m")),
        links=(
            Link("status", "https://watchdog.example/rollouts/checkout-2.14.0"),
            Link("runbook", "https://runbooks.example/rollback"),
        ),
        broadcast=True,
        change=True,
        details={"objective": "error_rate", "bad": 21, "total": 1000},
    )
    return replace(message, **changes)


def record(kind: str = "window_reset", **changes: Any) -> Message:
    """A message for the record, about no incident."""
    silent = {"severity": Severity.WARNING, "effect": Effect.TELL, "incident": "", "broadcast": False, "change": False}
    return told(kind=kind, **{"key": f"{ROLLOUT}:{kind}:1", **silent, **changes})


def view(*open_messages: Message) -> View:
    """The rollout while those incidents are open."""
    return View(ROLLOUT, "checkout", "2.14.0", "new-checkout", "ramping", NOON, open=open_messages)


def refusal(
    channel: Notifier, message: Message | None = None, memo: Notes | None = None, now: float = NOON
) -> NotifierError:
    """The error of a message that must not be taken: one sentence that names the channel and holds no secret."""
    with pytest.raises(NotifierError) as caught:
        channel.send(message or told(), memo or Notes(), now, again=False)
    sentence = str(caught.value)
    assert sentence.startswith(f"{channel.name}: ")
    assert sentence.endswith(".")
    assert sentence.isprintable()
    assert len(sentence) < 1500
    assert "s3cret" not in sentence
    return caught.value


def traits(error: NotifierError) -> tuple[bool, bool, float | None]:
    """(permanent, everything, retry_after)."""
    return error.permanent, error.everything, error.retry_after
