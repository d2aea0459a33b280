"""A real PostgreSQL of its own on a free loopback port, for tests of the ledger on a server.

with Postgres() as server:
    ledger = open_ledger(server.database())

A missing PostgreSQL makes tests fail, with a sentence that says how to get it. It is ended by its own process id.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from tests.servers import free_port

READY_WITHIN = 60.0
STOP_WITHIN = 30.0
SETTINGS = {"fsync": "off", "max_connections": "200", "shared_buffers": "16MB"}
"""Of the tests' server: nothing of it has to outlive the machine."""


class Postgres:
    """A cluster in a directory of its own. PostgreSQL refuses to run as root: there it runs as postgres or nobody."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="slo-watchdog-postgres-"))
        self._data = self._directory / "data"
        self._log = self._directory / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)
        self.port = free_port()

    def url(self, name: str = "postgres", *, port: int | None = None) -> str:
        """The SQLAlchemy address of a database; `port` is another way to it."""
        return f"postgresql+psycopg://watchdog@127.0.0.1:{port or self.port}/{name}"

    def database(self) -> str:
        """The name of a new, empty database."""
        name = f"ledger{next(self._numbers)}"
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return name

    def connect(self, name: str = "postgres") -> psycopg.Connection[Any]:
        """A connection of the test's own."""
        return psycopg.connect(f"postgresql://watchdog@127.0.0.1:{self.port}/{name}", autocommit=True)

    def start(self) -> Self:
        """Start it, with the data that there is, and wait until it answers."""
        programs, rights = _programs(), _rights()
        if not self._data.exists():
            self._data.mkdir(mode=0o700)
            if rights:
                self._directory.chmod(0o755)
                os.chown(self._data, rights["user"], rights["group"])
            make = [str(programs / "initdb"), "-D", str(self._data), "-U", "watchdog", "-A", "trust", "-E", "UTF8"]
            self._run([*make, "--no-locale", "-N"], rights)
        settings = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
        place = ["-D", str(self._data), "-p", str(self.port), "-h", "127.0.0.1", "-k", ""]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(programs / "postgres"), *place, *settings],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._data,
                **rights,
            )
        self._wait_until_ready(programs)
        return self

    def stop(self) -> None:
        """A fast shutdown: connections are cut. Harmless when it does not run."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(STOP_WITHIN)
            finally:
                self._process.kill()
                self._process = None

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _run(self, command: list[str], rights: dict[str, Any]) -> None:
        with self._log.open("ab") as log:
            made = subprocess.run(
                command, stdout=log, stderr=subprocess.STDOUT, cwd=self._data, timeout=120, check=False, **rights
            )
        assert made.returncode == 0, f"initdb failed:\n{self._log.read_text()}"

    def _wait_until_ready(self, programs: Path) -> None:
        asking = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        until = time.monotonic() + READY_WITHIN
        while subprocess.run(asking, timeout=10, check=False).returncode != 0:
            assert self._process is not None
            assert self._process.poll() is None, f"PostgreSQL ended by itself:\n{self._log.read_text()}"
            assert time.monotonic() < until, f"PostgreSQL is not ready:\n{self._log.read_text()}"
            time.sleep(0.05)


def _rights() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    account = names.get("postgres") or names["nobody"]
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _programs() -> Path:
    """Where PostgreSQL's programs are; Debian keeps them out of PATH, one directory a version."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    assert debian, "there is no PostgreSQL: run `make deps` as root, or `apt-get install postgresql`"
    return debian[-1].parent
