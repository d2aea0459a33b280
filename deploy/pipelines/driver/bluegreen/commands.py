"""Run the programs that a back end drives."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence

from .errors import Failed

QUOTED = 600
"""Letters of a program's own words in a message."""


class Commands:
    """Runs one program after the other, no shell.

    Programs that end before they return inherit `held`, the descriptor of the driver's lock: where the driver is
    killed, its last command still keeps the next driver out until it has ended.
    """

    def __init__(self, timeout: float, held: int | None = None) -> None:
        self._timeout, self._held = timeout, held

    def run(self, words: Sequence[str], *, environ: Mapping[str, str] | None = None, stays: bool = False) -> str:
        """What it printed. `stays` says that it may leave a process behind. Failed for every status but 0."""
        line = " ".join(words)
        try:
            done = subprocess.run(
                words,
                capture_output=True,
                text=True,
                errors="replace",
                stdin=subprocess.DEVNULL,
                timeout=self._timeout,
                check=False,
                env={**os.environ, **(environ or {})},
                pass_fds=() if stays or self._held is None else (self._held,),
            )
        except OSError as error:
            raise Failed(f"`{line}` cannot be run: {error}") from error
        except subprocess.TimeoutExpired as error:
            raise Failed(f"`{line}` did not end within {self._timeout:g} s") from error
        if done.returncode != 0:
            said = (done.stderr.strip() or done.stdout.strip())[-QUOTED:] or "nothing"
            raise Failed(f"`{line}` ended with status {done.returncode} and said: {said}")
        return done.stdout
