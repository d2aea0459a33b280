"""Every area in its order. Each yields its checks; whatever cannot be looked at is a failed check."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from watchdog.errors import WatchdogError
from watchdog.flags.base import Check
from watchdog.ledger import MadePreflight, RuleVerdict, StoredPreflight
from watchdog.preflight.alerting import alerting
from watchdog.preflight.builds import builds
from watchdog.preflight.configuration import configuration
from watchdog.preflight.drills import drills
from watchdog.preflight.ground import Ground, Looked, Sight
from watchdog.preflight.killing import emergency_flags, flag_services, worst_case
from watchdog.preflight.likelihood import feasibility
from watchdog.preflight.notifications import notifications
from watchdog.preflight.objectives import objectives
from watchdog.preflight.recording import ledger
from watchdog.preflight.rules import rules
from watchdog.preflight.server import prometheus
from watchdog.preflight.verdict import OWN, Found, Preflight, Rule
from watchdog.quantities import rfc3339

Area = tuple[str, Callable[[Ground], Looked]]

AREAS: tuple[Area, ...] = (
    ("configuration", configuration),
    ("ledger", ledger),
    ("prometheus", prometheus),
    ("rules", rules),
    ("alerting", alerting),
    ("objectives", objectives),
    ("feasibility", feasibility),
    ("flag services", flag_services),
    ("emergency flags", emergency_flags),
    ("worst case", worst_case),
    ("notifications", notifications),
    ("drill", drills),
    ("builds", builds),
)
"""Every area by name, in the order in which it is looked at; what takes longest is late."""


def preflight(
    ground: Ground,
    on_area: Callable[[str], None] = lambda _area: None,
    areas: Sequence[Area] = AREAS,
) -> Preflight:
    """Look at every area. `on_area` is told which one comes next. Never raises for what it finds."""
    found: list[Found] = []
    for area, look in areas:
        on_area(area)
        found += _look(area, look, ground)
    return Preflight(found, tuple(ground.builds), tuple(Rule(one.name, one.sha256) for one in ground.configured))


def _look(area: str, look: Callable[[Ground], Looked], ground: Ground) -> Iterator[Found]:
    try:
        for given in look(ground):
            sight = given if isinstance(given, Sight) else Sight(*given)
            rollout, check, waived, waiver = sight.rollout, sight.check, sight.waived, sight.waiver
            if not check.ok and waived is None and rollout is not None:
                waived, waiver = rollout.waive.get(OWN), OWN
            yield Found(area, check, rollout.name if rollout is not None else None, waived, sight.level, waiver)
    except (WatchdogError, OSError) as error:
        yield Found(area, Check("can be looked at", ok=False, found=str(error), todo="correct that, then look again"))


def record(ground: Ground, verdict: Preflight, began_at: float) -> StoredPreflight:
    """Keep the result in the ledger, with what it says of each rule. Raises Missing, LedgerError."""
    ended, told = ground.clock(), verdict.as_data()
    result = {"at": rfc3339(began_at), "finished_at": rfc3339(ended), "by": ground.by, **told}
    verdicts = [
        RuleVerdict(one["rollout"], one["rule"], one["failed"], one["waived"], one["score"]) for one in told["rollouts"]
    ]
    made = MadePreflight(began_at, ended, ground.by, verdict.passed, verdict.score, result, verdicts)
    return ground.ledger.add_preflight(made)
