"""The checks that need a Prometheus, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from watchdog.errors import SourceError
from watchdog.prometheus import Prometheus
from watchdog.rulelint import exported, loaded, promised
from watchdog.rulelint.asking import Asking, Tell
from watchdog.rulelint.inputs import Inputs
from watchdog.rulelint.model import Finding, Pack
from watchdog.rulelint.naming import Metric, metrics

WITHIN = 6 * 3600.0
"""Seconds back in which a series still counts as there."""
ONLINE = (
    "loaded",
    "health",
    "series",
    "label",
    "value",
    "type",
    "evaluates",
    "one-series",
    "bucket",
    "short-range",
    "retention",
    "idle-waiver",
)


@dataclass(frozen=True, slots=True)
class _Look:
    what: str
    find: Callable[[], Iterator[Finding]]


def lint_online(
    pack: Pack,
    inputs: Inputs,
    source: Prometheus,
    now: float,
    *,
    within: float = WITHIN,
    tell: Tell = lambda _what, _done, _all: None,
) -> list[Finding]:
    """What is found by asking Prometheus at the instant `now`. Raises SourceError when it cannot be reached.

    What a server does not know (Thanos has no targets, Mimir no flags) is a warning that it was not looked at.
    """
    asking, known, named = Asking(source, now, within, tell), exported.Known(inputs.waivers), metrics(pack)
    asking.reach()
    found: list[Finding] = []
    for look in _looks(pack, inputs, named, asking, known):
        tell(look.what, 0, 1)
        try:
            found += look.find()
        except SourceError as error:
            if not error.permanent:
                raise
            message = f"{look.what} could not be looked at: {error}"
            found.append(Finding("evaluates", "warning", source.url, message))
    return list(dict.fromkeys(found))


def _looks(
    pack: Pack, inputs: Inputs, named: Mapping[str, Metric], asking: Asking, known: exported.Known
) -> list[_Look]:
    def of_rules() -> Iterator[Finding]:
        groups = asking.groups()
        if inputs.rules:
            yield from loaded.loaded(pack, groups)
        yield from loaded.health(pack, groups)

    return [
        _Look("rules", of_rules),
        _Look("series", lambda: exported.series(pack, named, asking, known)),
        _Look("labels", lambda: exported.labels(pack, named, asking, known)),
        _Look("values", lambda: exported.values(pack, asking, known)),
        _Look("types", lambda: exported.kinds(pack, asking)),
        _Look("expressions", lambda: promised.evaluates(pack, asking)),
        _Look("objectives", lambda: promised.one_series(pack, inputs.rollouts, asking)),
        _Look("bounds of histograms", lambda: promised.buckets(pack, inputs.rollouts, asking)),
        _Look("scrape intervals", lambda: promised.scraped(pack, asking)),
        _Look("retention", lambda: promised.retention(pack, inputs.rollouts, asking)),
        *([_Look("reasons", lambda: exported.idle(named, known))] if inputs.own_waivers else []),
    ]
