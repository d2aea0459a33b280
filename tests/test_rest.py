"""Every way in which a flag service can fail over HTTP ends in time, as one sentence without a secret."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from tests.answering import Answering, Reply, reply
from watchdog.errors import ConfigError, FlagConflict, FlagServiceError
from watchdog.exchange.answer import parsed
from watchdog.flags.rest import Answer, Rest, segment

TOKEN = 'api-s3cret/"with"+signs'
NOW = 1_800_000_000


@pytest.fixture
def server() -> Iterator[Answering]:
    with Answering() as server:
        yield server


def rest(server: Answering | str, timeout: float = 5.0, **more: Any) -> Rest:
    base = server if isinstance(server, str) else f"{server.url}/base/"
    return Rest(base, service="Flags Inc", timeout=timeout, headers={"Authorization": TOKEN}, secrets=[TOKEN], **more)


def get(server: Answering | str, timeout: float = 5.0) -> Answer:
    return rest(server, timeout).call("GET", "/flags/x", place="flag x")


def refusal(server: Answering | str, timeout: float = 5.0) -> FlagServiceError:
    with pytest.raises(FlagServiceError) as caught:
        get(server, timeout)
    sentence = str(caught.value)
    assert sentence.startswith("Flags Inc, flag x: ")
    assert sentence.endswith(".")
    assert "s3cret" not in sentence
    return caught.value


def test_a_call_is_one_request_with_its_body_headers_and_parameters(server: Answering) -> None:
    server.next(reply(200, json={"version": 7}))
    answer = rest(server).call(
        "PATCH", "/flags/x", json={"on": True}, params={"dryRun": "true"}, headers={"X-Why": "a step"}, place="flag x"
    )
    assert (answer.status, answer.body) == (200, {"version": 7})
    [asked] = server.asked
    assert (asked.method, asked.target) == ("PATCH", "/base/flags/x?dryRun=true")
    assert asked.json == {"on": True}
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["authorization"] == TOKEN
    assert asked.headers["x-why"] == "a step"


def test_bytes_go_as_they_are_with_the_content_type_that_is_given(server: Answering) -> None:
    rest(server).call(
        "PATCH", "/x", data=b'{"a": 1}', headers={"Content-Type": "application/json; kind=patch"}, place="x"
    )
    assert server.asked[0].body == b'{"a": 1}'
    assert server.asked[0].headers["content-type"] == "application/json; kind=patch"


def test_an_empty_answer_has_no_body_and_headers_ignore_case(server: Answering) -> None:
    server.next(reply(204, headers={"ETag": "v1"}))
    answer = rest(server).call("PUT", "/x", data=b"", place="x", expected=(200, 204))
    assert answer.body is None
    assert answer.headers["etag"] == "v1"


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    error = refusal(f"http://127.0.0.1:{port}")
    assert "could not be reached: Connection refused" in str(error)
    assert not error.permanent


@pytest.mark.parametrize(
    "slow",
    [
        Reply(hang=True),
        Reply([b"HTTP/1.1 200 OK\r\n"] + [b"X-Patience: please\r\n"] * 60, pause=0.1),
        Reply([*reply(200, length=60).pieces] + [b" "] * 60, pause=0.1),
        Reply(reply(200, b'{"a":', length=60).pieces, hang=True),
        Reply([*reply(500, length=60).pieces] + [b" "] * 60, pause=0.1),
    ],
    ids=["never answers", "drips headers", "drips its body", "stops in its body", "drips an error"],
)
def test_a_server_that_takes_too_long_is_left_in_time(server: Answering, slow: Reply) -> None:
    server.next(slow)
    began = time.monotonic()
    error = refusal(server, timeout=0.5)
    assert time.monotonic() - began < 1.0
    assert "gave no whole answer within 0.5 s" in str(error)
    assert not error.permanent


def test_a_port_that_takes_no_connection_is_left_in_time() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.settimeout(0)
            each.connect_ex(full.getsockname())
        began = time.monotonic()
        error = refusal(f"http://127.0.0.1:{full.getsockname()[1]}", timeout=0.5)
        for each in waiting:
            each.close()
    assert time.monotonic() - began < 1.0
    assert "within 0.5 s" in str(error)


@pytest.mark.parametrize(
    ("status", "permanent", "advice"),
    [
        (400, True, "check the settings"),
        (401, True, "check the token"),
        (403, True, "the right to do this"),
        (404, True, "flags init"),
        (408, False, "408"),
        (422, True, "422"),
        (500, False, "asked again"),
        (503, False, "asked again"),
    ],
)
def test_a_refusal_says_its_status_the_services_words_and_what_to_do(
    server: Answering, status: int, *, permanent: bool, advice: str
) -> None:
    server.next(reply(status, json={"code": "no", "message": f"The token {TOKEN} is not welcome."}))
    error = refusal(server)
    assert not isinstance(error, FlagConflict)
    assert error.permanent is permanent
    assert f"status {status}: The token *** is not welcome" in str(error)
    assert advice in str(error)


def test_a_conflict_is_a_conflict_and_not_permanent(server: Answering) -> None:
    server.next(reply(409, json={"message": "stale"}))
    error = refusal(server)
    assert isinstance(error, FlagConflict)
    assert not error.permanent
    assert "(409): stale" in str(error)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": formatdate(NOW + 90, usegmt=True), "Date": formatdate(NOW, usegmt=True)}, 90.0),
        ({"Retry-After": formatdate(NOW - 90, usegmt=True), "Date": formatdate(NOW, usegmt=True)}, 0.0),
        ({"Retry-After": "99999999999999999999"}, 3600.0),
        ({"Retry-After": formatdate(NOW + 10**7, usegmt=True), "Date": formatdate(NOW, usegmt=True)}, 3600.0),
        ({"X-Ratelimit-Reset": f"{NOW + 12}500", "Date": formatdate(NOW, usegmt=True)}, 12.5),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "Mon, 99 Foo 2026 99:99:99 GMT"}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_a_service_that_wants_to_be_left_alone_is_believed_for_an_hour_at_most(
    server: Answering, status: int, headers: dict[str, str], seconds: float | None
) -> None:
    server.next(reply(status, headers=headers))
    error = refusal(server)
    assert not error.permanent
    assert error.retry_after == seconds


def test_a_retry_date_without_the_servers_own_clock_is_compared_with_ours(server: Answering) -> None:
    server.next(reply(429, headers={"Retry-After": formatdate(time.time() + 60, usegmt=True)}))
    wait = refusal(server).retry_after
    assert wait is not None
    assert 50 < wait <= 61


def test_a_redirect_is_never_followed(server: Answering) -> None:
    server.next(reply(307, headers={"Location": f"{server.url}/login?next=s3cret"}))
    error = refusal(server)
    assert error.permanent
    assert f"redirects to {server.url}/login (307)" in str(error)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"version": 7, "environ', "not understood"),
        (b"\x00\xff\xfe{]garbage", "not understood"),
        (b'{"weight": NaN}', "NaN is not a number"),
        (b'{"weight": -Infinity}', "Infinity is not a number"),
        (b'{"weight": 1e999}', "too large a number"),
        (b'{"weight": ' + b"9" * 5000 + b"}", "not understood"),
        (b'{"percent": 0, "percent": 100}', "twice"),
        (b'{"name": ["\\ud800"]}', "not understood"),
        (b'{"\\ud800": 1}', "not understood"),
        (b"[" * 90_000 + b"]" * 90_000, "nested too deeply"),
        (b"[" * 200 + b"]" * 200, "nested more than 100 levels deep"),
        (b'{"a": "' + b"x" * 10_000_000 + b'"}', "longer than 4 MiB"),
    ],
    ids=[
        "truncated",
        "garbage",
        "NaN",
        "infinite",
        "1e999",
        "digits",
        "twice",
        "surrogate",
        "surrogate key",
        "90000",
        "200",
        "10 MB",
    ],
)
def test_an_answer_that_is_not_sound_json_is_no_answer(server: Answering, body: bytes, why: str) -> None:
    server.next(reply(200, body, headers={"Content-Type": "application/json"}))
    error = refusal(server)
    assert why in str(error)
    assert len(str(error)) < 1000
    assert not error.permanent


def test_a_sign_in_page_is_not_an_answer(server: Answering) -> None:
    server.next(reply(200, b"<html>Please sign in</html>", headers={"Content-Type": "text/html; charset=utf-8"}))
    assert "not JSON but text/html: <html>Please sign in</html>" in str(refusal(server))


def test_a_packed_answer_that_nobody_asked_for_is_not_unpacked(server: Answering) -> None:
    server.next(reply(200, b"\x1f\x8b", headers={"Content-Type": "application/json", "Content-Encoding": "gzip"}))
    assert "packed as gzip" in str(refusal(server))
    assert server.asked[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    "broken",
    [
        Reply([]),
        Reply([b"SSH-2.0-OpenSSH_9.2p1\r\n"]),
        reply(200, b'{"a": 1', length=500),
        Reply([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"]),
    ],
    ids=["closed at once", "not HTTP", "cut in the middle", "bad chunks"],
)
def test_a_connection_that_breaks_is_a_passing_fault(server: Answering, broken: Reply) -> None:
    server.next(broken)
    error = refusal(server)
    assert not error.permanent
    assert len(server.asked) == 1


def test_an_unexpected_success_is_not_taken_for_one(server: Answering) -> None:
    server.next(reply(202, json={}))
    assert "status 202, which was not expected" in str(refusal(server))


def test_an_expected_refusal_comes_back_with_its_words(server: Answering) -> None:
    server.next(reply(404, b"<h1>nothing here</h1>", headers={"Content-Type": "text/html"}))
    answer = rest(server).call("GET", "/x", place="x", expected=(200, 404))
    assert (answer.status, answer.body, answer.text) == (404, None, "<h1>nothing here</h1>")


def test_many_threads_share_one_service(server: Answering) -> None:
    server.always(lambda asked: reply(200, json={"target": asked.target}))
    shared, seen = rest(server), {}

    def ask(name: str) -> None:
        seen[name] = shared.call("GET", f"/{name}", place=name).body["target"]

    threads = [threading.Thread(target=ask, args=(f"flag-{k}",)) for k in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {f"flag-{k}": f"/base/flag-{k}" for k in range(20)}


def test_a_token_that_no_header_can_hold_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigError) as caught:
        Rest("http://127.0.0.1:1", service="Flags Inc", timeout=1, headers={"Authorization": "api-s3cret\nX: y"})
    assert "line break" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_tls_trusts_the_named_certificates_and_no_others(tmp_path: Path) -> None:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run([*make, *subject, "-keyout", key, "-out", cert], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with Answering(tls=context) as server:
        server.always(reply(json={"ok": True}))
        assert rest(server, verify=str(cert)).call("GET", "/x", place="x").body == {"ok": True}
        error = refusal(server)
        assert "TLS with https://127.0.0.1" in str(error)
        assert "CERTIFICATE_VERIFY_FAILED" in str(error)


def test_a_certificate_file_that_cannot_be_read_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no certificates"):
        rest("https://127.0.0.1:1", verify=str(tmp_path / "missing.pem"))


@pytest.mark.parametrize("name", ["", ".", "..", "a\nb"])
def test_a_name_that_would_lead_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(FlagServiceError, match="cannot be part of an address"):
        segment(name)


def test_a_name_is_one_segment_of_a_path() -> None:
    assert segment("a/../b?c#d e") == "a%2F..%2Fb%3Fc%23d%20e"


def test_json_as_deep_as_allowed_is_read() -> None:
    assert parsed(b"[" * 100 + b"]" * 100) is not None
