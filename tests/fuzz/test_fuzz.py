"""Every parser that reads outside data, under atheris: it follows what the code does, and looks for what is new there.

FUZZ_SECONDS bounds one target (8); an hour of each is `FUZZ_SECONDS=3600 FUZZ_RUNS=-1 make test-fuzz`. What breaks a
target is shown, and belongs into tests/fuzz/kept/TARGET: from there the usual suite tries it for ever.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fuzz import broken
from tests.fuzz.everything import GROUPS, KEPT, Target, kept
from tests.fuzz.target import TARGETS

SECONDS = int(os.environ.get("FUZZ_SECONDS", "8"))
RUNS = int(os.environ.get("FUZZ_RUNS", "20000"))
HANGS_AFTER = 10
"""Seconds for one input; what is bounded takes a fraction of one."""
LARGEST = 20_000
"""Bytes of an input; larger ones are in tests/test_fuzz_*.py."""
MEMORY = 2048
"""Megabytes that a target may take."""
START = 200
"""Seconds for imports and instrumentation, on a busy machine."""


@dataclass(frozen=True)
class Fuzzed:
    """How it went: whether nothing was found, what the fuzzer wrote, and the inputs that broke the target."""

    sound: bool
    said: str
    found: dict[str, bytes]

    def __str__(self) -> str:
        inputs = "\n".join(f"{name}: {raw[:2000]!r}" for name, raw in self.found.items())
        return f"{self.said[-6000:]}\n\nthe input, to be kept in {KEPT}:\n{inputs}"


def fuzzed(target: Target, directory: Path, hangs_after: int = HANGS_AFTER) -> Fuzzed:
    """One target, fuzzed by a process of its own, which is ended by its id when it does not end itself."""
    group = target.parse.__module__.rpartition(".")[2]
    corpus, artefacts = directory / "corpus", directory / "artefacts"
    corpus.mkdir()
    artefacts.mkdir()
    for number, seed in enumerate((*target.seeds, *kept(target.name).values())):
        (corpus / str(number)).write_bytes(seed)
    options = (
        f"-runs={RUNS}",
        f"-max_total_time={SECONDS}",
        f"-timeout={hangs_after}",
        f"-max_len={LARGEST}",
        f"-rss_limit_mb={MEMORY}",
        f"-artifact_prefix={artefacts}/",
        "-print_final_stats=1",
    )
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.child", group, target.name, str(corpus), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=START + SECONDS + 3 * hangs_after,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    found = {path.name: path.read_bytes() for path in sorted(artefacts.iterdir())}
    return Fuzzed(done.returncode == 0 and not found, done.stdout.decode(errors="replace"), found)


@pytest.mark.timeout(START + SECONDS + 4 * HANGS_AFTER)
@pytest.mark.parametrize(
    "target", [one for targets in GROUPS.values() for one in targets], ids=lambda target: str(target.name)
)
def test_nothing_but_declared_errors_comes_out_of(target: Target, tmp_path: Path) -> None:
    done = fuzzed(target, tmp_path)
    assert done.sound, str(done)


def test_a_parser_that_takes_something_for_granted_is_found(tmp_path: Path) -> None:
    done = fuzzed(TARGETS[broken.forgets.__name__], tmp_path)
    assert not done.sound
    assert "Uncaught Python exception" in done.said
    assert [name.partition("-")[0] for name in done.found] == ["crash"]
    assert repr(next(iter(done.found.values())))[:200] in str(done)


def test_a_parser_that_hangs_is_found(tmp_path: Path) -> None:
    done = fuzzed(TARGETS[broken.backtracks.__name__], tmp_path, hangs_after=2)
    assert not done.sound
    assert [name.partition("-")[0] for name in done.found] == ["timeout"], done.said
