"""What every back end can do. All of it may be done again: what is so already stays so."""

from __future__ import annotations

from typing import Protocol

from .state import Release


class Backend(Protocol):
    """One way of running two colours and of choosing between them. Methods raise Failed."""

    def install(self, colour: str, release: Release) -> None:
        """Run a build on a colour, in place of what ran there. Nobody's requests go there."""
        ...

    def remove(self, colour: str) -> None:
        """End what runs on a colour, gracefully."""
        ...

    def runs(self, colour: str) -> str | None:
        """The digest that a colour really runs, None for nothing."""
        ...

    def ailing(self, colour: str, release: Release) -> str:
        """Look once at a colour, past the switch; what is wrong, empty when it is well."""
        ...

    def point(self, colour: str) -> None:
        """Give new requests to a colour, all at once."""
        ...

    def pointed(self) -> str | None:
        """Where new requests really go; None when nowhere known."""
        ...

    def astray(self, colour: str, release: Release) -> str:
        """Look once at the front; what is wrong, empty when this colour answers."""
        ...
