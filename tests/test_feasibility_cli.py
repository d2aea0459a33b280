"""`feasibility` as a person runs it, over seven days in a real Prometheus: healthy, failing, quiet, young services."""

from __future__ import annotations

import os
import pty
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.history import History
from tests.processes import Finished, Installation, command
from tests.servers import PrometheusServer, free_port

HOUR, DAY = 3600, 86_400
SCRAPE = 60
PRODUCTION = {
    "interval": "5m",
    "delay": "30s",
    "window": "{slices: 48, slice: 1h}",
    "ramp": "{strategy: progressive, over: 1d, every: 2h}",
    "rollback": "{within: 1h}",
    "settle": "15m",
    "cohorts": """{exposed: 'variant="on"', control: 'variant="off"'}""",
}


def objectives(job: str, cohort: str = "", limit: str = "0.1%") -> str:
    requests = f'http_requests_total{{job="{job}"{cohort}'
    return f"""
  - name: error_rate
    bad: sum(increase({requests},code=~"5.."}}[$range]))
    total: sum(increase({requests}}}[$range]))
    at_most: {limit}
    sequential: {{every: 5m}}
"""


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    """Services that end now: they have Poisson traffic at 5 requests a second, or what their names say."""
    now = int(time.time())
    start = now - 7 * DAY - 2 * HOUR
    history = History()
    how = {"scrape": SCRAPE, "labels": {"variant": "off"}}
    history.requests(start, now, rps=5, error_share=0.0003, job="healthy", seed=1, **how)  # type: ignore[arg-type]
    history.requests(start, now, rps=5, error_share=0.004, job="failing", seed=2, **how)  # type: ignore[arg-type]
    history.requests(start, now, rps=0.2, error_share=0.0002, job="quiet", seed=3, **how)  # type: ignore[arg-type]
    history.requests(now - 5 * HOUR, now, rps=5, job="young", seed=4, **how)  # type: ignore[arg-type]
    with PrometheusServer(history.build(tmp_path_factory.mktemp("history"))) as server:
        yield server


@pytest.fixture
def site(tmp_path: Path, prometheus: PrometheusServer) -> Installation:
    return Installation(tmp_path, "", prometheus=f"{{url: {prometheus.url}, timeout: 5s, scrape_interval: 1m}}")


def asked(site: Installation, job: str, *more: str, cohort: str = "", **top: str) -> Finished:
    file = site.rollout(f"{job}-1", objectives(job, cohort), **{**PRODUCTION, **top})
    return site.run("feasibility", str(file), *more)


def test_a_healthy_service_ends_with_0_and_figures_from_seven_days(site: Installation) -> None:
    before = sorted(site.directory.rglob("*"))
    done = asked(site, "healthy", "--json", cohort=",$cohort")
    assert (done.status, done.err) == (0, "")
    found = done.data
    assert (found["outlook"], found["refusals"], found["todo"]) == ("feasible", [], "")
    data = found["data"]
    assert data["slices"] == 168
    assert data["passed"] >= 167
    assert [item["slices"] for item in data["by_hour"]] == [7] * 24
    assert found["window"]["low"] < found["window"]["chance"] <= found["window"]["high"] <= 1.0
    assert found["sign_off"]["ramp_planned"] == DAY
    assert 3 * DAY <= found["sign_off"]["median"] < 4 * DAY
    assert found["false_rollbacks"][0]["breaches"] == []
    small, *_, whole = [item for item in found["detectable"] if item["within"] == HOUR]
    assert whole["splits"], "nobody is in the cohort yet: it was asked of everybody"
    assert 0.001 < whole["split"] == whole["pooled"] < 0.05
    assert whole["usual"] == pytest.approx(0.0003, rel=0.1)
    assert small["split"] is None or small["pooled"] is None or small["split"] <= small["pooled"]
    left = sorted(path for path in site.directory.rglob("*") if path.name != "healthy-1.yaml")
    assert left == before, "no ledger, nothing written"


def test_it_reads_as_sentences_and_tables_under_a_bar_on_a_terminal(site: Installation) -> None:
    ours, theirs = pty.openpty()
    file = site.rollout("healthy-1", objectives("healthy"), **PRODUCTION)
    arguments = ("--config", str(site.config), "feasibility", str(file))
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "160"}
    done = subprocess.run(
        command(*arguments), stdout=subprocess.PIPE, stderr=theirs, text=True, check=False, timeout=60, env=environ
    )
    os.close(theirs)
    shown = os.read(ours, 100_000).decode(errors="replace")  # a piece of it, that may end within a letter
    os.close(ours)
    assert done.returncode == 0
    assert "looking back at healthy-1" in shown
    assert "looking back" not in done.stdout
    first, sentence, history, bars, *rest = done.stdout.splitlines()
    assert first == "healthy-1: feasible"
    assert "sign-off within 3." in sentence
    assert history.startswith("history: ")
    assert bars.startswith("good slices by hour (UTC): 00 ")
    assert len(bars.partition("00 ")[2].partition(" 23")[0]) == 24
    assert any(line.startswith("ramp: planned 24.0 h") for line in rest)
    assert any("simulated watches get there" in line for line in rest)
    assert any("found within 10m" in line for line in rest)


def test_a_service_outside_its_target_is_hopeless_and_a_waiver_that_is_said_ends_with_0(site: Installation) -> None:
    done = asked(site, "failing", waive="{dead_service: t, pooled_exposure: t, feasibility: everybody knows}")
    assert done.out.startswith(
        "failing-1: hopeless\n  a sign-off is hopeless: error_rate is outside its target already: "
    )
    assert "  to do: correct the service first, or write a target that it keeps today (" in done.out
    assert "  waived: everybody knows" in done.out
    assert done.status == 0


def test_too_little_traffic_ends_with_1_and_the_slices_that_would_do(site: Installation) -> None:
    done = asked(site, "quiet", "--json")
    assert done.status == 1
    (refusal,) = done.data["refusals"]
    assert refusal["objective"] == "error_rate"
    assert "168 of 168 slices were idle" in refusal["why"]
    assert "window: {slice: 6h, slices: 8}" in refusal["todo"]


def test_a_young_service_cannot_be_judged(site: Installation) -> None:
    done = asked(site, "young")
    assert done.status == 1
    assert done.out.startswith("young-1: cannot tell\n")
    assert "at least 1d are needed" in done.out


def test_bad_input_ends_with_2_and_a_server_that_is_away_with_4(site: Installation, tmp_path: Path) -> None:
    none = asked(site, "healthy", "--days", "0")
    assert (none.status, none.out) == (2, "")
    assert none.err == "slo-watchdog: --days: found 0, expected a number of days up to 90\n"
    wrong = asked(site, "healthy", interval="never")
    assert wrong.status == 2
    assert "healthy-1.yaml: interval: " in wrong.err
    site.config.write_text(f"prometheus: {{url: 'http://127.0.0.1:{free_port()}', scrape_interval: 1m}}\n")
    away = asked(site, "healthy")
    assert away.status == 4
    assert "could not be reached: connection refused" in away.err
    assert len(away.err.splitlines()) == 1


def test_a_query_that_prometheus_refuses_ends_with_2(site: Installation) -> None:
    file = site.rollout("odd-1", objectives("healthy").replace("sum(increase", "summ(increase"), **PRODUCTION)
    done = site.run("feasibility", str(file))
    assert done.status == 2
    assert "the history of error_rate could not be read" in done.err
