"""A real redis-server on a loopback port, with its own data directory, ended by its own process id.

with RedisServer() as server:
    flags = open_redis(redis_settings(server.url))
"""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.ownprocess import OwnProcess
from watchdog.config.flagsettings import FlagSettings
from watchdog.errors import FlagServiceError
from watchdog.flags.base import Change
from watchdog.flags.redis_scripts import Keys
from watchdog.flags.redis_set import RedisSet, open_redis
from watchdog.model import Exposure

SET = "checkout"
FLAG = "new-checkout"
KEYS = Keys(SET)


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


class RedisServer(OwnProcess):
    """One redis-server that appends to a file (AOF) and flushes it on every write, unless `options` say otherwise.

    `start()` returns when it answers; `stop()` ends it by SIGTERM; `start()` after it uses the same port and data.
    """

    what = "redis-server"

    def __init__(self, *options: str, password: str | None = None) -> None:
        self._own = tempfile.mkdtemp(prefix="redis-test-")
        super().__init__(Path(self._own) / "log")
        self.options: Sequence[str] = options
        self.password = password

    @property
    def url(self) -> str:
        """Its address, without a password."""
        return f"redis://127.0.0.1:{self.port}/0"

    def settings(self, **changes: object) -> FlagSettings:
        """Settings of the watchdog for the set `checkout` here."""
        return FlagSettings.model_validate({"service": "redis", "url": self.url, "set": SET, "timeout": "4s"} | changes)

    def flags(self, **changes: object) -> RedisSet:
        """The flag service on the set `checkout`; close it."""
        return open_redis(self.settings(**changes))

    def client(self, **options: object) -> redis.Redis:
        """A plain client for what people do by hand; close it."""
        return redis.Redis(port=self.port, password=self.password, decode_responses=True, **options)  # type: ignore[arg-type]

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        shutil.rmtree(self._own, ignore_errors=True)

    def _command(self) -> Sequence[str]:
        settings = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", self._own, "--save", ""]
        settings += ["--appendonly", "yes", "--appendfsync", "always", "--daemonize", "no"]
        settings += ["--requirepass", self.password] if self.password else []
        return (redis_binary(), *settings, *self.options)

    def _answers(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as probe:
            probe.sendall(b"PING\r\n")
            return probe.recv(64).startswith((b"+PONG", b"-NOAUTH"))


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
