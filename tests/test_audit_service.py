"""Every change through the port is on record: intention first where it raises, deed first where it lowers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.auditing import FLAG, Audit, off, to
from watchdog.errors import FlagConflict, FlagServiceError
from watchdog.flags.base import Administered, Change
from watchdog.model import NOBODY, Exposure


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    return Audit(tmp_path, actions={"ops.shutdown": "emergency"})


def test_the_audit_is_a_flag_service_like_the_one_inside(audit: Audit) -> None:
    assert isinstance(audit.service, Administered)
    assert audit.service.capabilities == audit.flags.capabilities
    assert audit.service.read(FLAG) == audit.flags.read(FLAG)


def test_a_raise_is_intended_then_applied_with_all_that_an_auditor_asks(audit: Audit) -> None:
    audit.service.read(FLAG)
    audit.later()
    audit.service.set(FLAG, to(10, rollout="checkout-1", idem="checkout-1:10"))
    seen, intended, applied = audit.rows()
    assert (seen.change.action, seen.change.by, seen.version) == ("seen", "unknown", 1)
    assert (intended.change.result, intended.version, intended.change.service_version) == ("intended", None, "")
    done = applied.change
    assert (done.action, done.result, done.by, done.why, done.rollout) == (
        *("set", "applied", "ada", "a look"),
        "checkout-1",
    )
    assert (done.before or {})["percent"] == 0
    assert (done.after or {})["percent"] == 10
    assert (done.idem, done.service_version) == ("checkout-1:10", audit.flags.read(FLAG).version)
    assert (done.at, applied.version) == (audit.now, 2)
    assert audit.counted[-1] == ("watchdog", "set", "applied")
    assert audit.percent["flags", FLAG] == 10


def test_lowering_and_killing_need_no_intention(audit: Audit) -> None:
    audit.service.set(FLAG, to(50))
    audit.service.set(FLAG, to(20))
    audit.service.kill(FLAG, off(rollout="checkout-1"))
    assert audit.told()[3:] == [("set", "applied"), ("kill", "applied")]
    assert (audit.rows()[-1].change.after or {})["latch"] == "checkout-1"


def test_new_members_of_a_cohort_are_a_raise(audit: Audit) -> None:
    canary = Exposure(0.0, cohort=True)
    for members in (("qa-1",), ("qa-1", "qa-2"), ("qa-2",)):
        audit.service.set(FLAG, Change(canary, members, "ada", "canary", idem=str(members)))
    raised = [row.change.after for row in audit.rows() if row.change.result == "intended"]
    assert [content["members"] for content in raised if content] == [["qa-1"], ["qa-1", "qa-2"]]


def test_what_changes_nothing_is_recorded_as_unchanged_and_gets_no_version(audit: Audit) -> None:
    audit.service.set(FLAG, to(10))
    audit.service.set(FLAG, to(10))
    assert audit.told()[-1] == ("set", "unchanged")
    assert [row.version for row in audit.rows()] == [1, None, 2, None]


def test_reading_costs_no_statement_while_the_flag_stays_as_it_is(audit: Audit) -> None:
    audit.service.read(FLAG)
    with audit.ledger_down():
        for _ in range(3):
            audit.service.read(FLAG)
        audit.ledger.close()
    assert len(audit.rows()) == 1


def test_a_tick_that_fails_again_and_again_is_recorded_once_and_counted_each_time(audit: Audit) -> None:
    audit.service.read(FLAG)
    for attempt in range(5):
        audit.flags.fail(FlagServiceError(f"timed out after {attempt} ms"), on=["set"])
        with pytest.raises(FlagServiceError):
            audit.service.set(FLAG, to(10, idem="checkout-1:10"))
    assert audit.told() == [("seen", "found"), ("set", "intended"), ("set", "failed")]
    assert audit.counted.count(("operator", "set", "failed")) == 5
    audit.flags.fail(FlagServiceError("forbidden"), on=["set"])
    with pytest.raises(FlagServiceError):
        audit.service.set(FLAG, to(10, idem="checkout-1:10"))
    audit.service.set(FLAG, to(10, idem="checkout-1:10"))
    assert audit.told()[3:] == [("set", "failed"), ("set", "applied")]


def test_without_a_key_of_the_caller_all_tries_of_one_change_share_one(audit: Audit) -> None:
    audit.service.set(FLAG, to(50))
    audit.flags.fail(FlagServiceError("no answer"), on=["kill"], times=2)
    for _ in range(2):
        with pytest.raises(FlagServiceError):
            audit.service.kill(FLAG, off())
    audit.service.kill(FLAG, off())
    audit.service.set(FLAG, to(50))
    *_, failed, killed, _, raised = (row.change for row in audit.rows())
    assert (failed.result, killed.result, raised.result) == ("failed", "applied", "applied")
    assert failed.idem == killed.idem != raised.idem
    assert killed.idem.startswith("slo-watchdog:")


def test_a_conflict_is_on_record_too(audit: Audit) -> None:
    with pytest.raises(FlagConflict):
        audit.service.set(FLAG, to(10, expect="another"))
    assert audit.told()[-1] == ("set", "failed")
    assert "has version 2" not in (audit.rows()[-1].change.error or "")
    assert "expected another" in audit.rows()[-1].change.error


def test_special_flags_have_actions_of_their_own_and_others_act_on_demand(audit: Audit) -> None:
    audit.service.set("ops.shutdown", to(100))
    audit.service.kill("ops.shutdown", off("ada"))
    assert audit.told("ops.shutdown") == [("emergency", "applied"), ("emergency", "applied")]
    audit.service.acting("revert").set(FLAG, to(10))
    audit.service.kill(FLAG, off())
    assert audit.told()[1:] == [("revert", "intended"), ("revert", "applied"), ("kill", "applied")]


def test_what_init_creates_is_on_record(audit: Audit) -> None:
    prepared = audit.service.init([FLAG, "brand-new"], "ada")
    assert prepared.created == ("brand-new",)
    (created,) = audit.rows("brand-new")
    assert (created.change.action, created.change.result, created.change.by) == ("init", "applied", "ada")
    audit.service.read("brand-new")
    assert len(audit.rows("brand-new")) == 1


def test_preflight_is_the_services_and_leaves_no_row_when_it_leaves_no_trace(audit: Audit) -> None:
    assert audit.service.preflight(FLAG) == audit.flags.preflight(FLAG)
    assert audit.service.preflight("typo")[0].ok is False
    assert audit.rows() == []


def test_two_services_do_not_mix(audit: Audit) -> None:
    audit.service.set(FLAG, to(10))
    audit.service.read("other")
    assert audit.told("other") == [("seen", "found")]
    assert audit.ledger.flag_history("emergency", FLAG, 10) == []
    assert [one.change.flag for one in audit.ledger.flags_known()] == [FLAG, "other"]


def test_a_log_line_is_written_for_every_change_with_the_head_of_the_chain(audit: Audit) -> None:
    audit.service.set(FLAG, to(10))
    event, line = audit.lines[-1]
    assert event == "flag change"
    assert (line["id"], line["hash"]) == (3, audit.rows()[-1].hash)
    assert (line["by"], line["why"], line["result"]) == ("ada", "a look", "applied")
    assert audit.flags.read(FLAG).exposure != NOBODY
