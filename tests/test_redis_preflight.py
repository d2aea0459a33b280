"""What the preflight finds in a real Redis that would make a kill unsafe."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from tests.redisserver import FLAG, KEYS, RedisServer, to
from watchdog.flags.base import Administered, Check
from watchdog.flags.redis_set import RedisSet


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


@pytest.fixture
def person(server: RedisServer) -> Iterator[redis.Redis]:
    client = server.client()
    client.flushall()
    for name, value in (("maxmemory", "0"), ("maxmemory-policy", "noeviction"), ("appendonly", "yes"), ("save", "")):
        client.config_set(name, value)
    yield client
    client.close()


@pytest.fixture
def flags(server: RedisServer, person: redis.Redis) -> Iterator[RedisSet]:
    service = server.flags()
    service.init([FLAG], "ops")
    yield service
    service.close()


def failed(service: RedisSet, flag: str = FLAG) -> dict[str, Check]:
    return {check.name: check for check in service.preflight(flag) if not check.ok}


def test_a_sound_set_passes_and_its_flag_is_left_as_it_is(flags: RedisSet, person: redis.Redis) -> None:
    before = flags.set(FLAG, to(25))
    checks = flags.preflight(FLAG)

    assert [check.name for check in checks] == [
        "connection",
        "primary",
        "persistence",
        "eviction",
        "flag",
        "off",
        "bucketing",
        "emergency flags",
        "write",
        "history",
    ]
    assert all(check.ok and not check.todo for check in checks), checks
    assert checks[2].found == "every write is appended to a file (fsync: always)"
    assert flags.read(FLAG) == before, "the write changed the version of the set, not that of the flag"
    assert person.get(KEYS.version) == "3"
    assert isinstance(flags, Administered)


def test_no_connection_is_one_failed_check() -> None:
    with RedisServer() as server:
        service = server.flags()
        server.stop()
        (check,) = service.preflight(FLAG)
        assert not check.ok
        assert "it cannot be reached" in check.found
        service.close()


def test_flags_that_a_restart_would_lose(flags: RedisSet, person: redis.Redis) -> None:
    person.config_set("appendonly", "no")
    assert failed(flags)["persistence"].found == "nothing is kept on disk"
    person.config_set("save", "3600 1")
    assert not failed(flags)
    assert "snapshots only (save 3600 1)" in flags.preflight(FLAG)[2].found


def test_flags_that_redis_may_throw_away(flags: RedisSet, person: redis.Redis) -> None:
    person.config_set("maxmemory-policy", "allkeys-lru")
    assert not failed(flags), "without a limit nothing is thrown away"
    person.config_set("maxmemory", "1gb")
    assert failed(flags)["eviction"].found == "maxmemory-policy is allkeys-lru"
    person.config_set("maxmemory-policy", "volatile-lru")
    assert not failed(flags)


def test_a_missing_set_and_a_missing_flag(server: RedisServer, flags: RedisSet, person: redis.Redis) -> None:
    assert "it is missing; the set holds new-checkout" in failed(flags, "nope")["flag"].found
    person.delete(KEYS.history)
    assert not failed(flags), "the write without a change has put a good document into the history"
    person.flushall()
    missing = failed(flags)
    assert "is missing; expected a flagd document" in missing["flag"].found
    assert missing["history"].found == "it holds no good document"
    assert "flags init" in missing["history"].todo


def test_a_variation_that_is_not_off(flags: RedisSet, person: redis.Redis) -> None:
    person.set(KEYS.doc, str(person.get(KEYS.doc)).replace('"off":false', '"off":true'))
    assert '"on": true and "off": false' in failed(flags)["flag"].found


def test_another_hash_than_the_ramp_in_progress_has(server: RedisServer, flags: RedisSet) -> None:
    flags.set(FLAG, to(25))
    other = server.flags(bucketing="flagd-v3")
    assert "dealt by flagd-v2 and flags.bucketing is flagd-v3" in failed(other)["bucketing"].found
    other.close()


def test_emergency_flags_beside_flags_that_are_ramped(flags: RedisSet) -> None:
    flags.init(["ops.shutdown"], "ops")
    assert failed(flags)["emergency flags"].found == "the set holds ops.shutdown and other flags"


def test_a_user_who_may_read_but_not_write(server: RedisServer, flags: RedisSet, person: redis.Redis) -> None:
    rights = "on >pass ~slo-watchdog:* &slo-watchdog:* +@read +evalsha +script|load +info"
    person.execute_command("ACL", "SETUSER", "looker", *rights.split())
    looker = server.flags(username="looker", password="pass")
    found = failed(looker)
    looker.close()
    assert list(found) == ["write"]
    assert "this user may not do that" in found["write"].found
