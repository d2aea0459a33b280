"""The port to a notification channel. Adapters raise `NotifierError` only, and never wait: the sender does that."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from watchdog.messages import Message, View


class Memo(Protocol):
    """What a channel remembers of one rollout, kept in the ledger: durable before `put` returns."""

    def get(self, name: str) -> str | None:
        """What was put there; None when nothing was. Raises LedgerError."""
        ...

    def put(self, name: str, value: str) -> None:
        """Remember this text instead. Raises LedgerError."""
        ...


class Notifier(Protocol):
    """A channel that people listen to. One thread at a time uses it; `now` is wall time.

    A channel may declare `repeats_known = True` (see `repeats_known`).
    """

    name: str

    def ready_in(self, message: Message, now: float) -> float:
        """Seconds until the channel's own limit lets this message go; 0 when it may go now."""
        ...

    def send(self, message: Message, memo: Memo, now: float, *, again: bool) -> str:
        """Deliver one message; what the channel answered, in words.

        `again`: an earlier attempt may have gone through without our knowing; whoever cannot tell repeats apart by
        `message.key` looks before it sends. Raises NotifierError (with `retry_after` where the channel says so), and
        NotYet when a first part went out and the rest must wait.
        """
        ...

    def close(self) -> None:
        """Give connections up."""
        ...


@runtime_checkable
class Standing(Protocol):
    """A channel that shows the state of a rollout: something it edits or repeats, besides the messages."""

    every: float
    """Seconds between two looks at each rollout."""

    def refresh(self, view: View, memo: Memo, now: float) -> None:
        """Bring what is shown up to `view`; does nothing where it is so already. Raises NotifierError."""
        ...


def repeats_known(notifier: Notifier) -> bool:
    """Whether the channel declares that a message sent twice is one to people: they know it by its key.

    Such a channel can be told without the ledger, whose record of it follows later.
    """
    return getattr(notifier, "repeats_known", False) is True
