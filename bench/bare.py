"""What this machine does without us: how late it wakes a sleeper, and a bare server that evaluates nothing.

Both stand beside figures that end in milliseconds: below what they show no program can get here.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

SLEEP = 0.002
BODY = b'{"key":"new-checkout","value":false,"reason":"STATIC","variant":"off","metadata":{}}'
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)


def wake_up_lateness(seconds: float) -> list[float]:
    """By how many milliseconds each sleep of 2 ms was longer than asked for, in order of size."""
    late, end = [], time.perf_counter() + seconds
    while (asked := time.perf_counter()) < end:
        time.sleep(SLEEP)
        late.append(1000 * (time.perf_counter() - asked - SLEEP))
    return sorted(late)


@contextmanager
def bare_server() -> Iterator[tuple[str, int]]:
    """A process that gives every request the same answer; where it listens."""
    process = subprocess.Popen([sys.executable, "-m", "bench.bare"], stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None:
            raise AssertionError("unreachable: its output is a pipe")
        yield "127.0.0.1", int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(10)


class _Same(asyncio.Protocol):
    """One answer for whatever arrives; requests here come in one piece, one at a time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("a TCP connection is a Transport")
        self._transport = transport

    def data_received(self, _data: bytes) -> None:
        self._transport.write(ANSWER)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Same, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
