"""What a channel remembers of a rollout: in the ledger, and in this process for when the ledger cannot be asked."""

from __future__ import annotations

from collections import OrderedDict

from watchdog.ledger import Ledger

REMEMBERED = 1000
"""Entries of one channel that a process remembers, the newest."""


class Notes:
    """One channel's memos as far as this process knows them, by rollout and name. One thread at a time uses them."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[int, str], tuple[str, bool]] = OrderedDict()
        """The text, and whether the ledger has it."""

    def get(self, rollout_id: int, name: str) -> str | None:
        """What was put there last, in the ledger or not; None when this process does not know of it."""
        text, _ = self._known.get((rollout_id, name), (None, True))
        return text

    def unwritten(self, rollout_id: int, name: str) -> str | None:
        """What was put there and is not in the ledger."""
        text, written = self._known.get((rollout_id, name), (None, True))
        return None if written else text

    def keep(self, rollout_id: int, name: str, text: str, *, written: bool) -> None:
        """Remember it, as it now is in the ledger (`written`) or should be."""
        self._known[rollout_id, name] = (text, written)
        self._known.move_to_end((rollout_id, name))
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


class NotesMemo:
    """A channel's Memo of one rollout without the ledger."""

    def __init__(self, notes: Notes, rollout_id: int) -> None:
        self.notes = notes
        self.rollout_id = rollout_id

    def get(self, name: str) -> str | None:
        """What this process knows to have been put there."""
        return self.notes.get(self.rollout_id, name)

    def put(self, name: str, value: str) -> None:
        """Remember this text instead, until the ledger is back and has a newer one."""
        self.notes.keep(self.rollout_id, name, value, written=False)


class LedgerMemo:
    """A channel's Memo of one rollout. Both methods raise LedgerError.

    `notes` are what the channel was told without the ledger, which comes before what the ledger has.
    """

    def __init__(self, ledger: Ledger, channel: str, rollout_id: int, notes: Notes | None = None) -> None:
        self.ledger = ledger
        self.channel = channel
        self.rollout_id = rollout_id
        self.notes = notes

    def get(self, name: str) -> str | None:
        """What was put there; None when nothing was."""
        if self.notes is not None and (found := self.notes.unwritten(self.rollout_id, name)) is not None:
            return found
        found = self.ledger.memo(self.channel, self.rollout_id, name)
        if self.notes is not None and found is not None:
            self.notes.keep(self.rollout_id, name, found, written=True)
        return found

    def put(self, name: str, value: str) -> None:
        """Remember this text instead; it is on the disk when this returns."""
        self.ledger.put_memo(self.channel, self.rollout_id, name, value)
        if self.notes is not None:
            self.notes.keep(self.rollout_id, name, value, written=True)
