"""`flags get | set | kill | list | status | history | revert | verify` on a real flagd file and a real ledger."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.processes import FLAG, Finished, Installation
from watchdog.cli import app

NOWHERE = "http://127.0.0.1:9"


class Desk(Installation):
    """An installation whose commands run in this process, which is quicker; `run` starts a real one."""

    def flags(self, *arguments: str) -> Finished:
        done = CliRunner().invoke(app, ["--config", str(self.config), "flags", *arguments])
        return Finished(done.exit_code, done.stdout, done.stderr)


@pytest.fixture
def site(tmp_path: Path) -> Desk:
    return Desk(tmp_path, NOWHERE)


@pytest.fixture(scope="module")
def storied(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A flag with a past: set twice by Ada, edited by somebody in the file, reverted by Eve."""
    site = Desk(tmp_path_factory.mktemp("storied"), NOWHERE)
    site.flags("set", FLAG, "5", "--reason", "a first look", "--by", "ada")
    site.flags("set", FLAG, "50", "--reason", "all well", "--by", "ada")
    edited = site.flag_file.read_text().replace("50000", "70000", 1).replace("50000", "30000", 1)
    site.flag_file.write_text(edited)
    done = site.flags("revert", FLAG, "2", "--reason", "seventy was nobody's plan", "--by", "eve")
    assert (done.status, done.err) == (0, "")
    return site


def history(site: Desk, *more: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = site.flags("history", FLAG, "--json", *more).data
    return found


def test_history_tells_who_changed_what_from_what_to_what_and_why(storied: Desk) -> None:
    told = [
        (one["version"], one["action"], one["result"], one["by"], (one["before"] or {}).get("percent"))
        for one in history(storied)
    ]
    assert told == [
        (5, "revert", "applied", "eve", 70.0),
        (4, "external", "found", "unknown", 50.0),
        (3, "set", "applied", "ada", 5.0),
        (None, "set", "intended", "ada", 5.0),
        (2, "set", "applied", "ada", 0.0),
        (None, "set", "intended", "ada", 0.0),
        (1, "seen", "found", "unknown", None),
    ]
    newest = history(storied, "--limit", "1")[0]
    assert newest["after"]["percent"] == 5
    assert newest["why"] == "revert to version 2: seventy was nobody's plan"
    assert newest["at"].endswith("Z")
    assert newest["idem"].startswith("eve:")
    assert storied.serves == 5


def test_people_get_a_table_without_the_intentions_that_came_about(storied: Desk) -> None:
    lines = [" ".join(line.replace("│", " ").split()) for line in storied.flags("history", FLAG).out.splitlines()]
    text = " ".join(lines)
    assert "revert applied 70% -> 5% eve" in text
    assert "external found 50% -> 70% unknown" in text
    assert "intended" not in text


def test_verify_is_sound_then_names_the_row_that_somebody_edited(storied: Desk) -> None:
    found = storied.flags("verify", "--json")
    assert (found.status, found.data["ok"], found.data["rows"]) == (0, True, 7)
    anchor = found.data["head"]
    assert storied.flags("verify", "--anchor", anchor).status == 0
    with closing(sqlite3.connect(storied.ledger_file)) as other:
        other.execute("UPDATE flag_changes SET why = 'nothing to see' WHERE id = 4")
        other.commit()
    wrong = storied.flags("verify")
    with closing(sqlite3.connect(storied.ledger_file)) as other:
        other.execute("UPDATE flag_changes SET why = 'all well' WHERE id = 4")
        other.commit()
    assert wrong.status == 1
    assert f"change 4 (flags, flag {FLAG}) was edited" in wrong.err
    assert storied.flags("verify").out.startswith("7 changes: the chain is whole; head 7:")
    other_anchor = storied.flags("verify", "--anchor", f"7:{'0' * 64}", "--json")
    assert (other_anchor.status, other_anchor.data["findings"][0]["id"]) == (1, 7)
    assert storied.run("flags", "verify", "--anchor", "seven").status == 2


def test_list_and_status_show_what_a_flag_serves_and_who_changed_it(storied: Desk) -> None:
    listed = {one["flag"]: one for one in storied.flags("list", "--json").data}
    assert {FLAG, "ops.shutdown", "ops.read-only", "ops.maintenance"} <= listed.keys()
    assert (listed[FLAG]["percent"], listed[FLAG]["owner"]) == (5, None)
    assert listed[FLAG]["last_change"]["by"] == "eve"
    assert listed["ops.shutdown"]["error"]
    status = storied.flags("status", FLAG, "--json").data
    assert (status["percent"], status["service"], status["rollout"]) == (5, "flags", None)
    assert status["history"][0]["by"] == "eve"
    assert storied.flags("status", FLAG).out.startswith(f"{FLAG} of flags: 5%\n")


def test_get_keeps_its_fields(storied: Desk) -> None:
    found = storied.flags("get", FLAG, "--json").data
    assert (found["flag"], found["percent"], found["cohort"], found["latch"]) == (FLAG, 5, False, None)
    assert found["version"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("revert", FLAG, "99", "--reason", "x"), "has no version 99"),
        (("revert", FLAG, "1", "--reason", " "), "--reason is empty"),
        (("history", "typo"), "no change of flag 'typo' of flags is on record"),
        (("status", "typo"), "there is no flag 'typo'"),
        (("get", "typo"), "flags.typo: it is missing"),
        (("get", FLAG, "--service", "nowhere"), "there is no flag service 'nowhere'"),
        (("set", "ops.shutdown", "50", "--reason", "half"), "is an emergency flag"),
    ],
)
def test_what_cannot_be_is_said(storied: Desk, arguments: tuple[str, ...], said: str) -> None:
    done = storied.flags(*arguments)
    assert done.status == 1
    assert said in done.err


def test_a_revert_brings_cohort_members_back_and_does_not_undo_a_rollback(site: Desk) -> None:
    site.flag(10)
    document = json.loads(site.flag_file.read_text())
    rule = document["flags"][FLAG]["targeting"]
    cohort = {"if": [{"in": [{"var": "targetingKey"}, ["qa-1", "qa-2"]]}, "on", rule]}
    document["flags"][FLAG]["targeting"] = cohort
    site.flag_file.write_text(json.dumps(document))
    assert site.flags("get", FLAG).out.startswith(f"{FLAG}: 10% and the cohort")
    assert site.flags("set", FLAG, "1", "--reason", "less").status == 0
    assert site.flags("revert", FLAG, "1", "--reason", "more").status == 0
    assert json.loads(site.flag_file.read_text())["flags"][FLAG]["targeting"] == cohort
    document = json.loads(site.flag_file.read_text())
    document["flags"][FLAG]["metadata"]["slo-watchdog.latch"] = "checkout-1"
    del document["flags"][FLAG]["targeting"]
    site.flag_file.write_text(json.dumps(document))
    refused = site.flags("revert", FLAG, "1", "--reason", "more")
    assert refused.status == 1
    assert "was killed by the rollback of checkout-1" in refused.err
    assert site.serves == 0


def test_a_kill_needs_no_ledger_and_its_record_waits_in_the_journal(site: Desk) -> None:
    site.flag(40)
    site.flags("get", FLAG)
    hidden = site.ledger_file.rename(site.directory / "hidden.db")
    site.ledger_file.mkdir()
    raised = site.flags("set", FLAG, "60", "--reason", "more")
    assert raised.status == 1
    assert "can be lowered and killed, but not raised" in raised.err
    killed = site.run("flags", "kill", FLAG, "--reason", "an incident", "--by", "ada")
    assert (killed.status, site.serves) == (0, 0)
    assert "recorded in" in killed.err
    assert "watchdog.db.flags until the ledger takes it" in killed.err
    site.ledger_file.rmdir()
    hidden.rename(site.ledger_file)
    newest = history(site)[0]
    assert (newest["action"], newest["by"], newest["why"]) == ("kill", "ada", "an incident")
    assert site.flags("verify").status == 0
    assert not (site.directory / "watchdog.db.flags").exists()
