"""`replay` as a person runs it, over the stored data of a real Prometheus; and what it leaves alone."""

from __future__ import annotations

import os
import pty
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.history import History
from tests.processes import Finished, Installation, command
from tests.servers import PrometheusServer, free_port
from watchdog.quantities import parse_time, rfc3339

HOUR = 3600
S = 1_764_000_000 // HOUR * HOUR
ONSET = S + 2 * HOUR
END = S + 4 * HOUR
KEYS = {"rollout", "from", "to", "interval_s", "phase", "slots", "evaluations", "breaches", "window", "gaps"}
KEYS |= {"exposure", "transitions"}

OBJECTIVES = """
  - name: error_rate
    bad: sum(increase(http_requests_total{job="checkout",code=~"5.."}[$range]))
    total: sum(increase(http_requests_total{job="checkout"}[$range]))
    at_most: 0.1%
    min_slice_events: 100
"""
PRODUCTION = {
    "interval": "30s",
    "delay": "30s",
    "window": "{slices: 1, slice: 1h}",
    "ramp": "{strategy: progressive, over: 1h, every: 10m}",
    "rollback": "{within: 15m}",
    "settle": "15m",
    "start_at": "2099-01-01T00:00:00Z",
}


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    """Four hours of a shop: ten minutes of lost scrapes in the first, ten of failing answers after the second."""
    lost = ((S + 1000, S + 1600),)
    history = History()
    history.up(S - HOUR, END, gaps=lost)
    history.requests(S - HOUR, END, error_share=lambda t: 0.5 if ONSET <= t < ONSET + 600 else 0.0002, gaps=lost)
    with PrometheusServer(history.build(tmp_path_factory.mktemp("history"))) as server:
        yield server


@pytest.fixture
def site(tmp_path: Path, prometheus: PrometheusServer) -> Installation:
    """Its flag file is missing, and nobody may look."""
    site = Installation(tmp_path, prometheus.url)
    site.flag_file.unlink()
    site.flag_file.parent.rmdir()
    site.rollout("checkout-1", OBJECTIVES, **PRODUCTION)
    return site


def replay(site: Installation, start: float, end: float | str, *more: str) -> Finished:
    file = str(site.directory / "rollouts" / "checkout-1.yaml")
    to = end if isinstance(end, str) else rfc3339(end)
    return site.run("replay", file, "--from", rfc3339(start), "--to", to, *more)


def test_a_quiet_stretch_ends_with_0_and_leaves_nothing_behind(site: Installation) -> None:
    before = sorted(site.directory.rglob("*"))
    done = replay(site, S - 600, ONSET - 60, "--json")
    assert (done.status, done.err) == (0, "")
    found = done.data
    assert found.keys() >= KEYS
    assert (found["from"], found["to"]) == (rfc3339(S - 600), rfc3339(ONSET - 60))
    assert (found["interval_s"], found["slots"]) == (30, (ONSET - 60 - S + 600) // 30)
    counts = found["evaluations"]["error_rate"]
    assert counts["pass"] + counts["fail"] + counts["unknown"] == found["slots"]
    assert counts["fail"] == 0
    assert sum(counts["reasons"].values()) == counts["unknown"] > 0
    assert [gap.keys() for gap in found["gaps"]] == [{"from", "to", "reason"}]
    assert found["gaps"][0]["reason"] == "no_data"
    first = found["exposure"][0]
    assert (first["at"], first["percent"]) == (rfc3339(S - 600), 0.0)
    assert found["exposure"][-1]["percent"] == 100.0
    assert sorted(site.directory.rglob("*")) == before, "no ledger, no flag file"


def test_a_breach_ends_with_1_and_at_the_rollback(site: Installation) -> None:
    done = replay(site, ONSET - 1800, END, "--json")
    assert done.status == 1
    found = done.data
    assert found["phase"] == "rolled_back"
    (breach,) = found["breaches"]
    assert breach.keys() >= {"objective", "at", "why"}
    at = parse_time(breach["at"])
    assert at % 60 == 0, "the detector's step"
    assert 0 < at - ONSET <= 330
    assert found["to"] == breach["at"], "it stops at the first terminal phase"
    assert found["slots"] == (at - (ONSET - 1800)) / 30
    assert breach["at"] in [reset["at"] for reset in found["window"]["resets"]]
    last = found["exposure"][-1]
    assert (last["at"], last["percent"]) == (breach["at"], 0.0)
    assert [told["to"] for told in found["transitions"]][-2:] == ["rolling_back", "rolled_back"]
    assert all(told.keys() >= {"at", "from", "to", "why"} for told in found["transitions"])


def test_keep_going_covers_the_whole_time(site: Installation) -> None:
    done = replay(site, ONSET - 1800, END, "--json", "--keep-going")
    assert done.status == 1
    found = done.data
    assert found["to"] == rfc3339(END)
    assert found["slots"] == (END - ONSET + 1800) // 30
    assert found["window"]["longest"] >= 1
    assert found["phase"] == "rolled_back"


def test_a_future_end_is_cut_to_now_less_the_delay(site: Installation) -> None:
    before = time.time()
    done = replay(site, before - 600, "2999-01-01T00:00:00Z", "--json")
    assert done.status == 0
    assert before - 31 <= parse_time(done.data["to"]) <= time.time() - 30
    assert 19 <= done.data["slots"] <= 21
    assert done.data["evaluations"]["error_rate"]["reasons"] == {"no_data": done.data["slots"]}


@pytest.mark.parametrize(
    ("start", "end", "says"),
    [
        (END, rfc3339(S), "--to: is not after --from"),
        (S, "yesterday", "--to: "),
    ],
)
def test_a_time_that_makes_no_sense_is_refused_with_2(site: Installation, start: int, end: str, says: str) -> None:
    done = replay(site, start, end)
    assert done.status == 2
    (line,) = done.err.splitlines()
    assert line.startswith(f"slo-watchdog: {says}")


def test_a_file_that_is_wrong_ends_with_2_and_a_server_that_is_away_with_4(site: Installation, tmp_path: Path) -> None:
    away = Installation(tmp_path, f"http://127.0.0.1:{free_port()}")
    done = replay(away, S, END)
    assert done.status == 4
    assert "could not be reached: connection refused" in done.err
    assert len(done.err.splitlines()) == 1
    away.rollout("checkout-1", OBJECTIVES, **{**PRODUCTION, "interval": "never"})
    done = replay(away, S, END)
    assert done.status == 2
    assert "checkout-1.yaml: interval: " in done.err


def test_a_progress_bar_is_shown_on_a_terminal_and_words_on_standard_output(site: Installation) -> None:
    ours, theirs = pty.openpty()
    file = str(site.directory / "rollouts" / "checkout-1.yaml")
    arguments = ("--config", str(site.config), "replay", file, "--from", rfc3339(S), "--to", rfc3339(END))
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "160"}
    done = subprocess.run(
        command(*arguments), stdout=subprocess.PIPE, stderr=theirs, text=True, check=False, timeout=30, env=environ
    )
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert done.returncode == 1
    assert "replaying checkout-1" in shown
    assert "breach " in done.stdout
    assert "replaying" not in done.stdout


def test_check_online_asks_each_query_once_and_ends_with_0(site: Installation) -> None:
    """The data is old: that is an error of `check --online`, and said for each objective."""
    done = site.run("check", "--online", "--json")
    found: dict[str, Any] = done.data
    assert {finding["objective"] for finding in found["online"]} >= {"error_rate"}
    assert all(finding.keys() == {"rollout", "objective", "level", "message"} for finding in found["online"])
    wrong = any(finding["level"] == "error" for finding in found["online"])
    assert done.status == (2 if wrong else 0)
    assert found["valid"] is not wrong
