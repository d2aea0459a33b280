"""`alert_noise`: fewer false alarms in 24 h than the objective allows, judged on the upper count."""

from __future__ import annotations

from watchdog.model import Evaluation, NoiseRule, Objective, Reason, Verdict
from watchdog.noise.classify import Known
from watchdog.noise.counts import Count, Counting
from watchdog.noise.hearing import Hearing
from watchdog.quantities import format_duration

MOST_NAMES = 3
LONGEST_NAME = 60


class AlertNoise:
    """Judges one objective of one service, slot after slot."""

    def __init__(self, objective: Objective, service: str, known: Known) -> None:
        self.objective = objective
        self.rule = objective.noise or NoiseRule()
        self._hearing = Hearing(known.heard, self.rule.heartbeat)
        self._counting = Counting(known, self.rule, service)

    def at(self, at: int) -> Evaluation:
        """The evaluation of a slot, by what was known at that time.

        What was not heard can only add to the count: too many are too many, however little was heard.
        """
        counted, heard = self._counting.at(at), self._hearing.at(at)
        value = float(counted.upper)
        if not self.objective.target.met_by(value):
            return Evaluation(at, Verdict.FAIL, value=value, detail=self._words(counted))
        if heard.reason is not None:
            return Evaluation(at, Verdict.UNKNOWN, heard.reason, detail=heard.detail)
        parts = (self._words(counted) if counted.upper else "", heard.detail)
        detail = "; ".join(part for part in parts if part)
        return Evaluation(at, Verdict.PASS, value=value, detail=detail)

    def _words(self, counted: Count) -> str:
        """The count in a sentence that changes only when the count does."""
        alarms = "1 false alarm" if counted.upper == 1 else f"{counted.upper} false alarms"
        open_ = counted.upper - counted.lower
        grace = format_duration(self.rule.grace)
        split = f"{counted.lower} confirmed, {open_} unclassified for longer than {grace}" if open_ else "all confirmed"
        names = ", ".join(f"{_short(name)} {number}" for name, number in counted.often[:MOST_NAMES])
        more = ", and others" if len(counted.often) > MOST_NAMES else ""
        return f"{alarms} in 24 h ({split}): {names}{more}"


def unreadable(at: int) -> Evaluation:
    """The evaluation of a slot for which the ledger could not be asked."""
    return Evaluation(at, Verdict.UNKNOWN, Reason.UNREACHABLE, detail="the ledger could not be read for its alerts")


def while_down(evaluation: Evaluation) -> Evaluation:
    """A slot that is judged late: that nobody was heard says nothing, for this program was not there to hear it."""
    if evaluation.reason is not Reason.STALE:
        return evaluation
    detail = "this program did not run, so it heard of no alert"
    return Evaluation(evaluation.at, Verdict.UNKNOWN, Reason.NO_DATA, detail=detail)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}\N{HORIZONTAL ELLIPSIS}"
