"""Users: so many requests a second at fixed instants, on connections that are kept, none asked twice.

    load.py PORT --rate 220 --seconds 60 > result.json

A request is sent when its instant comes, whether or not earlier ones were answered. Whatever is no 2xx of the right
request is a failure: another status, a reset, an answer that ends early, none within ten seconds. A connection that
the server closes without having said so is counted, too: its next request could have been lost.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

WITHIN = 10.0
SLOW_EVERY = 50
"""One request in so many takes five seconds."""
POST_EVERY = 7
MOST_FAILURES = 20


@dataclass
class Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


@dataclass
class Users:
    """What was asked and what was answered."""

    port: int
    idle: list[Connection] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    failed: int = 0
    connections: int = 0
    unannounced: int = 0
    slow: list[tuple[float, float, str]] = field(default_factory=list)
    seen: list[tuple[float, str]] = field(default_factory=list)
    """When which colour began to answer, by the instants of the answers."""
    slowest: float = 0.0

    async def ask(self, number: int) -> None:
        """One request."""
        slow = number % SLOW_EVERY == 0
        path = "/slow?seconds=5" if slow else f"/item/{number}"
        method = "POST" if number % POST_EVERY == 0 else "GET"
        began = time.time()
        try:
            body = await asyncio.wait_for(self._exchange(method, path, number), WITHIN)
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            self._fail(f"{began:.3f} {method} {path}: {error!r}")
            return
        ended = time.time()
        colour, _, *echo = body.split(" ")
        if echo != [method, path, str(number)]:
            self._fail(f"{began:.3f} {method} {path} has the answer of another request: {body}")
            return
        self.answers[colour] += 1
        if slow:
            self.slow.append((began, ended, colour))
        else:
            self.slowest = max(self.slowest, ended - began)
            if not self.seen or self.seen[-1][1] != colour:
                self.seen.append((ended, colour))

    def _fail(self, what: str) -> None:
        self.failed += 1
        if len(self.failures) < MOST_FAILURES:
            self.failures.append(what)

    async def _exchange(self, method: str, path: str, number: int) -> str:
        connection = await self._connection()
        try:
            body = b"x" * 64 if method == "POST" else b""
            head = (
                f"{method} {path} HTTP/1.1\r\nHost: test\r\nX-Request: {number}\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            connection.writer.write(head.encode() + body)
            answer = (await connection.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in answer[1:] if line)
            text = await connection.reader.readexactly(int(headers["content-length"]))
        except BaseException:
            connection.writer.close()
            raise
        if headers.get("connection") == "close":
            connection.writer.close()
        else:
            self.idle.append(connection)
        if not answer[0].startswith("HTTP/1.1 2"):
            raise ValueError(answer[0])
        return text.decode()

    async def _connection(self) -> Connection:
        while self.idle:
            connection = self.idle.pop()
            if not connection.reader.at_eof():
                return connection
            self.unannounced += 1
            connection.writer.close()
        self.connections += 1
        return Connection(*await asyncio.open_connection("127.0.0.1", self.port))


async def run(port: int, rate: float, seconds: float) -> dict[str, object]:
    """Ask until the time is up or SIGTERM comes; wait for the last answers."""
    users, tasks = Users(port), set[asyncio.Task[None]]()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    began, number = time.monotonic(), 0
    print("asks", file=sys.stderr, flush=True)
    while not ended.is_set() and time.monotonic() < began + seconds:
        number += 1
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        task = asyncio.get_running_loop().create_task(users.ask(number))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    lasted = time.monotonic() - began
    await asyncio.gather(*tasks)
    for connection in users.idle:
        users.unannounced += connection.reader.at_eof()
        connection.writer.close()
    return {
        "requests": number,
        "seconds": round(lasted, 2),
        "rate": round(number / lasted, 1),
        "answers": dict(users.answers),
        "failed": users.failed,
        "failures": users.failures,
        "connections": users.connections,
        "unannounced": users.unannounced,
        "slow": users.slow,
        "seen": users.seen,
        "slowest": round(users.slowest, 3),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--rate", type=float, default=220.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    print(json.dumps(asyncio.run(run(options.port, options.rate, options.seconds))))


if __name__ == "__main__":
    main()
