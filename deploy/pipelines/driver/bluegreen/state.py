"""What the driver remembers of a target, in one file that is replaced as a whole, and the lock beside it."""

from __future__ import annotations

import datetime as dt
import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .errors import Failed, Locked
from .target import COLOURS

SCHEMA = 1
KEPT = 200
"""Deeds and digests that are remembered."""

INSTALLING, READY, FAILED, RETIRING = "installing", "ready", "failed", "retiring"
ASKED, POINTING, POINTED = "asked", "pointing", "pointed"
"""Stages of a move: recorded; checked, about to be done; done, not yet seen at the front."""


@dataclass(frozen=True)
class Release:
    """A build on a colour. `number` counts deployments: a lower one was deployed earlier."""

    image: str
    digest: str
    commit: str
    number: int
    state: str
    by: str
    at: str
    reason: str = ""


@dataclass(frozen=True)
class Intent:
    """A move of the traffic that has begun and has not ended. `origin` gets it back if it fails."""

    command: str
    to: str
    origin: str | None
    stage: str
    by: str
    at: str
    reason: str = ""


@dataclass(frozen=True)
class Deed:
    """Something that was done, or tried: `outcome` is `done`, `failed` or `given back`."""

    command: str
    colour: str
    outcome: str
    by: str
    at: str
    digest: str = ""
    commit: str = ""
    reason: str = ""
    seconds: float = 0.0


@dataclass
class State:
    """Everything that is remembered. `moved` is when the traffic last moved, RFC 3339; empty before the first time."""

    active: str | None = None
    previous: str | None = None
    moved: str = ""
    number: int = 0
    colours: dict[str, Release | None] = field(default_factory=lambda: dict.fromkeys(COLOURS))
    intent: Intent | None = None
    deeds: list[Deed] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    """The last deployment of each digest."""

    def did(self, deed: Deed) -> None:
        """Remember a deed; the oldest are forgotten."""
        self.deeds = [*self.deeds, deed][-KEPT:]

    def numbered(self, digest: str) -> int:
        """The number of a new deployment of this digest."""
        self.number += 1
        self.numbers = dict([*((d, n) for d, n in self.numbers.items() if d != digest), (digest, self.number)][-KEPT:])
        return self.number


class Store:
    """The state file of a target. A reader sees an old state or a new one, never half of one."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def read(self) -> State:
        """The state; an empty one where there is no file. Failed when the file is something else."""
        try:
            text = self.file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return State()
        except OSError as error:
            raise Failed(f"the state file {self.file} cannot be read: {error}") from error
        try:
            return parsed(text)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise Failed(
                f"{self.file} is no state of this driver ({error!r}); put a copy of it back, or move it "
                "away and name what serves with `deploy` and `switch`."
            ) from error

    def write(self, state: State) -> None:
        """Replace the file; it is on the disk when this returns."""
        text = written(state)
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            following = self.file.with_name(f".{self.file.name}.next")
            with following.open("w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            following.replace(self.file)
            sync_directory(self.file.parent)
        except OSError as error:
            raise Failed(f"the state file {self.file} cannot be written: {error}") from error

    @contextmanager
    def lock(self, command: str, by: str, patience: float) -> Iterator[int]:
        """Be the only driver at work on this target; the lock's descriptor. Locked after `patience` seconds.

        The kernel gives the lock back when its holder dies, however it dies.
        """
        file = self.file.with_name(f"{self.file.name}.lock")
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            # Not truncated when it is opened: it says who holds it.
            stream = os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644), "r+", encoding="utf-8")
        except OSError as error:
            raise Failed(f"the lock {file} cannot be opened: {error}") from error
        with stream:
            until = time.monotonic() + patience
            while not _taken(stream.fileno()):
                if time.monotonic() >= until:
                    holder = stream.read().strip() or "nobody has said who"
                    raise Locked(f"another driver works on this target ({holder}); try again when it has ended.")
                time.sleep(0.05)
            stream.truncate(0)
            stream.write(f"`{command}` by {by}, process {os.getpid()}, since {stamp(time.time())}\n")
            stream.flush()
            yield stream.fileno()


def stamp(now: float) -> str:
    """An instant as RFC 3339, in milliseconds."""
    at = dt.datetime.fromtimestamp(now, dt.UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def instant(text: str) -> float:
    """The epoch seconds of a stamp."""
    return dt.datetime.fromisoformat(text).timestamp()


def sync_directory(directory: Path) -> None:
    """Let a rename in it outlive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def written(state: State) -> str:
    """A state as the text of its file."""
    return json.dumps({"schema": SCHEMA, **asdict(state)}, indent=2, ensure_ascii=False) + "\n"


def parsed(text: str) -> State:
    """The state of a file's text. ValueError, TypeError, KeyError and AttributeError for another text."""
    data: dict[str, Any] = json.loads(text)
    if data.pop("schema") != SCHEMA:
        raise ValueError("it was written by another version of the driver")
    for name in ("active", "previous"):
        if data[name] is not None and data[name] not in COLOURS:
            raise ValueError(f"{name} is {data[name]!r}")
    colours = {
        colour: None if data["colours"][colour] is None else Release(**data["colours"][colour]) for colour in COLOURS
    }
    intent = None if data["intent"] is None else Intent(**data["intent"])
    return State(**{**data, "colours": colours, "intent": intent, "deeds": [Deed(**deed) for deed in data["deeds"]]})
