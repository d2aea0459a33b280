"""What the drill puts around the daemon and beside the shop: a proxy with a wrong clock, a webhook, an exporter."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from email.utils import formatdate
from pathlib import Path
from typing import Any, Self

import requests
import yaml

from tests.answering import Answering, Reply, Request, reply
from tests.processes import wait_for
from tests.servers import free_port
from tests.stack.running import Stack

FULL_HOST = """\
# HELP node_filesystem_avail_bytes Free.
# TYPE node_filesystem_avail_bytes gauge
node_filesystem_avail_bytes{device="/dev/vda",fstype="ext4",mountpoint="/var"} 1e+09
# TYPE node_filesystem_size_bytes gauge
node_filesystem_size_bytes{device="/dev/vda",fstype="ext4",mountpoint="/var"} 1e+11
# TYPE node_memory_MemAvailable_bytes gauge
node_memory_MemAvailable_bytes 1e+08
# TYPE node_memory_MemTotal_bytes gauge
node_memory_MemTotal_bytes 8e+09
# TYPE node_cpu_seconds_total counter
node_cpu_seconds_total{cpu="0",mode="idle"} 1000
"""
"""A host whose processor is never idle: the counter stands still."""


class Site:
    """Servers of the test around a stack. `skew` seconds are added to the Date of what Prometheus answers."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.skew = 0.0
        self._servers = ExitStack()

    def __enter__(self) -> Self:
        enter = self._servers.enter_context
        self.webhook = enter(Answering())
        self.host = enter(Answering()).always(reply(200, FULL_HOST.encode(), headers={"Content-Type": "text/plain"}))
        self.proxy = enter(Answering()).always(self._forward)
        return self

    def __exit__(self, *_: object) -> None:
        self._servers.close()

    def settings(self) -> None:
        """Let the daemon ask by the proxy, send to the webhook, and answer readers in a process of its own."""
        found: dict[str, Any] = yaml.safe_load(self.stack.config.read_text())
        found["prometheus"]["url"] = self.proxy.url
        found["notify"]["webhook"] = {"url": self.webhook.url, "timeout": "2s"}
        found["serve"] = {"listen": f"127.0.0.1:{free_port()}"}
        self.stack.config.write_text(yaml.safe_dump(found))

    def scraped(self) -> None:
        """Let Prometheus scrape the host, too."""
        with prometheus_settings(self.stack) as settings:
            job = {"targets": [f"127.0.0.1:{self.host.port}"], "labels": {"environment": "demo", "instance": "host-2"}}
            settings["scrape_configs"].append({"job_name": "host", "static_configs": [job]})
        assert reload(self.stack.prometheus) == 200

    def _forward(self, request: Request) -> Reply:
        kept = {name: text for name, text in request.headers.items() if name in {"content-type", "authorization"}}
        address = self.stack.prometheus + request.target
        answer = requests.request(request.method, address, data=request.body, headers=kept, timeout=10)
        date = {"Date": formatdate(time.time() + self.skew, usegmt=True)}
        return reply(answer.status_code, answer.content, headers={"Content-Type": "application/json", **date})


@contextmanager
def prometheus_settings(stack: Stack) -> Iterator[dict[str, Any]]:
    """The configuration of the stack's first Prometheus, written back afterwards."""
    file = stack.root / "prometheus.yml"
    found: dict[str, Any] = yaml.safe_load(file.read_text())
    yield found
    file.write_text(yaml.safe_dump(found))


def reload(server: str) -> int:
    """The status with which Prometheus or Alertmanager reloads its configuration."""
    return requests.post(f"{server}/-/reload", timeout=20).status_code


@contextmanager
def locked(ledger: Path) -> Iterator[None]:
    """Another program holds the lock of a SQLite ledger."""
    connection = sqlite3.connect(ledger, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")
    finally:
        connection.close()


@contextmanager
def unwritable(flags: Path) -> Iterator[None]:
    """A flag file that can be read but not replaced: something has the name of the file that is to take its place."""
    there = flags.with_name(f".{flags.name}.tmp")

    def taken() -> bool | None:
        with suppress(FileExistsError):  # a write is under way
            there.mkdir()
            return True
        return None

    wait_for(taken, 5, lambda: f"{there} is always there")
    try:
        yield
    finally:
        there.rmdir()
