"""The real flagd over our HTTP sync: it follows, it keeps its flags while we are dead, and it buckets as we do."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.flagdserver import FlagdServer
from tests.flagfiles import FLAG, OFF
from tests.reading import EMERGENCY, Reading
from watchdog.flags.flagd_evaluator import Evaluator

INTERVAL = 1
BOUND = 1.5
"""Seconds from a kill until a reader of flagd sees it, with an interval of one second."""
USERS = [f"user-{number}" for number in range(2000)]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Reading]:
    with Reading(tmp_path, token="s3cret") as reading:
        yield reading


@contextmanager
def following(site: Reading, *names: str) -> Iterator[FlagdServer]:
    """A flagd that asks us for these sets every second."""
    common = {"provider": "http", "interval": INTERVAL, "authHeader": "Bearer s3cret", "timeoutS": 2}
    sources = [{"uri": f"{site.url}/flagd/{name}.json", **common} for name in names or ("checkout",)]
    with FlagdServer(sources) as flagd:
        yield flagd


def seconds_until(true: Callable[[], bool], within: float = 10.0) -> float:
    """How long it takes; fails when it does not come."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < within
        time.sleep(0.01)
    return time.monotonic() - began


def test_a_kill_reaches_a_reader_of_flagd_in_time(site: Reading) -> None:
    site.set(100)
    with following(site) as flagd:
        for _ in range(3):  # each kill comes just after a poll, the worst moment for it
            site.set(100)
            seconds_until(lambda: flagd.evaluate(FLAG, "ada")["value"] is True)
            site.kill()
            took = seconds_until(lambda: flagd.evaluate(FLAG, "ada")["value"] is False)
            assert took <= BOUND


def test_flagd_asks_with_the_etag_and_is_answered_304(site: Reading) -> None:
    def counted(status: str) -> float:
        return site.counted("flag_answers_total", protocol="sync", status=status)

    with following(site) as flagd:
        seconds_until(lambda: counted("304") >= 2)
        whole = counted("200")
        site.set(100)
        seconds_until(lambda: flagd.evaluate(FLAG, "ada")["value"] is True)
        assert counted("200") == whole + 1
        assert counted("401") == 0


def test_flagd_keeps_its_flags_while_we_are_dead_and_follows_again_afterwards(site: Reading) -> None:
    site.set(30)
    with following(site) as flagd:
        before = {user: flagd.evaluate(FLAG, user)["value"] for user in USERS[:200]}
        assert set(before.values()) == {True, False}
        site.stop()
        seconds_until(lambda: flagd.log.count("connection refused") >= 2)
        assert {user: flagd.evaluate(FLAG, user)["value"] for user in USERS[:200]} == before
        site.start()
        site.kill()
        had = next(user for user, value in before.items() if value)
        seconds_until(lambda: flagd.evaluate(FLAG, had)["value"] is False)


def test_a_broken_file_changes_nothing_for_readers_of_flagd(site: Reading) -> None:
    site.set(100)
    with following(site) as flagd:
        asked = site.counted("flag_answers_total", protocol="sync", status="304")
        site.file.write_text("")
        seconds_until(lambda: site.counted("flag_answers_total", protocol="sync", status="304") >= asked + 2)
        assert flagd.evaluate(FLAG, "ada")["value"] is True
        site.kill()
        assert seconds_until(lambda: flagd.evaluate(FLAG, "ada")["value"] is False) <= BOUND


def test_both_sets_at_once(site: Reading) -> None:
    with following(site, "checkout", "ops") as flagd:
        assert flagd.evaluate(FLAG, "ada")["value"] is False
        assert flagd.evaluate(EMERGENCY)["metadata"]["flagSetId"] == "ops"


@pytest.mark.parametrize("percent", [10, 50])
def test_the_real_flagd_picks_the_same_people_as_our_flagd_v2(site: Reading, percent: float) -> None:
    site.set(percent)
    with following(site) as flagd:
        theirs = {user for user in USERS if flagd.evaluate(FLAG, user)["value"]}
    document = site.flags.document()[1]
    ours, newer = (
        {user for user in USERS if Evaluator(document, era).evaluate(FLAG, {"targetingKey": user}).value}
        for era in ("flagd-v2", "flagd-v3")
    )
    assert theirs == ours
    assert theirs != newer
    assert len(theirs) == pytest.approx(len(USERS) * percent / 100, rel=0.15)


RULES: dict[str, Any] = {
    "by company": {"fractional": [{"var": "company"}, ["on", 1], ["off", 1]]},
    "by nothing": {"fractional": [{"var": "missing"}, ["on", 1], ["off", 1]]},
    "by a number": {"fractional": [{"var": "seats"}, ["on", 1], ["off", 1]]},
    "bare variants": {"fractional": [["on"], ["off"]]},
    "fractions of weights": {"fractional": [["on", 12.5], ["off", 87.5]]},
    "whole floats": {"fractional": [["on", 50.0], ["off", 50.0]]},
    "text for weights": {"fractional": [["on", "50"], ["off", "50"]]},
    "below nothing": {"fractional": [["on", -5], ["off", 5]]},
    "nothing at all": {"fractional": [["on", 0], ["off", 0]]},
    "off first": {"fractional": [["off", 50], ["on", 50]]},
    "weights that are worked out": {"fractional": [["on", {"+": [20, 10]}], ["off", {"var": "seats"}]]},
    "a cohort first": {
        "if": [{"in": [{"var": "targetingKey"}, ["user-1"]]}, "on", {"fractional": [["on", 1], ["off", 9]]}]
    },
    "no outcome": {"if": [False, "on"]},
    "by domain": {"if": [{"ends_with": [{"var": "email"}, "@example.com"]}, "on", "off"]},
    "by version": {"if": [{"sem_ver": [{"var": "app"}, ">=", "2.1.0"]}, "on", "off"]},
}


def test_every_rule_comes_to_the_same_at_flagd_and_here(tmp_path: Path) -> None:
    document = {"flags": {name: {**OFF, "targeting": rule} for name, rule in RULES.items()}}
    evaluator = Evaluator(document, "flagd-v2")
    with Reading(tmp_path, token="s3cret") as site:
        site.file.write_text(json.dumps(document))
        with following(site) as flagd:
            for name in RULES:
                for number in range(40):
                    about = {"company": f"c{number}", "seats": number, "email": f"a{number}@example.com", "app": "2.3"}
                    theirs = flagd.evaluate(name, f"user-{number}", **about)
                    ours = evaluator.evaluate(name, {"targetingKey": f"user-{number}", **about})
                    assert (theirs["variant"], theirs["reason"]) == (ours.variant, ours.reason), (name, number)
