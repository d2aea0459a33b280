"""`make stack` before it starts anything: what it refuses, in one sentence each. The stack itself: tests/stack."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

RUN = Path(__file__).parent.parent / "deploy" / "stack" / "run.py"


def refused(*options: str, **environ: str) -> str:
    """Its sentence, when it ends with status 1 and has printed nothing else."""
    done = subprocess.run(
        [sys.executable, str(RUN), *options],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    return done.stderr


def test_names_the_packages_of_all_programs_that_are_missing(tmp_path: Path) -> None:
    prometheus = shutil.which("prometheus")
    assert prometheus, "`prometheus` is not on the PATH: apt-get install prometheus"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "prometheus").symlink_to(prometheus)
    said = refused("--root", str(tmp_path / "stack"), PATH=str(tmp_path / "bin"))
    packages = "prometheus-alertmanager prometheus-node-exporter prometheus-blackbox-exporter"
    assert f"apt-get install {packages})" in said
    assert "`prometheus`" not in said


def test_does_not_empty_a_directory_that_is_not_its_own(tmp_path: Path) -> None:
    mine = tmp_path / "letter.txt"
    mine.write_text("dear diary")
    assert "is not empty" in refused("--root", str(tmp_path))
    assert mine.read_text() == "dear diary"


def test_says_which_of_the_usual_ports_is_taken(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.bind(("127.0.0.1", 9093))
            other.listen()
        except OSError:
            pass  # an Alertmanager of this machine has it, which does as well
        said = refused("--root", str(tmp_path / "stack"), "--usual-ports")
    assert "port 90" in said
    assert "is taken" in said


def test_rules_have_to_be_there(tmp_path: Path) -> None:
    said = refused("--root", str(tmp_path / "stack"), "--rules", str(tmp_path))
    assert f"there are no rules (*.yaml) in {tmp_path}" in said
