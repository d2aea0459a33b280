"""The daemon tells people over real connections, and nothing that they hear delays what it does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.answering import Answering, Reply, reply
from tests.processes import Installation
from tests.rollouts import event
from watchdog.config import load_settings
from watchdog.config.notifysettings import NotifySettings
from watchdog.daemon import Daemon
from watchdog.flags.memory import InMemoryFlags
from watchdog.model import Phase
from watchdog.notifiers import CHANNELS, open_channels

FLAG = "new-checkout"
NAME = "checkout-1"
DEADLINE = 20.0


@pytest.fixture
def people() -> Iterator[Answering]:
    with Answering() as server:
        yield server.always(reply(200))


@pytest.fixture
def pipeline() -> Iterator[Answering]:
    with Answering() as server:
        yield server.always(reply(202))


@contextmanager
def running(path: Path, people: Answering, flags: InMemoryFlags, **keys: str) -> Iterator[Daemon]:
    """A daemon without a Prometheus, which tells people by webhook."""
    site = Installation(path, "http://127.0.0.1:1", notify=f"{{webhook: {{url: {people.url}/hook, timeout: 20s}}}}")
    rule = {"interval": "1s", "rollback": "{within: 15m}", "window": "{slices: 2, slice: 1h}"}
    site.rollout(NAME, f"\n{event()}\n", **rule, ramp="{strategy: percentage, to: 25}", **keys)
    daemon = Daemon(load_settings(site.config), flags=flags)
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.stop()


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not what():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def roll_back(daemon: Daemon) -> None:
    daemon.ledger.add_command(NAME, "rollback", "ada", "because", time.time())
    daemon.jobs.wake(NAME)


def phase(daemon: Daemon) -> Phase:
    stored = daemon.ledger.rollout(NAME)
    assert stored is not None
    return stored.phase


def kinds(server: Answering) -> list[str]:
    return [request.json["kind"] for request in server.asked]


def test_people_and_pipelines_hear_of_a_rollback(tmp_path: Path, people: Answering, pipeline: Answering) -> None:
    (tmp_path / "rollouts").mkdir()
    (tmp_path / "rollouts" / "hook.secret").write_text("s3cret")
    hook = f"{{on_transition: {{url: {pipeline.url}/start, secret_file: hook.secret}}}}"
    with running(tmp_path, people, InMemoryFlags((FLAG,)), notify=hook) as daemon:
        roll_back(daemon)
        until(lambda: "rolled_back" in kinds(people) and "rolled_back" in kinds(pipeline))
        told = [item.notification.kind for item in daemon.ledger.notifications_of(1)]
    assert "transition" not in kinds(people)
    assert kinds(people) == told
    first = next(request.json for request in pipeline.asked if request.json["kind"] == "rollback")
    assert (first["from"], first["to"], first["by"], first["mode"]) == ("pending", "rolling_back", "ada", "act")
    assert first["exposure"] == {"percent": 0.0, "cohort": False, "audiences": []}


def test_a_receiver_that_hangs_delays_no_rollback_and_no_end(tmp_path: Path, people: Answering) -> None:
    people.always(Reply(hang=True))
    flags = InMemoryFlags((FLAG,))
    with running(tmp_path, people, flags) as daemon:
        roll_back(daemon)
        until(lambda: bool(people.asked))
        until(lambda: phase(daemon) is Phase.ROLLED_BACK)
        assert flags.read(FLAG).latch == NAME


def test_only_configured_channels_are_opened_and_pipelines_always_are(tmp_path: Path) -> None:
    assert [channel.name for channel in open_channels(NotifySettings())] == ["on_transition"]
    (tmp_path / "key").write_text("0123456789abcdef0123456789abcdef")
    (tmp_path / "token").write_text("xoxb-1")
    notify = (
        "{pagerduty: {routing_key_file: key}, slack: {token_file: token, channel: '#deploys'}, "
        "alertmanager: {url: 'http://127.0.0.1:1'}, webhook: {url: 'http://127.0.0.1:1'}, "
        "email: {smtp: '127.0.0.1:25', from: a@example.com, to: [b@example.com], security: none}, "
        "on_transition: {url: 'http://127.0.0.1:1', secret_file: key}}"
    )
    site = Installation(tmp_path, "http://127.0.0.1:1", notify=notify)
    assert [channel.name for channel in open_channels(load_settings(site.config).notify)] == list(CHANNELS)
