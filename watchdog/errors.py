"""The exception tree. Adapters translate every library error into one of these, chained.

    WatchdogError
    ├── ConfigError            a file or setting is wrong: carries every problem found
    ├── SourceError            Prometheus could not be reached or asked at all (commands; a tick never raises it)
    ├── FlagServiceError       the flag service did not do what was asked
    │   └── FlagConflict       somebody else changed the flag first (compare-and-set failed)
    ├── NotifierError          a channel did not take a message
    └── LedgerError            the ledger cannot be read or written
        ├── LedgerConflict     somebody else recorded first (compare-and-set failed)
        └── Refused            the ledger's state forbids what was asked (a name used twice, a flag taken)

The pure core raises none of them.
"""

from __future__ import annotations

from dataclasses import dataclass


class WatchdogError(Exception):
    """Root of everything this program raises on purpose; its text is fit for a person."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with an input: where it is, what was found, what was expected and what to do."""

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class ConfigError(WatchdogError):
    """Every problem of a configuration at once, each with its place."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class SourceError(WatchdogError):
    """Prometheus could not be reached (`permanent` False) or does not understand us (`permanent` True)."""

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        self.permanent = permanent
        super().__init__(message)


class FlagServiceError(WatchdogError):
    """The flag service did not do what was asked; `permanent` means that trying again cannot help.

    `retry_after` is how many seconds the service asked to be left alone, None when it did not say. `missing_set` says
    that the whole set in which the flag would be has never been there: nobody has set it up.
    """

    def __init__(
        self, message: str, *, permanent: bool = False, retry_after: float | None = None, missing_set: bool = False
    ) -> None:
        self.permanent = permanent
        self.retry_after = retry_after
        self.missing_set = missing_set
        super().__init__(message)


class FlagConflict(FlagServiceError):
    """Somebody else changed the flag since it was read; nothing was written. Read it again, decide again."""


class NotifierError(WatchdogError):
    """A channel did not take a message; `permanent` means that trying again cannot help.

    `retry_after` is how many seconds the channel asked to be left alone, None when it did not say. `everything` says
    that the trouble is the channel's (unreachable, too many requests, a wrong key), not this message's.
    """

    def __init__(
        self, message: str, *, permanent: bool = False, retry_after: float | None = None, everything: bool = False
    ) -> None:
        self.permanent = permanent
        self.retry_after = retry_after
        self.everything = everything
        super().__init__(message)


class NotYet(NotifierError):
    """A part of a message went out and the rest follows in `retry_after` seconds; no failure, so nothing counts it."""

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message, retry_after=retry_after)


class LedgerError(WatchdogError):
    """The ledger cannot be opened, read or written."""


class LedgerConflict(LedgerError):
    """Another process recorded this rollout first; nothing of this transaction was kept."""


class Refused(LedgerError):
    """What was asked contradicts what the ledger holds."""
