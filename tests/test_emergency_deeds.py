"""Deeds are driven until they are confirmed, each for itself; emergency flags are read, and unknown is never off."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.rollouts import NOON, event, rollout
from tests.sources import Clock
from watchdog.control import Control
from watchdog.decide import Emergency
from watchdog.deeds import drive, emergencies
from watchdog.errors import FlagServiceError
from watchdog.flags.base import Change, FlagService
from watchdog.flags.flagd_file import FlagdFile
from watchdog.flags.memory import InMemoryFlags
from watchdog.model import EMERGENCY_FLAGS, Deed, Exposure, FlagReading

RULE = rollout(event())
KILL = Deed("kill", "search", "new-search", "1% bad", NOON + 0.5)
ALARM = Deed("emergency", "emergency", "ops.read-only", "noise breached: 1% bad", NOON + 0.5)
REFUSED = FlagServiceError("search: connection refused")


@dataclass
class Places:
    """Where the deeds of a test are done."""

    emergency: FlagService
    secondary: Mapping[str, FlagService] = field(default_factory=dict)


def fixed(**services: FlagService) -> Places:
    return Places(InMemoryFlags(EMERGENCY_FLAGS), services)


def driven(places: Places, *deeds: Deed) -> tuple[Deed, ...]:
    return drive(Control(deeds=deeds), places, RULE, Clock(NOON + 1.0))


def search(percent: float = 40.0) -> InMemoryFlags:
    return InMemoryFlags({"new-search": Exposure(percent)})


# --- driving --------------------------------------------------------------------------------------------------------


def test_a_kill_is_done_confirmed_by_the_reading_and_signed() -> None:
    service = search()
    (done,) = driven(fixed(search=service), KILL)
    assert done == replace(KILL, acted_at=NOON + 1.0, confirmed_at=NOON + 1.0)
    (write,) = service.writes
    assert (write.verb, write.reading.exposure, write.reading.latch) == ("kill", Exposure(0.0), "checkout-2")
    assert write.change is not None
    assert write.change.idem == f"checkout-2:search:new-search:kill:{NOON}"
    assert (write.change.by, write.change.why) == ("slo-watchdog", "1% bad")


def test_an_emergency_flag_goes_on_for_everybody_with_who_and_why() -> None:
    places = fixed()
    (done,) = driven(places, ALARM)
    assert done.confirmed_at == NOON + 1.0
    assert places.emergency.read("ops.read-only").exposure == Exposure(100.0)
    assert isinstance(places.emergency, InMemoryFlags)
    change = places.emergency.writes[-1].change
    assert change is not None
    assert change.why == "checkout-2: noise breached: 1% bad"
    assert change.idem == f"checkout-2:emergency:ops.read-only:emergency:{NOON}"
    assert change.rollout is None


def test_one_that_fails_says_why_and_stops_no_other() -> None:
    broken, fine = search(), InMemoryFlags({"new-cart": Exposure(40.0)})
    broken.fail(REFUSED, on=("kill",), times=3)
    cart = replace(KILL, service="cart", flag="new-cart")
    failed, killed, on = driven(fixed(search=broken, cart=fine), KILL, cart, ALARM)
    assert (failed.error, failed.acted_at, failed.confirmed_at) == ("search: connection refused", None, None)
    assert killed.confirmed_at is not None
    assert on.confirmed_at is not None
    again = driven(fixed(search=broken, cart=fine), failed, killed, on)
    assert again[0].confirmed_at is None
    broken.recover()
    last = driven(fixed(search=broken, cart=fine), *again)
    assert (last[0].confirmed_at, last[0].error) == (NOON + 1.0, "")
    assert fine.calls["kill"] == 1  # what is confirmed is left alone


def test_an_answer_that_was_lost_is_asked_for_again_under_the_same_key() -> None:
    service = search()
    service.fail(FlagServiceError("search: no answer within 5 s"), on=("kill",), after=True)
    (lost,) = driven(fixed(search=service), KILL)
    assert lost.error == "search: no answer within 5 s"
    (done,) = driven(fixed(search=service), lost)
    assert done.confirmed_at is not None
    assert len(service.writes) == 1


class Stubborn(InMemoryFlags):
    """Takes a write and goes on serving what it served."""

    def kill(self, flag: str, change: Change) -> FlagReading:
        super().kill(flag, change)
        return FlagReading(Exposure(40.0))


def test_a_service_that_goes_on_serving_is_not_confirmed() -> None:
    service = Stubborn({"new-search": Exposure(40.0)})
    (deed,) = driven(fixed(search=service), KILL)
    assert (deed.acted_at, deed.confirmed_at) == (NOON + 1.0, None)
    assert deed.error == "it was written, and still reads 40%"


class Meeting(InMemoryFlags):
    """Kills only while another kill is under way."""

    barrier = threading.Barrier(2)

    def kill(self, flag: str, change: Change) -> FlagReading:
        self.barrier.wait(10)
        return super().kill(flag, change)


def test_they_are_done_at_the_same_time() -> None:
    one, other = Meeting({"new-search": Exposure(40.0)}), Meeting({"new-search": Exposure(40.0)})
    done = driven(fixed(search=one, cart=other), KILL, replace(KILL, service="cart"))
    assert all(deed.confirmed_at is not None for deed in done)


def test_a_service_that_is_not_configured_is_an_error_in_words() -> None:
    (deed,) = driven(fixed(cart=search()), KILL)
    assert "there is no flag service 'search'; configured are: cart" in deed.error
    (alone,) = driven(fixed(), KILL)
    assert "configured are: none" in alone.error


def test_nothing_to_do_is_nothing_done() -> None:
    done = replace(KILL, acted_at=NOON + 1.0, confirmed_at=NOON + 1.0)
    service = search()
    assert driven(fixed(search=service), done) == (done,)
    assert service.calls == {}


# --- reading --------------------------------------------------------------------------------------------------------


def test_what_is_on_for_anybody_is_on() -> None:
    service = InMemoryFlags(EMERGENCY_FLAGS)
    assert emergencies(service) == ((), "")
    service.changed_by_person("ops.read-only", Exposure(100.0))
    service.changed_by_person("ops.maintenance", Exposure(0.0, cohort=True))
    assert emergencies(service) == ((Emergency("ops.read-only"), Emergency("ops.maintenance")), "")


def test_a_set_without_one_of_the_flags_is_unknown_and_what_is_on_still_counts() -> None:
    service = InMemoryFlags({"ops.shutdown": Exposure(100.0), "ops.maintenance": Exposure(0.0)})
    on, unknown = emergencies(service)
    assert on == (Emergency("ops.shutdown"),)
    assert "ops.read-only" in unknown


def test_a_service_that_is_away_is_asked_once() -> None:
    service = InMemoryFlags(EMERGENCY_FLAGS)
    service.fail(FlagServiceError("ops: no answer within 5 s"), times=3)
    assert emergencies(service) == ((), "ops: no answer within 5 s")
    assert service.calls["read"] == 1


def flagd_set(path: Path, *, on: Sequence[str] = (), lacking: Sequence[str] = ()) -> FlagdFile:
    """An emergency set as `flags init` leaves it, and somebody's changes."""
    service: Any = FlagdFile(path)
    service.init(EMERGENCY_FLAGS, "ada")
    for flag in on:
        service.set(flag, Change(Exposure(100.0), (), "ada", "a migration"))
    document = json.loads(path.read_text())
    document["flags"] = {name: entry for name, entry in document["flags"].items() if name not in lacking}
    path.write_text(json.dumps(document))
    return FlagdFile(path)


def test_a_flagd_document_says_who_and_why(tmp_path: Path) -> None:
    service = flagd_set(tmp_path / "ops.flagd.json", on=("ops.read-only",))
    assert emergencies(service) == ((Emergency("ops.read-only", "ada", "a migration"),), "")


def test_a_set_that_nobody_ever_set_up_is_off(tmp_path: Path) -> None:
    assert emergencies(FlagdFile(tmp_path / "flags" / "ops.flagd.json")) == ((), "")


def test_a_set_that_was_there_and_is_gone_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "ops.flagd.json"
    service = flagd_set(path)
    assert emergencies(service) == ((), "")
    path.unlink()
    on, unknown = emergencies(FlagdFile(path))
    assert on == ()
    assert str(path) in unknown


@pytest.mark.parametrize("content", ["", "{}", '{"flags": ', '{"flags": {"ops.shutdown": {}}}'])
def test_a_broken_set_is_unknown(tmp_path: Path, content: str) -> None:
    path = tmp_path / "ops.flagd.json"
    path.write_text(content)
    on, unknown = emergencies(FlagdFile(path))
    assert on == ()
    assert str(path) in unknown


def test_a_set_that_lacks_a_flag_is_unknown(tmp_path: Path) -> None:
    service = flagd_set(tmp_path / "ops.flagd.json", on=("ops.maintenance",), lacking=("ops.shutdown",))
    on, unknown = emergencies(service)
    assert [emergency.flag for emergency in on] == ["ops.maintenance"]
    assert "ops.shutdown" in unknown
