"""`slo-watchdog tokens`: what it prints once, what it keeps, and a daemon that takes it up without a restart."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from typer.testing import CliRunner, Result

from tests.entering import bearer
from tests.processes import Installation, wait_for
from tests.scripted import ScriptedPrometheus, scripted
from watchdog.access import Role
from watchdog.access.tokenfile import change_tokens, read_tokens
from watchdog.access.tokens import Token, digest
from watchdog.cli import app
from watchdog.errors import ConfigError, WatchdogError
from watchdog.quantities import parse_time

DAY = 86_400.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tokens.yaml"


def tokens(file: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["tokens", *arguments, "--file", str(file)])


def made(file: Path, *arguments: str) -> str:
    done = tokens(file, "add", *arguments)
    assert done.exit_code == 0, done.exception
    return done.stdout.strip()


def test_a_token_is_printed_once_and_only_its_hash_is_kept(file: Path) -> None:
    token = made(file, "ada", "--role", "operator")
    (kept,) = read_tokens(file)
    assert (kept.name, kept.role, kept.sha256, kept.expires) == ("ada", Role.OPERATOR, digest(token), None)
    assert token not in file.read_text()
    assert token not in tokens(file, "list").output
    assert "ada" in tokens(file, "list").output
    assert file.stat().st_mode & 0o777 == 0o644


def test_what_is_said_about_it_goes_elsewhere_so_that_a_file_can_take_the_token(file: Path) -> None:
    done = tokens(file, "add", "ci", "--role", "viewer", "--expires", "90d")
    assert len(done.stdout.splitlines()) == 1
    assert "ci is viewer until 20" in done.stderr


def test_a_token_can_end_by_itself(file: Path) -> None:
    made(file, "ada", "--role", "operator", "--expires", "90d")
    made(file, "bob", "--role", "approver", "--expires", "2099-01-01T00:00:00Z")
    ada, bob = read_tokens(file)
    assert ada.expires is not None
    assert 0 <= ada.expires - ada.created - 90 * DAY < 2
    assert bob.expires == parse_time("2099-01-01T00:00:00Z")
    listed = json.loads(tokens(file, "list", "--json").stdout)["tokens"]
    assert [(one["name"], one["role"], one["valid"]) for one in listed] == [
        ("ada", "operator", True),
        ("bob", "approver", True),
    ]


def test_a_token_that_is_over_is_listed_as_such(file: Path) -> None:
    change_tokens(file, lambda _: [Token("ada", Role.VIEWER, "a" * 64, 0.0, 1.0)])
    assert "over" in tokens(file, "list").output


def test_revoking_takes_one_and_leaves_the_others(file: Path) -> None:
    for name in ("ada", "bob"):
        made(file, name, "--role", "viewer")
    assert tokens(file, "revoke", "ada").exit_code == 0
    assert [one.name for one in read_tokens(file)] == ["bob"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "ada", "--role", "viewer"), "has a token of ada already; `slo-watchdog tokens revoke ada` ends it"),
        (("add", "a b", "--role", "viewer"), "NAME: found 'a b', expected 1 to 64 letters"),
        (("add", "watchdog", "--role", "viewer"), "that one is the watchdog's own"),
        (("add", "-x", "--role", "viewer"), ""),
        (("add", "carol", "--role", "root"), "--role: found 'root', expected one of viewer, operator, approver"),
        (("add", "carol", "--role", "viewer", "--expires", "2001-01-01T00:00:00Z"), "which is over"),
        (("add", "carol", "--role", "viewer", "--expires", "soon"), "expected a time to come"),
        (("revoke", "carol"), "has no token of 'carol'; there are: ada"),
    ],
)
def test_what_cannot_be_meant_changes_nothing(file: Path, arguments: tuple[str, ...], said: str) -> None:
    made(file, "ada", "--role", "viewer")
    before = file.read_text()
    done = tokens(file, *arguments)
    assert done.exit_code != 0
    assert said in str(done.exception)
    assert said == "" or isinstance(done.exception, WatchdogError)
    assert file.read_text() == before


def test_many_at_once_lose_none(file: Path) -> None:
    names = [f"user-{number}" for number in range(20)]

    def add(name: str) -> None:
        change_tokens(file, lambda there: [*there, Token(name, Role.VIEWER, digest(name), 0.0)])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, names))
    assert sorted(one.name for one in read_tokens(file)) == sorted(names)


def test_a_directory_that_is_not_there_is_said(tmp_path: Path) -> None:
    done = tokens(tmp_path / "nowhere" / "tokens.yaml", "add", "ada", "--role", "viewer")
    assert isinstance(done.exception, ConfigError)
    assert "cannot be written (No such file or directory)" in str(done.exception)


def test_a_daemon_takes_a_token_up_and_drops_it_without_a_restart(tmp_path: Path) -> None:
    with ScriptedPrometheus() as prometheus:
        prometheus.always(scripted.value(0.0))
        http = "{listen: '127.0.0.1:0', tokens_file: tokens.yaml, reads: token}"
        site = Installation(tmp_path, prometheus.url, http=http)
        checked = site.run("check")
        assert (checked.status, "tokens add NAME --role approver" in checked.err) == (2, True)
        with site.daemon() as daemon:
            url = f"{daemon.url}/api/v1/rollouts"
            assert requests.get(url, timeout=10).status_code == 401
            token = made(tmp_path / "tokens.yaml", "ada", "--role", "viewer")
            assert requests.get(url, headers=bearer(token), timeout=10).status_code == 200
            (tmp_path / "tokens.yaml").write_text("tokens: [broken\n")
            assert requests.get(url, headers=bearer(token), timeout=10).status_code == 200
            assert daemon.said("tokens", why="the last good one")
            (tmp_path / "tokens.yaml").write_text("tokens: []\n")
            assert requests.get(url, headers=bearer(token), timeout=10).status_code == 401
            assert requests.get(f"{daemon.url}/readyz", timeout=10).ok
            assert daemon.end() == 0
            assert token not in wait_for(lambda: daemon.text or None, 5, lambda: "no log")
