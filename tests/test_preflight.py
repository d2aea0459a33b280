"""Preflight: all that must hold before a rollout starts, on a real Prometheus, flag files and a ledger."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.drilling import FLAG as DRILL
from tests.drilling import with_active
from tests.history import History
from tests.ledgers import ledger_at
from tests.processes import FLAG, Installation
from tests.servers import PrometheusServer
from watchdog.config import load_settings
from watchdog.flags.base import Change, Check
from watchdog.flags.flagd_file import FlagdFile
from watchdog.ledger import DrillIntent
from watchdog.model import EMERGENCY_FLAGS, NOBODY, Exposure
from watchdog.preflight import Found, Preflight, preflight
from watchdog.preflight.areas import AREAS
from watchdog.preflight.ground import Ground

HOUR = 3600
OBJECTIVES = """
  - name: error_rate
    bad: sum(increase(http_requests_total{job="checkout",code=~"5.."}[$range]))
    total: sum(increase(http_requests_total{job="checkout"}[$range]))
    at_most: 0.1%
    outside: true
  - use: rollback_capability
"""
RULE = {
    "interval": "30s",
    "delay": "30s",
    "window": "{slices: 48, slice: 1h}",
    "ramp": "{strategy: progressive, over: 7d, every: 1h}",
    "rollback": "{within: 15m}",
    "waive": "{pooled_exposure: a test}",
}


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    """A healthy service: the hour before now, and the half that follows."""
    now = int(time.time())
    history = History()
    history.up(now - HOUR, now + HOUR // 2)
    history.requests(now - HOUR, now + HOUR // 2, error_share=0.0002)
    with PrometheusServer(history.build(tmp_path_factory.mktemp("healthy") / "tsdb")) as server:
        yield server


@pytest.fixture
def site(tmp_path: Path, prometheus: PrometheusServer) -> Installation:
    site = Installation(
        tmp_path, prometheus.url, prometheus=f"{{url: {prometheus.url}, timeout: 5s, scrape_interval: 15s}}"
    )
    site.rollout("checkout-1", OBJECTIVES, **RULE)
    flags(site).init([DRILL], "a test")
    switches(site).init(EMERGENCY_FLAGS, "a test")
    return site


def flags(site: Installation) -> FlagdFile:
    return FlagdFile(site.flag_file)


def switches(site: Installation) -> FlagdFile:
    return FlagdFile(site.flag_file.with_name("ops.flagd.json"), emergency=True)


def drilled(site: Installation, ago: float = 60.0, *, passed: bool = True, worst: float = 0.2) -> None:
    ledger = ledger_at(site.ledger_file)
    intent = DrillIntent("flagd-file", DRILL, "flagd-file", "ada", "earlier", 1, 900.0)
    now = time.time() - ago
    ledger.finish_drill(ledger.begin_drill(intent, now - 1, 0.0), now, passed=passed, worst=worst, report={"why": "x"})
    ledger.close()


def look(site: Installation, *, drills: bool = False) -> Preflight:
    with Ground(load_settings(site.config), by="ada", drills=drills) as ground:
        return preflight(ground)


def failed(verdict: Preflight) -> dict[str, str]:
    """What fails: `area: check` -> what was found."""
    return {f"{one.area}: {one.name}": one.check.found for one in verdict.found if not one.holds}


# --- good ---------------------------------------------------------------------------------------------------------


def test_a_sound_installation_passes_in_every_area(site: Installation) -> None:
    drilled(site)
    verdict = look(site)

    assert failed(verdict) == {}
    assert verdict.passed
    assert list(dict.fromkeys(one.area for one in verdict.found)) == [name for name, _ in AREAS]
    assert all(one.check.found for one in verdict.found), "every check says what it found"


def test_the_first_drill_is_held_by_the_preflight_and_proves_the_capability(site: Installation) -> None:
    verdict = look(site, drills=True)

    assert verdict.passed, failed(verdict)
    (proof, propagation) = [one for one in verdict.found if one.area == "drill"]
    assert proof.check.found.startswith("5 of 5 runs off within ")
    assert "later than flags.propagation, 1s" in propagation.check.found
    assert flags(site).read(DRILL).exposure == NOBODY

    again = look(site)
    assert again.passed
    assert "passed, its worst run took" in again.found[-1].check.found


def test_the_command_prints_what_pipelines_read(site: Installation, tmp_path: Path) -> None:
    drilled(site)
    junit = tmp_path / "preflight.xml"
    done = site.run("preflight", "--json", "--junit", str(junit))

    assert done.status == 0, done.out + done.err
    assert done.data["passed"] is True
    assert set(done.data["checks"][0]) == {"area", "name", "ok", "found", "todo", "waived"}
    root = ET.parse(junit).getroot()  # noqa: S314 - what this very program wrote
    assert (root.tag, root.get("failures"), root.get("errors")) == ("testsuites", "0", "0")
    assert int(root.get("tests", "0")) == len(done.data["checks"]) == len(list(root.iter("testcase")))


# --- bad ----------------------------------------------------------------------------------------------------------


def test_without_a_drill_leaving_it_out_is_a_failed_check(site: Installation) -> None:
    done = site.run("preflight", "--no-drill")

    assert done.status == 1
    assert "FAILED: 1 of " in done.out
    assert "none was to be held; leave out --no-drill, or run" in " ".join(done.out.split())


@pytest.mark.parametrize(
    "how", [{"ago": 7 * 86_400.0 + 60}, {"passed": False}, {"worst": 901.0}], ids=["too old", "failed", "too slow"]
)
def test_a_drill_that_proves_nothing_does_not_count(site: Installation, how: dict[str, float]) -> None:
    drilled(site, **how)  # type: ignore[arg-type]
    assert list(failed(look(site))) == ["drill: a rollback reaches its readers in time"]


def test_a_prometheus_that_does_not_answer_fails_and_hides_nothing_else(site: Installation) -> None:
    drilled(site)
    text = site.config.read_text().splitlines()
    site.config.write_text("\n".join(["prometheus: {url: 'http://127.0.0.1:9', timeout: 1s}", *text[1:]]))

    wrong = failed(look(site))

    assert list(wrong) == ["prometheus: can be looked at"]
    assert "could not be reached" in wrong["prometheus: can be looked at"]


def test_a_query_that_answers_nothing_fails_by_its_objective(site: Installation) -> None:
    drilled(site)
    site.rollout("checkout-1", OBJECTIVES.replace('job="checkout"', 'job="chekout"'), **RULE)

    wrong = failed(look(site))
    assert list(wrong) == ["prometheus: checkout-1: error_rate"]
    assert "no_data" in wrong["prometheus: checkout-1: error_rate"]


def test_a_rollout_file_that_is_wrong_fails_with_its_place(site: Installation) -> None:
    drilled(site)
    site.rollout("search-1", OBJECTIVES, flag="new search", **RULE)
    wrong = failed(look(site))
    assert list(wrong) == ["configuration: file search-1.yaml"]
    assert "flag" in wrong["configuration: file search-1.yaml"]


def test_settings_that_are_wrong_are_failed_checks_too(site: Installation, tmp_path: Path) -> None:
    site.config.write_text("prometheus: {url: nowhere}\nledgr: x\n")
    junit = tmp_path / "out.xml"
    done = site.run("preflight", "--json", "--junit", str(junit))

    assert done.status == 1
    assert done.data["passed"] is False
    assert {check["area"] for check in done.data["checks"]} == {"configuration"}
    assert len(done.data["checks"]) == 2
    assert len(list(ET.parse(junit).getroot().iter("failure"))) == 2  # noqa: S314


def test_a_flag_that_does_not_exist_cannot_be_killed(site: Installation) -> None:
    drilled(site)
    site.rollout("search-1", OBJECTIVES, flag="new-search", **RULE)
    wrong = failed(look(site))
    assert wrong
    assert all(name.startswith("flag services: search-1: new-search: ") for name in wrong)


def test_a_ledger_that_cannot_be_used_fails_whatever_needs_it(site: Installation) -> None:
    site.ledger_file.write_bytes(b"not a database at all, by no means" * 100)
    wrong = failed(look(site))
    assert "is not a ledger" in wrong["ledger: can be looked at"]
    assert "is not a ledger" in wrong["drill: can be looked at"]
    assert "prometheus: can be looked at" not in wrong


def test_an_emergency_flag_that_is_on_or_missing_stands_in_the_way(site: Installation) -> None:
    drilled(site)
    switches(site).set("ops.maintenance", Change(Exposure(100.0), (), "ada", "a new disk"))
    assert list(failed(look(site))) == ["emergency flags: ops.maintenance: is off"]

    site.flag_file.with_name("ops.flagd.json").unlink()
    wrong = failed(look(site))
    assert {f"emergency flags: {flag}: is off" for flag in EMERGENCY_FLAGS} <= wrong.keys()


def test_a_flag_that_another_rollout_has_is_not_free(site: Installation) -> None:
    drilled(site)
    ledger = ledger_at(site.ledger_file)
    with_active(ledger, "checkout-0", flag=FLAG)
    ledger.close()
    assert failed(look(site)) == {f"flag services: checkout-1: {FLAG}: is free": "checkout-0 has it, which is ramping"}


def test_a_flag_that_is_up_already_is_told(site: Installation) -> None:
    drilled(site)
    flags(site).set(FLAG, Change(Exposure(5.0), (), "ada", "a first look"))
    wrong = failed(look(site))
    assert wrong == {
        f"flag services: checkout-1: {FLAG}: is where the ramp starts": "it reads 5%, the ramp starts from 0%"
    }


def test_the_latch_of_its_own_rollback_stands_in_the_way(site: Installation) -> None:
    drilled(site)
    flags(site).kill(FLAG, Change(NOBODY, (), "slo-watchdog", "errors", rollout="checkout-1"))
    assert list(failed(look(site))) == [f"flag services: checkout-1: {FLAG}: has no latch"]


def test_what_its_author_waives_is_told_and_does_not_fail(site: Installation) -> None:
    drilled(site)
    flags(site).set(FLAG, Change(Exposure(5.0), (), "ada", "a first look"))
    site.rollout("checkout-1", OBJECTIVES, **{**RULE, "waive": "{pooled_exposure: a test, preflight: known to all}"})

    verdict = look(site)

    assert verdict.passed
    (waived,) = [one for one in verdict.found if not one.check.ok]
    assert waived.waived == "known to all"


def test_an_active_rollout_is_not_asked_whether_it_may_start(site: Installation) -> None:
    drilled(site)
    ledger = ledger_at(site.ledger_file)
    with_active(ledger, "search-1")
    ledger.close()
    assert look(site).passed


# --- the forms ----------------------------------------------------------------------------------------------------


def a_verdict(*checks: Check) -> Preflight:
    return Preflight([Found("flag services", check, "checkout-1") for check in checks])


def test_nothing_looked_at_is_no_pass() -> None:
    assert not Preflight([]).passed


def test_junit_holds_whatever_a_service_says() -> None:
    hostile = "\x00\x1b[31m <failure> & ]]> \ud800 é \U0001f600"
    verdict = a_verdict(Check(hostile, ok=False, found=hostile, todo=hostile), Check("fine", ok=True, found=hostile))

    root = ET.fromstring(verdict.as_junit())  # noqa: S314

    (suite,) = root
    assert suite.attrib == {
        "name": "flag services",
        "tests": "2",
        "failures": "1",
        "errors": "0",
        "skipped": "0",
        "time": "0",
    }
    (failure,) = root.iter("failure")
    assert "<failure> & ]]>" in (failure.get("message") or "")
    assert json.loads(json.dumps(verdict.as_data()))["passed"] is False
