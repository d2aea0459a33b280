"""One rollout on a stage: its ledger, flag, source, messages and clock, driven by the test, restarts included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.ledgers import ledger_of
from tests.rollouts import NOON, internal, rollout
from tests.rollouts import event as an_event
from tests.sources import Clock, Service
from watchdog import __version__
from watchdog.errors import LedgerError
from watchdog.flags.base import FlagService
from watchdog.flags.memory import InMemoryFlags
from watchdog.journal import Journal
from watchdog.ledger import Ledger, StoredRollout
from watchdog.model import Evaluation, Exposure, Phase, Rollout
from watchdog.notifiers.memory import InMemoryNotifier
from watchdog.notify import Sender
from watchdog.tick import RolloutTick, Ticked

MINUTE = 60
HOUR = 3600
FLAG = "new-checkout"
SLICES = "{slices: 3, slice: 10m, max_gap: 5m}"
RAMP = "{strategy: progressive, from: 0, to: 100, over: 20m, every: 10m}"


def a_rule(*objectives: str, **top: str) -> Rollout:
    """Two steps of ten minutes, three slices of ten minutes."""
    return rollout(
        *(objectives or (an_event(), internal())), **{"interval": "60s", "ramp": RAMP, "window": SLICES, **top}
    )


class Stage:
    """Ticks happen a second after each slot is due; `start_up` takes wrapped ports, for tests that break them."""

    def __init__(
        self,
        path: Path,
        rule: Rollout | None = None,
        *,
        flags: InMemoryFlags | None = None,
        at: float = NOON,
        started: bool = True,
    ) -> None:
        self.path = path
        self.rule = rule or a_rule()
        self.clock = Clock(at)
        self.service = Service(self.clock)
        self.flags = flags or InMemoryFlags((FLAG,))
        self.notifier = InMemoryNotifier("pager")
        self.ledger = ledger_of(self.url)
        if self.ledger.rollout(self.rule.name) is None:
            self.ledger.add_rollout(self.rule, file="checkout.yaml", engine=__version__, now=at)
            if started:
                self.command("start")
        self.start_up()

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path / 'ledger.db'}"

    def start_up(
        self,
        *,
        ledger: Any = None,
        flags: FlagService | None = None,
        notifier: Any = None,
        system: Any = None,
    ) -> None:
        """A new process: nothing in memory, all from the ledger. Wrapped ports stand in for the real ones."""
        self.journal = Journal(self.path / "ledger.db.journal")
        self.journal.prepare()
        using = ledger or self.ledger
        own = flags or self.flags
        self.ticker = RolloutTick(self.rule.name, using, self.service, own, self.clock, self.journal, system)
        self.sender = Sender(using, (notifier or self.notifier,), self.clock)

    def restart(self) -> None:
        """Kill the process, and start it again."""
        self.ledger.close()
        self.ledger = ledger_of(self.url)
        self.start_up()

    def close(self) -> None:
        self.ledger.close()

    def command(self, verb: str, reason: str = "because") -> None:
        self.ledger.add_command(self.rule.name, verb, "ada", reason, self.clock.now)

    def tick(self, after: float = 0.0) -> Ticked:
        """One tick and one round of messages, `after` seconds from now."""
        self.clock.now += after
        ticked = self.ticker.tick(self.clock.now)
        self.sender.send_due(self.clock.now)
        return ticked

    def run(self, until: float) -> Ticked:
        """Tick at every slot up to wall time `until`, and at once again where a tick asks for it."""
        ticked = self._tick_as_asked(until)
        while (due := self._next_due()) <= until:
            self.clock.now = due
            ticked = self._tick_as_asked(until)
        self.clock.now = max(self.clock.now, until)
        return ticked

    def _tick_as_asked(self, until: float) -> Ticked:
        ticked = self.tick()
        while ticked.again_in is not None and self.clock.now + ticked.again_in <= min(until, self._next_due()):
            ticked = self.tick(ticked.again_in)
        return ticked

    def _next_due(self) -> float:
        interval, lag = self.rule.interval, self.rule.delay + 1.0
        return ((self.clock.now - lag) // interval + 1) * interval + lag

    @property
    def stored(self) -> StoredRollout:
        found = self.ledger.rollout(self.rule.name)
        assert found is not None
        return found

    @property
    def phase(self) -> Phase:
        return self.stored.phase

    @property
    def control(self) -> dict[str, Any]:
        return self.stored.control

    @property
    def rollback(self) -> dict[str, Any]:
        found = self.control["rollback"]
        assert isinstance(found, dict)
        return found

    @property
    def percent(self) -> float:
        """What the flag serves."""
        return self.flags._readings[FLAG].exposure.percent

    def turned_to(self, percent: float) -> None:
        """A person turns the flag."""
        self.flags.changed_by_person(FLAG, Exposure(percent))

    def told(self, *kinds: str) -> list[str]:
        """The kinds of what happened, in order; only these when given."""
        return [t.kind for t in self.ledger.transitions(self.stored.id) if not kinds or t.kind in kinds]

    def why(self, kind: str) -> str:
        """The sentence of the newest transition of a kind."""
        return next(t.why for t in reversed(self.ledger.transitions(self.stored.id)) if t.kind == kind)

    def pages(self, *kinds: str) -> list[str]:
        """The kinds of the messages that the pager received, in order, repeats too; only these when given."""
        return [n.kind for _, n in self.notifier.sent if not kinds or n.kind in kinds]

    def evaluations(self, name: str = "error_rate") -> list[Evaluation]:
        return [e for _, e in self.ledger.evaluations(self.stored.id, name, 0, 2**40)]

    def revisions(self, name: str, at: int) -> list[str]:
        """Every verdict that a slot ever had, oldest first."""
        with self.ledger.reading() as connection:
            rows = connection.exec_driver_sql(
                "SELECT e.verdict FROM evaluations e JOIN objectives o "
                "ON o.rollout = e.rollout AND o.objective = e.objective "
                "WHERE o.name = ? AND e.at = ? ORDER BY e.revision",
                (name, at),
            ).all()
        return [str(row[0]) for row in rows]

    def assert_dense(self, *names: str) -> None:
        """Every slot from the start to the newest has its verdict, once."""
        begun, last = self.control["started_at"], self.stored.last_slot
        assert isinstance(begun, int)
        assert last is not None
        interval = self.rule.interval
        wanted = list(range((begun // interval + 1) * interval, last + 1, interval))
        for name in names or [objective.name for objective in self.rule.objectives]:
            assert [e.at for e in self.evaluations(name)] == wanted, name

    def check_row_keys(self) -> None:
        """One row for each message key."""
        keys = [item.notification.key for item in self.ledger.notifications_of(self.stored.id)]
        assert len(keys) == len(set(keys))


OUTBOX = ("claim", "mark_sent", "mark_failed", "mark_partly", "mark_not_told", "supersede", "pause", "tell_once")


class LedgerDown:
    """A ledger in front of the real one whose writes, or everything, fail while `down` says so."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.down: str | None = None
        """None, `writes` or `all`."""

    def __getattr__(self, name: str) -> Any:
        writes = name in ("record", "add_command", "save_report") or name in OUTBOX
        if self.down == "all" or (self.down == "writes" and writes):

            def fails(*_: object, **__: object) -> None:
                raise LedgerError("the ledger is down")

            return fails
        return getattr(self.ledger, name)
