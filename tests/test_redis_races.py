"""Several writers at one flag set in Redis: nothing is lost, nothing is overwritten unseen, and a kill wins."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import redis

from tests.redisserver import FLAG, KEYS, RedisServer, to
from watchdog.errors import FlagConflict
from watchdog.flags.flagd_asked import Asked
from watchdog.flags.redis_change import changed
from watchdog.flags.redis_set import RedisSet
from watchdog.model import NOBODY, Exposure

WRITERS = 8
CHANGES = 50


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
    service = server.flags(timeout="20s")
    service.init([FLAG, *(f"flag-{number}" for number in range(WRITERS))], "ops")
    yield service
    service.close()


def together(server: RedisServer, work: Callable[[RedisSet, int], None], writers: int = WRITERS) -> None:
    """Each writer does its work with a service, and so connections, of its own; the first failure is raised."""
    failures: list[BaseException] = []
    gate = threading.Barrier(writers)

    def run(number: int) -> None:
        service = server.flags(timeout="20s")
        try:
            gate.wait()
            work(service, number)
        except BaseException as error:  # noqa: BLE001 - raised below, in the test's own thread
            failures.append(error)
        finally:
            service.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def test_eight_writers_of_neighbouring_flags_lose_nothing(
    server: RedisServer, flags: RedisSet, person: redis.Redis
) -> None:
    def ramp(service: RedisSet, number: int) -> None:
        for step in range(1, CHANGES + 1):
            flag = f"flag-{number}"
            before = service.read(flag)
            service.set(flag, to(step, idem=f"{flag}-{step}", expect=before.version))

    together(server, ramp)

    assert all(flags.read(f"flag-{number}").exposure == Exposure(CHANGES) for number in range(WRITERS))
    history = person.xrange(KEYS.history)
    assert [number for number, _ in history] == [f"{n}-0" for n in range(1, WRITERS * CHANGES + 2)]
    keys = {json.loads(fields["audit"]).get("idem") for _, fields in history}
    assert keys == {None, *(f"flag-{n}-{step}" for n in range(WRITERS) for step in range(1, CHANGES + 1))}
    assert len(person.hgetall(KEYS.idem)) == WRITERS * CHANGES


def test_eight_writers_of_one_flag_overwrite_nobody(server: RedisServer, flags: RedisSet, person: redis.Redis) -> None:
    def raise_by_a_bit(service: RedisSet, number: int) -> None:
        for step in range(CHANGES):
            while True:
                before = service.read(FLAG)
                higher = round(before.exposure.percent + 0.125, 3)
                try:
                    service.set(FLAG, to(higher, idem=f"{number}-{step}", expect=before.version))
                    break
                except FlagConflict:
                    continue

    together(server, raise_by_a_bit)

    assert flags.read(FLAG).exposure == Exposure(WRITERS * CHANGES * 0.125)
    assert person.xlen(KEYS.history) == WRITERS * CHANGES + 1


def test_the_same_key_from_eight_writers_is_one_change(
    server: RedisServer, flags: RedisSet, person: redis.Redis
) -> None:
    seen = []
    together(server, lambda service, _: seen.append(service.set(FLAG, to(25, idem="one"))))
    assert len({reading.version for reading in seen}) == 1
    assert person.xlen(KEYS.history) == 2


def test_a_step_in_flight_loses_against_a_kill(server: RedisServer, flags: RedisSet) -> None:
    other = server.flags()
    for expect in (None, flags.read(FLAG).version):
        step = to(50, rollout="checkout-2", expect=expect)
        for look in flags._set.looks():
            held = look.held(FLAG)
            entry = changed(held, Asked(50_000), step, look.number(held.document))
            assert entry is not None
            killed = other.kill(FLAG, to(0, idem="kill"))
            assert look.put(held.document, {FLAG: entry}, {"action": "set"}) is None, "it had read before the kill"
            break
        assert flags.read(FLAG) == killed
        other.set(FLAG, to(0, rollout="checkout-3"))
    other.close()


def interrupted(flags: RedisSet, by: Callable[[], object]) -> RedisSet:
    """The service, in whose first write somebody else gets between reading and writing: when it asks for the time."""
    turns = iter([by])

    def clock() -> float:
        for turn in turns:
            turn()
        return time.time()

    return RedisSet(flags._set.store, now=clock)


def test_a_step_that_is_overtaken_is_refused_without_an_expected_version_too(
    server: RedisServer, flags: RedisSet
) -> None:
    other = server.flags()
    slow = interrupted(flags, lambda: other.kill(FLAG, to(0)))
    with pytest.raises(FlagConflict, match="as it was read"):
        slow.set(FLAG, to(50, rollout="checkout-2"))
    assert flags.read(FLAG).exposure == NOBODY
    slow = interrupted(flags, lambda: other.set("flag-1", to(30)))
    assert slow.set(FLAG, to(50, rollout="checkout-2")).exposure == Exposure(50), "a neighbour is in nobody's way"
    other.close()


def test_what_lowers_exposure_is_written_over_whoever_overtakes_it(server: RedisServer, flags: RedisSet) -> None:
    other = server.flags()
    flags.set(FLAG, to(50))
    slow = interrupted(flags, lambda: other.set(FLAG, to(75)))
    assert slow.set(FLAG, to(10)).exposure == Exposure(10)
    slow = interrupted(flags, lambda: other.set(FLAG, to(75)))
    assert slow.kill(FLAG, to(0)).exposure == NOBODY
    assert other.read(FLAG).exposure == NOBODY
    other.close()


def test_kills_win_while_seven_writers_ramp(server: RedisServer, flags: RedisSet) -> None:
    stop = threading.Event()

    def work(service: RedisSet, number: int) -> None:
        if number:
            step = 0
            while not stop.is_set():
                step += 1
                service.set(f"flag-{number}", to(1 + step % 90))
            return
        try:
            for turn in range(20):
                service.set(FLAG, to(50, rollout=f"turn-{turn}"))
                assert service.kill(FLAG, to(0, rollout=f"turn-{turn}", idem=f"kill-{turn}")).exposure == NOBODY
                assert flags.read(FLAG).exposure == NOBODY
        finally:
            stop.set()

    together(server, work)
    assert flags.read(FLAG).latch == "turn-19"


def test_a_kill_is_not_misled_by_what_it_remembers(server: RedisServer, flags: RedisSet, person: redis.Redis) -> None:
    killed = flags.kill(FLAG, to(0))
    other = server.flags()
    other.set(FLAG, to(75, rollout="checkout-1"))
    other.init(["profile"], "ops")
    other.set("profile", to(30))

    assert flags.kill(FLAG, to(0)).exposure == NOBODY
    assert flags.kill("profile", to(0)).exposure == NOBODY
    assert other.read(FLAG).version != killed.version
    assert other.read(FLAG).exposure == other.read("profile").exposure == NOBODY
    person.delete(KEYS.doc)
    assert flags.kill(FLAG, to(0)).exposure == NOBODY
    assert other.read(FLAG).exposure == NOBODY
    other.close()
