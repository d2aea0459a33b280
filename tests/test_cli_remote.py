"""Commands with `--url`: a real daemon is asked over HTTP from a directory that has neither settings nor a ledger."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.processes import Daemon, Installation, Traffic, run
from tests.servers import ScriptedPrometheus, free_port
from watchdog.cli import app
from watchdog.client import Client
from watchdog.errors import WatchdogError

TOKEN = "only for operators"
NAME = "checkout-1"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the operator sits: a token and nothing else."""
    directory = tmp_path_factory.mktemp("elsewhere")
    (directory / "token").write_text(f"{TOKEN}\n")
    (directory / "wrong").write_text("another one\n")
    (directory / "empty").write_text("\n")
    return directory


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that holds at 10 %."""
    with ScriptedPrometheus(Traffic()) as server:
        listen = f"127.0.0.1:{free_port()}"
        site = Installation(
            tmp_path_factory.mktemp("daemon"), server.url, http=f'{{listen: "{listen}", token: {TOKEN}}}'
        )
        site.rollout(NAME, auto_start="true", ramp="{steps: [{percent: 10, for: 1h}, {percent: 100}]}")
        with site.daemon() as daemon:
            site.until(NAME, lambda status: status["phase"] == "ramping" and status["next_slot"], within=30)
            yield daemon


def ask(place: Path, url: str, *words: str, token_file: str = "") -> Result:
    """The program in this process, whose directory has no settings either."""
    given = ("--token-file", str(place / token_file)) if token_file else ()
    return CliRunner().invoke(app, [*words, "--url", url, *given])


def refusal(done: Result) -> str:
    """What the program would say on standard error before it ends with status 2."""
    assert isinstance(done.exception, WatchdogError), done.output
    return str(done.exception)


def test_status_tells_the_same_there_as_here(place: Path, daemon: Daemon) -> None:
    there = run("status", NAME, "--json", "--url", daemon.url, directory=place)
    assert (there.status, there.err) == (0, "")
    assert there.data.keys() == daemon.site.status(NAME).keys()
    assert (there.data["rollout"], there.data["phase"]) == (NAME, "ramping")
    assert NAME in ask(place, daemon.url, "status").output
    assert ask(place, daemon.url, "status", NAME).output.startswith(f"{NAME}: checkout 1.0, ramping (act)")
    assert [one["rollout"] for one in json.loads(ask(place, daemon.url, "status", "--json").output)] == [NAME]


def test_hold_and_resume_are_recorded_there_and_carried_out(place: Path, daemon: Daemon) -> None:
    words = ("hold", NAME, "--reason", "a sale is on", "--by", "ada", "--url", daemon.url, "--token-file", "token")
    done = run(*words, directory=place)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(f"{NAME}: hold recorded as command ")
    hold = daemon.site.until(NAME, lambda status: status["hold"])["hold"]
    assert (hold["by"], hold["why"]) == ("ada", "a sale is on")
    assert ask(place, daemon.url, "resume", NAME, "--reason", "it is over", token_file="token").exit_code == 0
    daemon.site.until(NAME, lambda status: status["hold"] is None)


def test_a_gate_is_undecided_there_too(place: Path, daemon: Daemon) -> None:
    done = ask(place, daemon.url, "gate", NAME)
    assert done.exit_code == 3
    assert done.output.startswith(f"{NAME}: ramping, ")


@pytest.mark.parametrize(
    ("words", "token_file", "said"),
    [
        (("hold", NAME, "--reason", "x"), "wrong", "unauthorized"),
        (("hold", "typo", "--reason", "x"), "token", "unknown-rollout"),
        (("hold", NAME, "--reason", " "), "token", "--reason is empty"),
        (("hold", NAME, "--reason", "x"), "empty", "is empty or larger"),
        (("hold", NAME, "--reason", "x"), "missing", "missing' cannot be read"),
        (("hold", NAME, "--reason", "x"), "", "needs --token-file"),
        (("status", "typo"), "", "unknown-rollout"),
    ],
)
def test_what_cannot_be_done_there_is_said_in_a_sentence(
    place: Path, daemon: Daemon, words: tuple[str, ...], token_file: str, said: str
) -> None:
    sentence = refusal(ask(place, daemon.url, *words, token_file=token_file))
    assert said in sentence
    assert TOKEN not in sentence


def test_what_the_daemon_refuses_ends_with_status_2(place: Path, daemon: Daemon) -> None:
    done = run("hold", NAME, "--reason", "x", "--url", daemon.url, "--token-file", "wrong", directory=place)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("slo-watchdog: the request brings another token")


@pytest.mark.parametrize("words", [("status",), ("gate", NAME), ("hold", NAME, "--reason", "x")])
def test_nobody_there_is_status_4(place: Path, words: tuple[str, ...]) -> None:
    done = ask(place, f"http://127.0.0.1:{free_port()}", *words, token_file="token")
    assert done.exit_code == 4
    assert "cannot be asked" in done.output


def test_a_gate_waits_through_a_restart_of_the_daemon(place: Path, daemon: Daemon) -> None:
    """The daemon goes away while a pipeline waits, comes back, and is stopped: the gate says so with status 1."""
    url, waited = daemon.url, []
    gate = threading.Thread(
        target=lambda: waited.append(run("gate", NAME, "--wait", "--timeout", "28s", "--url", url, directory=place))
    )
    assert daemon.end() == 0
    gate.start()
    with daemon.site.daemon() as again:
        assert again.url == url
        Client(url, TOKEN).stop(NAME, "superseded", by="ada")
        daemon.site.until(NAME, lambda status: status["phase"] == "stopped")
        gate.join(30)
    assert [done.status for done in waited] == [1], waited
    assert waited[0].out.startswith(f"{NAME}: stopped")
    assert json.dumps(waited[0].err).count("asked again every 5 s") <= 1
