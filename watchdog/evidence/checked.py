"""What `verify` found: check by check, with the first difference in a sentence. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from watchdog.errors import WatchdogError

Json = dict[str, Any]
STRANGE = (WatchdogError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What the engine may raise over rows that no ledger of ours ever held."""
UNSIGNED, UNCHECKED, HOLDS = "unsigned", "unchecked", "holds"

NOT_PROVEN = (
    "that Prometheus told the truth, or was asked about the right service: the measurements are taken as recorded",
    "that the rule asks for enough: its text is attached, to be read",
    "when it was made: nobody else has stamped a time on it; keep a copy of the newest hash of its chain elsewhere",
    "that the key was only where it belongs: who holds it can sign anything that is consistent",
    "alert noise and what people said of alerts, which are told as the ledger had them and not judged again",
)


@dataclass(frozen=True, slots=True)
class Checked:
    """One check: what was looked at, and the first difference, empty where there is none."""

    name: str
    found: str
    difference: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing differs."""
        return not self.difference


@dataclass(slots=True)
class Verified:
    """What a bundle turned out to be. `signature` is one of HOLDS, UNSIGNED and UNCHECKED (no key was given)."""

    checks: list[Checked] = field(default_factory=list)
    signature: str = UNSIGNED
    key: str = ""
    """The id of the key that says to have signed it."""
    about: Json = field(default_factory=dict)
    """The manifest without its list of files."""
    countersigned: list[Json] = field(default_factory=list)

    @property
    def consistent(self) -> bool:
        """Whether all of it fits together, signed or not."""
        return all(check.ok for check in self.checks)

    @property
    def first(self) -> str:
        """The first difference in a sentence."""
        return next((f"{check.name}: {check.difference}" for check in self.checks if not check.ok), "")
