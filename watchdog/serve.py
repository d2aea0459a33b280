"""A process that does nothing but answer readers of flags: `slo-watchdog serve`, and the one that the daemon starts.

It reads the documents and nothing else: no ledger, no Prometheus, no rollout. As a program of its own it is started by
the daemon, which hands it a listening socket: it says in one line of JSON whether it serves, and it ends with its
input, which is with the daemon.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from watchdog import __version__
from watchdog.config import load_settings, revealed
from watchdog.config.settings import Settings
from watchdog.errors import ConfigError, Problem, WatchdogError
from watchdog.flags import open_service
from watchdog.logs import secrets_in, set_up
from watchdog.serving import Counts, Readers, ServingMetrics, sets_of
from watchdog.web.atonce import at_once
from watchdog.web.readers import reader_app
from watchdog.web.server import Server

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
STOP_WITHIN = 5.0
STDIN, STDOUT = 0, 1
log = structlog.get_logger()


def run(
    settings: Settings, listening: socket.socket | None = None, tell: Callable[[str], None] = lambda _address: None
) -> None:
    """Answer readers at `serve.listen`, or at a socket that is `listening` already, until SIGTERM or SIGINT.

    `tell` is given the address once readers are answered there. Raises ConfigError when there is nothing to serve, or
    nowhere.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    set_up(settings.log.format, settings.log.level, secrets_in(settings.model_dump()))
    readers, server = opened(settings, listening)
    try:
        gc.collect()
        gc.freeze()  # what is there now stays: a collection that looks at all of it takes a tenth of a second
        server.start()
        address = f"{server.host}:{server.port}"
        log.info("serving", address=address, sets=list(readers.sets), version=__version__)
        tell(address)
        signal.sigwait(STOP_SIGNALS)
    finally:
        server.stop(STOP_WITHIN)
        readers.close()


def opened(settings: Settings, listening: socket.socket | None) -> tuple[Readers, Server]:
    """What is read, and the server for it, not started. Raises ConfigError.

    The evaluation is loaded, so that no reader waits for that.
    """
    listen = settings.serve.listen
    if listen is None:
        message = "is not set, so there is no address to serve at; write for example serve: {listen: 127.0.0.1:8798}"
        raise ConfigError([Problem("serve.listen", message)])
    sets = sets_of(settings, open_service(settings.flags), open_service(settings.emergency_flags))
    if not sets:
        message = (
            f"is {settings.flags.service!r}, which has no flag document that could be served; its readers ask the "
            "service itself. Served are flagd-file and redis"
        )
        raise ConfigError([Problem("flags.service", message)])
    metrics = ServingMetrics(__version__)
    readers = Readers(sets, Counts(metrics.registry))
    asyncio.run(readers.prepare())
    token = revealed(settings.serve.token)
    app, protocol = reader_app(readers, token, metrics, metrics.exposition), at_once(readers, token, metrics)
    place = "serve.listen"
    return readers, Server(app, listen.host, listen.port, place=place, listening=listening, protocol=protocol)


def main(arguments: Sequence[str]) -> int:
    """The process of the daemon; its exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path)
    parser.add_argument("--listening", type=int, required=True)
    given = parser.parse_args(arguments)
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    threading.Thread(target=_until_alone, name="daemon-watch", daemon=True).start()
    try:
        run(load_settings(given.config), socket.socket(fileno=given.listening), lambda at: _say(serving=at))
    except WatchdogError as error:
        _say(failed=" ".join(str(error).split()))
        return 2
    return 0


def _until_alone() -> None:
    """End this process when the daemon has gone, also when it was killed: nobody else holds the other end."""
    while os.read(STDIN, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _say(**words: str) -> None:
    os.write(STDOUT, json.dumps(words).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
