"""The smoke suite for real: green against a daemon and a shop, red with a reason when something is broken."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.demoshop import Emergencies, Running
from tests.processes import Daemon, Finished, Installation, Traffic
from tests.servers import ScriptedPrometheus
from tests.test_testresults import counters_of

ROOT = Path(__file__).parent.parent
SUITE = ROOT / "tests" / "smoke"
NOWHERE = "http://127.0.0.1:9"
SLOWLY = "{strategy: progressive, from: 0, to: 100, over: 400s, every: 2s}"
LEAST = {"health": 6, "metrics": 5, "rollouts": 6, "flags": 6, "serving": 7, "emergency": 4, "alerts": 5, "reports": 4}
"""How many tests each area has at least: who takes one away lowers this number and says why."""


@dataclass(frozen=True)
class Installed:
    """What the suite is pointed to."""

    site: Installation
    daemon: Daemon
    shop: Running


def environ() -> dict[str, str]:
    """That these tests run below pytest themselves is hidden from it, and so is whether the plugin is installed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "SLO_SMOKE_"))}
    return {**kept, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


def smoke(*arguments: str, directory: Path = ROOT, suite: str = "tests/smoke") -> Finished:
    """A run of the suite."""
    loaded = ("-q", "-p", "watchdog.testresults.plugin", "-p", "no:cacheprovider", "-o", "addopts=--strict-markers")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *loaded, suite, *arguments],
        cwd=directory, env=environ(), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return Finished(done.returncode, done.stdout, done.stderr)


def collected(*arguments: str) -> list[str]:
    done = smoke("--collect-only", *arguments)
    assert done.status == 0, done.out + done.err
    return [line for line in done.out.splitlines() if "::" in line]


def areas(tests: Sequence[str]) -> Counter[str]:
    return Counter(str(re.search(r"test_(\w+)\.py", test)[1]) for test in tests)  # type: ignore[index]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    directory = tmp_path_factory.mktemp("site")
    (directory / "http.token").write_text("s3cret\n")
    with ScriptedPrometheus() as prometheus:
        prometheus.always(Traffic())
        # The shop reads the file with Python's provider, which deals users by the newer hash.
        flags = "{service: flagd-file, path: flags/checkout.flagd.json, bucketing: flagd-v3}"
        http = '{listen: "127.0.0.1:0", token_file: http.token}'
        site = Installation(directory, prometheus.url, http=http, flags=flags)
        site.rollout("checkout-1", auto_start="true", ramp=SLOWLY)
        ops = site.flag_file.with_name("ops.flagd.json")
        Emergencies(ops).prepare()
        shop = Running(site.flag_file, ops)
        try:
            with site.daemon() as daemon:
                site.until("checkout-1", lambda status: status.get("exposure", {}).get("desired", 0) > 0)
                yield Installed(site, daemon, shop)
        finally:
            shop.process.kill()
            shop.process.wait()
            assert shop.process.stdout is not None
            shop.process.stdout.close()


# --- what there is ----------------------------------------------------------------------------------------------------


def test_every_area_has_its_tests_and_what_was_not_asked_for_is_left_out() -> None:
    harmless = collected("--target", NOWHERE)
    found = areas(harmless)
    assert {area: found[area] for area in LEAST if found[area] < LEAST[area]} == {}
    assert found.keys() == LEAST.keys()
    every = collected("--target", NOWHERE, "--service", NOWHERE, "--writes", "--without", "serving")
    more = [test.rpartition("/")[2] for test in every if test not in harmless]
    assert [test for test in more if not test.startswith("test_service.py")] == [
        "test_rollouts.py::test_a_rollout_is_held_and_goes_on"
    ]
    assert areas(more)["service"] == 3
    assert areas(every)["serving"] == 0


def test_an_area_that_is_not_there_is_refused() -> None:
    wrong = smoke("--target", NOWHERE, "--without", "searving")
    assert (wrong.status, "there is no such area; there are alerts, emergency" in wrong.err) == (4, True)


def copied(directory: Path) -> Path:
    """The suite alone, as it is where it is scheduled."""
    return Path(shutil.copytree(SUITE, directory / "smoke", ignore=shutil.ignore_patterns("__pycache__")))


def test_who_runs_the_directory_above_does_not_run_it(tmp_path: Path) -> None:
    copied(tmp_path / "tests")
    done = smoke("--collect-only", suite=str(tmp_path / "tests"), directory=tmp_path)
    assert (done.status, "no tests collected" in done.out) == (5, True)


def test_without_a_target_it_says_what_is_missing() -> None:
    done = smoke("-x")
    assert done.status == 1
    assert "--target http://HOST:PORT" in done.out


# --- against an installation ------------------------------------------------------------------------------------------


def test_it_is_green_keeps_the_metric_fresh_and_changes_nothing(running: Installed, tmp_path: Path) -> None:
    before = running.site.history()
    counted = (
        "--slo-suite",
        "smoke",
        "--slo-textfile",
        str(tmp_path),
        "--slo-job",
        "slo-watchdog",
        "--slo-critical",
        "critical",
    )
    done = smoke("--target", running.daemon.url, "--service", f"http://127.0.0.1:{running.shop.port}", *counted)
    assert done.status == 0, done.out
    (file,) = tmp_path.glob("*.prom")
    results = counters_of(file)
    assert results["passed"] >= sum(LEAST.values()) + 3
    assert results["failed"] == results["error"] == results["skipped"] == 0
    steps = [why for why in running.site.history()[len(before) :] if not why.startswith("exposure from")]
    assert steps == []


def test_with_writes_a_rollout_is_held_and_goes_on(running: Installed) -> None:
    token = str(running.site.directory / "http.token")
    done = smoke("--target", running.daemon.url, "-k", "held_and_goes_on", "--writes", "--token-file", token)
    assert done.status == 0, done.out
    said = running.site.history("checkout-1", "hold") + running.site.history("checkout-1", "resume")
    assert len(said) == 2
    assert all("smoke" in why for why in said)


def test_the_schedule_runs_a_copy_of_it_and_counts(running: Installed, tmp_path: Path) -> None:
    """It needs nothing of the repository but itself."""
    (tmp_path / "textfiles").mkdir()
    settings = {
        "SLO_SMOKE_TARGET": running.daemon.url,
        "SLO_SMOKE_TESTS": str(copied(tmp_path)),
        "SLO_SMOKE_TEXTFILE": str(tmp_path / "textfiles"),
        "PYTHON": sys.executable,
        "PYTEST_ADDOPTS": "-p watchdog.testresults.plugin -k test_health",
    }
    script = ROOT / "deploy" / "smoke" / "smoke.sh"
    done = subprocess.run(
        [script], cwd=tmp_path, env={**environ(), **settings}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = (tmp_path / "textfiles").glob("*.prom")
    assert 'smoke_tests_total{job="slo-watchdog",suite="smoke",result="passed"} 6' in file.read_text()


def test_a_shop_that_exports_something_else_is_seen(running: Installed) -> None:
    """An address that is no shop at all: the daemon's own."""
    done = smoke("--target", running.daemon.url, "--service", running.daemon.url, "-k", "the_shop_exports")
    assert done.status == 1
    assert "/metrics lacks {'http_requests_total': " in done.out


def test_a_broken_document_is_seen_where_it_matters(running: Installed) -> None:
    """Readers still get the last good flags; nothing else would show it before somebody restarts the daemon."""
    sound = running.site.flag_file.read_bytes()
    running.site.flag_file.write_bytes(b'{"flags": ')
    try:
        done = smoke("--target", running.daemon.url, "-k", "test_flags or as_ofrep_wants_it")
    finally:
        running.site.flag_file.write_bytes(sound)
    assert done.status == 1
    failed = re.findall(r"^FAILED \S+::(\w+)", done.out, re.MULTILINE)
    assert "test_every_flag_can_be_read_from_its_service" in failed
    assert "test_an_unknown_flag_is_told_as_ofrep_wants_it" not in failed


def test_a_daemon_that_is_gone_fails_everything_at_once_and_counts(tmp_path: Path) -> None:
    done = smoke("--target", NOWHERE, "--slo-suite", "smoke", "--slo-textfile", str(tmp_path))
    assert done.status == 1
    assert f"GET {NOWHERE}/metrics could not be asked: connection refused; does the watchdog run" in done.out
    assert "(it is not asked again)" in done.out
    (file,) = tmp_path.glob("*.prom")
    results = counters_of(file)
    assert results["passed"] == 0
    assert results["failed"] + results["error"] >= sum(LEAST.values())
