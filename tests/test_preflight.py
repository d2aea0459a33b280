"""Preflight: all that must hold before a rollout starts, on a real Prometheus, flag files and a ledger."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.answering import Answering
from tests.drilling import FLAG as DRILL
from tests.drilling import with_active
from tests.ledgers import ledger_at
from tests.preflighting import (
    OBJECTIVES,
    RULE,
    drilled,
    failed,
    flags,
    installed,
    look,
    monitoring,
    setting,
    switches,
    warned,
)
from tests.processes import FLAG, Installation
from watchdog.config import load_settings
from watchdog.flags.base import Change
from watchdog.model import EMERGENCY_FLAGS, NOBODY, Exposure, Proof
from watchdog.preflight import preflight, record
from watchdog.preflight.areas import AREAS
from watchdog.preflight.ground import Ground
from watchdog.preflight.verdict import Build

KILLS = ("flag services", "emergency flags", "drill")
"""The areas of what these tests break."""


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with monitoring(tmp_path_factory.mktemp("well")) as (server, _):
        yield server.url


@pytest.fixture(scope="module")
def people() -> Iterator[Answering]:
    with Answering() as server:
        yield server


@pytest.fixture
def site(tmp_path: Path, prometheus: str, people: Answering) -> Installation:
    return installed(tmp_path, prometheus, people.url)


# --- good ---------------------------------------------------------------------------------------------------------


def test_a_sound_installation_passes_in_every_area(site: Installation) -> None:
    drilled(site)
    setting(site, "preflight", {"image": "watchdog@sha256:0f", "commit": "9fceb02"})
    verdict = look(site, release=(Build("release image", "checkout@sha256:1e"),))

    assert failed(verdict) == {}
    assert verdict.passed
    assert verdict.areas == [name for name, _ in AREAS]
    assert all(one.check.found for one in verdict.found), "every check says what it found"
    assert set(warned(verdict)) == {"alerting: Alertmanager is heard here"}, "there is no receiver"
    assert verdict.score == 93, "the feasibility of an hour's history is waived, and a waiver earns nothing"
    told = [build.what for build in verdict.builds]
    assert told == ["slo-watchdog", "python", "image", "commit", "prometheus", "alertmanager", "release image"]


def test_the_first_drill_is_held_by_the_preflight_and_proves_the_capability(site: Installation) -> None:
    verdict = look(site, "drill", drills=True)

    assert verdict.passed, failed(verdict)
    (proof, propagation) = verdict.of("drill")
    assert proof.check.found.startswith("5 of 5 runs off within ")
    assert "later than flags.propagation, 1s" in propagation.check.found
    assert flags(site).read(DRILL).exposure == NOBODY

    again = look(site, "drill")
    assert again.passed
    assert "passed, its worst run took" in again.found[-1].check.found


def test_the_command_prints_what_pipelines_read_and_records_it(site: Installation, tmp_path: Path) -> None:
    drilled(site)
    junit = tmp_path / "preflight.xml"
    done = site.run("preflight", "--json", "--junit", str(junit), "--commit", "9fceb02", "--by", "ada")

    assert done.status == 0, done.out + done.err
    assert done.data["passed"] is True
    keys = {"area", "name", "rollout", "level", "ok", "outcome", "found", "todo", "waived"}
    assert set(done.data["checks"][0]) == keys
    assert {"what": "release commit", "value": "9fceb02"} in done.data["builds"]
    (rule,) = done.data["rollouts"]
    assert (rule["rollout"], rule["held"]) == ("checkout-1", True)
    root = ET.parse(junit).getroot()  # noqa: S314 - what this very program wrote
    assert (root.tag, root.get("failures"), root.get("errors")) == ("testsuites", "0", "0")
    assert int(root.get("tests", "0")) == len(done.data["checks"]) == len(list(root.iter("testcase")))

    ledger = site.ledger()
    stored = ledger.last_preflight()
    assert stored is not None
    proof = ledger.proof("checkout-1", rule["rule"])
    ledger.close()
    assert {**stored.result, "id": stored.id, "sha256": stored.sha256} == done.data
    assert (stored.by, stored.passed, stored.score) == ("ada", True, done.data["score"])
    assert proof is not None
    assert (proof.id, proof.holds, proof.sha256) == (stored.id, True, stored.sha256)


# --- bad ----------------------------------------------------------------------------------------------------------


def test_without_a_drill_leaving_it_out_is_a_failed_check(site: Installation) -> None:
    done = site.run("preflight", "--no-drill")

    assert done.status == 1
    assert "FAILED: 1 of " in done.out
    assert "none was to be held; leave out --no-drill, or run" in " ".join(done.out.split())
    assert "recorded as preflight 1" in done.out
    (area,) = [line.split("│") for line in done.out.splitlines() if re.match(r"drill +│ +\d+ %", line)]
    assert [cell.strip() for cell in area] == ["drill", "0 %", "4", "1", ""]
    assert "score 8" in done.out, "whatever the score, a blocker fails it"


@pytest.mark.parametrize(
    "how", [{"ago": 7 * 86_400.0 + 60}, {"passed": False}, {"worst": 901.0}], ids=["too old", "failed", "too slow"]
)
def test_a_drill_that_proves_nothing_does_not_count(site: Installation, how: dict[str, float]) -> None:
    drilled(site, **how)  # type: ignore[arg-type]
    assert list(failed(look(site, "drill"))) == ["drill: a rollback reaches its readers in time"]


def test_a_prometheus_that_does_not_answer_is_said_once_and_hides_nothing_else(site: Installation) -> None:
    drilled(site)
    setting(site, "prometheus", {"url": "http://127.0.0.1:9", "timeout": "1s"})

    wrong = failed(look(site))

    assert "could not be reached" in wrong["prometheus: can be looked at"]
    needs = {f"{area}: can be looked at" for area in ("rules", "alerting", "objectives", "feasibility")}
    assert set(wrong) == {"prometheus: can be looked at", "builds: prometheus", *needs}
    assert all("it needs Prometheus, which cannot be asked" in wrong[name] for name in needs)


def test_a_rollout_file_that_is_wrong_fails_with_its_place(site: Installation) -> None:
    site.rollout("search-1", OBJECTIVES, flag="new search", **RULE)
    wrong = failed(look(site, "configuration"))
    assert list(wrong) == ["configuration: file search-1.yaml"]
    assert "flag" in wrong["configuration: file search-1.yaml"]


def test_what_is_legal_and_odd_in_the_settings_is_warned_of(site: Installation) -> None:
    setting(site, "tick_deadline", "5s")
    assert list(warned(look(site, "configuration"))) == ["configuration: prometheus.timeout"]


def test_settings_that_are_wrong_are_failed_checks_too(site: Installation, tmp_path: Path) -> None:
    site.config.write_text("prometheus: {url: nowhere}\nledgr: x\n")
    junit = tmp_path / "out.xml"
    done = site.run("preflight", "--json", "--junit", str(junit))

    assert done.status == 1
    assert (done.data["passed"], done.data["id"]) == (False, None)
    assert {check["area"] for check in done.data["checks"]} == {"configuration"}
    assert len(done.data["checks"]) == 2
    assert len(list(ET.parse(junit).getroot().iter("failure"))) == 2  # noqa: S314


def test_a_flag_that_does_not_exist_cannot_be_killed(site: Installation) -> None:
    site.rollout("search-1", OBJECTIVES, flag="new-search", **RULE)
    wrong = failed(look(site, "flag services"))
    assert wrong
    assert all(name.startswith("flag services: search-1: new-search: ") for name in wrong)


def test_an_emergency_flag_that_is_on_or_missing_stands_in_the_way(site: Installation) -> None:
    switches(site).set("ops.maintenance", Change(Exposure(100.0), (), "ada", "a new disk"))
    assert list(failed(look(site, "emergency flags"))) == ["emergency flags: ops.maintenance: is off"]

    site.flag_file.with_name("ops.flagd.json").unlink()
    wrong = failed(look(site, "emergency flags"))
    assert {f"emergency flags: {flag}: is off" for flag in EMERGENCY_FLAGS} <= wrong.keys()


def test_a_flag_that_another_rollout_has_is_not_free(site: Installation) -> None:
    ledger = ledger_at(site.ledger_file)
    with_active(ledger, "checkout-0", flag=FLAG)
    ledger.close()
    assert failed(look(site, "flag services")) == {
        f"flag services: checkout-1: {FLAG}: is free": "checkout-0 has it, which is ramping"
    }


def test_a_flag_that_is_up_already_is_told(site: Installation) -> None:
    flags(site).set(FLAG, Change(Exposure(5.0), (), "ada", "a first look"))
    assert failed(look(site, "flag services")) == {
        f"flag services: checkout-1: {FLAG}: is where the ramp starts": "it reads 5%, the ramp starts from 0%"
    }


def test_the_latch_of_its_own_rollback_stands_in_the_way(site: Installation) -> None:
    flags(site).kill(FLAG, Change(NOBODY, (), "slo-watchdog", "errors", rollout="checkout-1"))
    assert list(failed(look(site, "flag services"))) == [f"flag services: checkout-1: {FLAG}: has no latch"]


def test_what_its_author_waives_is_told_and_does_not_fail(site: Installation) -> None:
    flags(site).set(FLAG, Change(Exposure(5.0), (), "ada", "a first look"))
    waive = RULE["waive"].replace("}", ", preflight: known to all}")
    site.rollout("checkout-1", OBJECTIVES, **{**RULE, "waive": waive})

    verdict = look(site, *KILLS, drills=True)

    assert verdict.passed
    (waived,) = [one for one in verdict.found if not one.check.ok]
    assert (waived.outcome, waived.waived) == ("waived", "known to all")
    (rule,) = verdict.as_data()["rollouts"]
    assert (rule["held"], rule["failed"], rule["waived"]) == (False, 0, 1), "no start relies on such a waiver"


def test_an_active_rollout_is_not_asked_whether_it_may_start(site: Installation) -> None:
    ledger = ledger_at(site.ledger_file)
    with_active(ledger, "search-1")
    ledger.close()
    assert failed(look(site, "flag services")) == {}


def test_a_service_without_enough_of_a_past_cannot_be_judged_and_says_so(site: Installation) -> None:
    site.rollout("checkout-1", OBJECTIVES, **{**RULE, "waive": "{pooled_exposure: a test}"})
    wrong = failed(look(site, "feasibility"))
    assert list(wrong) == ["feasibility: checkout-1: sign-off is possible"]

    site.rollout("checkout-1", OBJECTIVES, **RULE)
    verdict = look(site, "feasibility")
    assert verdict.passed
    (check,) = verdict.found
    assert (check.outcome, check.waived, check.excused) == ("waived", "an hour of history", False)


def test_another_result_for_the_same_rule_replaces_the_first(site: Installation) -> None:
    def made() -> Proof:
        with Ground(load_settings(site.config), by="ada") as ground:
            record(ground, preflight(ground, areas=[pair for pair in AREAS if pair[0] == "flag services"]), 1.0)
            proof = ground.ledger.proof("checkout-1", ground.configured[0].sha256)
        assert proof is not None
        return proof

    assert made().holds
    flags(site).set(FLAG, Change(Exposure(5.0), (), "ada", "a first look"))
    worse = made()
    assert (worse.id, worse.failed, worse.holds) == (2, 1, False)
