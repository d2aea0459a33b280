"""One objective's memory within the fold: its detector, its open breach, its blindness, its counts of the slice."""

from __future__ import annotations

from dataclasses import dataclass, field

from watchdog import detect
from watchdog.evaluate import missed, sentence
from watchdog.model import Breach, Confirm, Evaluation, Measurement, Objective, Reason, Sequential, Verdict
from watchdog.quantities import format_number

BLIND_STEPS = 5
BLIND_KNOWN = 3
KNOWN = (True, "")
PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN  # looked up once, not for each slot of a replay


@dataclass(slots=True)
class Track:
    """One objective's memory, changed in place (a checkpoint copies it). `since` is where its detector began empty."""

    since: int
    detector: detect.State = field(default_factory=detect.State)
    seen: int = 0
    recent: tuple[tuple[bool, str], ...] = ()
    """The newest five usable steps as (known, reason): fewer than three known is a blind detector."""
    open: Breach | None = None
    not_good: int = 0
    """The newest slot that failed or was unknown for another reason than low traffic."""
    unknown_since: int | None = None
    bad_seen: bool = False
    measured: int = 0
    passed: int = 0
    failed: int = 0
    blind: bool = False
    """Too few of the last steps are known for the detector to mean anything."""

    @property
    def blind_reason(self) -> Reason:
        """The newest unknown step's reason."""
        return next((Reason(reason) for known, reason in reversed(self.recent) if not known), Reason.NO_DATA)


def take_step(
    objective: Objective, tuning: detect.Tuning, length: float, track: Track, step: Measurement
) -> Breach | None:
    """Take one detector step; only steps whose whole range (`length`) lies after the detector's start count."""
    if step.at - length < track.since:
        return None
    reason = step.reason
    track.seen += 1
    newest = KNOWN if reason is None else (reason is Reason.LOW_TRAFFIC, reason.value)
    track.recent = (*track.recent[1 - BLIND_STEPS :], newest)
    if track.blind or reason is not None:
        track.blind = track.seen >= BLIND_STEPS and sum(known for known, _ in track.recent) < BLIND_KNOWN
    if reason is not None or (step.total is not None and step.total <= 0.0):
        return None  # nobody came: no evidence, for `confirm` neither
    if step.bad:
        track.bad_seen = True
    if track.open is not None:
        return None
    failed = isinstance(tuning.detector, Confirm) and missed(objective, step)
    track.detector, statistic, alarm = detect.fold(tuning, track.detector, detect.step_of(tuning, step, failed=failed))
    if not alarm:
        return None
    track.open = _breach(objective, tuning, step, statistic)
    track.not_good = max(track.not_good, step.at)
    return track.open


def look(track: Track, evaluation: Evaluation) -> bool:
    """Count one slot; whether it was measured."""
    if evaluation.bad:
        track.bad_seen = True
    verdict = evaluation.verdict
    if verdict is UNKNOWN and evaluation.reason is not Reason.LOW_TRAFFIC:
        track.not_good = evaluation.at
        if track.unknown_since is None:
            track.unknown_since = evaluation.at
        return False
    track.unknown_since = None
    track.measured += 1
    if verdict is PASS:
        track.passed += 1
    elif verdict is FAIL:
        track.failed += 1
        track.not_good = evaluation.at
    return True


def start_anew(track: Track, at: int) -> None:
    """The detector starts anew at `at`: an episode ended, or a person resumed."""
    track.open = None
    track.since = at
    track.detector = detect.emptied(track.detector)
    track.seen = 0
    track.recent = ()
    track.blind = False


def _breach(objective: Objective, tuning: detect.Tuning, step: Measurement, statistic: float) -> Breach:
    name = objective.detector.name
    found = step.detail if step.silent else sentence(objective, step)
    if isinstance(tuning.detector, Sequential):
        judged = f"{name} statistic {format_number(statistic)} reached {format_number(tuning.threshold)}"
    else:
        judged = f"{statistic:.0f} of the last {tuning.detector.of} known steps failed"
    return Breach(
        objective.name,
        step.at,
        name,
        statistic,
        tuning.threshold,
        step.bad,
        step.total,
        step.value,
        f"{found}; {judged}",
    )


def seen_by_blind(track: Track, evaluation: Evaluation) -> Evaluation:
    """A blind detector makes its objective's slot unknown: passing slots alone must not ramp."""
    if not evaluation.measured:
        return evaluation
    known = sum(known for known, _ in track.recent)
    detail = f"the detector is blind: {known} of its last {len(track.recent)} steps are known"
    return evaluation._replace(verdict=Verdict.UNKNOWN, reason=track.blind_reason, detail=detail)
