"""A real redis-server on a loopback port, with its own data directory, ended by its own process id.

with RedisServer() as server:
    flags = open_redis(redis_settings(server.url))
"""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import pytest
import redis

from tests.servers import free_port
from watchdog.config.flagsettings import FlagSettings
from watchdog.errors import FlagServiceError
from watchdog.flags.base import Change
from watchdog.flags.redis_scripts import Keys
from watchdog.flags.redis_set import RedisSet, open_redis
from watchdog.model import Exposure

SET = "checkout"
FLAG = "new-checkout"
KEYS = Keys(SET)
READY_WITHIN = 20.0
STOP_WITHIN = 20.0


def to(
    percent: float, *cohort: str, rollout: str | None = "checkout-1", idem: str = "", expect: str | None = None
) -> Change:
    return Change(Exposure(percent, bool(cohort)), cohort, "watchdog", "because", rollout, idem, expect)


def refusal(call: Callable[[], object]) -> FlagServiceError:
    """The error of a call that must fail."""
    with pytest.raises(FlagServiceError) as caught:
        call()
    return caught.value


def everything_says(service: RedisSet, part: str, *, permanent: bool = False) -> None:
    """Reading, setting and killing all fail with a sentence that has this part and no secret."""
    for call in (
        lambda: service.read(FLAG),
        lambda: service.set(FLAG, to(30)),
        lambda: service.kill(FLAG, to(0)),
        service.document,
    ):
        error = refusal(call)
        assert part in str(error)
        assert str(error).startswith("redis://127.0.0.1:")
        assert error.permanent is permanent


def redis_binary() -> str:
    """The path of `redis-server`; a sentence that says how to get it when it is missing."""
    found = shutil.which("redis-server")
    if found is None:
        message = "`redis-server` is not on the PATH, and these tests need a real one: run `apt install redis-server`."
        raise RuntimeError(message)
    return found


class RedisServer:
    """One redis-server that appends to a file (AOF) and flushes it on every write, unless `options` say otherwise.

    `start()` returns when it answers; `stop()` ends it by SIGTERM; `start()` after it uses the same port and data.
    """

    def __init__(self, *options: str, password: str | None = None) -> None:
        self._own = tempfile.mkdtemp(prefix="redis-test-")
        self.port = free_port()
        self.options: Sequence[str] = options
        self.password = password
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address, without a password."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def log(self) -> str:
        """What it has written so far."""
        path = Path(self._own) / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def settings(self, **changes: object) -> FlagSettings:
        """Settings of the watchdog for the set `checkout` here."""
        return FlagSettings.model_validate({"service": "redis", "url": self.url, "set": SET, "timeout": "4s"} | changes)

    def flags(self, **changes: object) -> RedisSet:
        """The flag service on the set `checkout`; close it."""
        return open_redis(self.settings(**changes))

    def client(self, **options: object) -> redis.Redis:
        """A plain client for what people do by hand; close it."""
        return redis.Redis(port=self.port, password=self.password, decode_responses=True, **options)  # type: ignore[arg-type]

    def start(self) -> Self:
        """Start it and wait until it answers; another port is tried when somebody took ours before the first start."""
        if self._process is not None:
            raise RuntimeError("This redis-server runs already.")
        for _ in range(3):
            self._launch()
            if self._ready():
                return self
            lost_port = "Address already in use" in self.log
            self.kill()
            if not lost_port:
                break
            self.port = free_port()
        raise RuntimeError(f"redis-server was not ready within {READY_WITHIN:g} s. It wrote:\n{self.log[-2000:]}")

    def stop(self) -> None:
        """End it by SIGTERM, by SIGKILL if that does not help in time. Harmless when it does not run."""
        if self._process is not None:
            self.unpause()
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_WITHIN)
            except subprocess.TimeoutExpired:
                self._process.kill()
            self._process.wait()
            self._process = None

    def wait(self) -> None:
        """Wait until it has ended by itself, as it does after SHUTDOWN."""
        if self._process is not None:
            self._process.wait(STOP_WITHIN)
            self._process = None

    def kill(self) -> None:
        """End it at once, as a crash would. Harmless when it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Freeze it (SIGSTOP): it accepts connections and never answers."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def unpause(self) -> None:
        """Let a frozen one go on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._own, ignore_errors=True)

    def _launch(self) -> None:
        own = Path(self._own)
        settings = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(own), "--save", ""]
        settings += ["--appendonly", "yes", "--appendfsync", "always", "--daemonize", "no"]
        settings += ["--requirepass", self.password] if self.password else []
        with (own / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [redis_binary(), *settings, *self.options], stdout=log, stderr=subprocess.STDOUT, cwd=own
            )

    def _ready(self) -> bool:
        until = time.monotonic() + READY_WITHIN
        while time.monotonic() < until and self._process is not None and self._process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as probe:
                    probe.sendall(b"PING\r\n")
                    if probe.recv(64).startswith((b"+PONG", b"-NOAUTH")):
                        return True
            except OSError:
                pass
            time.sleep(0.02)
        return False


def document(person: redis.Redis) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(str(person.get(KEYS.doc)))
    return found


def audits(person: redis.Redis) -> list[dict[str, Any]]:
    entries: Any = person.xrange(KEYS.history)
    return [json.loads(fields["audit"]) for _, fields in entries]


def by_hand(person: redis.Redis, change: dict[str, Any], flag: str = FLAG) -> None:
    """A person edits one flag and forgets the version."""
    found = document(person)
    found["flags"][flag] |= change
    person.set(KEYS.doc, json.dumps(found))
