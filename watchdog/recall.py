"""A rollout's fold, rebuilt from the ledger: after a restart, and when settled data changes the past.

The ledger holds the facts; the fold in memory is a cache of them. `recall` folds them again from the newest
checkpoint; `refold` folds them from the checkpoint before the earliest slot that changed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from watchdog import detect
from watchdog.control import Control, Timeline
from watchdog.evaluate import evaluate
from watchdog.ledger import BreachFact, Ledger, ReadingFact, StoredRollout
from watchdog.model import (
    ASKED_AGAIN,
    Breach,
    Evaluation,
    Kind,
    Measurement,
    Mode,
    Objective,
    Reason,
    Rollout,
    Verdict,
)
from watchdog.observe import as_step
from watchdog.rolloutfile import rollout_from_resolved
from watchdog.stamps import engine_of
from watchdog.track import Track
from watchdog.watch import Checkpoint, Found, Slot, Watch

AskedAt = dict[tuple[str, str, int], float]
"""What was not answered and may still be: (grid, objective, instant) -> when it was last asked."""


@dataclass(slots=True)
class Recalled:
    """Everything one rollout's tick keeps in memory between ticks; all of it derives from the ledger."""

    stored: StoredRollout
    rollout: Rollout
    control: Control
    timeline: Timeline
    watch: Watch | None
    known_breaches: dict[tuple[str, int], BreachFact] = field(default_factory=dict)
    unanswered: AskedAt = field(default_factory=dict)
    reports: set[str] = field(default_factory=set)
    last_reading: ReadingFact | None = None
    """The newest flag reading that the ledger has, or will have when it is back."""
    engine: str = ""
    """The version of this program that acted for the rollout last, as the ledger has it or will have it."""


def recall(ledger: Ledger, name: str) -> Recalled:
    """Rebuild a rollout's fold from its facts. Raises LedgerError; KeyError when the name is unknown."""
    stored = ledger.rollout(name)
    if stored is None:
        raise KeyError(name)
    rollout = rollout_from_resolved(stored.resolved, stored.text, stored.name)
    control = Control.from_dict(dict(stored.control)) if stored.control else Control(phase=stored.phase)
    timeline = Timeline()
    for fact in ledger.exposures(stored.id):
        timeline.add(int(fact.at), fact.kind, fact.exposure)
    breaches = {(f.breach.objective, f.breach.at): f for f in ledger.breaches(stored.id)}
    reports = _frozen(ledger, stored.id)
    memory = Recalled(stored, rollout, control, timeline, None, breaches, reports=reports)
    memory.last_reading = ledger.latest_reading(stored.id)
    memory.engine = engine_of(stored.engine, ledger.transitions(stored.id))
    if control.started_at is not None:
        memory.watch = begin(rollout, control)
        last = stored.last_slot if stored.last_slot is not None else control.started_at
        memory.watch.slices = ledger.slices(stored.id)
        _fold(ledger, memory, None, last, {}, lambda _: None)
        memory.unanswered = _unanswered(ledger, memory, last)
    return memory


LAST_FORM = "html"
"""The form of a report that is frozen last."""


def _frozen(ledger: Ledger, id_: int) -> set[str]:
    """The reports that are frozen: in all forms, and since what amended them."""
    amended = max((t.at for t in ledger.transitions(id_) if t.kind == "amended"), default=float("-inf"))
    return {
        report.kind
        for report in ledger.reports(id_)
        if report.format == LAST_FORM and (report.kind != "final" or report.at >= amended)
    }


def begin(rollout: Rollout, control: Control) -> Watch:
    """An empty fold from the rollout's start."""
    return Watch(rollout, control.started_at if control.started_at is not None else 0)


Overlay = Mapping[tuple[str, str, int], Measurement]
"""Fresh answers that are not in the ledger yet, by (grid, objective, instant)."""


def refold(ledger: Ledger, memory: Recalled, earliest: int, overlay: Overlay) -> list[Found]:
    """Fold everything again from the checkpoint before `earliest`, with the fresh answers in their places."""
    found: list[Found] = []
    if memory.watch is not None:
        _fold(ledger, memory, earliest - 1, memory.watch.at, overlay, found.append)
    return found


def _fold(
    ledger: Ledger,
    memory: Recalled,
    before: int | None,
    until: int,
    overlay: Overlay,
    on_found: Callable[[Found], None],
) -> None:
    watch = memory.watch
    if watch is None:
        return
    kept = ledger.checkpoint(memory.stored.id, before)
    checkpoint = checkpoint_from(kept[0], kept[1]) if kept is not None else None
    start = checkpoint.at if checkpoint is not None else int(watch.started_at)
    cause = memory.control.cause
    known = [(f.breach, key == cause) for key, f in memory.known_breaches.items() if not f.unconfirmed]
    resumes = _resumes(ledger, memory)
    # All is read before anything is forgotten: a ledger that fails half-way must leave the fold as it is.
    recorded = list(recorded_slots(ledger, memory, start, until, overlay))
    watch.rewind(checkpoint, [item for item in known if item[0].at <= start])
    if start in resumes:
        watch.resume(start)  # the checkpoint is older than the command of the same slot
    for slot in recorded:
        found = watch.fold(slot, memory.timeline.over)
        for breach in found.opened:
            watch.windows.break_at(breach, rolled_back=(breach.objective, breach.at) == cause)
        if slot.at in resumes:
            watch.resume(slot.at)
        on_found(found)


def _resumes(ledger: Ledger, memory: Recalled) -> set[int]:
    """The slots at which a person resumed: the newest that was due when the command was carried out."""
    rollout = memory.rollout
    told = (t for t in ledger.transitions(memory.stored.id) if t.kind == "resume")
    return {newest_due(rollout, t.at) for t in told}


def newest_due(rollout: Rollout, now: float) -> int:
    """The newest slot that may be evaluated at `now`."""
    return int((now - rollout.delay) // rollout.interval) * rollout.interval


def recorded_slots(ledger: Ledger, memory: Recalled, after: int, until: int, overlay: Overlay) -> Iterable[Slot]:
    """The slots in (after, until] as the ledger has them, fresh answers laid over."""
    rollout, id_ = memory.rollout, memory.stored.id
    objectives = {o.name: o for o in rollout.objectives}
    evaluations: dict[int, dict[str, Evaluation]] = {}
    for name, evaluation in ledger.evaluations(id_, None, after, until):
        evaluations.setdefault(evaluation.at, {})[name] = raw(objectives[name], evaluation)
    steps: dict[int, dict[str, Measurement]] = {}
    for name, step in ledger.steps(id_, None, after, until):
        steps.setdefault(step.at, {})[name] = step
    pooled: dict[int, dict[str, Measurement]] = {}
    for name, part in ledger.slice_measurements(id_, None, after, until):
        pooled.setdefault(part.at, {})[name] = part
    for (grid, name, at), measurement in overlay.items():
        if grid == "slot":
            evaluations.setdefault(at, {})[name] = evaluate(objectives[name], measurement)
        else:
            (steps if grid == "step" else pooled).setdefault(at, {})[name] = measurement
    internals = [o for o in rollout.objectives if o.kind is Kind.INTERNAL]
    for at in sorted(evaluations):
        found, taken = evaluations[at], dict(steps.get(at, {}))
        for objective in internals:
            if at % objective.detector.every == 0 and objective.name in found:
                taken[objective.name] = as_step(found[objective.name])
        yield Slot(at, found, taken, pooled.get(at, {}), excused(found, internals))


def excused(found: Mapping[str, Evaluation], internals: Sequence[Objective]) -> frozenset[str]:
    """Internal objectives that nobody could measure because the watchdog itself was down."""
    return frozenset(o.name for o in internals if o.name in found and found[o.name].reason is Reason.NO_DATA)


def raw(objective: Objective, evaluation: Evaluation) -> Evaluation:
    """The evaluation as it was before a blind detector overrode it."""
    if evaluation.verdict is not Verdict.UNKNOWN or evaluation.reason is Reason.LOW_TRAFFIC:
        return evaluation
    if evaluation.silent:
        return Evaluation(evaluation.at, Verdict.FAIL, detail="silence", silent=True)
    if objective.kind is Kind.INTERNAL:
        if evaluation.value is None:
            return evaluation
        good = objective.target.met_by(evaluation.value)
        return Evaluation(evaluation.at, Verdict.PASS if good else Verdict.FAIL, value=evaluation.value)
    if evaluation.value is None and evaluation.total is None:
        return evaluation
    return evaluate(objective, Measurement(evaluation.at, evaluation.value, evaluation.bad, evaluation.total))


def _unanswered(ledger: Ledger, memory: Recalled, last: int) -> AskedAt:
    """What the ledger has as unknown and Prometheus may answer yet, no further back than the window."""
    id_, since = memory.stored.id, last - memory.rollout.window.seconds
    internal = {o.name for o in memory.rollout.objectives if o.kind is Kind.INTERNAL}
    found: AskedAt = {}
    for grid, missing in (
        ("slot", ledger.unknown_slots(id_, since)),
        ("step", ledger.unknown_steps(id_, since)),
        ("slice", ledger.unknown_slices(id_, since)),
    ):
        for name, instants in missing.items():
            if name not in internal:
                found.update({(grid, name, at): 0.0 for at in instants})
    return found


def is_unanswered(measurement: Measurement | Evaluation) -> bool:
    """Whether asking again may help: nothing was measured, for a reason that later data can cure."""
    return (
        measurement.reason in ASKED_AGAIN
        and measurement.value is None
        and measurement.total is None
        and not measurement.silent
    )


def simulated(rollout: Rollout) -> bool:
    """Whether the rollout only observes: its flag follows at once and is written by nobody."""
    return rollout.mode is Mode.OBSERVE


def checkpoint_text(checkpoint: Checkpoint) -> str:
    """A checkpoint as text for the ledger."""
    return json.dumps({name: asdict(track) for name, track in checkpoint.tracks}, separators=(",", ":"))


def checkpoint_from(at: int, text: str) -> Checkpoint:
    """What `checkpoint_text` gave, back; floats survive to the bit."""
    tracks = []
    for name, data in json.loads(text).items():
        used, wealth, known = data.pop("detector")
        detector = detect.State(used, tuple(wealth), tuple((int(at), bool(failed)) for at, failed in known))
        opened = Breach(**data.pop("open")) if data.get("open") is not None else data.pop("open")
        recent = tuple((bool(known), str(reason)) for known, reason in data.pop("recent"))
        tracks.append((name, Track(detector=detector, open=opened, recent=recent, **data)))
    return Checkpoint(at, tuple(tracks))
