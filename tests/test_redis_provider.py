"""The OpenFeature provider for a flag set in Redis: what an application sees, also when Redis is away."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest
import redis
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import GeneralError
from openfeature.flag_evaluation import ErrorCode, Reason
from openfeature.provider import ProviderStatus

from tests.redisreader import SOMEBODY, Application
from tests.redisserver import FLAG, KEYS, RedisServer, to
from watchdog.flags.base import Change
from watchdog.flags.flagd_evaluator import Evaluator
from watchdog.flags.redis_scripts import TOLD
from watchdog.flags.redis_set import RedisSet
from watchdog.model import Exposure


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer("--appendfsync", "no") as running:
        yield running


@pytest.fixture
def person(server: RedisServer) -> Iterator[redis.Redis]:
    client = server.client()
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def flags(server: RedisServer, person: redis.Redis) -> Iterator[RedisSet]:
    service = server.flags(audiences={"staff": {"ends_with": [{"var": "email"}, "@example.com"]}})
    service.init([FLAG, "search"], "ops")
    yield service
    service.close()


@pytest.fixture
def app(server: RedisServer, flags: RedisSet) -> Iterator[Application]:
    with Application(server) as running:
        yield running


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("slo-watchdog-redis")}


def changes(app: Application) -> list[list[str] | None]:
    return [details.flags_changed for event, details in app.events if "CONFIGURATION" in event]


def test_an_application_is_told_of_a_change_and_of_a_kill(app: Application, flags: RedisSet) -> None:
    assert not app.on(default=True)
    flags.set(FLAG, to(100, idem="step-1"))
    app.until(app.on)
    details = app.client.get_boolean_details(FLAG, default_value=False, evaluation_context=SOMEBODY)
    assert (details.variant, details.reason) == ("on", Reason.TARGETING_MATCH)
    assert details.flag_metadata["flagSetId"] == "checkout"
    assert details.flag_metadata["version"] == "2"
    assert details.flag_metadata["slo-watchdog.version"] == 2
    assert details.flag_metadata["slo-watchdog.idem"] == "step-1"

    flags.kill(FLAG, to(0))
    app.until(lambda: not app.on(default=True))
    app.until(lambda: len(changes(app)) >= 2)
    assert changes(app) == [[FLAG], [FLAG]]


def test_cohort_audience_and_missing_key(app: Application, flags: RedisSet) -> None:
    flags.set(FLAG, Change(Exposure(0, cohort=True, audiences=("staff",)), ("qa-1",), "watchdog", "ring", "r"))
    app.until(lambda: app.on(context=EvaluationContext("qa-1")))
    assert app.on(context=EvaluationContext("x", {"email": "eva@example.com"}))
    assert not app.on(context=EvaluationContext("x", {"email": "eva@example.org"}), default=True)
    assert not app.on(context=EvaluationContext(), default=True)


def test_every_kind_of_flag_and_of_mistake(app: Application, flags: RedisSet, person: redis.Redis) -> None:
    document = json.loads(str(person.get(KEYS.doc)))
    kinds: dict[str, Any] = {"colour": "red", "size": 3, "rate": 0.5, "limits": {"a": 1}}
    for name, value in kinds.items():
        document["flags"][name] = {"state": "ENABLED", "variants": {"one": value}, "defaultVariant": "one"}
    document["flags"]["left"] = {"state": "DISABLED", "variants": {"on": True}, "defaultVariant": "on"}
    document["flags"]["open"] = {"state": "ENABLED", "variants": {"on": True}}
    person.set(KEYS.doc, json.dumps(document))
    person.set(KEYS.version, "7")
    app.until(lambda: app.client.get_string_value("colour", "blue") == "red")

    client = app.client
    assert client.get_integer_value("size", 0) == 3
    assert client.get_float_value("rate", 0.0) == 0.5
    assert client.get_float_value("size", 0.0) == 3
    assert client.get_object_value("limits", {}) == {"a": 1}
    assert client.get_boolean_details("colour", default_value=False).error_code is ErrorCode.TYPE_MISMATCH
    assert client.get_integer_details(FLAG, 0).error_code is ErrorCode.TYPE_MISMATCH
    assert client.get_boolean_details("nope", default_value=True).error_code is ErrorCode.FLAG_NOT_FOUND
    assert client.get_boolean_details("left", default_value=True).reason is Reason.DISABLED
    assert client.get_boolean_details("open", default_value=True).reason is Reason.DEFAULT
    assert client.get_boolean_value("open", default_value=True)


def test_a_message_that_nobody_heard_is_made_up_for_by_polling(app: Application, person: redis.Redis) -> None:
    """Written as the watchdog does, but without the announcement."""
    document = json.loads(str(person.get(KEYS.doc)))
    document["flags"][FLAG]["defaultVariant"] = "on"
    person.mset({KEYS.doc: json.dumps(document), KEYS.version: "2"})
    began = time.monotonic()
    app.until(app.on)
    assert time.monotonic() - began < 3.0


def test_a_document_that_was_only_announced_is_used_until_the_next_look_at_what_is_kept(
    app: Application, person: redis.Redis
) -> None:
    document = json.loads(str(person.get(KEYS.doc)))
    document["flags"][FLAG]["defaultVariant"] = "on"
    for forged in ("broken", json.dumps(document)):
        person.publish(KEYS.changed, f"99\n{forged}")
    app.until(lambda: len(changes(app)) >= 2)
    assert changes(app)[:2] == [[FLAG], [FLAG]], "on by the message, then off by what is kept"
    assert not app.on(default=True)
    assert app.client.get_provider_status() is ProviderStatus.READY


def test_the_document_of_an_older_announcement_is_not_used(app: Application, person: redis.Redis) -> None:
    document = json.loads(str(person.get(KEYS.doc)))
    document["flags"][FLAG]["defaultVariant"] = "on"
    for number in ("0", "-5", "x", "9" * 30):
        person.publish(KEYS.changed, f"{number}\n{json.dumps(document)}")
    document["flags"]["later"] = document["flags"][FLAG]
    document["flags"][FLAG]["defaultVariant"] = "off"
    person.mset({KEYS.doc: json.dumps(document), KEYS.version: "2"})
    person.publish(KEYS.changed, "2")
    app.until(lambda: bool(changes(app)))
    assert changes(app) == [["later"]]


def test_a_large_document_is_announced_and_fetched(app: Application, flags: RedisSet, person: redis.Redis) -> None:
    document = json.loads(str(person.get(KEYS.doc)))
    document["flags"] |= {f"flag-{number}": document["flags"][FLAG] for number in range(TOLD // 100)}
    person.set(KEYS.doc, json.dumps(document))
    heard: Any = cast("Any", person).pubsub(ignore_subscribe_messages=True)
    heard.subscribe(KEYS.changed)
    heard.get_message(timeout=1.0)
    flags.set(FLAG, to(100))
    told = heard.get_message(timeout=5.0)
    heard.close()
    assert told is not None
    assert told["data"] == person.get(KEYS.version)
    app.until(app.on)


def test_a_connection_that_was_cut_is_opened_anew(app: Application, flags: RedisSet, person: redis.Redis) -> None:
    person.client_kill_filter(_type="pubsub")
    flags.set(FLAG, to(100))
    app.until(app.on)
    app.until(lambda: person.pubsub_numsub(KEYS.changed)[0][1] == 1)


def test_the_last_good_document_stays_while_it_is_broken(
    app: Application, flags: RedisSet, person: redis.Redis
) -> None:
    flags.set(FLAG, to(100))
    app.until(app.on)
    for raw in ("", "{}", '{"flags": {"new-ch', '{"flags": {"x": 1}}', "[]"):
        person.set(KEYS.doc, raw)
        person.incr(KEYS.version)
        person.publish(KEYS.changed, str(person.get(KEYS.version)))
        app.until(lambda: app.client.get_provider_status() is ProviderStatus.STALE)
        assert app.on()
    person.delete(KEYS.doc)
    person.lpush(KEYS.doc, "x")
    person.publish(KEYS.changed, "x")
    flags.kill(FLAG, to(0))
    app.until(lambda: not app.on(default=True))
    app.until(lambda: app.client.get_provider_status() is ProviderStatus.READY)
    assert "expected a flagd document" in str(next(d.message for e, d in app.events if "STALE" in e))


def test_redis_goes_away_and_comes_back() -> None:
    with RedisServer() as own:
        service = own.flags()
        service.init([FLAG], "ops")
        service.set(FLAG, to(100))
        with Application(own) as app:
            assert app.on()
            own.stop()
            app.until(lambda: app.client.get_provider_status() is ProviderStatus.STALE)
            assert app.on(), "the last good document stays"
            own.start()
            app.until(lambda: app.client.get_provider_status() is ProviderStatus.READY)
            service.kill(FLAG, to(0))
            app.until(lambda: not app.on(default=True))
        service.close()


def test_an_application_that_starts_before_redis_gets_its_flags_later() -> None:
    with RedisServer() as own:
        service = own.flags()
        service.init([FLAG], "ops")
        service.set(FLAG, to(100))
        own.stop()
        app = Application(own)
        with pytest.raises(GeneralError, match="it cannot be reached"):
            app.__enter__()
        assert not app.on()
        assert app.client.get_boolean_details(FLAG, default_value=True, evaluation_context=SOMEBODY).value is True
        own.start()
        app.until(app.on)
        app.until(lambda: app.client.get_provider_status() is ProviderStatus.READY)
        app.__exit__()
        service.close()


def test_an_edit_without_a_version_is_seen_when_the_document_is_read_again(
    app: Application, flags: RedisSet, person: redis.Redis
) -> None:
    document = json.loads(str(person.get(KEYS.doc)))
    document["flags"][FLAG]["defaultVariant"] = "on"
    person.set(KEYS.doc, json.dumps(document))
    person.publish(KEYS.changed, "look")
    app.until(app.on)


def test_nothing_is_left_after_shutdown(server: RedisServer, flags: RedisSet, person: redis.Redis) -> None:
    with Application(server) as app:
        assert threads()
        app.until(lambda: person.pubsub_numsub(KEYS.changed)[0][1] == 1)
        began = time.monotonic()
        app.provider.shutdown()
        assert time.monotonic() - began < 2.0
        assert not threads()
        app.until(lambda: person.pubsub_numsub(KEYS.changed)[0][1] == 0)
        assert not app.on(default=True), "the last good document stays in use"
        app.provider.initialize(EvaluationContext())
        flags.set(FLAG, to(100))
        app.until(app.on)
    assert not threads()


@pytest.mark.parametrize("era", ["flagd-v2", "flagd-v3"])
def test_nobody_loses_the_feature_on_the_way_up(server: RedisServer, person: redis.Redis, era: str) -> None:
    service = server.flags(bucketing=era)
    service.init([FLAG], "ops")
    keys = [f"user-{number}" for number in range(10_000)]
    before: set[str] = set()
    for percent in (0, 1, 10, 50, 100):
        service.set(FLAG, to(percent))
        evaluator = Evaluator(service.document()[1], era)
        exposed = {key for key in keys if evaluator.evaluate(FLAG, {"targetingKey": key}).value is True}
        assert not before - exposed, f"lost on the way to {percent} %"
        assert abs(len(exposed) / 100 - percent) < 1.5
        before = exposed
    service.close()


def test_the_provider_deals_users_as_the_document_says(server: RedisServer, person: redis.Redis) -> None:
    service = server.flags(bucketing="flagd-v3")
    service.init([FLAG], "ops")
    service.set(FLAG, to(50))
    evaluator = Evaluator(service.document()[1], "flagd-v3")
    with Application(server) as app:
        for number in range(200):
            key = f"user-{number}"
            expected = evaluator.evaluate(FLAG, {"targetingKey": key}).value
            assert app.on(context=EvaluationContext(key)) is expected
    service.close()
