"""How the sender waits for a channel's own pace."""

from __future__ import annotations

from pathlib import Path

from tests.ledgers import ledger_at
from tests.outbox import Clock, Outbox, texts
from watchdog.messages import Message
from watchdog.notifiers.memory import InMemoryNotifier
from watchdog.notify import Sender


class AlmostReady(InMemoryNotifier):
    """Wants one more nanosecond at every instant at which it is asked first: less than wall time can show."""

    asked: tuple[float, ...] = ()

    def ready_in(self, message: Message, now: float) -> float:
        assert len(self.asked) < 10, "it is asked without end"
        self.asked = (*self.asked, now)
        return 1e-9 if now == self.asked[0] else 0.0


def test_a_wait_that_is_too_short_for_the_clock_ends_the_round_and_not_the_sender(tmp_path: Path) -> None:
    ledger, clock = ledger_at(tmp_path / "watchdog.db"), Clock()
    slack = AlmostReady("slack")
    sender = Sender(ledger, [slack], clock)
    Outbox(ledger, clock).record("a")
    assert sender.send_due(clock.now) == 0
    due = sender.lanes[0].next_due
    assert due is not None
    assert due > clock.now
    clock.now = due
    assert sender.send_due(clock.now) == 1
    assert texts(slack) == ["a"]
    ledger.close()
