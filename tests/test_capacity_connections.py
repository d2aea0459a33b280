"""docs/capacity.md says how many connections to PostgreSQL a daemon opens at most: counted, with everything at once."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import requests

from tests.postgresserver import Postgres
from tests.processes import Installation, Traffic, wait_for
from tests.scripted import ScriptedPrometheus

ROLLOUTS = 12
READERS = 40
"""Clients at a time; the daemon reads its ledger for far fewer of them at once."""
COUNTED = 120
PAGE = (Path(__file__).parent.parent / "docs" / "capacity.md").read_text(encoding="utf-8")
(MOST,) = re.findall(r"^\| the most that a daemon ever opens \| (\d+):", PAGE, re.MULTILINE)


@contextmanager
def readers(url: str, paths: tuple[str, ...]) -> Iterator[None]:
    """Clients that ask for pages one after the other, until the block ends."""
    over = threading.Event()

    def one(number: int) -> None:
        while not over.is_set():
            requests.get(url + paths[number % len(paths)], timeout=30)

    with ThreadPoolExecutor(READERS) as pool:
        clients = [pool.submit(one, number) for number in range(READERS)]
        try:
            yield
        finally:
            over.set()
        for client in clients:
            client.result()


def test_a_daemon_opens_no_more_connections_than_is_said(tmp_path: Path) -> None:
    with Postgres() as server, ScriptedPrometheus(Traffic()) as prometheus:
        name = server.database()
        site = Installation(tmp_path, prometheus.url, ledger=server.url(name), tick_deadline="20s")
        names = [f"checkout-{number}" for number in range(ROLLOUTS)]
        for rollout in names:
            site.rollout(rollout, auto_start="true", mode="observe")
        paths = ("/", "/api/v1/rollouts", "/api/v1/flags", *(f"/api/v1/rollouts/{rollout}" for rollout in names))
        with site.daemon() as daemon, server.connect() as connection, readers(daemon.url, paths):
            asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
            counts: list[int] = []

            def counted() -> bool | None:
                counts.extend(connection.execute(asked, (name,)).fetchone() or ())
                return len(counts) >= COUNTED or None

            wait_for(counted, 60, lambda: f"counted {len(counts)} times only")
            assert requests.get(f"{daemon.url}/readyz", timeout=30).status_code == 200
    assert max(counts) <= int(MOST)
    assert max(counts) > 5, "more than are kept: everything was at once"
