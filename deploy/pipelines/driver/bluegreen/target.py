"""The target file: what is deployed, where, by which back end, and what a healthy colour answers."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import Misused

COLOURS = ("blue", "green")
BACKENDS = ("nginx", "compose", "kubectl")


def other(colour: str) -> str:
    """The other one of the two."""
    return COLOURS[1 - COLOURS.index(colour)]


class Table:
    """One table of the file, read key by key. `done` complains about keys that nobody read."""

    def __init__(self, data: Mapping[str, Any], where: str, base: Path) -> None:
        self._data, self._where, self._base = data, where, base
        self._read: set[str] = set()

    def text(self, key: str, default: str | None = None) -> str:
        """A text that is not empty, except where the default is."""
        found = self._get(key, default)
        if not isinstance(found, str) or (not found and default != ""):
            raise self._wrong(key, found, "a text")
        return found

    def path(self, key: str, default: str | None = None) -> Path:
        """A path; a relative one begins at the directory of the target file."""
        return self._base / self.text(key, default)

    def number(self, key: str, default: float, least: float = 0.0) -> float:
        """A number of at least `least`."""
        found = self._get(key, default)
        if isinstance(found, bool) or not isinstance(found, int | float) or not least <= found < float("inf"):
            raise self._wrong(key, found, f"a number of at least {least:g}")
        return float(found)

    def words(self, key: str) -> tuple[str, ...]:
        """A command: a list of words, no shell."""
        found = self._get(key, None)
        if not isinstance(found, list) or not found or not all(isinstance(word, str) for word in found):
            raise self._wrong(key, found, 'a list of words, as in ["systemctl", "restart", "checkout@{colour}"]')
        return tuple(found)

    def table(self, key: str) -> Table:
        """A table inside, empty where it is not given."""
        found = self._get(key, {})
        if not isinstance(found, dict):
            raise self._wrong(key, found, "a table")
        return Table(found, f"{self._where}{key}.", self._base)

    def done(self) -> None:
        """Misused for keys that mean nothing here, so that a slip of the pen is no default."""
        if unknown := sorted(set(self._data) - self._read):
            known = ", ".join(sorted(self._read))
            raise Misused(f"{self._where}{unknown[0]} is no setting here; known are {known}.")

    def _get(self, key: str, default: Any) -> Any:
        self._read.add(key)
        if key not in self._data and default is None:
            raise Misused(f"{self._where}{key} is missing from the target file.")
        return self._data.get(key, default)

    def _wrong(self, key: str, found: Any, expected: str) -> Misused:
        return Misused(f"{self._where}{key} is {found!r}; expected {expected}.")


@dataclass(frozen=True)
class Health:
    """What a healthy colour answers: 2xx at `path`, its colour in `header`. Durations are seconds."""

    path: str
    header: str
    digest_header: str
    successes: int
    every: float
    within: float
    timeout: float


@dataclass(frozen=True)
class Nginx:
    """A service in plain processes behind nginx. `sockets` are where the symbolic link `switch` may point."""

    switch: Path
    sockets: Mapping[str, str]
    store: Path
    releases: Path
    start: tuple[str, ...]
    stop: tuple[str, ...]
    command_timeout: float


@dataclass(frozen=True)
class Compose:
    """A Compose project for each colour and one for the proxy; `switch` and `sockets` are paths in the proxy."""

    file: Path
    project: str
    proxy_file: Path
    proxy_project: str
    proxy_service: str
    switch: str
    sockets: Mapping[str, str]
    service: str
    command_timeout: float


@dataclass(frozen=True)
class Kubectl:
    """Deployments NAME-blue and NAME-green, and the Service whose selector `label` chooses one."""

    context: str
    namespace: str
    name: str
    container: str
    service: str
    label: str
    replicas: int
    command_timeout: float


@dataclass(frozen=True)
class Target:
    """One environment of one service. `urls` reach each colour past the switch; empty where there is none."""

    file: Path
    name: str
    backend: str
    url: str
    urls: Mapping[str, str]
    state: Path
    health: Health
    drain: float
    settings: Nginx | Compose | Kubectl


def load(file: Path) -> Target:
    """Read a target file. Misused when it cannot be read or says something else than is expected."""
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Misused(f"the target file {file} cannot be read: {error}") from error
    try:
        return _target(file, Table(data, "", file.absolute().parent))
    except Misused as error:
        raise Misused(f"{file}: {error}") from error


def _target(file: Path, top: Table) -> Target:
    backend = top.text("backend")
    if backend not in BACKENDS:
        raise Misused(f"backend is {backend!r}; expected {', '.join(BACKENDS)}.")
    name = top.text("name")
    colours = top.table("colours")
    tables = {colour: colours.table(colour) for colour in COLOURS}
    optional = "" if backend == "kubectl" else None
    urls = {colour: table.text("url", optional).rstrip("/") for colour, table in tables.items()}
    settings = _settings(backend, top.table(backend), tables, name)
    drain = top.table("drain")
    target = Target(
        file=file,
        name=name,
        backend=backend,
        url=top.text("url").rstrip("/"),
        urls=urls,
        state=top.path("state", f"{name}.state.json"),
        health=_health(top.table("health")),
        drain=drain.number("seconds", 30.0),
        settings=settings,
    )
    for table in (top, colours, drain, *tables.values()):
        table.done()
    return target


def _settings(backend: str, table: Table, tables: Mapping[str, Table], name: str) -> Nginx | Compose | Kubectl:
    if backend == "kubectl":
        return _kubectl(table, name)
    return _nginx(table, tables) if backend == "nginx" else _compose(table, tables, name)


def _health(table: Table) -> Health:
    found = Health(
        path=table.text("path", "/healthz"),
        header=table.text("header", "X-Colour"),
        digest_header=table.text("digest_header", ""),
        successes=int(table.number("successes", 3, 1)),
        every=table.number("every", 1.0),
        within=table.number("within", 60.0),
        timeout=table.number("timeout", 2.0, 0.001),
    )
    table.done()
    if not found.path.startswith("/"):
        raise Misused(f"health.path is {found.path!r}; expected a path such as /healthz.")
    return found


def _sockets(tables: Mapping[str, Table]) -> dict[str, str]:
    found = {colour: table.text("socket") for colour, table in tables.items()}
    if len(set(found.values())) < len(found) or not all(path.startswith("/") for path in found.values()):
        raise Misused("colours.blue.socket and colours.green.socket have to be two absolute paths.")
    return found


def _nginx(table: Table, tables: Mapping[str, Table]) -> Nginx:
    found = Nginx(
        switch=table.path("switch"),
        sockets=_sockets(tables),
        store=table.path("store"),
        releases=table.path("releases"),
        start=table.words("start"),
        stop=table.words("stop"),
        command_timeout=table.number("command_timeout", 120.0, 0.001),
    )
    table.done()
    _known_fields("nginx.start", found.start)
    _known_fields("nginx.stop", found.stop)
    return found


def _known_fields(where: str, words: Sequence[str]) -> None:
    for word in words:
        try:
            word.format(colour="", digest="", commit="", image="", release="", socket="")
        except (KeyError, IndexError, ValueError) as error:
            known = "{colour}, {digest}, {commit}, {image}, {release} and {socket}"
            raise Misused(f"{where} has {word!r}, where {error} is unknown; known are {known}.") from error


def _compose(table: Table, tables: Mapping[str, Table], name: str) -> Compose:
    found = Compose(
        file=table.path("file"),
        project=table.text("project", name),
        proxy_file=table.path("proxy_file"),
        proxy_project=table.text("proxy_project", f"{name}-proxy"),
        proxy_service=table.text("proxy_service", "proxy"),
        switch=table.text("switch", "/var/lib/colour/current.sock"),
        sockets=_sockets(tables),
        service=table.text("service", "app"),
        command_timeout=table.number("command_timeout", 300.0, 0.001),
    )
    table.done()
    return found


def _kubectl(table: Table, name: str) -> Kubectl:
    found = Kubectl(
        context=table.text("context", ""),
        namespace=table.text("namespace"),
        name=table.text("name", name),
        container=table.text("container", name),
        service=table.text("service", name),
        label=table.text("label", "colour"),
        replicas=int(table.number("replicas", 2, 1)),
        command_timeout=table.number("command_timeout", 300.0, 0.001),
    )
    table.done()
    return found
