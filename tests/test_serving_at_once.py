"""The short way to an answer gives what the long way gives, byte for byte, and leaves everything odd to it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flagfiles import FLAG, to
from tests.redisserver import RedisServer
from watchdog.config.flagsettings import FlagSettings
from watchdog.flags import open_service
from watchdog.flags.flagd_file import FlagdFile
from watchdog.serving import Counts, Readers, ServingMetrics, flag_set
from watchdog.web.atonce import at_once
from watchdog.web.onewrite import OneWrite
from watchdog.web.readers import reader_app
from watchdog.web.server import Server

TOKEN = "s3cret"
ADA = b'{"context": {"targetingKey": "ada"}}'


class Both:
    """The same flags behind two servers: `short` answers at once, `long` by the application alone."""

    def __init__(self, directory: Path, token: str | None = None) -> None:
        path = directory / "checkout.flagd.json"
        self.flags = FlagdFile(path)
        self.flags.init([FLAG], "ada")
        found = flag_set(self.flags, FlagSettings(service="flagd-file", path=path))
        assert found is not None
        metrics = ServingMetrics("1")
        self.readers = Readers([found], Counts(metrics.registry))
        self.app_answers = 0
        app = reader_app(self.readers, token, metrics)
        protocol = at_once(self.readers, token, metrics)
        assert protocol is not OneWrite
        self.short = Server(app, "127.0.0.1", 0, protocol=protocol)
        self.long = Server(app, "127.0.0.1", 0)
        self.short.start()
        self.long.start()

    def stop(self) -> None:
        assert self.short.stop(10)
        assert self.long.stop(10)
        self.readers.close()

    def said(self, *pieces: bytes, answers: int = 1) -> list[tuple[bytes, dict[bytes, bytes], bytes]]:
        """What both say to these bytes, which must be the same."""
        short, long = (said(server.port, pieces, answers) for server in (self.short, self.long))
        assert short == long
        return short


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Both]:
    pair = Both(tmp_path)
    yield pair
    pair.stop()


def said(port: int, pieces: tuple[bytes, ...], answers: int) -> list[tuple[bytes, dict[bytes, bytes], bytes]]:
    """Status line, headers and body of so many answers on one connection; a new piece once the last one has arrived."""
    found = []
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = link.makefile("rb")
        for number, piece in enumerate(pieces):
            if number:
                link.settimeout(0.05)
                with pytest.raises(TimeoutError):  # nobody answers half a request
                    link.recv(1, socket.MSG_PEEK)
                link.settimeout(10)
            link.sendall(piece)
        for _ in range(answers):
            status = stream.readline()
            lines = iter(stream.readline, b"\r\n")
            headers = dict(line.rstrip(b"\r\n").split(b": ", 1) for line in lines)
            headers.pop(b"date")
            found.append((status, headers, stream.read(int(headers.get(b"content-length", b"0")))))
        stream.close()
    return found


def request(body: bytes = ADA, *more: bytes, key: str = FLAG, method: str = "POST") -> bytes:
    """The bytes of a request; `more` are header lines."""
    head = [f"{method} /ofrep/v1/evaluate/flags/{key} HTTP/1.1".encode(), b"Host: a", *more]
    if b"Transfer-Encoding: chunked" not in more:
        head.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*head, b"", body])


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (request(), 200),
        (request(b"{}"), 200),
        (request(b"{"), 400),
        (request(b""), 400),
        (request(b"\xff\xfe{\x00}\x00"), 200),
        (request(b'\xef\xbb\xbf{"context": {}}'), 200),
        (request(b'{"context": {"targetingKey": 7}}'), 400),
        (request(b'{"context": {"n": NaN}}'), 400),
        (request(key="typo"), 404),
        (request(key="a/b"), 404),
        (request(key=""), 404),
        (request(key="new%2Dcheckout"), 200),
        (request(key="typo%20"), 404),
        (request(key=f"{FLAG}?x=1"), 200),
        (request(method="PUT"), 405),
        (request(b'{"context": {"x": "' + b"x" * 70_000 + b'"}}'), 413),
        (request(ADA, b"Connection: close"), 200),
        (request(ADA, b"Expect: 101-nothing"), 200),
        (request(ADA, b"Upgrade: h2c", b"Connection: Upgrade"), 400),
        (request(b"24\r\n" + ADA + b"\r\n0\r\n\r\n", b"Transfer-Encoding: chunked"), 200),
        (request().replace(b"HTTP/1.1", b"HTTP/1.0"), 200),
    ],
)
def test_both_ways_say_the_same(both: Both, asked: bytes, status: int) -> None:
    ((line, headers, _),) = both.said(asked)
    assert line.split()[1] == b"%d" % status
    assert headers[b"x-content-type-options"] == b"nosniff"


def test_a_kill_is_in_the_next_answer(both: Both) -> None:
    for _ in range(5):
        both.flags.set(FLAG, to(100))
        assert json.loads(both.said(request())[0][2])["value"] is True
        both.flags.kill(FLAG, to(0))
        assert json.loads(both.said(request())[0][2])["value"] is False


def test_a_request_in_pieces(both: Both) -> None:
    whole = request()
    for cut in (10, whole.index(b"\r\n\r\n") + 4, len(whole) - 5):
        assert json.loads(both.said(whole[:cut], whole[cut:])[0][2])["key"] == FLAG


def test_several_requests_at_a_time_are_answered_in_their_order(both: Both) -> None:
    keys = ["a", FLAG, "b", "c%20", "d"]
    asked = b"".join(request(key=key) for key in keys)
    answers = both.said(asked, answers=5)
    assert [json.loads(body)["key"] for _, _, body in answers] == ["a", FLAG, "b", "c ", "d"]
    mixed = request(key="x%20") + request(key="a") + request(key="b")
    assert [json.loads(body)["key"] for _, _, body in both.said(mixed, answers=3)] == ["x ", "a", "b"]


def test_one_connection_takes_both_ways_in_turns(both: Both) -> None:
    with socket.create_connection(("127.0.0.1", both.short.port), timeout=10) as link, link.makefile("rb") as stream:
        for key in ("a", "b%20", "c", "d%20", "e"):
            link.sendall(request(key=key))
            lines = [line for line in iter(stream.readline, b"\r\n") if line.startswith(b"content-length")]
            body = json.loads(stream.read(int(lines[0].split()[1])))
            assert body["key"] == key.replace("%20", " ")


def test_the_token_is_asked_for(tmp_path: Path) -> None:
    both = Both(tmp_path, TOKEN)
    for given, status in ((b"", 401), (b"Bearer other", 401), (b"Basic s3cret", 401), (b"bearer s3cret", 200)):
        ((line, _, _),) = both.said(request(ADA, b"Authorization: " + given))
        assert line.split()[1] == b"%d" % status
    both.stop()


def test_nothing_that_waits_for_a_network_is_answered_at_once() -> None:
    with RedisServer() as server:
        about = FlagSettings(service="redis", url=server.url, set="shop")
        found = flag_set(open_service(about), about)
        assert found is not None
        metrics = ServingMetrics("1")
        readers = Readers([found], Counts(metrics.registry))
        assert at_once(readers, None, metrics) is OneWrite
        readers.close()
