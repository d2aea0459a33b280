"""Who changed the flag? Somebody else, once; us, without a record; or another process, which has it on record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.auditing import FLAG, Audit, off, to
from watchdog.audit import AuditedFlags
from watchdog.errors import FlagServiceError
from watchdog.model import Exposure, FlagReading


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    return Audit(tmp_path)


def look(service: AuditedFlags, times: int = 3) -> FlagReading:
    """A few ticks."""
    return [service.read(FLAG) for _ in range(times)][-1]


def test_a_change_by_a_person_is_external_once_with_what_was_before(audit: Audit) -> None:
    audit.service.set(FLAG, to(10))
    audit.flags.changed_by_person(FLAG, Exposure(40.0))
    audit.service.read(FLAG)
    look(audit.service)
    row = audit.rows()[-1]
    assert (row.change.action, row.change.result, row.change.by, row.version) == ("external", "found", "unknown", 3)
    assert ((row.change.before or {})["percent"], (row.change.after or {})["percent"]) == (10, 40)
    assert audit.told().count(("external", "found")) == 1
    assert ("external", "external", "found") in audit.counted


def test_a_flag_without_our_mark_is_looked_at_twice_before_a_person_is_suspected(audit: Audit) -> None:
    audit.service.read(FLAG)
    audit.flags.changed_by_person(FLAG, Exposure(40.0))
    audit.service.read(FLAG)
    assert audit.told() == [("seen", "found")]
    audit.service.read(FLAG)
    assert audit.told() == [("seen", "found"), ("external", "found")]


def test_a_program_that_reads_once_can_be_sure_too(audit: Audit) -> None:
    audit.service.read(FLAG)
    audit.flags.changed_by_person(FLAG, Exposure(40.0))
    _, command = audit.process()
    command.read_surely(FLAG)
    assert audit.told()[-1] == ("external", "found")


def test_two_processes_that_see_the_same_record_it_once(audit: Audit) -> None:
    _, other = audit.process()
    look(audit.service)
    look(other)
    audit.flags.changed_by_person(FLAG, Exposure(40.0))
    for service in (audit.service, other, audit.service, other, audit.service, other):
        service.read(FLAG)
    assert audit.told() == [("seen", "found"), ("external", "found")]


def test_what_another_process_recorded_is_not_external(audit: Audit) -> None:
    look(audit.service)
    _, command = audit.process()
    command.set(FLAG, to(10))
    command.kill(FLAG, off("ada"))
    look(audit.service)
    assert "external" not in [action for action, _ in audit.told()]


def test_a_change_that_another_process_is_about_to_record_is_waited_for(audit: Audit) -> None:
    audit.service.set(FLAG, to(10))
    before = audit.told()
    audit.flags.kill(FLAG, off("eve", idem="eve:1"))
    audit.service.read(FLAG)
    assert audit.told() == before
    look(audit.service)
    found = audit.rows()[-1].change
    assert (found.result, found.by, found.idem) == ("found", "unknown", "eve:1")


def test_a_program_that_died_between_write_and_record_is_found_out(audit: Audit) -> None:
    look(audit.service)
    audit.flags.fail(FlagServiceError("the answer was lost"), on=["set"], after=True)
    with pytest.raises(FlagServiceError):
        audit.service.set(FLAG, to(10, why="step 1", rollout="checkout-1", idem="k1"))
    _, restarted = audit.process()
    look(restarted, 2)
    look(audit.service, 2)
    assert audit.told() == [("seen", "found"), ("set", "intended"), ("set", "failed"), ("set", "found")]
    found = audit.rows()[-1]
    assert (found.change.by, found.change.rollout, found.change.idem, found.version) == ("ada", "checkout-1", "k1", 2)
    assert "step 1" in found.change.why


def test_an_intention_whose_process_died_is_found_out_after_a_second_look(audit: Audit) -> None:
    look(audit.service)
    intended = replace(audit.rows()[0].change, uid="i", result="intended", action="set", by="ada", idem="k1")
    audit.changes.commit(intended)
    audit.flags.set(FLAG, to(10, idem="k1"))
    _, restarted = audit.process()
    restarted.read(FLAG)
    assert audit.told()[-1] == ("set", "intended")
    restarted.read(FLAG)
    assert audit.told()[-1] == ("set", "found")


def test_a_retried_kill_whose_first_answer_was_lost_is_found_and_then_unchanged(audit: Audit) -> None:
    audit.service.set(FLAG, to(50))
    audit.flags.fail(FlagServiceError("lost"), on=["kill"], after=True)
    kill = off(rollout="checkout-1", idem="checkout-1:kill")
    with pytest.raises(FlagServiceError):
        audit.service.kill(FLAG, kill)
    look(audit.service)
    audit.service.kill(FLAG, kill)
    audit.service.kill(FLAG, kill)
    assert audit.told()[3:] == [("kill", "failed"), ("kill", "found"), ("kill", "unchanged")]


def test_a_person_s_change_is_on_record_before_ours_that_follows(audit: Audit) -> None:
    look(audit.service)
    audit.flags.changed_by_person(FLAG, Exposure(40.0))
    audit.service.read(FLAG)
    audit.service.kill(FLAG, off())
    look(audit.service)
    assert audit.told() == [("seen", "found"), ("external", "found"), ("kill", "applied")]
    assert (audit.rows()[-1].change.before or {})["percent"] == 40


def test_every_one_of_several_changes_outside_is_there(audit: Audit) -> None:
    audit.service.set(FLAG, to(10))
    for percent in (20.0, 30.0, 20.0):
        audit.flags.changed_by_person(FLAG, Exposure(percent))
        audit.service.read(FLAG)
    after = [(row.change.after or {})["percent"] for row in audit.rows() if row.change.action == "external"]
    assert after == [20, 30, 20]


def test_changes_outside_while_the_ledger_is_down_are_recorded_when_it_is_back(audit: Audit) -> None:
    audit.service.set(FLAG, to(10))
    with audit.ledger_down():
        for percent in (20.0, 30.0):
            audit.flags.changed_by_person(FLAG, Exposure(percent))
            assert audit.service.read(FLAG).exposure.percent == percent
            audit.later()
    audit.later()
    look(audit.service)
    after = [(row.change.after or {})["percent"] for row in audit.rows() if row.change.action == "external"]
    assert after == [20, 30]


def test_a_change_outside_that_a_kill_overtook_while_the_ledger_was_down_does_not_pass_for_the_newest(
    audit: Audit,
) -> None:
    audit.service.set(FLAG, to(10))
    with audit.ledger_down():
        audit.flags.changed_by_person(FLAG, Exposure(40.0))
        audit.service.read(FLAG)
        audit.later(1)
        audit.service.kill(FLAG, off(idem="k"))
    audit.later()
    look(audit.service, 5)
    _, restarted = audit.process()
    look(restarted, 5)
    assert sorted(audit.told()[3:]) == [("external", "found"), ("kill", "applied")]
    last = audit.ledger.last_flag_content("flags", FLAG)
    assert last is not None
    assert last.change.action == "kill"


def test_an_old_answer_of_a_replica_is_not_a_change(audit: Audit) -> None:
    audit.service.set(FLAG, to(10))
    old = audit.flags.read(FLAG)
    audit.service.set(FLAG, to(20))
    sight = audit.service._sight
    assert sight is not None
    sight.look(FLAG, old, sight.writes(FLAG))
    look(audit.service)
    assert "external" not in [action for action, _ in audit.told()]


def test_a_reading_that_a_write_of_ours_overtook_concludes_nothing(audit: Audit) -> None:
    audit.service.set(FLAG, to(10))
    sight = audit.service._sight
    assert sight is not None
    writes, old = sight.writes(FLAG), audit.flags.read(FLAG)
    audit.service.set(FLAG, to(20))
    sight.look(FLAG, old, writes)
    assert not sight.undecided(FLAG)


def test_a_flag_that_was_deleted_outside_is_on_record_once(audit: Audit) -> None:
    look(audit.service)
    audit.flags.removed_by_person(FLAG)
    for _ in range(3):
        with pytest.raises(FlagServiceError):
            audit.service.read(FLAG)
    _, restarted = audit.process()
    with pytest.raises(FlagServiceError):
        restarted.read(FLAG)
    assert audit.told() == [("seen", "found"), ("external", "failed")]
    assert "not in the in-memory service" in audit.rows()[-1].change.error
