"""What answers in Redis' place, or what Redis answers in bad times: each is a sentence."""

from __future__ import annotations

import socket
import threading

import pytest

from tests.redisserver import everything_says
from watchdog.config.flagsettings import FlagSettings
from watchdog.flags.redis_set import open_redis


@pytest.mark.parametrize(
    ("line", "part"),
    [
        (b"-LOADING Redis is loading the dataset in memory\r\n", "it is still loading its data from disk"),
        (b"-MISCONF Redis is configured to save RDB snapshots\r\n", "it cannot save its data to disk"),
        (b"-NOREPLICAS Not enough good replicas to write.\r\n", "too few replicas are in reach"),
        (b"-BUSY Redis is busy running a script.\r\n", "it is busy with somebody's script"),
        (b"-MOVED 1234 10.0.0.2:7001\r\n", "kept by another one, 10.0.0.2:7001"),
        (b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n", "moving the set's slot"),
        (b"-ERR max number of clients reached\r\n", "it cannot be reached (max number of clients reached)"),
        (b"-SOMETHING new\r\n", "it answered an error (SOMETHING new)"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "its answer is not in Redis' protocol"),
        (b":twelve\r\n", "its answer is not in Redis' protocol"),
        (b"*1\r\n" * 5000, "its answer is not in Redis' protocol"),
        (b"+OK\r\n", "its answer is not in Redis' protocol"),
        (b"*4\r\n:1\r\n:2\r\n:3\r\n:4\r\n", "its answer is not in Redis' protocol"),
        (b"", "it cannot be reached (Connection closed by server)"),
    ],
    ids=lambda value: value[:12].decode("ascii") if isinstance(value, bytes) else "",
)
def test_what_a_server_may_answer_is_a_sentence(line: bytes, part: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        stop = threading.Event()
        answering = threading.Thread(target=_answer_always, args=(listening, line, stop))
        answering.start()
        url = f"redis://127.0.0.1:{listening.getsockname()[1]}"
        service = open_redis(FlagSettings.model_validate({"service": "redis", "url": url, "timeout": "1s"}))
        try:
            everything_says(service, part)
        finally:
            stop.set()
            service.close()
            answering.join()


def _answer_always(listening: socket.socket, line: bytes, stop: threading.Event) -> None:
    """A server that says the same to whatever it is sent, but lets a client introduce itself."""
    listening.settimeout(0.05)
    while not stop.is_set():
        try:
            connection, _ = listening.accept()
        except TimeoutError:
            continue
        with connection:
            connection.settimeout(2.0)
            try:
                while asked := connection.recv(65536):
                    introductions = asked.count(b"SETINFO")
                    if introductions:
                        connection.sendall(b"+OK\r\n" * introductions)
                    elif line:
                        connection.sendall(line)
                    else:
                        break
            except OSError:
                continue
