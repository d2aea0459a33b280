"""What a report is made of: everything that was recorded about one rollout, handed over as facts.

Instants on a grid are `int` epoch seconds, other instants `float` epoch seconds, exposure is percent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from watchdog.model import (
    Breach,
    Evaluation,
    Exposure,
    Notification,
    Phase,
    Rollback,
    Rollout,
    Slice,
    Transition,
)

DESIRED = "desired"
"""An exposure that the ledger asked for."""
ACTUAL = "actual"
"""An exposure that was read back (in an observation: the simulated flag)."""
REAL = "real"
"""In an observation only: what the real flag read beside the simulated one."""


@dataclass(frozen=True, slots=True)
class BreachFact:
    """A breach with what became of it.

    `late`: found in back-filled data. `unconfirmed`: data that settled later no longer shows it. `stamps`: the
    rollback that it caused, None when it caused none.
    """

    breach: Breach
    detected_at: float
    late: bool = False
    unconfirmed: bool = False
    stamps: Rollback | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """All facts behind one report.

    `status` is this rollout's object of `status --json`, `figures` the object of `replay --json`. `evaluations` and
    `controls` are dense on the slot grid and in time order, by objective name; `slices`, `transitions` and `exposures`
    (instant, one of DESIRED, ACTUAL and REAL, exposure; on change) are in time order. `prometheus` holds what is known
    of the server (its redacted `url`, its build); it must not hold a secret.
    """

    rollout: Rollout
    phase: Phase
    started_at: float | None
    as_of: float
    engine: str
    status: Mapping[str, Any]
    figures: Mapping[str, Any]
    evaluations: Mapping[str, Sequence[Evaluation]] = field(default_factory=dict)
    slices: Sequence[Slice] = ()
    breaches: Sequence[BreachFact] = ()
    transitions: Sequence[Transition] = ()
    exposures: Sequence[tuple[float, str, Exposure]] = ()
    notifications: Sequence[Notification] = ()
    bad_never_observed: frozenset[str] = frozenset()
    controls: Mapping[str, Sequence[Evaluation]] = field(default_factory=dict)
    prometheus: Mapping[str, Any] = field(default_factory=dict)
    rollback: Rollback | None = None
    not_controlled: Sequence[str] = ()
    preflight: Mapping[str, Any] | None = None
    """What the preflight said on which it started, with the builds that it recorded; None where there was none."""
    deployment: Mapping[str, Any] | None = None
    """Which build it watches, as its deployment.json says, with that file's sha256; None where none was handed in."""
    waivers: Sequence[Mapping[str, Any]] = ()
    """Who let it start without what (`name, by, reason, at, until`), in the order in which that was recorded."""
    noise: Mapping[str, Any] | None = None
    """What alerts there were in the watch, as plain data; None where nobody told of any."""
