"""The leader dies, stands still, or loses its database: another one goes on, and nothing happens twice."""

from __future__ import annotations

from tests.processes import wait_for
from tests.replicas.proxy import Proxy
from tests.replicas.site import Fleet, Replica, assert_one_story, database_clock, since_of, slots_between

NAME = "checkout-1"


def under_way(fleet: Fleet) -> Replica:
    """The leader, when it has taken a first step."""
    fleet.until(NAME, lambda status: status["exposure"]["actual"] == 5)
    return fleet.leader()


def another(fleet: Fleet, than: Replica) -> Replica:
    """Who leads instead."""

    def found() -> Replica | None:
        leader = fleet.leader()
        return leader if leader is not than else None

    return wait_for(found, 60, lambda: f"nobody else leads:\n{fleet.logs()}")


def test_a_killed_leader_is_replaced_within_two_intervals(fleet: Fleet) -> None:
    fleet.rollout()
    for name in "abc":
        fleet.start(name)
    first = under_way(fleet)
    killed_at = database_clock(fleet)
    first.daemon.kill()
    second = another(fleet, first)
    assert slots_between(killed_at, since_of(fleet)) <= 2
    fleet.beyond(NAME, 5)
    assert len(assert_one_story(fleet)) >= 3
    assert fleet.leader() is second
    assert fleet.status()["leader"] == second.daemon.said("lease", why=NAME)["holder"]


def test_a_leader_that_stood_still_past_its_lease_wakes_up_and_touches_nothing(fleet: Fleet) -> None:
    fleet.rollout()
    fleet.start("a")
    first = under_way(fleet)
    fleet.start("b")
    with first.stopped():
        stopped_at = database_clock(fleet)
        second = another(fleet, first)
        assert slots_between(stopped_at, since_of(fleet)) <= 2
        fleet.until(NAME, lambda status: status["exposure"]["actual"] == 15)
    first.daemon.said("lease lost", within=30)
    fleet.beyond(NAME, 6)
    assert fleet.leader() is second
    assert_one_story(fleet)
    assert fleet.ledger.transitions(fleet.id_of(NAME))[-1].kind not in ("hold", "drift")
    assert first.daemon.process.poll() is None
    second.daemon.kill()
    assert another(fleet, second) is first
    fleet.beyond(NAME, 3)
    assert_one_story(fleet)


def test_a_leader_cut_off_from_its_database_is_replaced_and_comes_back_as_a_follower(fleet: Fleet) -> None:
    fleet.rollout()
    with Proxy(fleet.postgres.port) as proxy:
        fleet.start("a", port=proxy.port)
        first = under_way(fleet)
        fleet.start("b")
        for trouble in (proxy.cut, proxy.swallow):
            cut_at = database_clock(fleet)
            trouble()
            second = another(fleet, first)
            assert slots_between(cut_at, since_of(fleet)) <= 2
            fleet.beyond(NAME, 4)
            proxy.mend()
            first.daemon.said("lease lost", within=30)
            fleet.beyond(NAME, 2)
            assert_one_story(fleet)
            # The cut one follows; the next round begins with it in the lead again.
            second.signal(15)
            assert another(fleet, second) is first
            second.daemon.process.wait(20)
            fleet.start("c")
            fleet.beyond(NAME, 2)
        assert_one_story(fleet)


def test_nothing_is_lost_when_the_database_restarts_or_ends_every_connection(fleet: Fleet) -> None:
    fleet.rollout()
    fleet.start("a")
    first = under_way(fleet)
    fleet.start("b")
    with fleet.postgres.connect() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
            [fleet.database],
        )
    fleet.beyond(NAME, 4)
    fleet.postgres.stop()
    fleet.postgres.start()
    fleet.beyond(NAME, 6)
    assert fleet.leader() is first, "whoever led before goes first: it knows what it did meanwhile"
    assert_one_story(fleet)


def test_three_pods_replaced_one_by_one_during_a_ramp(fleet: Fleet) -> None:
    fleet.rollout()
    old = [fleet.start(name) for name in "abc"]
    under_way(fleet)
    window = fleet.status()["window"]
    for name, one in zip("def", old, strict=True):
        assert one.end() == 0
        fleet.start(name).daemon.ready()
        fleet.beyond(NAME, 2)
    assert all(one.daemon.process.poll() is not None for one in old)
    steps = assert_one_story(fleet)
    assert len(steps) >= 4
    after = fleet.status()["window"]
    assert after["resets"] == window["resets"] == []
    assert after["unknown_s"] == 0
    assert after["current"] > window["current"]
    assert not [one for one in fleet.replicas if one.refused()]
