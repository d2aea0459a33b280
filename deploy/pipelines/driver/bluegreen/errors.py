"""How a command of the driver ends when it does not do what it was asked: each error has an exit status."""

from __future__ import annotations


class DriverError(Exception):
    """The text is a sentence for people: what was found, what was expected, what to do."""

    status = 1


class Failed(DriverError):
    """It was tried and did not work."""


class Misused(DriverError):
    """The command line or the target file is wrong."""

    status = 2


class Refused(DriverError):
    """It could be done, and would do harm."""

    status = 3


class Locked(DriverError):
    """Another driver works on the same target."""

    status = 4
