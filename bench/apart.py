"""A reader in a process of its own, as an application is: a line asks what it is told, and a line answers.

Beside the killer in one process it would hold the interpreter that the kill needs, which no deployment has. For the
same reason an answer waits over there until it is another one than the last, for a while: asking for each evaluation
from here would keep this process as busy as the reader. The child stamps each sight; the monotonic clock of this
machine is one for all processes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from typing import Self

from watchdog.config import load_settings
from watchdog.flags import open_service
from watchdog.readers.base import KEY, Reader, Sight
from watchdog.readers.opening import open_reader

QUIET = 0.1
"""Seconds after which an evaluation is answered although nothing has changed."""
NEVER = threading.Event()


class Apart:
    """Stands for the reader of the settings in `variables`, which runs in a child. Use it in a `with` block."""

    def __init__(self, variables: dict[str, str], like: Reader) -> None:
        self.name, self.poll = like.name, like.poll
        self._variables = variables
        self._child: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "bench.apart", json.dumps(self._variables)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(os.environ),
            text=True,
            bufsize=1,
        )
        return self

    def __exit__(self, *_: object) -> None:
        if self._child is not None:
            self._child.communicate(timeout=30)

    def is_on(self, flag: str, key: str = KEY) -> Sight:
        """The next evaluation over there that differs from the last. RuntimeError when the child has ended."""
        if self._child is None or self._child.stdin is None or self._child.stdout is None:
            raise RuntimeError("the reader's process is not there")
        self._child.stdin.write(f"{json.dumps([flag, key])}\n")
        answer = self._child.stdout.readline()
        if not answer:
            raise RuntimeError(f"the reader's process has ended with {self._child.wait()}")
        return Sight(*json.loads(answer))

    def rest(self, stop: threading.Event) -> bool:
        """Not at all: the evaluation over there is what is waited for. Whether to stop."""
        return stop.is_set()


def main() -> None:
    """Evaluate as often as a line asks for it, until there are no more."""
    settings = load_settings(None, json.loads(sys.argv[1]))
    with open_reader(settings, open_service(settings.flags)) as reader:
        last = Sight(None)
        for line in sys.stdin:
            last = changed(reader, last, *json.loads(line))
            print(json.dumps(last), flush=True)


def changed(reader: Reader, last: Sight, flag: str, key: str) -> Sight:
    """The first sight that differs from the last one, or the one after `QUIET` seconds, stamped."""
    until = time.monotonic() + QUIET
    while True:
        sight = reader.is_on(flag, key)
        now = time.monotonic()
        if sight[:4] != last[:4] or now >= until:
            return sight._replace(at=now)
        reader.rest(NEVER)


if __name__ == "__main__":
    main()
