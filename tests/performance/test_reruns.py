"""That pytest-rerunfailures is there, and runs again what is marked `timing`: so often, so far apart, nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

from tests.performance.conftest import DELAY, RERUNS

FLAKY = """
import json, time
from pathlib import Path
import pytest

LOG = Path(__file__).with_name("tries.json")

def tried(name):
    tries = json.loads(LOG.read_text()) if LOG.exists() else {}
    tries.setdefault(name, []).append(time.monotonic())
    LOG.write_text(json.dumps(tries))
    return len(tries[name])

@pytest.mark.timing
def test_that_always_fails():
    tried("always")
    assert False

@pytest.mark.timing
def test_that_holds_at_the_third_try():
    assert tried("third") == 3

def test_without_the_mark():
    tried("unmarked")
    assert False
"""


def test_a_timing_test_is_run_again_exactly_so_often_and_no_other_is(tmp_path: Path) -> None:
    (tmp_path / "test_flaky.py").write_text(FLAKY)
    # A directory of its own, with this suite's conftest: what is under test is the suite's own configuration.
    (tmp_path / "conftest.py").write_text("from tests.performance.conftest import *\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:cov", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    tries = json.loads((tmp_path / "tries.json").read_text())
    assert {name: len(at) for name, at in tries.items()} == {"always": 1 + RERUNS, "third": 3, "unmarked": 1}
    assert f"2 failed, 1 passed, {RERUNS + 2} rerun" in done.stdout, done.stdout
    for earlier, later in pairwise(tries["always"]):
        assert later - earlier >= DELAY


def test_the_plugin_is_of_a_version_that_was_tried() -> None:
    assert int(version("pytest-rerunfailures").partition(".")[0]) >= 14
    assert (RERUNS, DELAY) == (3, 2)
