"""The target of an objective, one of `below`, `at_most`, `above` and `at_least`, and keys that have no meaning."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from watchdog.model import Comparison, Target
from watchdog.quantities import exact_share, parse_limit
from watchdog.rolloutfile.fields import Parse, Section

COMPARISONS = tuple(comparison.value for comparison in Comparison)
ONE = Decimal(1)
STANDIN = Decimal("0.001")
"""Judges the rest of an objective whose target is wrong, so that this is said once."""


def refuse(section: Section, keys: tuple[str, ...], what: str) -> None:
    """A problem for each of the keys that is there: it has no meaning for `what`."""
    for key in keys:
        if section.has(key):
            section.problem(key, f"has no meaning for {what}; remove it")


def _comparison(section: Section, parse: Parse[Any]) -> tuple[Comparison, Any] | None:
    found = [key for key in COMPARISONS if section.has(key)]
    if len(found) != 1:
        given = f"found {' and '.join(found)}" if found else "has no target"
        section.problem("", f"{given}; write exactly one of {', '.join(COMPARISONS)}")
        return None
    limit = section.take(found[0], parse, None)
    return None if limit is None else (Comparison(found[0]), limit)


def share_target(section: Section) -> tuple[Target | None, Decimal]:
    """The target and the allowed share of bad events, 1 - limit where the limit speaks of good ones."""
    given = _comparison(section, exact_share)
    if given is None:
        return None, STANDIN
    comparison, share = given
    target = Target(comparison, float(share))
    allowed = ONE - share if target.of_good else share
    strict = comparison in {Comparison.BELOW, Comparison.ABOVE}
    if strict and allowed == 0:
        section.problem(comparison.value, f"no share can be {comparison.value} this; write the other comparison")
    if allowed == ONE:
        section.problem(comparison.value, "allows every event to be bad, so it can never fail; write a real target")
    return target, allowed if section.sound(comparison.value) else STANDIN


def value_target(section: Section) -> Target | None:
    """The target for a number; None when there is none to be read, which is a problem of the section then."""
    given = _comparison(section, parse_limit)
    return None if given is None else Target(*given)
