"""Commands of the program as processes that need not import it, which is most of a command: forked from one that has.

A command is a process of its own all the same, with its arguments, environment, directory, output and exit status.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

LARGEST = 1 << 18
"""Bytes of an order: arguments and an environment."""
STARTS_WITHIN = 60.0


class Warm:
    """The process that has imported the program. One order at a time; the thread that made it may ask."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.warm", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                cwd=Path(__file__).parents[1],
            )
        self._owner = os.getpid()
        atexit.register(self.close)

    def run(
        self, arguments: Sequence[str], environ: Mapping[str, str], directory: Path | None, within: float
    ) -> tuple[int, bytes, bytes]:
        """One command to its end: exit status (negative for a signal), output and errors. TimeoutExpired when late."""
        order = {"arguments": list(arguments), "environ": dict(environ), "directory": str(directory or Path.cwd())}
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            self._socket.settimeout(STARTS_WITHIN)
            socket.send_fds(self._socket, [json.dumps(order).encode()], [out.fileno(), err.fileno()])
            process = int(self._socket.recv(64))
            self._socket.settimeout(within)
            try:
                status = int(self._socket.recv(64))
            except TimeoutError:
                os.kill(process, signal.SIGKILL)
                self._socket.settimeout(STARTS_WITHIN)
                self._socket.recv(64)
                raise subprocess.TimeoutExpired(list(arguments), within) from None
            out.seek(0)
            err.seek(0)
            return status, out.read(), err.read()

    def close(self) -> None:
        """End it: it ends when nobody can ask it any more."""
        if os.getpid() == self._owner:
            self._socket.close()
            self._process.wait(STARTS_WITHIN)


@cache
def warm() -> Warm:
    """The one of this process, started when a command is first run."""
    return Warm()


def serve(orders: socket.socket) -> None:
    """Carry out orders until nobody can give any. Returns in every child as the command that it is to be."""
    import watchdog.cli  # noqa: F401, PLC0415 - what all of this is for

    while True:
        raw, streams, _, _ = socket.recv_fds(orders, LARGEST, 2)
        if not raw:
            sys.exit(0)
        process = os.fork()
        if process == 0:
            orders.close()
            _become(json.loads(raw), streams)
            return
        for stream in streams:
            os.close(stream)
        orders.send(str(process).encode())
        _, status = os.waitpid(process, 0)
        orders.send(str(os.waitstatus_to_exitcode(status)).encode())


def _become(order: dict[str, object], streams: list[int]) -> None:
    for stream, number in zip(streams, (1, 2), strict=True):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update({str(name): str(text) for name, text in dict(order["environ"]).items()})  # type: ignore[call-overload]
    os.chdir(str(order["directory"]))
    sys.argv[1:] = map(str, order["arguments"])  # type: ignore[call-overload]


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
    from watchdog import cli

    sys.argv[0] = str(Path(cli.__file__).parents[1] / "__main__.py")
    cli.main()
