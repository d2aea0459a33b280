"""Steps that come twice, steps that come late, and people who edit the set in Redis by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import redis

from tests.redisserver import FLAG, KEYS, RedisServer, audits, by_hand, document, to
from watchdog.errors import FlagConflict, FlagServiceError
from watchdog.flags.redis_set import RedisSet
from watchdog.flags.redis_store import RedisStore
from watchdog.model import NOBODY, Exposure


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


@pytest.fixture
def person(server: RedisServer) -> Iterator[redis.Redis]:
    """Somebody with redis-cli, on an empty server."""
    client = server.client()
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def flags(server: RedisServer, person: redis.Redis) -> Iterator[RedisSet]:
    service = server.flags()
    service.init([FLAG, "search"], "ops")
    yield service
    service.close()


# Idempotency and compare-and-set


def test_the_same_key_is_the_same_change(flags: RedisSet, person: redis.Redis) -> None:
    before = flags.read(FLAG)
    change = to(25, idem="step-1", expect=before.version)
    done = flags.set(FLAG, change)

    assert flags.set(FLAG, change) == done, "the answer was lost; the change was not"
    assert person.hget(KEYS.idem, "step-1") == "2"
    assert person.xlen(KEYS.history) == 2


def test_a_repeated_step_does_not_undo_a_kill(flags: RedisSet) -> None:
    flags.set(FLAG, to(25, idem="step-1"))
    killed = flags.kill(FLAG, to(0, idem="kill"))
    assert flags.set(FLAG, to(25, idem="step-1")) == killed


def test_a_repeated_key_still_lowers(flags: RedisSet, person: redis.Redis) -> None:
    flags.set(FLAG, to(25, idem="back"))
    by_hand(person, {"targeting": {"fractional": [["on", 90], ["off", 10]]}})
    assert flags.read(FLAG).exposure == Exposure(90)
    assert flags.set(FLAG, to(25, idem="back")).exposure == Exposure(25)


def test_a_step_does_not_overwrite_another_version(flags: RedisSet, person: redis.Redis) -> None:
    read = flags.read(FLAG)
    flags.set(FLAG, to(10, rollout=None))
    with pytest.raises(FlagConflict, match=r"flags\.new-checkout: it has version 2-\w+; expected 1-\w+"):
        flags.set(FLAG, to(25, expect=read.version))
    with pytest.raises(FlagConflict):
        flags.set(FLAG, to(5, expect=read.version))
    assert flags.read(FLAG).exposure == Exposure(10)
    assert person.xlen(KEYS.history) == 2


def test_history_and_keys_are_trimmed_together(flags: RedisSet, person: redis.Redis, server: RedisServer) -> None:
    inner = flags._set.store
    short = RedisSet(RedisStore(inner.client, inner.place, KEYS, 2.0, keep=5))
    for step in range(12):
        short.set(FLAG, to(1 + step, idem=f"step-{step}"))

    assert [number for number, _ in person.xrange(KEYS.history)] == ["9-0", "10-0", "11-0", "12-0", "13-0"]
    assert sorted(person.hgetall(KEYS.idem)) == ["step-10", "step-11", "step-7", "step-8", "step-9"]


# Edits by hand


def test_an_edit_that_forgets_the_version_is_noticed_and_kept_in_the_history(
    flags: RedisSet, person: redis.Redis
) -> None:
    before = flags.read(FLAG)
    by_hand(person, {"targeting": {"fractional": [["on", 40], ["off", 60]]}})

    after = flags.read(FLAG)
    assert after.exposure == Exposure(40)
    assert after.version != before.version
    with pytest.raises(FlagConflict):
        flags.set(FLAG, to(50, expect=before.version))
    edited = person.get(KEYS.doc)
    flags.set(FLAG, to(50, expect=after.version))
    numbers = [number for number, _ in person.xrange(KEYS.history)]
    assert numbers == ["1-0", "1-1", "2-0"]
    assert [audit["action"] for audit in audits(person)] == ["init", "external", "set"]
    assert person.xrange(KEYS.history)[1][1]["doc"] == edited


def test_versions_go_on_after_the_version_key_was_lost_and_an_old_document_restored(
    flags: RedisSet, person: redis.Redis
) -> None:
    old = str(person.get(KEYS.doc))
    for percent in (10, 20, 30):
        flags.set(FLAG, to(percent))
    person.delete(KEYS.version)
    person.set(KEYS.doc, old)

    flags.set(FLAG, to(1))
    assert person.get(KEYS.version) == "5"
    assert person.xrange(KEYS.history)[-1][0] == "5-0"


def test_other_flags_and_metadata_of_people_are_kept(flags: RedisSet, person: redis.Redis) -> None:
    found = document(person)
    found["metadata"]["owner"] = "payments"
    found["flags"]["colour"] = {"state": "ENABLED", "variants": {"red": "r", "blue": "b"}, "defaultVariant": "red"}
    person.set(KEYS.doc, json.dumps(found))
    flags.set(FLAG, to(5))
    assert document(person)["metadata"]["owner"] == "payments"
    assert document(person)["flags"]["colour"] == found["flags"]["colour"]


def test_another_hash_is_refused_in_the_middle_of_a_ramp(server: RedisServer, flags: RedisSet) -> None:
    flags.set(FLAG, to(25))
    other = server.flags(bucketing="flagd-v3")
    with pytest.raises(FlagServiceError, match=r"dealt by flagd-v2 and flags\.bucketing is flagd-v3"):
        other.set(FLAG, to(30))
    assert other.set(FLAG, to(20)).exposure == Exposure(20)
    assert other.kill(FLAG, to(0)).exposure == NOBODY
    assert other.set(FLAG, to(30)).exposure == Exposure(30)
    assert other.document()[1]["metadata"]["slo-watchdog.bucketing"] == "flagd-v3"
    other.close()
