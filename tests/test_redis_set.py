"""The flag set in a real Redis: what the watchdog writes there, and what it understands of what people write."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import redis

from tests.redisserver import FLAG, KEYS, RedisServer, audits, by_hand, document, to
from watchdog.errors import ConfigError, FlagServiceError
from watchdog.flags import open_service
from watchdog.flags.base import Change
from watchdog.flags.redis_set import RedisSet
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


# What is written


def test_init_creates_the_set_with_every_flag_off_and_once(server: RedisServer, person: redis.Redis) -> None:
    flags = server.flags()
    assert flags.init([FLAG, "search", FLAG], "ops").created == (FLAG, "search")
    assert flags.init([FLAG, "search"], "ops").created == ()
    assert flags.init(["profile", FLAG], "ops").created == ("profile",)
    flags.close()

    found = document(person)
    assert found["metadata"] == {"flagSetId": "checkout", "version": "2", "slo-watchdog.bucketing": "flagd-v2"}
    assert found["flags"][FLAG]["defaultVariant"] == "off"
    assert "targeting" not in found["flags"][FLAG]
    assert person.get(KEYS.version) == "2"
    assert [audit["action"] for audit in audits(person)] == ["init", "init"]
    assert audits(person)[0]["by"] == "ops"


def test_a_change_is_written_with_version_history_and_announcement(flags: RedisSet, person: redis.Redis) -> None:
    channel = person.pubsub(ignore_subscribe_messages=True)
    channel.subscribe(KEYS.changed)
    channel.get_message(timeout=1.0)

    reading = flags.set(FLAG, to(25, idem="checkout-1:2"))

    assert (reading.exposure, reading.idem) == (Exposure(25), "checkout-1:2")
    assert flags.read(FLAG) == reading
    rule = {"fractional": [["on", 25000], ["off", 75000]]}
    assert document(person)["flags"][FLAG]["targeting"] == rule
    assert person.get(KEYS.version) == document(person)["metadata"]["version"] == "2"
    told = channel.get_message(timeout=5.0)
    channel.close()
    assert told is not None
    assert told["data"] == f"2\n{person.get(KEYS.doc)}"
    number, fields = person.xrange(KEYS.history)[-1]
    assert number == "2-0"
    assert fields["doc"] == person.get(KEYS.doc)
    audit = json.loads(fields["audit"])
    assert {key: audit[key] for key in ("action", "flag", "by", "why", "rollout", "idem", "before", "after")} == {
        "action": "set",
        "flag": FLAG,
        "by": "watchdog",
        "why": "because",
        "rollout": "checkout-1",
        "idem": "checkout-1:2",
        "before": "0%",
        "after": "25%",
    }


def test_a_percentage_is_rounded_down(flags: RedisSet) -> None:
    assert flags.set(FLAG, to(25.0009)).exposure == Exposure(25)
    assert flags.set(FLAG, to(99.99999)).exposure == Exposure(99.999)
    assert flags.set(FLAG, to(0.0004)).exposure == NOBODY


def test_a_cohort_and_audiences_stand_before_the_weights(server: RedisServer, flags: RedisSet) -> None:
    staff = {"ends_with": [{"var": "email"}, "@example.com"]}
    knowing = server.flags(audiences={"staff": staff})
    wanted = Exposure(5, cohort=True, audiences=("staff",))

    reading = knowing.set(FLAG, Change(wanted, ("qa-1", "qa-2"), "watchdog", "ring", "checkout-1"))

    assert (reading.exposure, reading.members) == (wanted, ("qa-1", "qa-2"))
    knowing.close()
    with pytest.raises(FlagServiceError, match=r"whose exposure is unknown"):
        flags.read(FLAG)


def test_what_the_flag_serves_already_is_not_written_again(flags: RedisSet, person: redis.Redis) -> None:
    before = flags.set(FLAG, to(25))
    assert flags.set(FLAG, to(25)) == before
    assert person.xlen(KEYS.history) == 2


def test_a_neighbour_changes_no_version(flags: RedisSet) -> None:
    before = flags.read(FLAG)
    flags.set("search", to(50))
    assert flags.read(FLAG) == before
    assert flags.set(FLAG, to(5, expect=before.version)).exposure == Exposure(5)


# Kill and latch


def test_a_kill_switches_off_and_latches_and_is_idempotent(flags: RedisSet, person: redis.Redis) -> None:
    flags.set(FLAG, to(25, "qa-1"))
    killed = flags.kill(FLAG, to(0, idem="k"))

    assert (killed.exposure, killed.latch, killed.idem) == (NOBODY, "checkout-1", "k")
    entry = document(person)["flags"][FLAG]
    assert entry["state"] == "ENABLED"
    assert "targeting" not in entry
    assert entry["metadata"]["slo-watchdog.killed"] is True
    assert flags.kill(FLAG, to(0, idem="again")) == killed
    assert person.xlen(KEYS.history) == 3


def test_a_kill_needs_no_compare_and_no_fresh_key(flags: RedisSet) -> None:
    flags.kill(FLAG, to(0, idem="same"))
    flags.set(FLAG, to(50, rollout="checkout-2"))
    assert flags.kill(FLAG, to(0, rollout="checkout-2", idem="same", expect="of long ago")).exposure == NOBODY


def test_another_rollout_takes_the_latch_away_and_the_same_one_does_not(flags: RedisSet) -> None:
    flags.kill(FLAG, to(0))
    assert flags.set(FLAG, to(1)).latch == "checkout-1"
    assert flags.set(FLAG, to(2, rollout="checkout-2")).latch is None


def test_an_emergency_flag_is_a_switch(flags: RedisSet, person: redis.Redis) -> None:
    flags.init(["ops.shutdown"], "ops")
    assert flags.set("ops.shutdown", to(100)).exposure == Exposure(100)
    assert document(person)["flags"]["ops.shutdown"]["defaultVariant"] == "on"
    assert "targeting" not in document(person)["flags"]["ops.shutdown"]
    with pytest.raises(FlagServiceError, match="is a switch"):
        flags.set("ops.shutdown", to(50))
    person.set(KEYS.doc, "not JSON")
    flags.set("ops.shutdown", to(0))
    person.set(KEYS.doc, "not JSON")
    assert flags.set("ops.shutdown", to(100)).exposure == Exposure(100)


# The rest of the port


def test_the_document_has_a_version_that_changes_with_its_content(flags: RedisSet, person: redis.Redis) -> None:
    first, held = flags.document()
    assert flags.document()[0] == first
    assert set(held["flags"]) == {FLAG, "search"}
    by_hand(person, {"targeting": {"fractional": [["on", 40], ["off", 60]]}})
    assert flags.document()[0] != first


def test_what_it_can_do_is_declared(flags: RedisSet) -> None:
    can = flags.capabilities
    assert (can.compare_and_set, can.push, can.smallest_step, can.propagation) == ("native", True, 0.001, 1.0)
    assert can.audiences
    assert can.latch
    assert can.unconditional_kill


def test_an_unknown_flag_is_a_sentence(flags: RedisSet) -> None:
    with pytest.raises(FlagServiceError, match=r"flags\.nope: it is missing; the set holds new-checkout, search; run"):
        flags.set("nope", to(5))
    with pytest.raises(FlagServiceError, match="it is missing"):
        flags.kill("nope", to(0))


def test_sets_of_one_redis_are_apart(server: RedisServer, flags: RedisSet) -> None:
    other = server.flags(set="ops")
    other.init(["ops.shutdown"], "ops")
    assert set(other.document()[1]["flags"]) == {"ops.shutdown"}
    assert set(flags.document()[1]["flags"]) == {FLAG, "search"}
    other.close()


def test_it_is_opened_by_name_and_an_address_with_options_is_refused(server: RedisServer, flags: RedisSet) -> None:
    service = open_service(server.settings())
    assert isinstance(service, RedisSet)
    assert service.read(FLAG).exposure == NOBODY
    service.close()
    with pytest.raises(ConfigError, match=r"flags\.url: has options after a `\?`"):
        open_service(server.settings(url=f"{server.url}?password=hunter2"))
