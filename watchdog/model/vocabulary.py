"""The words: every closed set of values, one enum each, with what each value means."""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """What a slot says of one objective."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    UNKNOWN = "unknown"


class SliceVerdict(StrEnum):
    """What a slice says; `idle` is looked at, but with too little traffic to show anything."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    UNKNOWN = "unknown"
    IDLE = "idle"


class Reason(StrEnum):
    """Why there is no verdict, in the order in which they are judged: the first that holds is given."""

    UNREACHABLE = "unreachable"
    CLOCK_SKEW = "clock_skew"
    QUERY_ERROR = "query_error"
    PARTIAL = "partial"
    MANY_SERIES = "many_series"
    NO_DATA = "no_data"
    NOT_A_NUMBER = "not_a_number"
    STALE = "stale"
    LOW_TRAFFIC = "low_traffic"


class Phase(StrEnum):
    """Where a rollout is. The last three are terminal; an operator's rollback is accepted in all."""

    PENDING = "pending"  # seen, not started
    RAMPING = "ramping"  # raising exposure, one step at a time
    SOAKING = "soaking"  # at its final exposure, collecting good slices
    ROLLING_BACK = "rolling_back"  # rollback recorded, the flag does not read it yet
    ROLLED_BACK = "rolled_back"
    SIGNED_OFF = "signed_off"
    STOPPED = "stopped"

    @property
    def terminal(self) -> bool:
        """True when the rollout has ended and its flag is no longer steered."""
        return self in TERMINAL

    @property
    def active(self) -> bool:
        """True while the rollout owns its flag."""
        return self in ACTIVE


class OnBreach(StrEnum):
    """What a breach of an objective does."""

    ROLLBACK = "rollback"
    HOLD = "hold"
    PAGE = "page"


class Mode(StrEnum):
    """`observe` records everything and changes nothing."""

    ACT = "act"
    OBSERVE = "observe"


class Comparison(StrEnum):
    """How a number is held against its limit."""

    BELOW = "below"
    AT_MOST = "at_most"
    ABOVE = "above"
    AT_LEAST = "at_least"


class Kind(StrEnum):
    """Where an objective's numbers come from."""

    EVENT = "event"  # bad of total, from Prometheus
    VALUE = "value"  # one number, from Prometheus
    INTERNAL = "internal"  # measured by the watchdog itself


class Severity(StrEnum):
    """Who must hear of it: `critical` wakes somebody, `warning` waits for the day, `info` is for the record."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


REASONS: tuple[Reason, ...] = tuple(Reason)
ASKED_AGAIN = frozenset({Reason.UNREACHABLE, Reason.QUERY_ERROR, Reason.NO_DATA, Reason.PARTIAL, Reason.CLOCK_SKEW})
"""Reasons that later data can cure; the others are facts about the data that is there."""

TERMINAL = frozenset({Phase.ROLLED_BACK, Phase.SIGNED_OFF, Phase.STOPPED})
ACTIVE = frozenset({Phase.RAMPING, Phase.SOAKING, Phase.ROLLING_BACK})
