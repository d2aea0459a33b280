"""The ledger: what a tick records comes back exactly, once, or not at all."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ledgers import (
    NOON,
    a_rollout,
    a_slice,
    added,
    happened,
    ledger_at,
    page,
    passed,
    run_child,
    step,
    unknown,
)
from watchdog.errors import LedgerConflict, LedgerError, Refused
from watchdog.ledger import BreachFact, ExposureFact, Ledger, ReadingFact, Record, StoredRollout
from watchdog.model import (
    Breach,
    Evaluation,
    Exposure,
    Measurement,
    Mode,
    Phase,
    Reason,
    SliceVerdict,
)

EVER = (0, 2**40)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = ledger_at(tmp_path / "watchdog.db")
    yield opened
    opened.close()


def test_a_new_rollout_is_pending_and_holds_its_whole_rule(ledger: Ledger) -> None:
    rollout = dataclasses.replace(a_rollout(), text="rollout: ü\n", resolved='{"interval": 30}')
    stored = added(ledger, rollout)
    assert stored == StoredRollout(
        id=stored.id,
        name="checkout-2.14.0",
        service="checkout",
        version="2.14.0",
        flag="new-checkout",
        mode=Mode.ACT,
        phase=Phase.PENDING,
        started_at=None,
        created_at=NOON + 0.25,
        revision=0,
        last_slot=None,
        control={},
        text="rollout: ü\n",
        sha256="ab",
        resolved='{"interval": 30}',
        file="rollouts/checkout.yaml",
        engine="0.1.0",
    )
    assert ledger.rollout("checkout-2.14.0") == stored
    assert ledger.rollout("another") is None


def test_a_name_starts_once(ledger: Ledger) -> None:
    added(ledger)
    with pytest.raises(Refused, match=r"checkout-2\.14\.0: .*holds that name; to try again, use a new one"):
        added(ledger)
    assert len(ledger.rollouts()) == 1


def test_a_tick_moves_the_head_and_changes_only_what_it_names(ledger: Ledger) -> None:
    stored = added(ledger)
    control = {"hold": None, "waiting": ["error_rate fails"], "share": 0.1}
    record = Record(stored.id, 0, Phase.RAMPING, NOON + 0.5, NOON + 30, control)
    assert ledger.record(record) == 1
    assert ledger.record(Record(stored.id, 1, last_slot=NOON + 60)) == 2
    now = ledger.rollout(stored.name)
    assert now is not None
    assert (now.phase, now.started_at, now.last_slot, now.revision) == (Phase.RAMPING, NOON + 0.5, NOON + 60, 2)
    assert now.control == control


def test_rollouts_are_listed_in_order_and_by_phase(ledger: Ledger) -> None:
    first, second = added(ledger), added(ledger, a_rollout("b", flag="other"))
    ledger.record(Record(second.id, 0, phase=Phase.SIGNED_OFF))
    assert [one.name for one in ledger.rollouts()] == [first.name, "b"]
    assert [one.name for one in ledger.rollouts([Phase.SIGNED_OFF])] == ["b"]


def test_a_flag_belongs_to_one_acting_rollout_at_a_time(ledger: Ledger) -> None:
    first, second, watching = (
        added(ledger),
        added(ledger, a_rollout("b")),
        added(ledger, a_rollout("c", mode=Mode.OBSERVE)),
    )
    assert ledger.active_on("new-checkout") is None
    assert ledger.record(Record(watching.id, 0, phase=Phase.SOAKING)) == 1
    ledger.record(Record(first.id, 0, phase=Phase.RAMPING))
    with pytest.raises(Refused, match=r"b: its flag new-checkout belongs to checkout-2\.14\.0, which is ramping"):
        ledger.record(Record(second.id, 0, phase=Phase.RAMPING, transitions=[happened("start")]))
    assert ledger.transitions(second.id) == []
    owner = ledger.active_on("new-checkout")
    assert owner is not None
    assert owner.name == first.name
    ledger.record(Record(first.id, 1, phase=Phase.SIGNED_OFF))
    assert ledger.record(Record(second.id, 0, phase=Phase.RAMPING)) == 1


def test_a_rollback_is_recorded_even_where_another_rollout_owns_the_flag(ledger: Ledger) -> None:
    ended, owner = added(ledger), added(ledger, a_rollout("b"))
    ledger.record(Record(ended.id, 0, phase=Phase.SIGNED_OFF))
    ledger.record(Record(owner.id, 0, phase=Phase.RAMPING))
    assert ledger.record(Record(ended.id, 1, phase=Phase.ROLLING_BACK)) == 2


def test_slices_come_back_whole_and_the_newest_finding_counts(ledger: Ledger) -> None:
    stored = added(ledger)
    first, second = a_slice(NOON), a_slice(NOON + 3600)
    ledger.record(Record(stored.id, 0, slices=[second, first]))
    assert ledger.slices(stored.id) == [first, second]
    turned = dataclasses.replace(a_slice(NOON, SliceVerdict.UNKNOWN), final=True, exposure=None, breaches=())
    ledger.record(Record(stored.id, 1, slices=[turned]))
    assert ledger.slices(stored.id) == [turned, second]
    assert ledger.slices(stored.id, after=NOON) == [second]


def test_the_story_comes_back_as_it_was_recorded(ledger: Ledger) -> None:
    stored = added(ledger)
    transitions = [happened("start"), happened("step", NOON + 3600.5)]
    exposures = [
        ExposureFact(NOON + 2.0, "confirmed", Exposure(0.1, cohort=True)),
        ExposureFact(NOON + 1.0, "desired", Exposure(0.1, cohort=True)),
    ]
    readings = [
        ReadingFact(NOON + 1.0, Exposure(1.0), "v7", latch="checkout-2.13.0"),
        ReadingFact(NOON + 2.0, None, error="the file does not parse"),
    ]
    ledger.record(Record(stored.id, 0, transitions=transitions, exposures=exposures, readings=readings))
    assert ledger.transitions(stored.id) == transitions
    assert ledger.exposures(stored.id) == exposures[::-1]
    assert ledger.readings(stored.id) == readings
    assert ledger.readings(stored.id, after=NOON + 1.0) == readings[1:]
    assert ledger.latest_reading(stored.id) == readings[1]
    assert ledger.latest_reading(stored.id + 1) is None


def test_a_breach_is_one_row_that_is_closed_and_doubted_later(ledger: Ledger) -> None:
    stored = added(ledger)
    breach = Breach("error_rate", NOON, "sequential", 512.25, 400.0, 31.5, 600.0, None, "5 % above 0.15 %")
    ledger.record(Record(stored.id, 0, breaches=[BreachFact(breach, NOON + 31.5, late=True)]))
    assert ledger.breaches(stored.id) == [BreachFact(breach, NOON + 31.5, late=True)]
    closed = dataclasses.replace(breach, closed_at=NOON + 600)
    ledger.record(Record(stored.id, 1, breaches=[BreachFact(closed, NOON + 999.0)]))
    ledger.record(Record(stored.id, 2, breaches=[BreachFact(breach, unconfirmed=True)]))
    assert ledger.breaches(stored.id) == [BreachFact(closed, NOON + 31.5, late=True, unconfirmed=True)]


def test_a_message_of_the_same_key_is_recorded_once(ledger: Ledger) -> None:
    stored = added(ledger)
    ledger.record(Record(stored.id, 0, notifications=[page("a"), page("b"), page("a", NOON + 5.0)]))
    ledger.record(Record(stored.id, 1, notifications=[page("b", NOON + 60.0), page("c")]))
    assert [one.notification for one in ledger.notifications_of(stored.id)] == [page("a"), page("b"), page("c")]


def test_the_newest_checkpoint_at_or_before_an_instant_is_found(ledger: Ledger) -> None:
    stored = added(ledger)
    assert ledger.checkpoint(stored.id) is None
    for revision, body in enumerate(("one", "two", "two again")):
        ledger.record(Record(stored.id, revision, checkpoint=(NOON + 3600 * min(revision, 1), body)))
    assert ledger.checkpoint(stored.id) == (NOON + 3600, "two again")
    assert ledger.checkpoint(stored.id, NOON + 3599) == (NOON, "one")
    assert ledger.checkpoint(stored.id, NOON - 1) is None


def test_old_checkpoints_are_thinned_to_one_a_day(ledger: Ledger) -> None:
    stored = added(ledger)
    midnight = NOON // 86_400 * 86_400
    for hour in range(24 * 5):
        ledger.record(Record(stored.id, hour, checkpoint=(midnight + 3600 * hour, str(hour))))
    with ledger.reading() as connection:
        kept = [int(body) for (body,) in connection.exec_driver_sql("SELECT body FROM checkpoints ORDER BY at")]
    assert kept == [23, 47, *range(60, 120)]


@pytest.mark.parametrize("table", ["evaluations", "steps"])
def test_a_checkpoint_that_folded_over_what_is_corrected_is_never_resumed_from(ledger: Ledger, table: str) -> None:
    stored = added(ledger)
    blind = [("error_rate", answer(table, NOON - 60, known=False)), ("error_rate", answer(table, NOON, known=False))]
    ledger.record(Record(stored.id, 0, **{table: blind}, checkpoint=(NOON, "at noon")))  # type: ignore[arg-type]
    ledger.record(Record(stored.id, 1, **{table: blind[:1]}))  # type: ignore[arg-type]
    late = [("latency_p95", answer(table, NOON, known=True))]
    ledger.record(Record(stored.id, 2, **{table: late}))  # type: ignore[arg-type]
    assert ledger.checkpoint(stored.id) == (NOON, "at noon")
    cured = [("error_rate", answer(table, NOON - 60, known=True))]
    ledger.record(Record(stored.id, 3, **{table: cured}, checkpoint=(NOON - 120, "before")))  # type: ignore[arg-type]
    assert ledger.checkpoint(stored.id) == (NOON - 120, "before")
    ledger.record(Record(stored.id, 4, **{table: [("latency_p95", answer(table, NOON - 180, known=True))]}))  # type: ignore[arg-type]
    assert ledger.checkpoint(stored.id) is None


def answer(table: str, at: int, *, known: bool) -> Evaluation | Measurement:
    if table == "steps":
        return step(at) if known else Measurement(at, reason=Reason.NO_DATA)
    return passed(at) if known else unknown(at)


def test_of_two_watchdogs_with_one_ledger_the_second_keeps_nothing(tmp_path: Path) -> None:
    path = tmp_path / "watchdog.db"
    ours, theirs = ledger_at(path), ledger_at(path)
    stored = added(ours)
    ours.record(Record(stored.id, 0, evaluations=[("error_rate", passed(NOON))], transitions=[happened("start")]))
    with pytest.raises(LedgerConflict, match=r"is at revision 1, this tick read 0; another watchdog recorded first"):
        theirs.record(
            Record(stored.id, 0, Phase.RAMPING, evaluations=[("error_rate", unknown(NOON))], notifications=[page("a")])
        )
    assert theirs.last_evaluations(stored.id) == {"error_rate": passed(NOON)}
    assert theirs.notifications_of(stored.id) == []
    assert theirs.record(Record(stored.id, 1)) == 2
    ours.close()
    theirs.close()


def test_a_rollout_that_the_ledger_does_not_hold_cannot_be_recorded(ledger: Ledger) -> None:
    with pytest.raises(LedgerConflict, match="holds no rollout number 7"):
        ledger.record(Record(7, 0))


RACE = """
import sys
from watchdog.errors import LedgerConflict
from watchdog.ledger import Record, open_ledger
ledger = open_ledger(sys.argv[1])
won = lost = 0
while (stored := ledger.rollouts()[0]).revision < 200:
    try:
        ledger.record(Record(stored.id, stored.revision))
        won += 1
    except LedgerConflict:
        lost += 1
print(won, lost)
"""


def test_two_processes_never_record_the_same_revision(tmp_path: Path) -> None:
    path = tmp_path / "watchdog.db"
    ledger = ledger_at(path)
    added(ledger)
    children = [run_child(RACE, f"sqlite:///{path}") for _ in range(2)]
    said = [child.communicate(timeout=60) for child in children]
    assert [child.returncode for child in children] == [0, 0], said
    won = [int(out.split()[0]) for out, _ in said]
    assert sum(won) == ledger.rollouts()[0].revision
    ledger.close()


def test_threads_share_a_ledger(ledger: Ledger) -> None:
    rollouts = [added(ledger, a_rollout(f"r{n}", flag=f"f{n}")) for n in range(6)]
    failures: list[LedgerError] = []

    def work(stored: StoredRollout) -> None:
        try:
            for revision in range(20):
                at = NOON + 30 * revision
                ledger.record(Record(stored.id, revision, evaluations=[("error_rate", unknown(at, detail=f"{at}"))]))
                assert ledger.last_evaluations(stored.id)["error_rate"].detail == f"{at}"
        except LedgerError as exc:
            failures.append(exc)

    threads = [threading.Thread(target=work, args=(stored,)) for stored in rollouts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [stored.revision for stored in ledger.rollouts()] == [20] * 6
