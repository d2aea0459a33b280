"""A tick's outcome as rows for the ledger."""

from __future__ import annotations

from dataclasses import replace

from watchdog import __version__
from watchdog.batch import Batch, Look
from watchdog.decide import Decision
from watchdog.evaluate import evaluate
from watchdog.ledger import BreachFact, ExposureFact, ReadingFact, Record
from watchdog.messages.transition import of_transitions
from watchdog.model import Breach, Mode, Notification, Transition
from watchdog.recall import Recalled
from watchdog.stamps import ENGINE, by_engine


def as_record(
    memory: Recalled,
    now: float,
    batch: Batch,
    opened: tuple[tuple[Breach, bool], ...],
    look: Look,
    decision: Decision,
) -> Record:
    """One tick, ready to be recorded; `opened` are the breaches it decided on, `look` the real flag."""
    control = decision.control
    evaluations = [(name, e) for found in batch.found for name, e in found.evaluations.items()]
    return Record(
        rollout_id=memory.stored.id,
        revision=memory.stored.revision,
        phase=control.phase,
        started_at=control.started_at,
        last_slot=memory.watch.at if memory.watch is not None else None,
        control=control.to_dict(),
        evaluations=evaluations,
        controls=[
            (name, evaluate(memory.rollout.objective(name), measurement))
            for name, measured in batch.facts.controls.items()
            for measurement in measured
        ],
        steps=batch.measured("step"),
        slice_measurements=batch.measured("slice"),
        slices=[f.closed_slice for f in batch.found if f.closed_slice is not None],
        transitions=(*_taken_over(memory, now), *decision.transitions),
        breaches=_breaches(memory, now, batch, opened, resumed=decision.resumed),
        exposures=_exposures(decision),
        readings=_readings(memory, now, look),
        notifications=_told(memory, decision),
        commands_done=decision.done,
        checkpoint=batch.checkpoint,
        attributions=tuple(batch.compared.values()),
        contributors=tuple(batch.contributed),
        caused_at=now,
    )


def as_settled(memory: Recalled, now: float, look: Look | None, decision: Decision) -> Record:
    """What the flag read right after it was written (None: it is simulated), ready to be recorded."""
    return Record(
        rollout_id=memory.stored.id,
        revision=memory.stored.revision,
        phase=decision.control.phase,
        control=decision.control.to_dict(),
        transitions=decision.transitions,
        exposures=_exposures(decision),
        readings=_readings(memory, now, look) if look is not None else (),
        notifications=_told(memory, decision),
    )


def _taken_over(memory: Recalled, now: float) -> tuple[Transition, ...]:
    """That another version of this program acts from now on: the figures and the report tell which judged what."""
    phase = memory.control.phase
    if memory.engine == __version__ or phase.terminal:
        return ()
    why = f"slo-watchdog {__version__} goes on where {memory.engine} stopped"
    return (Transition(now, ENGINE, phase, phase, why, by_engine(__version__)),)


def _told(memory: Recalled, decision: Decision) -> tuple[Notification, ...]:
    """What people are told, and pipelines of every transition. Observation tells nobody."""
    if memory.rollout.mode is not Mode.ACT:
        return decision.notifications
    name, desired = memory.rollout.name, decision.control.desired
    return (*decision.notifications, *of_transitions(name, decision.transitions, desired))


def _readings(memory: Recalled, now: float, look: Look) -> list[ReadingFact]:
    """What the flag service answered, when it differs from the last answer recorded."""
    if look.reading is None:
        fact = ReadingFact(now, error=look.error)
    else:
        fact = ReadingFact(now, look.reading.exposure, look.reading.version, look.reading.latch)
    last = memory.last_reading
    return [] if last is not None and replace(last, at=now) == fact else [fact]


def _breaches(
    memory: Recalled, now: float, batch: Batch, opened: tuple[tuple[Breach, bool], ...], *, resumed: bool
) -> list[BreachFact]:
    facts = [BreachFact(breach, now, late) for breach, late in opened]
    for breach in [*batch.closed, *(_ended_by_resume(memory) if resumed else ())]:
        known = memory.known_breaches.get((breach.objective, breach.at))
        facts.append(
            replace(known, breach=replace(known.breach, closed_at=breach.closed_at))
            if known is not None
            else BreachFact(breach, now)
        )
    return facts + batch.unconfirmed


def _ended_by_resume(memory: Recalled) -> list[Breach]:
    """A resume ends every open episode."""
    watch = memory.watch
    if watch is None:
        return []
    return [replace(track.open, closed_at=watch.at) for track in watch.tracks.values() if track.open is not None]


def _exposures(decision: Decision) -> list[ExposureFact]:
    """The exposures that the decision asks for or confirms."""
    return [
        ExposureFact(float(at), "desired" if kind == "desired" else "confirmed", exposure)
        for at, kind, exposure in decision.exposures
    ]
