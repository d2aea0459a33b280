"""schemathesis asks the real application whatever its description allows, and what it does not: it finds nothing.

It runs as its users run it, in a process of its own, with a seed: what it asks is the same each time. The suite asks
little, with one seed: a second one would cost another start for what more examples of the first give as well. A long
run, minutes for each seed, is one command, and is to find nothing either, whatever the seeds:

    API_SEEDS="7 11 42" API_EXAMPLES=60 .venv/bin/python -m pytest tests/test_web_schemathesis.py
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.webserver import ALERTS_TOKEN, TOKEN, Site
from watchdog.ledger import DrillIntent
from watchdog.model import Waiver
from watchdog.web.openapi import document
from watchdog.web.openapi_pages import TAG

SEEDS = os.environ.get("API_SEEDS", "1").split()
"""Each draws requests of its own."""
EXAMPLES = int(os.environ.get("API_EXAMPLES", "2"))
"""Of each operation and seed, besides those that cover every keyword of its schemas."""
WITHIN = 240 + 20 * EXAMPLES
"""Seconds for one seed."""
HOOKS = Path(__file__).with_name("schemathesis_hooks.py")
SETTINGS = f"""\
hooks = "{HOOKS}"
[auth.openapi.bearer]
bearer = "{TOKEN}"
[auth.openapi.alerts]
bearer = "{ALERTS_TOKEN}"

# A flag service that refuses and a server that starts no drills are told with 502 and 503, which are described.
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "502", "503"]

# No schema can say that a span must not be longer than a month, or begin before its end.
[[operations]]
include-operation-id = ["noise", "episodes", "evaluations"]
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "304", "400", "401", "403", "404", "429"]

# Nor that a time is in the future, or past; Alertmanager's is looked at where an alert is over, and only there.
[[operations]]
include-operation-id = ["waive", "label_episode", "receive_alerts"]
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "409", "422", "429", "503"]
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A ledger with a rollout in each kind of phase, a drill, a waiver, orders and an alert."""
    with Site(tmp_path) as site:
        site.add("signed-off", "old-checkout")
        site.tick(40, "signed-off")
        site.add("pending", "old-checkout")
        site.ledger.add_waiver("pending", Waiver("preflight", "ada", "no reader yet", site.now, site.now + 60))
        number = site.ledger.begin_drill(
            DrillIntent("flags", "drill", "ofrep", "ada", "a look", 3, 900.0), site.now, 60
        )
        site.ledger.finish_drill(number, site.now + 9, passed=True, worst=1.5, report={"why": "3 of 3 runs"})
        site.add()
        site.tick(14)
        site.order("hold", json={"reason": "lunch"})
        site.tick(1)
        alert = {"status": "firing", "startsAt": "2023-11-15T12:00:00Z", "labels": {"severity": "page"}}
        sender = {"Authorization": f"Bearer {ALERTS_TOKEN}"}
        site.ask("POST", "/api/v1/alerts", json={"version": "4", "alerts": [alert]}, headers=sender)
        yield site


@pytest.mark.timeout(WITHIN + 20)
@pytest.mark.parametrize("seed", SEEDS)
def test_schemathesis_finds_nothing(site: Site, tmp_path: Path, seed: str) -> None:
    (tmp_path / "schemathesis.toml").write_text(SETTINGS)
    program = Path(sys.executable).parent / "schemathesis"
    assert program.exists(), "schemathesis is not installed: pip install '.[dev]'"
    asked = [str(program), "--config-file", "schemathesis.toml", "run", f"{site.url}/openapi.json"]
    # What covers the schemas is the same with every seed.
    phases = "examples,coverage,fuzzing,stateful" if seed == SEEDS[0] else "fuzzing,stateful"
    drawn = ["--phases", phases, "--seed", seed, "-n", str(EXAMPLES), "--no-shrink", "--continue-on-failure"]
    done = subprocess.run(
        [*asked, "--exclude-tag", TAG, *drawn, "--warnings", "off"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=WITHIN,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
    operations = [
        operation
        for item in document("")["paths"].values()
        for method, operation in item.items()
        if method != "parameters" and TAG not in operation.get("tags", ())
    ]
    # All but the address that it took the description from.
    assert f"Tested: {len(operations) - 1}\n" in done.stdout
    assert site.get("/healthz").ok, "the server is as it was"
