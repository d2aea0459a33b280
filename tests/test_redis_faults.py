"""Redis gone, slow, full, foreign, locked away or filled with rubbish: each is a sentence, and a kill finds its way."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.redisreader import Application
from tests.redisserver import FLAG, KEYS, RedisServer, everything_says, refusal, to
from tests.servers import free_port
from watchdog.errors import FlagServiceError
from watchdog.flags.redis_set import RedisSet
from watchdog.model import NOBODY, Exposure


@pytest.fixture(scope="module")
def shared() -> Iterator[RedisServer]:
    with RedisServer("--appendfsync", "no") as running:
        yield running


@pytest.fixture
def person(shared: RedisServer) -> Iterator[redis.Redis]:
    client = shared.client()
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def flags(shared: RedisServer, person: redis.Redis) -> Iterator[RedisSet]:
    service = shared.flags()
    service.init([FLAG, "search"], "ops")
    service.set(FLAG, to(25))
    yield service
    service.close()


def documented_users() -> list[str]:
    """The two users that docs/flags/redis.md tells people to create."""
    page = Path(__file__).parents[1] / "docs/flags/redis.md"
    return [line for line in page.read_text().splitlines() if line.startswith("ACL SETUSER")]


# What is in the set


def test_a_set_that_nobody_set_up(shared: RedisServer, person: redis.Redis) -> None:
    service = shared.flags()
    error = refusal(lambda: service.read(FLAG))
    assert "slo-watchdog:{checkout}:doc is missing; expected a flagd document; run `slo-watchdog flags init`" in str(
        error
    )
    assert error.missing_set
    assert refusal(lambda: service.kill(FLAG, to(0))).missing_set
    service.close()


def test_a_set_that_was_deleted_is_not_one_that_never_was(flags: RedisSet, person: redis.Redis) -> None:
    person.delete(KEYS.doc, KEYS.version)
    assert not refusal(lambda: flags.read(FLAG)).missing_set
    assert flags.set(FLAG, to(10)).exposure == Exposure(10), "lower than the 25 % of the last good document"
    assert "lowered or killed, but not set to 30%" in str(_refused_after_delete(flags, person))


def _refused_after_delete(flags: RedisSet, person: redis.Redis) -> FlagServiceError:
    person.delete(KEYS.doc)
    return refusal(lambda: flags.set(FLAG, to(30)))


HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "blank": b" \n",
    "truncated": b'{"flags": {"new-che',
    "an empty map": b"{}",
    "a list": b"[1, 2]",
    "not UTF-8": b"\xff\xfe\x00\x01",
    "deep": b"[" * 100_000,
    "NaN": b'{"flags": {"new-checkout": NaN}}',
    "no flags": b'{"flags": {}}',
    "a bad neighbour": b'{"flags": {"x": {"state": "maybe"}, "new-checkout": {"state": "ENABLED"}}}',
    "huge": b'{"x": "' + b"y" * 5_000_000 + b'"}',
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_broken_document_is_a_sentence_and_can_only_be_lowered(
    flags: RedisSet, person: redis.Redis, shared: RedisServer, what: str
) -> None:
    person.set(KEYS.doc, HOSTILE[what])
    fresh = shared.flags()

    assert "slo-watchdog:{checkout}:doc" in str(refusal(lambda: fresh.read(FLAG)))
    assert "lowered or killed, but not set to 30%" in str(refusal(lambda: fresh.set(FLAG, to(30))))
    assert refusal(lambda: fresh.init(["profile"], "ops"))
    killed = fresh.kill(FLAG, to(0))
    assert (killed.exposure, killed.latch) == (NOBODY, "checkout-1")
    assert fresh.read(FLAG) == flags.read(FLAG) == killed
    assert flags.read("search").exposure == NOBODY, "the neighbours of the last good document are there again"
    raw = redis.Redis(port=shared.port)
    assert raw.get(f"{KEYS.doc}:rejected") == HOSTILE[what]
    raw.close()
    fresh.close()


def test_a_flag_whose_exposure_nobody_can_tell_can_be_killed(flags: RedisSet, person: redis.Redis) -> None:
    found: dict[str, Any] = json.loads(str(person.get(KEYS.doc)))
    found["flags"][FLAG] |= {"targeting": {"fractional": [{"var": "email"}, ["on", 1], ["off", 1]]}}
    found["flags"]["profile"] = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "on"}
    person.set(KEYS.doc, json.dumps(found))
    assert refusal(lambda: flags.read(FLAG)).permanent
    assert flags.kill(FLAG, to(0)).exposure == NOBODY
    assert flags.read("profile").exposure == Exposure(100), "the rest of that edit stays"


@pytest.mark.parametrize("key", [KEYS.doc, KEYS.version, KEYS.history, KEYS.idem])
def test_a_wrong_type_under_a_key_is_a_sentence_and_set_aside_by_a_kill(
    flags: RedisSet, person: redis.Redis, key: str
) -> None:
    person.delete(key)
    person.lpush(key, "mine")
    error = refusal(lambda: flags.set(FLAG, to(30)))
    assert key in str(error)
    assert "is a list; expected a str" in str(error) or "is a list; expected a hash" in str(error)
    assert flags.kill(FLAG, to(0)).exposure == NOBODY
    assert person.lrange(f"{key}:rejected", 0, -1) == ["mine"]
    assert flags.set(FLAG, to(25, rollout="next")).exposure == Exposure(25)


def test_a_history_that_somebody_else_wrote_far_ahead(flags: RedisSet, person: redis.Redis) -> None:
    person.xadd(KEYS.history, {"who": "knows"}, id="18446744073709551000-0")
    error = refusal(lambda: flags.set(FLAG, to(30)))
    assert error.permanent
    assert "which no watchdog wrote" in str(error)
    assert flags.kill(FLAG, to(0)).exposure == NOBODY
    assert flags.set(FLAG, to(30, rollout="next")).exposure == Exposure(30)


def test_an_emptied_history_does_not_stop_a_change(flags: RedisSet, person: redis.Redis) -> None:
    flags.set(FLAG, to(26))
    person.xtrim(KEYS.history, 0)
    person.delete(KEYS.version)
    found: dict[str, Any] = json.loads(str(person.get(KEYS.doc)))
    found["metadata"]["version"] = "1"
    for entry in found["flags"].values():
        entry["metadata"] = {}
    person.set(KEYS.doc, json.dumps(found))
    assert flags.set(FLAG, to(30)).exposure == Exposure(30)
    assert person.get(KEYS.version) == "4"


def test_absurd_version_numbers_are_left_out(flags: RedisSet, person: redis.Redis) -> None:
    found: dict[str, Any] = json.loads(str(person.get(KEYS.doc)))
    found["flags"]["search"]["metadata"]["slo-watchdog.version"] = 10**400
    person.set(KEYS.doc, json.dumps(found))
    person.set(KEYS.version, "9" * 40)
    assert flags.set(FLAG, to(30)).exposure == Exposure(30)
    assert flags.kill(FLAG, to(0)).exposure == NOBODY


# What Redis does


def test_redis_is_gone_and_comes_back_with_its_flags() -> None:
    with RedisServer() as server:
        service = server.flags(timeout="1s")
        service.init([FLAG], "ops")
        before = service.set(FLAG, to(25, idem="k"))
        with server.client() as person:
            person.shutdown(nosave=True)
        server.wait()
        everything_says(service, "it cannot be reached (Error 111 connecting to 127.0.0.1")
        assert not refusal(lambda: service.read(FLAG)).missing_set

        server.start()
        assert service.read(FLAG) == before
        assert service.set(FLAG, to(25, idem="k")) == before
        server.stop()
        server.start()
        assert service.set(FLAG, to(30, expect=before.version)).exposure == Exposure(30)
        server.kill()
        server.start()
        assert service.read(FLAG).exposure == Exposure(30)
        service.close()


def test_redis_hangs() -> None:
    with RedisServer() as server:
        service = server.flags(timeout="0.4s")
        service.init([FLAG], "ops")
        server.pause()
        began = time.monotonic()
        everything_says(service, "it did not answer within 0.2 s")
        assert time.monotonic() - began < 4 * 0.8
        server.unpause()
        service.close()
        patient = server.flags()
        assert patient.kill(FLAG, to(0)).exposure == NOBODY
        patient.close()


def test_passwords_and_rights() -> None:
    with RedisServer(password="hunter2") as server:
        for settings, part in (
            ({}, "it asks for a password; expected a Redis that can be read and written; set flags.password_file"),
            ({"password": "hunter3"}, "it refused the user name or password"),
            ({"username": "nobody", "password": "hunter2"}, "it refused the user name or password"),
        ):
            service = server.flags(**settings)
            everything_says(service, part, permanent=True)
            assert "hunter" not in str(refusal(lambda service=service: service.read(FLAG)))  # type: ignore[misc]
            service.close()
        service = server.flags(password="hunter2")
        service.init([FLAG], "ops")
        service.close()
        with server.client() as person:
            for line in documented_users():
                person.execute_command(*line.replace("PASSWORD", "pass").split())
        reader = server.flags(username="reader", password="pass")
        assert "this user may not do that (command 'evalsha')" in str(refusal(lambda: reader.read(FLAG)))
        reader.close()
        ramp = server.flags(username="slo-watchdog", password="pass")
        assert ramp.set(FLAG, to(25)).exposure == Exposure(25)
        assert ramp.kill(FLAG, to(0)).exposure == NOBODY
        assert all(check.ok for check in ramp.preflight(FLAG))
        with Application(server, username="reader", password="pass") as app:
            ramp.set(FLAG, to(100, rollout="next"))
            app.until(app.on)
        ramp.close()


def test_a_replica_is_read_and_not_written() -> None:
    with RedisServer("--repl-diskless-sync-delay", "0") as primary, RedisServer("--appendonly", "no") as replica:
        service = primary.flags()
        service.init([FLAG], "ops")
        with replica.client() as person:
            person.execute_command("REPLICAOF", "127.0.0.1", primary.port)
            until = time.monotonic() + 20
            while not person.exists(KEYS.doc) and time.monotonic() < until:
                time.sleep(0.05)
        beside = replica.flags()
        assert beside.read(FLAG) == service.read(FLAG)
        for call in (lambda: beside.set(FLAG, to(5)), lambda: beside.kill(FLAG, to(0))):
            error = refusal(call)
            assert "it is a replica, which cannot be written" in str(error)
            assert not error.permanent, "it may be promoted"
        assert [check.name for check in beside.preflight(FLAG) if not check.ok] == ["primary", "persistence", "write"]
        service.close()
        beside.close()


def test_out_of_memory_stops_a_step_and_not_a_kill() -> None:
    with RedisServer() as server, server.client() as person:
        service = server.flags()
        service.init([FLAG], "ops")
        service.set(FLAG, to(25))
        person.config_set("maxmemory", 1)
        error = refusal(lambda: service.set(FLAG, to(30)))
        assert "it is out of memory and refuses writes; expected" in str(error)
        assert not error.permanent
        assert service.read(FLAG).exposure == Exposure(25)
        assert service.set(FLAG, to(20)).exposure == Exposure(20)
        assert service.kill(FLAG, to(0)).exposure == NOBODY
        service.close()


def test_a_cluster_keeps_a_set_together_and_another_node_says_where() -> None:
    options = ("--cluster-enabled", "yes", "--appendonly", "no", "--cluster-port")
    with RedisServer(*options, str(free_port())) as owner, RedisServer(*options, str(free_port())) as other:
        service, beside = owner.flags(), other.flags()
        assert "its cluster is down, or serves not all slots" in str(refusal(lambda: beside.read(FLAG)))
        with owner.client() as here, other.client() as there:
            here.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            there.execute_command("CLUSTER", "MEET", "127.0.0.1", owner.port, owner.options[-1])
            until = time.monotonic() + 30
            while time.monotonic() < until and "cluster_state:ok" not in str(there.execute_command("CLUSTER", "INFO")):
                time.sleep(0.05)
        service.init([FLAG], "ops")
        assert service.set(FLAG, to(25)).exposure == Exposure(25)
        error = refusal(lambda: beside.kill(FLAG, to(0)))
        assert f"the set is kept by another one, 127.0.0.1:{owner.port}; expected" in str(error)
        service.close()
        beside.close()
