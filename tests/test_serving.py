"""Serving over HTTP: what OFREP and flagd's sync answer, from documents that change, break and come back."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.flagfiles import FLAG, OFF, to
from tests.reading import EMERGENCY, Reading
from tests.redisserver import RedisServer
from watchdog.config.flagsettings import FlagSettings
from watchdog.config.settings import Settings
from watchdog.errors import ConfigError, FlagServiceError
from watchdog.flags import open_service
from watchdog.flags.flagd_file import FlagdFile
from watchdog.flags.memory import InMemoryFlags
from watchdog.serving import FlagSet, flag_set, sets_of

STALE = "Flags-Stale-Seconds"
REASONS = {"STATIC", "TARGETING_MATCH", "SPLIT", "DISABLED", "DEFAULT"}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Reading]:
    with Reading(tmp_path) as reading:
        yield reading


# --- OFREP, one flag -------------------------------------------------------------------------------------------------


def test_an_answer_always_says_key_value_reason_variant_and_metadata(site: Reading) -> None:
    site.set(100)
    answer = site.ask(targetingKey="ada")
    assert answer.status_code == 200
    told = answer.json()
    assert (told["key"], told["value"], told["reason"], told["variant"]) == (FLAG, True, "TARGETING_MATCH", "on")
    assert told["metadata"]["flagSetId"] == "checkout"
    assert told["metadata"]["version"]


def test_a_kill_is_in_the_next_answer_whoever_made_it(site: Reading) -> None:
    elsewhere = FlagdFile(site.file)
    for _ in range(20):
        site.set(100)
        assert site.ask(targetingKey="ada").json()["value"] is True
        elsewhere.kill(FLAG, to(0))
        assert site.ask(targetingKey="ada").json()["value"] is False


def test_a_cohort_is_served_before_everybody_else(site: Reading) -> None:
    site.set(0, "qa-1")
    assert [site.ask(targetingKey=key).json()["value"] for key in ("qa-1", "ada")] == [True, False]


def test_a_caller_without_a_targeting_key_gets_the_default_variant(site: Reading) -> None:
    site.set(50)
    told = site.ask().json()
    assert (told["value"], told["reason"]) == (False, "DEFAULT")
    assert site.post(f"/{FLAG}", json={}).json() == told


def test_the_emergency_set_is_served_too_and_no_flag_of_a_rollout_stands_in_its_place(site: Reading) -> None:
    document = json.loads(site.file.read_text())
    document["flags"][EMERGENCY] = OFF
    site.file.write_text(json.dumps(document))
    site.emergency.set(EMERGENCY, to(100, rollout=None))
    assert site.ask(EMERGENCY).json()["value"] is True
    assert {one["key"]: one["value"] for one in site.bulk().json()["flags"]}[EMERGENCY] is True


def test_a_flag_without_a_value_leaves_it_to_the_code_default(site: Reading) -> None:
    document = json.loads(site.file.read_text())
    document["flags"]["none"] = {"state": "ENABLED", "variants": {"on": True, "off": False}}
    document["flags"]["disabled"] = {**OFF, "state": "DISABLED"}
    site.file.write_text(json.dumps(document))
    for key, reason in (("none", "DEFAULT"), ("disabled", "DISABLED")):
        told = site.ask(key).json()
        assert "value" not in told
        assert (told["variant"], told["reason"]) == ("", reason)


def test_an_unknown_flag_is_not_found(site: Reading) -> None:
    answer = site.ask("typo", targetingKey="ada")
    assert answer.status_code == 404
    told = answer.json()
    assert (told["key"], told["errorCode"]) == ("typo", "FLAG_NOT_FOUND")
    assert "checkout, ops" in told["errorDetails"]


BAD_BODIES = {
    b"": "PARSE_ERROR",
    b"{": "PARSE_ERROR",
    b'{"context": {"n": NaN}}': "PARSE_ERROR",
    b"[" * 50_000: "PARSE_ERROR",
    b'{"context": {"n": ' + b"9" * 5000 + b"}}": "PARSE_ERROR",
    b"\xff": "PARSE_ERROR",
    b"[]": "INVALID_CONTEXT",
    b'{"context": []}': "INVALID_CONTEXT",
    b'{"context": {"targetingKey": 7}}': "INVALID_CONTEXT",
    b'{"context": {"targetingKey": "\\ud800"}}': "INVALID_CONTEXT",
}


@pytest.mark.parametrize("path", [f"/{FLAG}", ""], ids=["one", "bulk"])
@pytest.mark.parametrize(("body", "code"), BAD_BODIES.items(), ids=lambda one: repr(one)[:30])
def test_a_bad_context_is_refused(site: Reading, path: str, body: bytes, code: str) -> None:
    answer = site.post(path, data=body)
    assert answer.status_code == 400
    assert answer.json()["errorCode"] == code
    assert answer.json()["errorDetails"]


def test_a_context_that_is_too_large_is_refused(site: Reading) -> None:
    answer = site.post(f"/{FLAG}", data=json.dumps({"context": {"x": "x" * 70_000}}))
    assert (answer.status_code, answer.json()["errorCode"]) == (413, "INVALID_CONTEXT")


def test_odd_keys_of_a_context_do_no_harm(site: Reading) -> None:
    site.set(100)
    context = {"targetingKey": "ada", "$flagd": {"flagKey": "x"}, "$slo-watchdog-outcome": "off", "$evaluators": 1}
    assert site.ask(**context).json()["value"] is True


def test_an_answer_leaves_in_one_piece(site: Reading) -> None:
    """Two pieces would wake the client twice; with a delayed acknowledgement between them it waits 40 ms."""
    body = json.dumps({"context": {"targetingKey": "ada"}})
    head = f"POST /ofrep/v1/evaluate/flags/{FLAG} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", site.server.port), timeout=5) as link:
        for _ in range(20):
            link.sendall(f"{head}{body}".encode())
            got = link.recv(65_536)
            assert got.startswith(b"HTTP/1.1 200 OK")
            assert json.loads(got.partition(b"\r\n\r\n")[2])["key"] == FLAG


def test_other_methods_are_refused(site: Reading) -> None:
    answer = site.session.get(f"{site.url}/ofrep/v1/evaluate/flags/{FLAG}", timeout=5)
    assert (answer.status_code, answer.headers["Content-Type"]) == (405, "application/problem+json")


# --- OFREP, all flags ------------------------------------------------------------------------------------------------


def test_all_flags_come_with_an_etag_and_a_304_while_nothing_changes(site: Reading) -> None:
    site.set(25)
    first = site.bulk(targetingKey="ada")
    assert first.status_code == 200
    assert {one["key"] for one in first.json()["flags"]} == {FLAG, EMERGENCY}
    assert all(one["reason"] in REASONS for one in first.json()["flags"])
    etag = first.headers["ETag"]
    again = site.bulk(etag, targetingKey="ada")
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", etag)
    assert site.bulk(f'"other", W/{etag}', targetingKey="ada").status_code == 304
    site.kill()
    changed = site.bulk(etag, targetingKey="ada")
    assert (changed.status_code, changed.headers["ETag"] != etag) == (200, True)


def test_another_caller_has_another_etag_when_the_answer_differs(site: Reading) -> None:
    site.set(0, "qa-1")
    etag = site.bulk(targetingKey="qa-1").headers["ETag"]
    assert site.bulk(etag, targetingKey="ada").status_code == 200


def test_a_restart_gives_the_same_etags(site: Reading) -> None:
    site.set(25)
    etags = site.bulk(targetingKey="ada").headers["ETag"], site.sync().headers["ETag"]
    site.stop()
    site.start()
    assert site.bulk(etags[0], targetingKey="ada").status_code == 304
    assert site.sync(etag=etags[1]).status_code == 304


def test_a_bad_flag_beside_good_ones_is_an_error_of_its_own(tmp_path: Path) -> None:
    document = {"flags": {"bad": {"state": "ON"}, "rule": {**OFF, "targeting": {"roll": 1}}, FLAG: OFF}}
    with Reading(tmp_path, sets=[FlagSet("checkout", lambda: ("1", document), "flagd-v2", lambda: 1)]) as site:
        told = {one["key"]: one for one in site.bulk().json()["flags"]}
        assert told["bad"]["errorCode"] == told["rule"]["errorCode"] == "PARSE_ERROR"
        assert told[FLAG]["value"] is False
        assert (site.ask("bad").status_code, site.ask(FLAG).status_code) == (400, 200)


# --- flagd's sync ----------------------------------------------------------------------------------------------------


def test_a_set_is_given_out_as_the_file_has_it(site: Reading) -> None:
    site.set(25)
    answer = site.sync()
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == json.loads(site.file.read_text())
    assert site.sync("ops").json() == json.loads(site.emergency_file.read_text())


def test_304_while_the_document_stays_and_200_once_it_changes(site: Reading) -> None:
    etag = site.sync().headers["ETag"]
    assert etag.startswith('"')
    for _ in range(3):
        assert site.sync(etag=etag).status_code == 304
    site.set(10)
    assert site.sync(etag=etag).status_code == 200
    assert site.counted("flag_answers_total", protocol="sync", status="304") == 3


def test_a_set_that_is_not_there(site: Reading) -> None:
    answer = site.sync("typo")
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")
    assert "checkout, ops" in answer.json()["detail"]


# --- a document that breaks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("broken", [b"", b"{", b"{}", None], ids=["empty", "truncated", "bare", "gone"])
def test_the_last_good_document_is_served_while_the_file_is_broken(site: Reading, broken: bytes | None) -> None:
    site.set(100)
    before = site.sync()
    assert STALE not in site.ask(targetingKey="ada").headers
    if broken is None:
        site.file.unlink()
    else:
        site.file.write_bytes(broken)
    for answer in (site.ask(targetingKey="ada"), site.bulk(), site.sync()):
        assert (answer.status_code, int(answer.headers[STALE]) >= 0) == (200, True)
    assert site.ask(targetingKey="ada").json()["value"] is True
    assert site.sync(etag=before.headers["ETag"]).status_code == 304
    assert site.counted("flags_stale_seconds", set="checkout") > 0
    assert site.counted("flags_stale_seconds", set="ops") == 0
    site.kill()
    answer = site.ask(targetingKey="ada")
    assert (answer.json()["value"], STALE in answer.headers) == (False, False)


def test_without_any_good_document_nothing_is_made_up(site: Reading) -> None:
    site.stop()
    site.file.write_text("{")
    site.start()
    assert site.ask().status_code == 503
    assert site.sync().status_code == 503
    assert "checkout.flagd.json" in site.sync().json()["detail"]
    assert site.ask(EMERGENCY).status_code == 200
    assert [one["key"] for one in site.bulk().json()["flags"]] == [EMERGENCY]
    site.emergency_file.unlink()
    site.stop()
    site.start()
    assert (site.bulk().status_code, site.bulk().headers["Retry-After"]) == (503, "1")


# --- who may read ----------------------------------------------------------------------------------------------------


def test_readers_bring_the_token_where_there_is_one(tmp_path: Path) -> None:
    with Reading(tmp_path, token="s3cret") as site:
        for given in ("", "Bearer other", "Basic s3cret", "Bearer", "Bearer s3crét"):
            site.session.headers["Authorization"] = given.encode("latin-1")
            for answer in (site.ask(), site.bulk(), site.sync()):
                assert answer.status_code == 401
                assert answer.headers["WWW-Authenticate"].startswith("Bearer")
                assert "s3cret" not in answer.text
        assert site.counted("flag_answers_total", protocol="ofrep", status="401") == 5
        site.session.headers["Authorization"] = "bearer s3cret"
        assert {answer.status_code for answer in (site.ask(), site.bulk(), site.sync())} == {200}


def test_the_address_for_readers_offers_nothing_else(site: Reading) -> None:
    assert requests.get(f"{site.url}/healthz", timeout=5).json()["status"] == "ok"
    for path in ("/", "/metrics", "/api/v1/rollouts", "/openapi.json", "/readyz"):
        answer = requests.get(site.url + path, timeout=5)
        assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")


# --- a document behind a network -------------------------------------------------------------------------------------


class Remote:
    """A service that is asked over a network: it can be slow, and it can fail."""

    def __init__(self) -> None:
        self.on = True
        self.down = False
        self.reads = 0
        self.open = threading.Event()
        self.open.set()

    def document(self) -> tuple[str, dict[str, Any]]:
        self.reads += 1
        assert self.open.wait(20)
        if self.down:
            raise FlagServiceError("the store is down.")
        return str(self.on), {"flags": {FLAG: {**OFF, "defaultVariant": "on" if self.on else "off"}}}


@pytest.fixture
def remote() -> Iterator[Remote]:
    store = Remote()
    yield store
    store.open.set()


@pytest.fixture
def distant(remote: Remote, tmp_path: Path) -> Iterator[Reading]:
    found = flag_set(remote, FlagSettings(service="redis", url="redis://127.0.0.1:1/0", set="shop"))
    assert found is not None
    with Reading(tmp_path, sets=[found]) as site:
        yield site
        remote.open.set()


def test_a_change_behind_a_network_is_in_the_next_answer(distant: Reading, remote: Remote) -> None:
    for on in (True, False, True):
        remote.on = on
        assert distant.ask().json()["value"] is on
    assert distant.sync("shop").status_code == 200


def test_a_store_that_hangs_holds_no_reader_up(distant: Reading, remote: Remote) -> None:
    assert distant.ask().json()["value"] is True
    remote.open.clear()
    first, began = distant.ask(), time.monotonic()
    later = [distant.ask() for _ in range(5)]
    assert time.monotonic() - began < 1
    assert all((answer.json()["value"], STALE in answer.headers) == (True, True) for answer in (first, *later))
    remote.on = False
    remote.open.set()
    deadline = time.monotonic() + 5
    while distant.ask().json()["value"] is True:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert STALE not in distant.ask().headers


def test_a_store_that_is_down_is_not_asked_for_every_reader(distant: Reading, remote: Remote) -> None:
    assert distant.ask().status_code == 200
    remote.down = True
    asked = remote.reads
    answers = [distant.ask() for _ in range(20)]
    assert {answer.status_code for answer in answers} == {200}
    assert remote.reads - asked <= 3


def test_a_store_that_never_answered_gives_no_flags(distant: Reading, remote: Remote) -> None:
    remote.down = True
    answer = distant.ask()
    assert (answer.status_code, "the store is down" in answer.json()["errorDetails"]) == (503, True)
    assert distant.sync("shop").status_code == 503


# --- which sets there are --------------------------------------------------------------------------------------------


def settings(**top: Any) -> Settings:
    return Settings.model_validate({"prometheus": {"url": "http://127.0.0.1:9090"}, **top})


def test_a_service_without_a_document_has_nothing_to_serve() -> None:
    memory = InMemoryFlags()
    assert sets_of(settings(flags={"service": "memory"}), memory, memory) == []


def test_the_emergency_set_comes_last(tmp_path: Path) -> None:
    asked = settings(flags={"path": str(tmp_path / "shop.flagd.json")})
    primary, emergency = FlagdFile(asked.flags.path), FlagdFile(asked.emergency_flags.path, emergency=True)
    assert [one.name for one in sets_of(asked, primary, emergency)] == ["shop", "ops"]


def test_a_set_that_holds_both_is_served_once(tmp_path: Path) -> None:
    path = str(tmp_path / "shop.flagd.json")
    asked = settings(flags={"path": path}, emergency={"path": path})
    assert len(sets_of(asked, FlagdFile(path), FlagdFile(path))) == 1


def test_two_sets_of_one_name_are_refused(tmp_path: Path) -> None:
    paths = tmp_path / "a" / "shop.flagd.json", tmp_path / "b" / "shop.flagd.json"
    asked = settings(flags={"path": str(paths[0])}, emergency={"path": str(paths[1])})
    with pytest.raises(ConfigError, match="'shop'"):
        sets_of(asked, FlagdFile(paths[0]), FlagdFile(paths[1]))


# --- a real store ----------------------------------------------------------------------------------------------------


def test_a_kill_in_redis_is_in_the_next_answer_and_a_dead_redis_changes_nothing(tmp_path: Path) -> None:
    with RedisServer() as server:
        about = FlagSettings(service="redis", url=server.url, set="shop", timeout="1s")
        flags = open_service(about)
        flags.init([FLAG], "ada")
        found = flag_set(flags, about)
        assert found is not None
        with Reading(tmp_path, sets=[found]) as site:
            for _ in range(10):
                flags.set(FLAG, to(100))
                assert site.ask(targetingKey="ada").json()["value"] is True
                flags.kill(FLAG, to(0))
                assert site.ask(targetingKey="ada").json()["value"] is False
            etag = site.sync("shop").headers["ETag"]
            server.stop()
            answer = site.ask(targetingKey="ada")
            assert (answer.json()["value"], STALE in answer.headers) == (False, True)
            assert site.sync("shop", etag).status_code == 304
