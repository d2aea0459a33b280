"""The commands that only look, run as a person runs them: what they print, and how they end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.processes import EVENTS, Installation, Traffic, run
from tests.servers import ScriptedPrometheus, free_port
from watchdog.cli import app

STATUS = {"rollout", "service", "version", "mode", "phase", "hold", "waiting", "exposure", "window", "objectives"}
STATUS |= {"rollback", "next_slot", "leader"}
OBJECTIVE = {"name", "verdict", "reason", "value", "bad", "total", "at", "why"}
WINDOW = {"required", "current", "longest", "completed_at", "idle", "unknown_s", "resets", "final"}
STAMPS = {"detected_at", "decided_at", "acted_at", "confirmed_at"}
REPLAY = {"rollout", "from", "to", "interval_s", "phase", "slots", "evaluations", "breaches", "window", "gaps"}
REPLAY |= {"exposure", "transitions"}
AT_ONCE = {"ramp": "{strategy: percentage, to: 100}", "window": "{slices: 2, slice: 2s, max_gap: 10s}"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Three rollouts that a daemon has watched: `good` is signed off, `bad` rolled back, `odd` observed and held."""
    with ScriptedPrometheus() as server:
        traffic = Traffic()
        server.always(traffic)
        site = Installation(tmp_path_factory.mktemp("site"), server.url)
        site.rollout("good", auto_start="true", mode="observe", **AT_ONCE)
        site.rollout("odd", objectives=f"{EVENTS}    on_breach: page\n", auto_start="true", mode="observe")
        site.rollout("bad", auto_start="true")
        with site.daemon() as daemon:
            site.until("odd", lambda status: status["phase"] == "ramping")
            held = site.run("hold", "odd", "--reason", "a look at it", "--by", "ada")
            assert held.status == 0, held.err
            site.until("good", lambda status: status["phase"] == "signed_off", within=40)
            traffic.bad = 900
            site.until("bad", lambda status: status["phase"] == "rolled_back", within=40)
            site.until("odd", lambda status: status["hold"] is not None)
            assert daemon.end() == 0
        yield site


def test_status_lists_every_rollout_with_what_a_person_asks_first(site: Installation) -> None:
    done = site.run("status")
    assert done.status == 0
    rows = {line.split()[0]: line for line in done.out.splitlines() if line}
    assert "signed_off" in rows["good"]
    assert "rolled_back" in rows["bad"]
    assert "held: a look at it" in rows["odd"]


def test_status_json_has_the_keys_that_others_build_on(site: Installation) -> None:
    every = {item["rollout"]: item for item in site.run("status", "--json").data}
    assert set(every) == {"good", "bad", "odd"}
    for status in every.values():
        assert status.keys() >= STATUS
        assert status["exposure"].keys() >= {"desired", "actual"}
        assert status["window"].keys() >= WINDOW
        assert all(objective.keys() >= OBJECTIVE for objective in status["objectives"])
    good, bad, odd = every["good"], every["bad"], every["odd"]
    assert (good["phase"], good["next_slot"], good["rollback"]) == ("signed_off", None, None)
    assert good["window"]["final"]["completed_at"].endswith("Z")
    assert bad["exposure"]["desired"] == bad["exposure"]["actual"] == 0
    assert bad["rollback"].keys() >= STAMPS
    assert odd["hold"].keys() == {"cause", "by", "since", "why"}
    assert (odd["hold"]["cause"], odd["hold"]["by"], odd["hold"]["why"]) == ("operator", "ada", "a look at it")


def test_status_of_one_tells_its_rollback_in_words_and_in_json(site: Installation) -> None:
    words = site.run("status", "bad")
    assert "rolled_back (act)" in words.out
    assert "rollback: error_rate breached: error_rate 90% bad" in words.out
    assert "flag new-checkout reads 0%" in words.out
    assert site.run("status", "bad", "--json").data["phase"] == "rolled_back"


def test_history_tells_everything_in_order_with_who(site: Installation) -> None:
    told = site.run("history", "odd", "--json").data
    assert [item["at"] for item in told] == sorted(item["at"] for item in told)
    assert told[0].keys() >= {"at", "kind", "from", "to", "by", "why"}
    (hold,) = [item for item in told if item["kind"] == "hold"]
    assert (hold["by"], hold["why"]) == ("ada", "held (operator) by ada: a look at it")
    words = site.run("history", "bad").out
    for kind in ("start", "step", "breach", "rollback", "rolled_back"):
        assert kind in words


def test_explain_says_query_value_target_and_what_to_do(site: Installation) -> None:
    text = site.run("explain", "bad").out
    assert "errors_total[2s]" in text
    assert "target: at most 1% bad; a breach: rollback" in text
    assert "/graph?g0.expr=errors_total%5B2s%5D" in text
    assert "nothing at once: the flag is off" in text
    then = site.run("explain", "odd", "--at", "-1h").out
    assert "no evaluation at that time" in then
    assert "slo-watchdog resume odd" in then


def test_report_json_holds_status_figures_and_rule(site: Installation) -> None:
    report = site.run("report", "bad", "--format", "json").data
    assert report.keys() >= STATUS | REPLAY
    assert [breach["objective"] for breach in report["breaches"]] == ["error_rate"]
    assert report["exposure"][-1]["percent"] == 0
    rule = (site.directory / "rollouts" / "bad.yaml").read_text()
    digest = hashlib.sha256(rule.encode()).hexdigest()
    text = json.dumps(report)
    assert digest in text
    assert json.dumps(rule)[1:-1] in text


def test_report_is_markdown_on_the_terminal_and_html_in_a_file(site: Installation) -> None:
    assert site.run("report", "good").out.startswith("# ")
    path = site.directory / "out" / "good.html"
    done = site.run("report", "good", "--format", "html", "-o", str(path))
    assert (done.status, done.out) == (0, f"wrote {path}\n")
    assert path.read_text().lstrip().lower().startswith("<!doctype html>")
    assert site.run("report", "good", "--format", "pdf").status == 2


def test_a_sign_off_has_left_its_report_beside_the_ledger_with_its_sha256(site: Installation) -> None:
    ledger = site.ledger()
    stored = ledger.rollout("good")
    assert stored is not None
    reports = ledger.reports(stored.id)
    ledger.close()
    assert {report.format for report in reports if report.kind == "final"} == {"html", "md", "json"}
    for report in reports:
        assert hashlib.sha256(Path(report.path).read_bytes()).hexdigest() == report.sha256


@pytest.mark.parametrize(("arguments", "status"), [(("good",), 0), (("bad",), 1), (("odd",), 3)])
def test_gate_ends_as_a_pipeline_needs_it(site: Installation, arguments: tuple[str, ...], status: int) -> None:
    done = site.run("gate", *arguments)
    assert done.status == status
    assert done.out.startswith(f"{arguments[0]}: ")


def test_gate_waits_no_longer_than_it_may(site: Installation) -> None:
    done = site.run("gate", "odd", "--wait", "--timeout", "1s", "--for", "interim")
    assert done.status == 3
    assert site.run("gate", "odd", "--for", "ever").status == 2


def test_an_unknown_rollout_is_refused_with_those_there_are(site: Installation) -> None:
    done = site.run("status", "goood")
    assert done.status == 2
    assert done.err == "slo-watchdog: the ledger has no rollout 'goood'; it has: bad, good, odd\n"


# --- where the configuration comes from -------------------------------------------------------------------------------


def test_the_configuration_is_given_before_or_after_the_command_or_by_the_environment(site: Installation) -> None:
    before = run("--config", str(site.config), "status", "--json")
    after = run("status", "--json", "--config", str(site.config))
    environment = run("status", "--json", environ={"WATCHDOG_CONFIG": str(site.config)})
    assert before.status == after.status == environment.status == 0
    assert before.data == after.data == environment.data != []


def test_without_a_configuration_a_sentence_says_how_to_give_one(tmp_path: Path) -> None:
    done = run("status", directory=tmp_path)
    assert done.status == 2
    (line,) = done.err.splitlines()
    for word in ("--config", "WATCHDOG_CONFIG", "slo-watchdog init"):
        assert word in line
    gone = run("--config", "nowhere.yaml", "status", directory=tmp_path)
    assert gone.status == 2
    assert gone.err.startswith("slo-watchdog: nowhere.yaml: cannot be read")


# --- init and check ---------------------------------------------------------------------------------------------------


def test_init_writes_what_check_accepts_and_overwrites_nothing(tmp_path: Path) -> None:
    first = run("init", "demo", directory=tmp_path)
    assert first.status == 0
    config = str(tmp_path / "demo" / "watchdog.yaml")
    checked = run("check", "--config", config, "--json")
    assert checked.status == 0
    assert checked.data["valid"] is True
    assert checked.data["problems"] == []
    assert set(checked.data["rollouts"][0]["worst_case_s"]) >= {"error_rate", "availability"}
    again = run("init", "demo", directory=tmp_path)
    assert again.status == 2
    assert "Traceback" not in again.err


def test_check_says_everything_at_once_and_ends_with_2(tmp_path: Path) -> None:
    site = Installation(tmp_path, "http://127.0.0.1:1")
    site.rollout("one", interval="soon", mode="wild")
    site.rollout("two", ramp="{strategy: sideways}")
    done = site.run("check")
    assert done.status == 2
    lines = done.err.splitlines()
    assert all(line.startswith("slo-watchdog: ") for line in lines)
    for place in ("one.yaml: interval", "one.yaml: mode", "two.yaml: ramp"):
        assert any(place in line for line in lines), (place, lines)


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_key_that_cannot_be_one_is_refused_by_check_as_by_run(tmp_path: Path, command: str) -> None:
    (tmp_path / "key").write_text("0123456789")
    site = Installation(tmp_path, "http://127.0.0.1:1", notify="{pagerduty: {routing_key_file: key}}")
    done = site.run(command)
    assert done.status == 2
    assert "notify.pagerduty.routing_key: holds 10 characters (not shown), expected an integration key" in done.err
    assert "0123456789" not in done.err + done.out


def test_check_online_without_a_server_ends_with_4(tmp_path: Path) -> None:
    port = free_port()
    site = Installation(tmp_path, f"http://127.0.0.1:{port}")
    site.rollout("one")
    done = site.run("check", "--online")
    assert done.status == 4
    assert f"127.0.0.1:{port}" in done.err
    assert len(done.err.splitlines()) == 1


def test_every_command_shows_an_example_in_its_help() -> None:
    group: Any = typer.main.get_command(app)
    leaves = {
        f"{name} {inner}".strip(): leaf
        for name, command in group.commands.items()
        for inner, leaf in getattr(command, "commands", {"": command}).items()
    }
    assert leaves.keys() >= {"init", "check", "run", "start", "explain", "status", "history", "replay", "report"}
    assert leaves.keys() >= {"hold", "resume", "rollback", "stop", "gate"}
    assert leaves.keys() >= {f"flags {verb}" for verb in ("init", "get", "set", "kill")}
    for name, leaf in leaves.items():
        assert f"slo-watchdog {name}" in (leaf.help or ""), name
