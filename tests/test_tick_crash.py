"""Die before and after every call of a tick, start again from the ledger: nothing is lost, nothing is done twice."""

from __future__ import annotations

import copy
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.rollouts import NOON, event, internal
from tests.stage import MINUTE, LedgerDown, Stage, a_rule
from watchdog.journal import Journal
from watchdog.model import Exposure, Phase, Rollout
from watchdog.tick import RolloutTick


class Died(BaseException):
    """The process is gone: nobody catches this."""


class Fuse:
    """Counts the calls that go out of the process, and blows before or after a given one."""

    def __init__(self, blows_at: int | None = None, *, after: bool = False) -> None:
        self.calls: list[str] = []
        self.blows_at = blows_at
        self.after = after

    def wrap(self, port: Any, *watched: str) -> Any:
        return _Fused(self, port, watched)


class _Fused:
    def __init__(self, fuse: Fuse, port: Any, watched: tuple[str, ...]) -> None:
        self._fuse, self._port, self._watched = fuse, port, watched

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if name not in self._watched:
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            fuse = self._fuse
            mine = len(fuse.calls) == fuse.blows_at
            fuse.calls.append(name)
            if mine and not fuse.after:
                raise Died
            answer = found(*arguments, **named)
            if mine:
                raise Died
            return answer

        return call


LEDGER = ("record", "pending_commands", "active_on", "claim", "mark_sent", "checkpoint", "transitions")
FLAGS = ("read", "set", "kill")
WRITES = ("record", "set", "kill", "claim", "send", "mark_sent")

RULE = a_rule(
    event("error_rate", "range: 1m"),
    internal(),
    interval="60s",
    delay="0s",
    ramp="{strategy: progressive, from: 0, to: 100, over: 2m, every: 1m}",
    window="{slices: 1, slice: 3m, max_gap: 5m}",
    settle="0s",
    resume_after="2m",
)
"""Steps at 1 and 2 minutes; the window is one slice of three minutes."""


class Story:
    """A stage that can be copied with all that outlives a process: ledger, flag, what the pager has."""

    def __init__(self, path: Path, tell: Callable[[Stage], None], rule: Rollout = RULE) -> None:
        path.mkdir()
        self.stage = Stage(path, rule)
        self.tell = tell
        tell(self.stage)

    def copy_to(self, path: Path) -> Story:
        path.mkdir()
        for file in self.stage.path.glob("ledger.db*"):  # with what is not yet moved into the database itself
            shutil.copy(file, path / file.name)
        other = object.__new__(Story)
        other.tell = self.tell
        other.stage = Stage(path, self.stage.rule, flags=copy.deepcopy(self.stage.flags), at=self.stage.clock.now)
        other.stage.notifier.sent.extend(self.stage.notifier.sent)
        other.stage.notifier.again.extend(self.stage.notifier.again)
        other.tell(other.stage)
        return other


def tick_with(stage: Stage, fuse: Fuse) -> None:
    stage.start_up(
        ledger=fuse.wrap(stage.ledger, *LEDGER),
        flags=fuse.wrap(stage.flags, *FLAGS),
        notifier=fuse.wrap(stage.notifier, "send"),
    )
    stage.tick()


def go_on(stage: Stage, end: float) -> None:
    """The new process: ticks at once, then at every slot."""
    stage.restart()
    stage.tick(1.0)
    stage.run(end)
    stage.sender.send_due(end + MINUTE + 1)  # sign-offs wait for their report, which nobody writes here


def exhaust(tmp_path: Path, tell: Callable[[Stage], None], end: float, check: Callable[[Stage], None]) -> int:
    """Tell the story once; before each of its ticks, try every death in that tick. Returns how many deaths it had."""
    story = Story(tmp_path / "told", tell)
    deaths = 0
    while story.stage.clock.now <= end:
        told = story.copy_to(tmp_path / "whole")
        fuse = Fuse()
        tick_with(told.stage, fuse)
        told.stage.close()
        shutil.rmtree(tmp_path / "whole")
        # To die before a call is to die after the one before it, and to die after a call that only reads changes
        # nothing: so the deaths that differ are the one before everything, and one after each call that writes.
        writes = [number for number, name in enumerate(fuse.calls) if name in WRITES]
        for number in [-1, *writes]:
            name, after = (fuse.calls[number], True) if number >= 0 else (fuse.calls[0], False)
            path = tmp_path / f"{deaths}"
            copied = story.copy_to(path)
            with pytest.raises(Died):
                tick_with(copied.stage, Fuse(max(number, 0), after=after))
            go_on(copied.stage, end)
            try:
                check(copied.stage)
                check_nothing_twice(copied.stage, repeats=int(name == "send"))
            except AssertionError as error:
                when = copied.stage.clock.now
                error.add_note(f"died {'after' if after else 'before'} call {number} ({name}) of {fuse.calls}")
                error.add_note(f"in the tick at {story.stage.clock.now - NOON:.0f} s, looked at {when - NOON:.0f}")
                raise
            copied.stage.close()
            shutil.rmtree(path)
            deaths += 1
        story.stage.tick()
        story.stage.clock.now = (story.stage.clock.now // 60 + 1) * 60 + 1
    check(story.stage)
    story.stage.close()
    return deaths


def check_nothing_twice(stage: Stage, *, repeats: int) -> None:
    stage.check_row_keys()
    stage.assert_dense()
    keys = Counter(notification.key for _, notification in stage.notifier.sent)
    assert sum(count - 1 for count in keys.values()) <= repeats, keys
    assert {key for key, count in keys.items() if count > 1} <= set(stage.notifier.again), "a repeat is announced"
    stood_for = {summary for _, message in stage.notifier.sent for summary in message.earlier}
    recorded = {n.notification.key: n.notification.summary for n in stage.ledger.notifications_of(stage.stored.id)}
    assert set(keys) <= set(recorded)
    assert {key for key, summary in recorded.items() if summary not in stood_for} <= set(keys), "none is lost"
    exposures = [fact.exposure for fact in stage.ledger.exposures(stage.stored.id) if fact.kind == "desired"]
    assert len(exposures) == len(set(exposures)), "a step was asked for twice"


def test_a_rollback_is_carried_out_whenever_the_watchdog_dies(tmp_path: Path) -> None:
    """Start, steps, a breach, the rollback, its confirmation and recovery."""

    def tell(stage: Stage) -> None:
        stage.service.fails(NOON + 2 * MINUTE, NOON + 6 * MINUTE)

    def check(stage: Stage) -> None:
        assert stage.phase is Phase.ROLLED_BACK
        assert stage.percent == 0.0
        assert stage.flags.read("new-checkout").latch == stage.rule.name
        rollback = stage.rollback
        stamps = [rollback[name] for name in ("detected_at", "decided_at", "acted_at", "confirmed_at", "recovered_at")]
        assert None not in stamps
        assert stamps == sorted(stamps)
        assert Counter(stage.told("start", "breach", "rollback", "rolled_back", "recovered")) == Counter(
            ["start", "breach", "rollback", "rolled_back", "recovered"]
        )
        assert len(stage.ledger.breaches(stage.stored.id)) == 1

    assert exhaust(tmp_path, tell, NOON + 9 * MINUTE, check) > 30


@pytest.mark.parametrize("after", [False, True], ids=["before its note", "after its note"])
def test_killed_around_the_note_of_a_rollback_without_a_ledger_the_next_one_tells_of_the_same(
    tmp_path: Path, *, after: bool
) -> None:
    class Dying(Journal):
        def append(self, entry: Mapping[str, object]) -> None:
            rollback = "page" in entry
            if not rollback or after:
                super().append(entry)
            if rollback:
                raise Died

    stage, told = Stage(tmp_path), list[str]()
    stage.run(NOON + 12 * MINUTE)
    front = LedgerDown(stage.ledger)
    ledger: Any = front
    ports = (ledger, stage.service, stage.flags, stage.clock, Dying(stage.journal.path), None)
    stage.ticker = RolloutTick(stage.rule.name, *ports, lambda _id, _rollout, page: told.append(page.key))
    front.down = "writes"
    stage.service.fails(NOON + 12 * MINUTE)
    with pytest.raises(Died):
        stage.run(NOON + 30 * MINUTE)
    assert stage.percent == 0.0
    stage.restart()
    stage.run(stage.clock.now + 10 * MINUTE)
    assert stage.phase is Phase.ROLLED_BACK
    pages = {n.key for _, n in stage.notifier.sent if n.kind == "rollback"}
    assert pages == {key for key in told if key.startswith(f"{stage.rule.name}:rollback:")}
    assert len(pages) == 1
    stage.close()


def test_a_sign_off_is_reached_whenever_the_watchdog_dies(tmp_path: Path) -> None:
    def check(stage: Stage) -> None:
        assert stage.phase is Phase.SIGNED_OFF
        assert stage.percent == 100.0
        assert stage.told().count("step") == 3  # two steps, and the one into soaking
        assert stage.told("start", "interim", "signed_off") == ["start", "interim", "signed_off"]
        confirmed = [f.exposure for f in stage.ledger.exposures(stage.stored.id) if f.kind == "confirmed"]
        assert list(dict.fromkeys(confirmed)) == [Exposure(0), Exposure(50), Exposure(100)]

    assert exhaust(tmp_path, lambda stage: None, NOON + 7 * MINUTE, check) > 20
