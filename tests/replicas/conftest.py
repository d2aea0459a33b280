"""One PostgreSQL and one Prometheus for the suite; each test has a database of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgresserver import Postgres
from tests.replicas.site import Fleet
from tests.servers import PrometheusServer, ScriptedPrometheus, scripted


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server


@pytest.fixture(scope="session")
def prometheus() -> Iterator[PrometheusServer]:
    """A real Prometheus that scrapes a shop with fifty requests a second."""
    began = time.time()

    def page() -> str:
        served = 50 * (time.time() - began)
        return f'http_requests_total{{code="200"}} {served:.0f}\nhttp_requests_total{{code="500"}} 0\n'

    with ScriptedPrometheus(scripted.page(page)) as shop:
        jobs = f"  - {{job_name: checkout, static_configs: [{{targets: ['127.0.0.1:{shop.port}']}}]}}\n"
        with PrometheusServer(scrape_configs=jobs, scrape_interval="1s") as server:
            yield server


@pytest.fixture
def fleet(tmp_path: Path, postgres: Postgres, prometheus: PrometheusServer) -> Iterator[Fleet]:
    with Fleet(tmp_path, postgres, prometheus.url) as shared:
        yield shared
