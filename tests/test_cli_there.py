"""Every command with `--url`: a server elsewhere is asked, from a directory with a token and nothing else."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.drilling import FLAG as DRILL_FLAG
from tests.processes import Installation, wait_for
from tests.webserver import ALERTS_TOKEN, NAME, RULE, TOKEN, Site
from watchdog.cli import app
from watchdog.client import Client, Conflict, NotThere
from watchdog.errors import Refused
from watchdog.flags.flagd_file import FlagdFile

FLAG = "new-checkout"


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("elsewhere") / "token"
    file.write_text(f"{TOKEN}\n")
    return file


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("there")) as running:
        running.add(rule=RULE.replace("slices: 2", "slices: 12"))
        running.tick(14)
        running.add("waiting", "old-checkout", RULE.replace("auto_start: true\n", ""))
        running.add("other", "old-checkout", RULE.replace("auto_start: true\n", ""))
        yield running


def ask(site: Site, *words: str, token: Path | None = None) -> Result:
    known = ("--token-file", str(token)) if token is not None else ()
    return CliRunner().invoke(app, [*words, "--url", site.url, *known])


def said(result: Result) -> str:
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def answered(result: Result) -> Any:
    return json.loads(said(result))


def test_history_explain_and_report_are_read_there(site: Site, tmp_path: Path) -> None:
    told = answered(ask(site, "history", NAME, "--json"))
    assert [one["kind"] for one in told][:2] == ["start", "step"]
    assert set(told[0]) == {"at", "kind", "from", "to", "by", "objective", "why"}
    assert "started by watchdog" in said(ask(site, "history", NAME))
    assert "What you need to do:" in said(ask(site, "explain", NAME))
    assert said(ask(site, "report", NAME)).startswith("# ")
    file = tmp_path / "report.html"
    said(ask(site, "report", NAME, "--format", "html", "-o", str(file)))
    assert file.read_text().startswith("<!")


def test_a_bundle_is_made_where_the_ledger_is(site: Site, tmp_path: Path) -> None:
    done = ask(site, "report", NAME, "--bundle", str(tmp_path / "evidence.tar.gz"))
    assert isinstance(done.exception, Refused)
    assert "without --url" in str(done.exception)


def test_a_rollout_is_started_there_by_its_name(site: Site, token: Path) -> None:
    waive = ("--waive", "no reader yet", "--waive-until", "48h", "--by", "ada")
    # The server of the tests believes in another time, to which the command's 48 h from now would be years.
    then, site.now = site.now, time.time()
    try:
        done = said(ask(site, "start", "waiting", *waive, token=token))
    finally:
        site.now = then
    assert done.startswith("waiting: start recorded as command ")
    stored = site.ledger.rollout("waiting")
    assert stored is not None
    ((command, outcome),) = site.ledger.commands(stored.id)
    assert (command.verb, command.by, command.reason, outcome) == ("start", "ada", "from the command line", None)
    (waiver,) = site.ledger.waivers(stored.id)
    assert (waiver.by, waiver.why) == ("ada", "no reader yet")


def test_a_flag_that_is_raised_already_is_adopted_there_with_a_reason(site: Site, token: Path) -> None:
    refused = ask(site, "start", "other", "--adopt", token=token)
    assert "--adopt needs --reason" in str(refused.exception)
    said(ask(site, "start", "other", "--adopt", "--reason", "ramped by hand", token=token))
    stored = site.ledger.rollout("other")
    assert stored is not None
    assert [command.verb for command, _ in site.ledger.commands(stored.id)] == ["adopt"]


def test_what_runs_already_is_not_started_there(site: Site, token: Path) -> None:
    done = ask(site, "start", NAME, token=token)
    assert isinstance(done.exception, Conflict)
    assert "a name starts once" in str(done.exception)


def test_flags_are_read_and_changed_there(site: Site, token: Path) -> None:
    assert said(ask(site, "flags", "get", FLAG)).startswith(f"{FLAG}: 100%, version ")
    assert answered(ask(site, "flags", "get", FLAG, "--json"))["percent"] == 100
    assert FLAG in said(ask(site, "flags", "list"))
    assert "rollout checkout-2.14.0: " in said(ask(site, "flags", "status", FLAG))
    said(ask(site, "flags", "set", "old-checkout", "5", "--reason", "a look", "--by", "ada", token=token))
    killed = said(ask(site, "flags", "kill", "old-checkout", "--reason", "an incident", token=token))
    assert killed.startswith("old-checkout: 0%, version ")
    changes = answered(ask(site, "flags", "history", "old-checkout", "--json"))
    assert [one["action"] for one in changes if one["result"] == "applied"][:2] == ["kill", "set"]
    version = next(one["version"] for one in changes if one["action"] == "set" and one["version"])
    reverted = ask(site, "flags", "revert", "old-checkout", str(version), "--reason", "it was nothing", token=token)
    assert said(reverted).startswith("old-checkout: 5%")


def test_an_emergency_is_switched_there(site: Site, token: Path) -> None:
    words = ("flags", "emergency", "ops.maintenance")
    assert said(ask(site, *words, "on", "--reason", "a new disk", token=token)).startswith("ops.maintenance: on")
    assert "ops.maintenance: on\n" in said(ask(site, "flags", "emergency"))
    assert said(ask(site, *words, "off", "--reason", "it is in", token=token)).startswith("ops.maintenance: off")
    changes = answered(ask(site, "flags", "history", "ops.maintenance", "--json"))
    assert [one["why"] for one in changes if one["result"] == "applied"] == ["it is in", "a new disk"]


def test_a_flag_service_that_does_not_do_it_is_status_1(site: Site, token: Path) -> None:
    done = ask(site, "flags", "kill", "typo", "--reason", "x", token=token)
    assert done.exit_code == 1
    assert "not in the in-memory service" in done.output


def test_alerts_are_listed_and_labelled_there(site: Site, token: Path) -> None:
    alert = {
        "status": "firing",
        "startsAt": "2023-11-15T12:00:00Z",
        "labels": {"alertname": "Slow", "severity": "page"},
    }
    Client(site.url, ALERTS_TOKEN).send_alerts({"version": "4", "alerts": [alert]})  # type: ignore[list-item]
    found = answered(ask(site, "noise", "list", "--since", "2023-11-15T11:00:00Z", "--json"))
    (episode,) = [one["id"] for one in found["episodes"] if one["alertname"] == "Slow"]
    words = ("noise", "label", episode, "false_positive", "--reason", "a test machine", "--by", "ada")
    assert said(ask(site, *words, token=token)) == f"{episode}: false_positive, by ada\n"
    unknown = ask(site, "noise", "label", "a99", "false_positive", "--reason", "x", token=token)
    assert (unknown.exit_code, isinstance(unknown.exception, NotThere)) == (1, False)


@pytest.mark.parametrize(
    "words",
    [
        ("start", "waiting"),
        ("flags", "set", FLAG, "1", "--reason", "x"),
        ("flags", "emergency", "ops.shutdown", "on", "--reason", "x"),
        ("flags", "kill", FLAG, "--reason", "x"),
        ("flags", "revert", FLAG, "1", "--reason", "x"),
        ("noise", "label", "a1", "silenced", "--reason", "x"),
        ("drill",),
    ],
)
def test_nothing_is_changed_there_without_a_token(site: Site, words: tuple[str, ...]) -> None:
    done = ask(site, *words)
    assert isinstance(done.exception, Refused)
    assert "--url needs --token-file" in str(done.exception)


def test_a_drill_is_held_by_the_daemon_there(tmp_path: Path, token: Path) -> None:
    """A real daemon, which holds it in a process of its own; the command waits for what was found."""
    there = tmp_path / "there"
    there.mkdir()
    installed = Installation(there, "http://127.0.0.1:9", http=f"{{listen: '127.0.0.1:0', token: {TOKEN}}}")
    FlagdFile(installed.flag_file).init([DRILL_FLAG], "a test")
    with installed.daemon() as daemon:
        known = ("--url", daemon.url, "--token-file", str(token))
        words = ("drill", "-n", "1", "--by", "ada", "--reason", "a look", "--json", *known)
        report = answered(CliRunner().invoke(app, words))
        assert (report["passed"], report["reader"], len(report["runs"])) == (True, "flagd-file", 1)
        client = Client(daemon.url, TOKEN)
        (drill,) = client.every_drill()
        assert (drill["by"], drill["reason"], drill["passed"]) == ("ada", "a look", True)
        with pytest.raises(Conflict) as refused:
            client.start_drill("x", flag="ops.shutdown")
        assert refused.value.kind == "flag-refused"
        client.start_drill("again", by="ada")
        with pytest.raises(Conflict) as refused:
            client.start_drill("at once")
        assert refused.value.kind == "drill-running"
        wait_for(lambda: True if client.drills()["running"] is None else None, 60, lambda: str(client.drills()))
