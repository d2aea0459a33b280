"""Readers answered by a process of their own: the one that the daemon keeps, and `slo-watchdog serve` by itself."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.processes import FLAG, Daemon, Installation, command, wait_for
from tests.servers import free_port
from watchdog.config import load_settings
from watchdog.errors import ConfigError
from watchdog.flags.flagd_file import FlagdFile
from watchdog.model import EMERGENCY_FLAGS
from watchdog.serve import opened

NOBODY = "http://127.0.0.1:9"
"""A Prometheus that is not there: without rollouts nobody asks it."""
WITHIN = 20.0
OWN = "process of their own"


def installed(directory: Path, *, port: int = 0, **top: str) -> Installation:
    """Two flag files and `serve.listen`."""
    site = Installation(directory, NOBODY, **{"serve": f'{{listen: "127.0.0.1:{port}"}}', **top})
    FlagdFile(site.flag_file.with_name("ops.flagd.json"), emergency=True).init(EMERGENCY_FLAGS, "ada")
    return site


@pytest.fixture
def site(tmp_path: Path) -> Installation:
    return installed(tmp_path)


@pytest.fixture
def daemon(site: Installation) -> Iterator[Daemon]:
    with site.daemon() as daemon:
        yield daemon


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that is only asked."""
    with installed(tmp_path_factory.mktemp("running")).daemon() as daemon:
        yield daemon


def readers_of(daemon: Daemon) -> tuple[str, int]:
    """Where readers are answered, and by which process, once they are."""
    pid = int(daemon.said("serving", WITHIN, OWN)["pid"])
    return f"http://{daemon.said('started')['serving']}", pid


def ask(url: str, **headers: str) -> requests.Response:
    body = {"context": {"targetingKey": "ada"}}
    return requests.post(f"{url}/ofrep/v1/evaluate/flags/{FLAG}", json=body, headers=headers, timeout=WITHIN)


def sample(url: str, name: str, **headers: str) -> float | None:
    """One of the metrics that an address tells."""
    told = requests.get(f"{url}/metrics", headers=headers, timeout=WITHIN)
    assert told.status_code == 200
    found = [line for line in told.text.splitlines() if line.startswith(f"slo_watchdog_{name}")]
    return float(found[0].rpartition(" ")[2]) if found else None


def gone(pid: int) -> bool:
    """Whether a process has ended; its parent may not have noticed yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def until_gone(pid: int) -> None:
    wait_for(lambda: gone(pid) or None, WITHIN, lambda: f"process {pid} is still there")


# --- the daemon's -----------------------------------------------------------------------------------------------------


def test_the_daemon_has_readers_answered_by_another_process(running: Daemon) -> None:
    url, pid = readers_of(running)
    assert pid != running.process.pid
    running.site.flag(0)
    assert ask(url).json()["value"] is False
    running.site.flag(100)
    assert ask(url).json()["value"] is True
    assert requests.get(f"{url}/flagd/ops.json", timeout=WITHIN).json()["flags"].keys() == set(EMERGENCY_FLAGS)
    assert sample(url, 'flag_answers_total{protocol="ofrep",status="200"}') == 2
    assert sample(url, "build_info") == 1
    assert sample(url, 'flags_stale_seconds{set="checkout"}') == 0
    assert sample(url, "rollout_phase") is None
    for path in ("/", "/readyz", "/api/v1/rollouts"):
        assert requests.get(url + path, timeout=WITHIN).status_code == 404


def test_the_daemons_own_address_goes_on_answering_readers_itself(running: Daemon) -> None:
    readers_of(running)
    running.site.flag(0)
    assert ask(running.url).json()["value"] is False
    assert sample(running.url, 'flag_answers_total{protocol="ofrep",status="200"}') == 1
    assert sample(running.url, "serving_up{") == 1
    assert running.get("/readyz").status_code == 200


def test_it_ends_with_the_daemon(daemon: Daemon) -> None:
    url, pid = readers_of(daemon)
    assert ask(url).status_code == 200
    assert daemon.end() == 0
    assert gone(pid)
    with pytest.raises(requests.ConnectionError):
        ask(url)
    assert not [line for line in daemon.lines if line["level"] in ("warning", "error")]


def test_one_that_is_killed_is_replaced_and_readers_wait_for_the_next(daemon: Daemon) -> None:
    url, first = readers_of(daemon)
    os.kill(first, signal.SIGKILL)
    until_gone(first)
    assert ask(url).json()["value"] is False, "the connection waited"
    daemon.said("serving", why="was ended by signal 9")
    wait_for(lambda: sample(daemon.url, "serving_up{") or None, WITHIN, lambda: daemon.text)
    pids = [line["pid"] for line in daemon.lines if line["event"] == "serving" and "pid" in line]
    assert len(set(pids)) == 2


def test_a_daemon_that_is_killed_leaves_none_behind_and_can_start_again(tmp_path: Path) -> None:
    site = installed(tmp_path, port=free_port())
    with site.daemon() as daemon:
        url, pid = readers_of(daemon)
        daemon.kill()
        until_gone(pid)
    with site.daemon() as daemon:
        assert readers_of(daemon)[0] == url
        assert ask(url).status_code == 200


def test_while_none_can_be_started_the_daemon_says_so_and_works_on(site: Installation, daemon: Daemon) -> None:
    url, pid = readers_of(daemon)
    good = site.config.read_text()
    site.config.write_text(f"{good}typo: 1\n")
    os.kill(pid, signal.SIGKILL)
    daemon.said("serving", WITHIN, "typo")
    assert sample(daemon.url, "serving_up{") == 0
    assert ask(daemon.url).json()["value"] is False
    wait_for(lambda: refused(url) or None, WITHIN, lambda: "a client is held up for nothing")
    site.config.write_text(good)
    wait_for(lambda: sample(daemon.url, "serving_up{") or None, WITHIN, lambda: daemon.text)
    assert ask(url).json()["value"] is False


def refused(url: str) -> bool:
    host, _, port = url.removeprefix("http://").partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=WITHIN).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("place", ["http", "serve", "health"])
def test_an_address_that_is_taken_is_found_before_anything_begins(tmp_path: Path, place: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        top: Any = {place: f'{{listen: "127.0.0.1:{port}"}}'}
        site = installed(tmp_path, **top)
        site.rollout(auto_start="true")
        done = site.run("run")
    assert done.status == 2
    assert done.err.count(f"{place}.listen: 127.0.0.1:{port} cannot be listened on") == 1
    assert "Traceback" not in done.err + done.out
    assert site.status()["phase"] == "unseen", "no rollout was taken in, let alone ticked"


def test_flags_that_no_other_process_can_read_are_answered_by_the_daemon(tmp_path: Path) -> None:
    with installed(tmp_path, flags="{service: memory}").daemon() as daemon:
        answer = ask(f"http://{daemon.said('started')['serving']}")
        assert (answer.status_code, answer.json()["errorCode"]) == (404, "FLAG_NOT_FOUND")
        assert sample(daemon.url, "serving_up{") is None


# --- by itself --------------------------------------------------------------------------------------------------------


@contextmanager
def serving(site: Installation, port: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """`slo-watchdog serve`, ended afterwards by its own id; its address."""
    with (site.directory / "serve.log").open("wb") as log:
        process = subprocess.Popen(command("serve", "--config", str(site.config)), stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: None if refused(url) else url, WITHIN, (site.directory / "serve.log").read_text)
        yield url, process
    finally:
        process.kill()
        process.wait()


def test_serve_answers_readers_until_it_is_told_to_end(tmp_path: Path) -> None:
    port = free_port()
    site = installed(tmp_path, port=port)
    site.flag(100)
    with serving(site, port) as (url, process):
        assert ask(url).json()["value"] is True
        assert requests.get(f"{url}/healthz", timeout=WITHIN).json()["status"] == "ok"
        assert sample(url, "flag_answers_total") == 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(WITHIN) == 0
    assert not site.ledger_file.exists()


def test_serve_asks_readers_for_the_token(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "readers.token").write_text("s3cret\n")
    site = installed(tmp_path, port=port, serve=f'{{listen: "127.0.0.1:{port}", token_file: readers.token}}')
    with serving(site, port) as (url, process):
        for headers in ({}, {"Authorization": "Bearer other"}):
            assert ask(url, **headers).status_code == 401
            assert requests.get(f"{url}/metrics", headers=headers, timeout=WITHIN).status_code == 401
        right = {"Authorization": "Bearer s3cret"}
        assert ask(url, **right).status_code == 200
        assert sample(url, 'flag_answers_total{protocol="ofrep",status="401"}', **right) == 2
        process.send_signal(signal.SIGINT)
        assert process.wait(WITHIN) == 0
    assert "s3cret" not in (tmp_path / "serve.log").read_text()


BAD: Sequence[tuple[dict[str, str], str]] = [
    ({"serve": "{}"}, "serve.listen: is not set"),
    ({"flags": "{service: memory}"}, "flags.service: is 'memory', which has no flag document"),
    ({"emergency": "{path: other/checkout.flagd.json}"}, "both are served under their names"),
]


@pytest.mark.parametrize(("top", "said"), BAD, ids=[said for _, said in BAD])
def test_there_must_be_something_to_serve_and_somewhere(tmp_path: Path, top: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        opened(load_settings(installed(tmp_path, port=0, **top).config, {}), None)


def test_serve_says_that_its_address_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = installed(tmp_path, port=port).run("serve")
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert f"serve.listen: 127.0.0.1:{port} cannot be listened on" in done.err


def test_it_loads_nothing_that_it_has_no_use_for() -> None:
    """Its memory is a good half of the daemon's, and nothing in it could steer a rollout."""
    heavy = ("sqlalchemy", "apscheduler", "requests", "watchdog.ledger", "watchdog.prometheus", "watchdog.decide")
    asked = f"import sys, watchdog.serve; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=WITHIN, check=True)
    assert done.stdout == "[]\n"
