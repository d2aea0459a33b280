"""A tick's outcome as rows for the ledger."""

from __future__ import annotations

from dataclasses import replace

from watchdog.decide import Decision
from watchdog.gather import Batch
from watchdog.ledger import BreachFact, ExposureFact, ReadingFact, Record
from watchdog.model import Breach, Evaluation, Measurement, Verdict
from watchdog.recall import Recalled


def as_record(
    memory: Recalled,
    now: float,
    batch: Batch,
    opened: tuple[tuple[Breach, bool], ...],
    readings: list[ReadingFact],
    decision: Decision,
) -> Record:
    """One tick, ready to be recorded; `opened` are the breaches it decided on."""
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
        controls=[(n, _plain(m)) for n, ms in batch.facts.controls.items() for m in ms],
        steps=batch.measured("step"),
        slice_measurements=batch.measured("slice"),
        slices=[f.closed_slice for f in batch.found if f.closed_slice is not None],
        transitions=decision.transitions,
        breaches=_breaches(memory, now, batch, opened),
        exposures=exposure_facts(decision),
        readings=readings,
        notifications=decision.notifications,
        commands_done=decision.done,
        checkpoint=batch.checkpoint,
    )


def _plain(measurement: Measurement) -> Evaluation:
    """A control-cohort measurement as it is stored: figures, no judgement."""
    return Evaluation(
        measurement.at, Verdict.UNKNOWN, measurement.reason, measurement.value, measurement.bad, measurement.total
    )


def _breaches(memory: Recalled, now: float, batch: Batch, opened: tuple[tuple[Breach, bool], ...]) -> list[BreachFact]:
    facts = [BreachFact(breach, now, late) for breach, late in opened]
    for breach in batch.closed:
        known = memory.known_breaches.get((breach.objective, breach.at))
        facts.append(
            replace(known, breach=replace(known.breach, closed_at=breach.closed_at))
            if known is not None
            else BreachFact(breach, now)
        )
    return facts + batch.unconfirmed


def exposure_facts(decision: Decision) -> list[ExposureFact]:
    """The exposures that the decision asks for or confirms."""
    return [
        ExposureFact(float(at), "desired" if kind == "desired" else "confirmed", exposure)
        for at, kind, exposure in decision.exposures
    ]
