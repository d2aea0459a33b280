"""The connection to Redis, and what its errors mean for a person. Nothing is tried again here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from watchdog.errors import ConfigError, FlagServiceError
from watchdog.errors import Problem as Wrong

try:
    import redis
    from redis import exceptions as failure
    from redis.backoff import NoBackoff
    from redis.retry import Retry
except ModuleNotFoundError as error:
    sentence = f"the service redis needs a client that is missing ({error.name}); pip install 'slo-watchdog[redis]'"
    raise ConfigError([Wrong("flags.service", sentence)]) from error

__all__ = ["TROUBLE", "connect", "failed", "failure", "redis"]

Problem = tuple[str, str, bool]
"""What was found, what to do, and whether trying again cannot help."""

ANSWERED: dict[str, Problem] = {
    "WRONGTYPE": ("it holds a value of another type under one of the set's keys", "remove that key", True),
    "MISCONF": (
        "it refuses writes, because it cannot save its data to disk",
        "free disk space or repair its directory; its log says why",
        False,
    ),
    "NOREPLICAS": ("it refuses writes, because too few replicas are in reach (min-replicas-to-write)", "", False),
    "BUSY": ("it is busy with somebody's script", "end that script with SCRIPT KILL", False),
    "READONLY": ("it is a replica, which cannot be written", "point flags.url at the primary", False),
    "OOM": ("it is out of memory and refuses writes", "raise its maxmemory, or free memory", False),
    "LOADING": ("it is still loading its data from disk", "", False),
    "MASTERDOWN": ("it is a replica without its primary", "point flags.url at the primary", False),
    "CLUSTERDOWN": ("its cluster is down, or serves not all slots", "repair the cluster", False),
    "TRYAGAIN": ("its cluster is moving the set's slot to another node", "", False),
    "ASK": ("its cluster is moving the set's slot to another node", "", False),
    "CROSSSLOT": ("it spreads the set's keys over several slots", "use a Redis that keeps hash tags together", True),
    "NOAUTH": ("it asks for a password", "set flags.password_file, and flags.username if there is one", True),
    "WRONGPASS": ("it refused the user name or password", "correct flags.username and flags.password_file", True),
    "NOPERM": ("this user may not do that", "give the user the rights that docs/flags/redis.md lists", True),
    "NOSCRIPT": ("it forgot a script between two commands", "", False),
    "EXECABORT": ("it gave up on a transaction", "", False),
}
"""By the first word of Redis' own error."""

SAID = {"unauthenticated": "NOAUTH", "The user executing the script": "NOPERM"}
"""Errors without such a word: of a long command before anybody has signed in, and inside a script."""

CLASSES: tuple[tuple[type[Exception], str], ...] = (
    (failure.OutOfMemoryError, "OOM"),
    (failure.BusyLoadingError, "LOADING"),
    (failure.ReadOnlyError, "READONLY"),
    (failure.NoPermissionError, "NOPERM"),
    (failure.NoScriptError, "NOSCRIPT"),
    (failure.ExecAbortError, "EXECABORT"),
    (failure.AskError, "ASK"),
    (failure.TryAgainError, "TRYAGAIN"),
    (failure.ClusterDownError, "CLUSTERDOWN"),
    (failure.ClusterCrossSlotError, "CROSSSLOT"),
    (failure.MasterDownError, "MASTERDOWN"),
)
"""By the client's exception, which has lost that word; more special ones first."""

TROUBLE = (failure.RedisError, OSError, ValueError, RecursionError)
"""All that a call can raise, whatever is at the other end."""


def connect(
    url: str,
    *,
    timeout: float,
    username: str | None = None,
    password: str | None = None,
    ca_file: Path | None = None,
) -> redis.Redis:
    """A client of the Redis at `url`; reaches nothing yet. `timeout` in seconds, for connecting and for each answer."""
    options: dict[str, Any] = {"ssl_ca_certs": str(ca_file)} if ca_file is not None and url.startswith("rediss") else {}
    return redis.Redis.from_url(
        url,
        username=username,
        password=password,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        **options,
    )


def failed(error: Exception, place: str, timeout: float) -> FlagServiceError:
    """The sentence for an error of the client. Never holds what was sent, so no password either."""
    found, todo, permanent = _problem(error, timeout)
    tail = f"; {todo}." if todo else "; it is tried again."
    message = f"{place}: {found}; expected a Redis that can be read and written{tail}"
    return FlagServiceError(message, permanent=permanent)


def _problem(error: Exception, timeout: float) -> Problem:
    text = str(error)
    if isinstance(error, failure.MovedError):
        todo = "point flags.url at that node, or at a Redis that is no cluster"
        return f"it is a cluster node and the set is kept by another one, {error.host}:{error.port}", todo, False
    for kind, word in CLASSES:
        if isinstance(error, kind):
            found, todo, permanent = ANSWERED[word]
            return (f"{found} ({_command(text)})" if word == "NOPERM" else found), todo, permanent
    if isinstance(error, failure.AuthenticationError):
        return ANSWERED["NOAUTH" if "required" in text.lower() else "WRONGPASS"]
    if isinstance(error, failure.TimeoutError | TimeoutError):
        return f"it did not answer within {timeout:g} s", "", False
    if isinstance(error, failure.ConnectionError | OSError):
        return f"it cannot be reached ({_short(text)})", "start it, or correct flags.url", False
    if isinstance(error, failure.InvalidResponse) or not isinstance(error, failure.RedisError):
        return "its answer is not in Redis' protocol", "correct flags.url: something else may listen there", False
    word = next((word for part, word in SAID.items() if part in text), text.split(" ", 1)[0])
    known = ANSWERED.get(word)
    return known or (f"it answered an error ({_short(text)})", "", False)


def _command(text: str) -> str:
    """Which command or key a user has no right to, in Redis' words."""
    named = re.search(r"'[^']{1,40}'", text)
    return f"command {named.group()}" if named else "a key or channel"


def _short(text: str) -> str:
    line = " ".join(text.split()).rstrip(".")
    return line if len(line) <= 160 else f"{line[:157]}..."
