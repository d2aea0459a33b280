"""A Prometheus that hangs costs a tick its deadline once, however many rounds of questions the tick has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.ledgers import ledger_at
from tests.rollouts import NOON, event, rollout
from tests.scripted import ScriptedPrometheus, scripted
from watchdog import __version__
from watchdog.flags.memory import InMemoryFlags
from watchdog.gather import Bounded
from watchdog.model import Reason, Series
from watchdog.observe import Progress
from watchdog.prometheus import Prometheus, Range
from watchdog.rolloutfile import DaemonFacts
from watchdog.tick import RolloutTick


class Slow:
    """A source that takes so many seconds of a made clock for each answer, or as long as it may."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.now = 100.0
        self.given: list[float | None] = []

    def monotonic(self) -> float:
        return self.now

    def instants(self, expressions: Sequence[str], at: int, deadline: float | None = None) -> list[Series]:
        self.given.append(deadline)
        self.now += min(self.seconds, deadline or self.seconds)
        return [Series({at: 1.0}) for _ in expressions]

    def ranges(
        self, requests: Sequence[Range], deadline: float | None = None, on_progress: Progress | None = None
    ) -> list[Series]:
        self.instants([], 0, deadline)
        return [Series() for _ in requests]


def test_each_round_gets_what_the_rounds_before_it_left() -> None:
    source = Slow(seconds=4)
    bounded = Bounded(source, 10, source.monotonic)
    bounded.instants(["a"], NOON, 10)
    bounded.ranges([Range("b", NOON, NOON, 60)], 10)
    bounded.instants(["c"], NOON, 1)
    assert source.given == [10, 6, 1], "and never more than the round asked for"
    assert not bounded.spent


def test_when_nothing_is_left_nothing_is_asked_and_the_answer_says_why() -> None:
    source = Slow(seconds=60)
    bounded = Bounded(source, 10, source.monotonic)
    bounded.instants(["a"], NOON, 10)
    assert bounded.spent
    (one,) = bounded.instants(["b"], NOON, 10)
    (stretch,) = bounded.ranges([Range("c", NOON, NOON + 120, 60)], 10)
    assert source.given == [10]
    why = "not asked: earlier answers took the 10 s that a tick has for all of them."
    assert one.problems == {NOON: (Reason.UNREACHABLE, why)}
    assert list(stretch.problems) == [NOON, NOON + 60, NOON + 120]


def test_a_tick_whose_first_round_hangs_does_not_ask_for_older_slots_as_well(
    tmp_path: Path, scripted_prometheus: ScriptedPrometheus
) -> None:
    scripted_prometheus.always(scripted.hang())
    rule = rollout(event(), interval="60s", daemon=DaemonFacts(tick_deadline=0.5))
    ledger = ledger_at(tmp_path / "watchdog.db")
    ledger.add_rollout(rule, file="checkout.yaml", engine=__version__, now=NOON)
    ledger.add_command(rule.name, "start", "ada", "", NOON)
    now = [float(NOON)]
    with Prometheus(scripted_prometheus.url, timeout=5) as source:
        tick = RolloutTick(rule.name, ledger, source, InMemoryFlags((rule.flag,)), lambda: now[0])
        tick.tick(now[0])
        for minute in (1, 2, 3):
            now[0] = NOON + 60 * minute + rule.delay + 1
            before = len(scripted_prometheus.asked)
            tick.tick(now[0])
            asked = scripted_prometheus.asked[before:]
            assert asked, "the newest slot is asked for"
            assert {at for one in asked for at in one.instants} == {NOON + 60 * minute}
    ledger.close()
