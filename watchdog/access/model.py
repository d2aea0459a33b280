"""The nouns: a role, and a principal, which is somebody whose name was proved."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

LONGEST_NAME = 100
RESERVED = frozenset({"api", "http.token", "watchdog"})
"""Names with a meaning of their own in the record."""
SHARED = "http.token"
"""How a principal was known who brought the one token that many share: it proves a right and no name."""


class Role(IntEnum):
    """What somebody may do; whoever may do more may do all that others may."""

    VIEWER = 1
    """Reads."""
    OPERATOR = 2
    """Steers: holds, resumes, rolls back, stops, labels, changes flags, starts preflights and drills."""
    APPROVER = 3
    """Answers for it: waives, adopts and countersigns; may do everything else, too."""

    def __str__(self) -> str:
        return self.name.lower()


ROLES = {str(role): role for role in Role}
"""By the word that files and settings use."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who asks, by the name that was proved; `how`: `token`, `session`, `proxy` or `http.token`."""

    name: str
    role: Role
    how: str

    def signs(self, by: str | None = None) -> str:
        """The name for the record. `by`, which the caller merely claims, never stands there as if it were proved.

        The shared token proves no name, so whoever brings it is believed.
        """
        if not by or by == self.name:
            return self.name
        return by if self.how == SHARED else f"{self.name} for {by}"


def is_name(text: str) -> bool:
    """Whether this can be somebody's name in the record: printable, not too long, and not ours."""
    fits = 0 < len(text) <= LONGEST_NAME and text.isprintable() and text == text.strip()
    return fits and text.lower() not in RESERVED
