"""What the steps of a pipeline share: their settings from the environment, the files between them, and how they end.

A step is a program of this directory. It reads its settings from environment variables (docs/pipelines.md lists them),
leaves what later steps and people need below PIPELINE_DIR, and ends with status 0, or with one sentence and status 1.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from watchdog.errors import WatchdogError

ROOT = Path(__file__).resolve().parents[3]
DRIVER = ROOT / "deploy" / "pipelines" / "driver" / "driver"
BUILD, PREFLIGHT, DEPLOYMENT = "build.json", "preflight.json", "deployment.json"
ROLLBACK_TEST, BYPASS, STAGING = "rollback-test.json", "bypass.json", "staging/deployment.json"
COMMAND_WITHIN = 900.0
"""Seconds for one command; a preflight with its drill takes minutes."""


class StepFailed(Exception):
    """A step did not do what it is for; the text says why and what to do."""


def setting(name: str, expected: str) -> str:
    """An environment variable that has to be there."""
    found = os.environ.get(name, "").strip()
    if not found:
        raise StepFailed(f"{name} is not set; expected {expected} (docs/pipelines.md)")
    return found


def optional(name: str) -> str:
    """An environment variable, empty where nobody set it."""
    return os.environ.get(name, "").strip()


def place(name: str = "") -> Path:
    """A file below PIPELINE_DIR, whose directory is made."""
    found = ROOT / (optional("PIPELINE_DIR") or "build/pipeline") / name
    (found if not name else found.parent).mkdir(parents=True, exist_ok=True)
    return found


def keep(name: str, data: Any) -> Path:
    """Write plain data for the steps that follow."""
    file = place(name)
    file.write_text(json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    return file


def kept(name: str, who: str) -> Any:
    """What an earlier step kept; `who` is that step."""
    try:
        return json.loads(place(name).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StepFailed(f"{place(name)} is missing; {who} writes it") from error
    except (OSError, ValueError) as error:
        raise StepFailed(f"{place(name)} cannot be read: {error}; run {who} again") from error


def build() -> dict[str, str]:
    """The build that this run is about: image, digest and commit."""
    found = kept(BUILD, "the job that makes the image, or verify_staging.py,")
    lacking = [name for name in ("image", "digest", "commit") if not found.get(name)]
    if lacking:
        raise StepFailed(f"{place(BUILD)} has no {' and no '.join(lacking)}; expected image, digest and commit")
    if not re.fullmatch("sha256:[0-9a-f]{64}", found["digest"]):
        raise StepFailed(f"{place(BUILD)}: digest is {found['digest']!r}; expected sha256: and 64 hex digits, no tag")
    return {name: str(found[name]) for name in ("image", "digest", "commit")}


def actor() -> str:
    """Who asked for this run; it is recorded."""
    return optional("PIPELINE_ACTOR") or optional("GITHUB_ACTOR") or setting("USER", "who runs this, for the record")


def run_address() -> str | None:
    """Address of this run on GitHub, None elsewhere."""
    server, repository, number = (optional(f"GITHUB_{name}") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID"))
    return f"{server}/{repository}/actions/runs/{number}" if server and repository and number else None


def call(
    command: Sequence[str | Path], *, accept: Sequence[int] = (0,), environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; what it says on standard error is passed on. StepFailed for an unexpected status."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            stdout=subprocess.PIPE,
            text=True,
            timeout=COMMAND_WITHIN,
            check=False,
            cwd=ROOT,
            env={**os.environ, **(environ or {})},
        )
    except FileNotFoundError as error:
        raise StepFailed(f"there is no program {words[0]}; install.sh puts it on the PATH") from error
    except subprocess.TimeoutExpired as error:
        raise StepFailed(f"`{' '.join(words)}` did not end within {COMMAND_WITHIN:g} s") from error
    if done.returncode not in accept:
        sys.stderr.write(done.stdout)
        raise StepFailed(f"`{' '.join(words)}` ended with status {done.returncode}; see above")
    return done


def output(**values: str) -> None:
    """Outputs of this step, for the steps that name it."""
    if file := optional("GITHUB_OUTPUT"):
        with Path(file).open("a", encoding="utf-8") as lines:
            lines.writelines(f"{name}={_line(text)}\n" for name, text in values.items())


def summary(text: str) -> None:
    """A sentence on the run's page, and in its log."""
    print(_line(text), flush=True)
    if file := optional("GITHUB_STEP_SUMMARY"):
        with Path(file).open("a", encoding="utf-8") as lines:
            lines.write(f"- {_line(text)}\n")


def warn(text: str) -> None:
    """The same as an annotation that nobody overlooks."""
    print(f"::warning::{_line(text)}", flush=True)
    summary(text)


def main(step: Callable[[], None]) -> NoReturn:
    """Run a step; its exit status."""
    try:
        step()
    except (StepFailed, WatchdogError) as error:
        print(f"::error::{_line(str(error))}", flush=True)
        sys.exit(1)
    sys.exit(0)


def _line(text: str) -> str:
    """Other people's words on one line, so that they cannot write outputs or commands of their own."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
