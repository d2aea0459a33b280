"""The webhook service, against scripted receivers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.answering import Answering, Reply, Request, reply
from watchdog.config.flagsettings import FlagSettings
from watchdog.errors import FlagConflict, FlagServiceError
from watchdog.flags import open_service
from watchdog.flags.base import Change
from watchdog.flags.webhook import Webhook
from watchdog.model import NOBODY, Exposure
from watchdog.signing import signature

SECRET = "a-shared-key-of-32-letters-or-so"
FLAG = "new-checkout"


@pytest.fixture
def server() -> Iterator[Answering]:
    with Answering() as server:
        yield server


def webhook(url: str, timeout: float = 5.0, **more: Any) -> Webhook:
    return Webhook(url, more.pop("secret", SECRET), timeout, **more)


def change(percent: float = 0.0, idem: str = "", **more: Any) -> Change:
    cohort = more.pop("cohort", ())
    exposure = Exposure(percent, bool(cohort), more.pop("audiences", ()))
    return Change(exposure, cohort, "slo-watchdog", "a step", more.pop("rollout", "checkout-1"), idem, **more)


class Speaking:
    """A receiver in miniature: it does what it is told and says what the flag reads."""

    def __init__(self, percent: float = 0.0) -> None:
        self.percent, self.version = percent, 1

    def __call__(self, request: Request) -> Reply:
        document = request.json
        if document["action"] in ("set", "kill"):
            self.percent, self.version = document["percent"], self.version + 1
        return reply(json={"percent": self.percent, "version": str(self.version)})


# --- what is sent -------------------------------------------------------------------------------------------------


def test_a_change_is_a_signed_document_that_says_everything(server: Answering) -> None:
    server.next(reply(204))
    service = webhook(f"{server.url}/flags", now=lambda: 1_800_000_000.25)
    service.set(FLAG, change(12.3456, "checkout-1:set:1", cohort=("qa-1", "qa-1"), audiences=("beta",)))
    [asked] = server.asked
    assert (asked.method, asked.target) == ("POST", "/flags")
    assert asked.json == {
        "format": 1,
        "action": "set",
        "flag": FLAG,
        "percent": 12.345,
        "cohort": ["qa-1"],
        "audiences": ["beta"],
        "by": "slo-watchdog",
        "why": "a step",
        "rollout": "checkout-1",
        "expect": None,
        "idempotency_key": "checkout-1:set:1",
        "sent_at": "2027-01-15T08:00:00.250Z",
    }
    assert asked.headers["idempotency-key"] == "checkout-1:set:1"
    assert asked.headers["x-slo-watchdog-timestamp"] == "1800000000"
    signed = signature(SECRET.encode(), "1800000000", asked.body)
    assert asked.headers["x-slo-watchdog-signature"] == f"v1={signed}"


def test_the_settings_open_it() -> None:
    settings = FlagSettings.model_validate({"service": "webhook", "url": "http://127.0.0.1:9/x", "secret": SECRET})
    service = open_service(settings)
    assert not service.capabilities.readable
    with pytest.raises(FlagServiceError, match=r"127\.0\.0\.1:9 could not be reached") as caught:
        service.kill(FLAG, change())
    assert SECRET not in str(caught.value)


def test_a_key_that_no_header_can_hold_is_hashed_and_a_missing_one_made(server: Answering) -> None:
    server.always(reply(204))
    service = webhook(server.url)
    service.kill(FLAG, change(idem="Bücher\n"))
    service.kill(FLAG, change())
    service.kill(FLAG, change())
    keys = [asked.headers["idempotency-key"] for asked in server.asked]
    assert len(keys[0]) == 64
    assert len(set(keys)) == 3
    assert keys == [asked.json["idempotency_key"] for asked in server.asked]


@pytest.mark.parametrize("percent", [-1.0, 100.1, float("nan"), float("inf")])
def test_a_percentage_that_is_none_is_not_sent(server: Answering, percent: float) -> None:
    with pytest.raises(FlagServiceError, match="expected 0 to 100") as caught:
        webhook(server.url).set(FLAG, change(percent))
    assert caught.value.permanent
    assert server.asked == []


def test_a_cohort_without_members_is_not_sent(server: Answering) -> None:
    with pytest.raises(FlagServiceError, match="a cohort of 0"):
        webhook(server.url).set(FLAG, Change(Exposure(0, cohort=True), (), "me", "why"))
    assert server.asked == []


# --- receivers that speak -----------------------------------------------------------------------------------------


def test_a_receiver_that_speaks_is_believed_and_gains_capabilities(server: Answering) -> None:
    server.always(Speaking(percent=5))
    service = webhook(server.url)
    assert not service.capabilities.readable
    assert service.read(FLAG).exposure == Exposure(5)
    assert service.capabilities.readable
    assert service.capabilities.compare_and_set == "emulated"
    assert service.set(FLAG, change(25)).exposure == Exposure(25)
    assert service.kill(FLAG, change()).exposure == NOBODY
    assert service.read(FLAG).version == "3"


def test_another_version_than_expected_is_a_conflict_and_nothing_is_sent(server: Answering) -> None:
    speaking = Speaking(percent=5)
    server.always(speaking)
    service = webhook(server.url)
    with pytest.raises(FlagConflict, match="it has version 1, expected 0"):
        service.set(FLAG, change(25, expect="0"))
    assert speaking.percent == 5
    service.set(FLAG, change(25, expect="1"))
    assert server.asked[-1].json["expect"] == "1"
    assert speaking.percent == 25


def test_a_receiver_may_find_the_conflict_itself(server: Answering) -> None:
    server.next(reply(409, json={"message": "it has version 9"}))
    with pytest.raises(FlagConflict, match="it has version 9"):
        webhook(server.url).set(FLAG, change(25))


def test_a_kill_never_compares(server: Answering) -> None:
    server.always(Speaking(percent=50))
    webhook(server.url).kill(FLAG, change(expect="long ago"))
    assert [(asked.json["action"], asked.json["expect"]) for asked in server.asked] == [("kill", None)]


def test_a_receiver_that_answers_a_kill_with_a_conflict_is_at_fault(server: Answering) -> None:
    server.next(reply(409, json={"message": "not now"}))
    with pytest.raises(FlagServiceError, match="must take a kill whatever it has") as caught:
        webhook(server.url).kill(FLAG, change())
    assert not isinstance(caught.value, FlagConflict)
    assert not caught.value.permanent


def test_a_kill_that_left_something_on_is_an_error(server: Answering) -> None:
    server.next(reply(json={"percent": 25, "version": "7"}))
    with pytest.raises(FlagServiceError, match="says that the flag reads 25%") as caught:
        webhook(server.url).kill(FLAG, change())
    assert not caught.value.permanent


def test_cohort_latch_and_key_are_read_when_they_are_said(server: Answering) -> None:
    said = {"percent": 1.5, "cohort": ["qa-1"], "audiences": ["eu", "beta"], "latch": "checkout-1", "version": "x"}
    server.next(reply(json={**said, "idempotency_key": "k"}))
    reading = webhook(server.url).read(FLAG)
    assert reading.exposure == Exposure(1.5, cohort=True, audiences=("beta", "eu"))
    assert (reading.members, reading.latch, reading.idem) == (("qa-1",), "checkout-1", "k")


def test_without_a_version_any_change_of_the_reading_is_a_change_of_version(server: Answering) -> None:
    server.next(*(reply(json={"percent": percent}) for percent in (5, 5, 6)))
    versions = [webhook(server.url).read(FLAG).version for _ in range(3)]
    assert versions[0] == versions[1] != versions[2]


@pytest.mark.parametrize(
    "said",
    [
        {},
        [],
        {"percent": "25"},
        {"percent": True},
        {"percent": 101},
        {"percent": -0.1},
        {"percent": 5, "cohort": "qa-1"},
        {"percent": 5, "audiences": [1]},
        {"percent": 5, "version": 7},
        {"percent": 5, "version": "x" * 201},
    ],
)
def test_an_answer_that_says_nothing_clear_is_an_error_with_what_was_expected(server: Answering, said: Any) -> None:
    server.next(reply(json=said))
    with pytest.raises(FlagServiceError, match=r"expected .*percent") as caught:
        webhook(server.url).read(FLAG)
    assert not caught.value.permanent


# --- receivers that only nod --------------------------------------------------------------------------------------


def nodding(request: Request) -> Reply:
    return reply(501) if request.json["action"] == "read" else reply(204)


def test_what_a_receiver_acknowledged_is_remembered_and_said_to_be_only_that(server: Answering) -> None:
    server.always(nodding)
    service = webhook(server.url)
    service.set(FLAG, change(25, "key-1"))
    reading = service.read(FLAG)
    assert reading.exposure == Exposure(25)
    assert reading.version == "acknowledged to this process: key-1"
    assert not service.capabilities.readable
    service.kill(FLAG, change(idem="key-2"))
    assert service.read(FLAG).exposure == NOBODY


def test_what_was_never_acknowledged_is_not_known(server: Answering) -> None:
    server.always(nodding)
    with pytest.raises(FlagServiceError, match="make the receiver answer `read`, or use it in `also:` only") as caught:
        webhook(server.url).read(FLAG)
    assert not caught.value.permanent


def test_after_a_lost_answer_nobody_knows_what_the_flag_reads(server: Answering) -> None:
    server.always(nodding)
    service = webhook(server.url, timeout=0.3)
    service.set(FLAG, change(0, "key-1"))
    server.next(Reply(hang=True))
    with pytest.raises(FlagServiceError, match=r"within 0\.3 s"):
        service.set(FLAG, change(1, "key-2"))
    with pytest.raises(FlagServiceError, match="no change of it stands acknowledged"):
        service.read(FLAG)
    service.kill(FLAG, change(idem="key-3"))
    assert service.read(FLAG).exposure == NOBODY


def test_a_refused_change_leaves_what_was_acknowledged(server: Answering) -> None:
    server.always(nodding)
    service = webhook(server.url)
    service.set(FLAG, change(25, "key-1"))
    server.next(reply(422, json={"message": "never above 25"}))
    with pytest.raises(FlagServiceError, match="never above 25"):
        service.set(FLAG, change(50, "key-2"))
    assert service.read(FLAG).exposure == Exposure(25)


def test_acknowledgements_are_compared_too(server: Answering) -> None:
    server.always(nodding)
    service = webhook(server.url)
    version = service.set(FLAG, change(25, "key-1")).version
    service.set(FLAG, change(30, "key-2", expect=version))
    with pytest.raises(FlagConflict):
        service.set(FLAG, change(50, "key-3", expect=version))


# --- faults -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "permanent"),
    [
        (reply(401, json={"message": "no"}), True),
        (reply(403, json={"message": "no"}), True),
        (reply(404, json={"message": "no"}), True),
        (reply(500), False),
        (reply(503), False),
        (reply(302, headers={"Location": "http://127.0.0.1:1/"}), True),
        (reply(200, b'{"percent": 0', headers={"Content-Type": "application/json"}), False),
        (reply(200, b"ok", headers={"Content-Type": "text/plain"}), False),
    ],
)
def test_a_fault_is_an_error_and_never_a_reading(server: Answering, answer: Reply, *, permanent: bool) -> None:
    for action in ("read", "set", "kill"):
        server.next(answer)
        service = webhook(server.url)
        with pytest.raises(FlagServiceError) as caught:
            service.read(FLAG) if action == "read" else getattr(service, action)(FLAG, change())
        assert caught.value.permanent is permanent


def test_a_wait_that_is_asked_for_is_passed_on(server: Answering) -> None:
    server.next(reply(429, headers={"Retry-After": "11"}))
    with pytest.raises(FlagServiceError) as caught:
        webhook(server.url).kill(FLAG, change())
    assert caught.value.retry_after == 11


def test_preflight_finds_a_receiver_that_believes_anybody(server: Answering) -> None:
    server.always(nodding)
    checks = {check.name: check for check in webhook(server.url).preflight(FLAG)}
    assert checks["the receiver takes our messages"].ok
    assert not checks["a wrong signature is refused"].ok
    assert "anybody can switch this flag" in checks["a wrong signature is refused"].todo
    assert not checks["an old message is refused"].ok
    assert "not to ramp" in checks["what the flag reads"].found
    assert {asked.json["action"] for asked in server.asked} == {"check", "read"}


def test_preflight_of_a_receiver_that_is_away_fails_and_raises_nothing() -> None:
    checks = webhook("http://127.0.0.1:1").preflight(FLAG)
    assert [check.ok for check in checks] == [False] * 4
    assert all(check.todo for check in checks)
