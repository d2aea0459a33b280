"""Where results go: a textfile or a Pushgateway, by what was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from watchdog.errors import ConfigError, Problem
from watchdog.testresults.model import Run, Suite


class Sink(Protocol):
    """Keeps the series of one suite. Its methods raise ConfigError or SourceError and answer notes for people."""

    @property
    def where(self) -> str:
        """What a person is told."""
        ...

    def begin(self, at: float) -> list[str]:
        """Say that a run has started, at this instant."""
        ...

    def collected(self, tests: int) -> None:
        """Say how many tests it will run."""
        ...

    def finish(self, run: Run) -> list[str]:
        """Add the run that has begun."""
        ...

    def add(self, run: Run) -> list[str]:
        """Add a run that ended elsewhere, once."""
        ...


def sink_of(suite: Suite, textfile: str | None, pushgateway: str | None, options: tuple[str, str]) -> Sink:
    """The one that is asked for; `options` are the names by which it is. Raises ConfigError."""
    if (textfile is None) == (pushgateway is None):
        found = "are both given" if textfile is not None else "are both missing"
        raise ConfigError([Problem(" and ".join(options), f"{found}, expected one of them")])
    if textfile is not None:
        from watchdog.testresults.textfile import Textfile  # noqa: PLC0415 - one of two

        return Textfile(Path(textfile), suite)
    from watchdog.testresults.pushgateway import Pushgateway  # noqa: PLC0415 - the library takes its time to import

    return Pushgateway(pushgateway or "", suite)
