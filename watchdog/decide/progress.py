"""Blindness, windows, sign-offs, and the only place where exposure rises."""

from __future__ import annotations

from watchdog.decide.details import of_objective
from watchdog.decide.draft import Draft, wait
from watchdog.decide.emergency import in_the_way
from watchdog.evaluate import sentence
from watchdog.model import (
    Phase,
    Reason,
    Severity,
    Verdict,
)
from watchdog.ramp import next_step, same
from watchdog.window import Reset


def tell_blindness(draft: Draft) -> None:
    """Page when an objective has been unknown for `blind_after`; say when it can be seen again."""
    seen, known = draft.seen, set(draft.control.blind)
    if seen.slot is None or not seen.live or draft.control.phase.terminal:
        return
    blind = {n for n, since in seen.unknown_since.items() if seen.slot - since >= draft.rollout.blind_after}
    fresh = sorted(blind - known)
    if fresh:
        why = "; ".join(_said(draft, name) for name in fresh)
        draft.tell("blind", f"cannot see: {why}")
        key = f"blind:{min(seen.unknown_since[name] for name in fresh)}:{','.join(fresh)}"
        details = of_objective(draft, fresh[0]) | {"objectives": fresh, "reason": why}
        details["since"] = min(seen.unknown_since[name] for name in fresh)
        draft.page("blind", key, Severity.CRITICAL, f"{draft.rollout.name}: cannot see: {why}", **details)
    again = sorted(name for name in known if name not in seen.unknown_since)
    if again:
        draft.tell("sighted", f"can see again: {', '.join(again)}")
    still = tuple(sorted((known | blind) - set(again)))
    if fresh or again:
        draft.change(blind=still)
    if again and not still:
        summary = f"{draft.rollout.name}: every objective can be seen again: {', '.join(again)}"
        draft.page("sighted", f"sighted:{seen.slot}", Severity.INFO, summary, objectives=again)


def _said(draft: Draft, name: str) -> str:
    evaluation = draft.seen.verdicts.get(name)
    return sentence(draft.rollout.objective(name), evaluation) if evaluation is not None else f"{name} was not judged"


def judge_windows(draft: Draft) -> None:
    """Tell resets, and sign off what is complete and settled."""
    _resets(draft)
    control, seen = draft.control, draft.seen
    required = draft.rollout.window.slices
    ramps = control.phase in (Phase.RAMPING, Phase.SOAKING)  # a feature that was taken back is signed off by nobody
    if ramps and control.interim_at is None and seen.interim.completed_at is not None and not seen.unsettled:
        draft.change(interim_at=seen.interim.completed_at)
        why = f"interim sign-off: {required} consecutive good slices at {control.desired}"
        draft.tell("interim", why)
        draft.page("interim", "interim", Severity.INFO, f"{draft.rollout.name}: {why}")
        draft.reports.append("interim")
    if draft.control.phase is not Phase.SOAKING or seen.final.current < required:
        return
    if control.hold is not None or seen.unsettled:
        return
    draft.change(final_at=seen.final.completed_at, breached=())
    why = f"signed off: {required} consecutive good slices at {control.desired}"
    draft.tell("signed_off", why, to=Phase.SIGNED_OFF)
    draft.page("signed_off", "signed_off", Severity.INFO, f"{draft.rollout.name} {why}")
    draft.reports.append("final")


def _resets(draft: Draft) -> None:
    told = draft.control.resets
    found = {(reset.at, reset.objective or ""): reset for reset in draft.seen.interim.resets}
    for key, reset in found.items():
        if key not in told:
            draft.tell("reset", f"window reset: {reset.why}", objective=reset.objective)
            _page_reset(draft, reset)
    for key in told:
        if key not in found:
            draft.tell("reset_withdrawn", "settled data took back the window reset of that time", objective=key[1])
    if tuple(found) != told:
        draft.change(resets=tuple(found))


def _page_reset(draft: Draft, reset: Reset) -> None:
    """Tell that the window starts again; quietly where a breach is told in the same breath."""
    if draft.control.phase not in (Phase.RAMPING, Phase.SOAKING):
        return
    told = any((breach.at, breach.objective) == (reset.at, reset.objective) for breach, _ in draft.seen.opened)
    severity = Severity.INFO if told else Severity.WARNING
    details = {} if reset.objective is None else of_objective(draft, reset.objective)
    details |= {"at": reset.at, "reason": reset.why}
    summary = f"{draft.rollout.name}: the window starts again: {reset.why}"
    draft.page("window_reset", f"window_reset:{reset.at}:{reset.objective or ''}", severity, summary, **details)


def soak_if_ramped(draft: Draft) -> None:
    """At the plan's end the rollout soaks."""
    control = draft.control
    if control.phase is Phase.RAMPING and control.confirmed and next_step(draft.rollout.ramp, control.desired) is None:
        draft.tell("step", f"at {control.desired}: soaking until the window is complete", to=Phase.SOAKING)


def step_if_due(draft: Draft) -> None:
    """The only place where exposure rises."""
    soak_if_ramped(draft)
    control, seen = draft.control, draft.seen
    step = next_step(draft.rollout.ramp, control.desired)
    if control.phase is not Phase.RAMPING or step is None or seen.slot is None or control.started_at is None:
        wait(draft, [])
        return
    last = control.last_step_at if control.last_step_at is not None else control.started_at
    if control.hold is not None or seen.slot - last < step.after:
        wait(draft, [])
        return
    if control.last_step_at is not None and seen.slot <= control.last_step_at:
        return
    reasons = _obstacles(draft)
    if reasons:
        wait(draft, reasons)
        return
    was = control.desired
    draft.change(last_step_at=seen.slot, waiting=(), waiting_for=())
    draft.desire(step.exposure)
    draft.tell("step", f"exposure from {was} to {step.exposure}")
    summary = f"{draft.rollout.name}: exposure {was} to {step.exposure}"
    moved = {"exposure_before": str(was), "exposure_after": str(step.exposure)}
    draft.page("step", f"step:{seen.slot}", Severity.INFO, summary, **moved)


def _obstacles(draft: Draft) -> list[tuple[str, str]]:
    """Everything that a due step waits for, each with its sentence."""
    control, seen = draft.control, draft.seen
    reasons = in_the_way(draft)
    if not seen.live:
        reasons.append(("live", "the newest slot is too old to act on"))
    for objective in draft.rollout.objectives:
        if not objective.gates:
            continue
        evaluation = seen.verdicts.get(objective.name)
        if evaluation is None:
            reasons.append((objective.name, f"{objective.name} has no verdict yet"))
        elif evaluation.verdict is not Verdict.PASS:
            if objective.uses_cohort and evaluation.reason is Reason.LOW_TRAFFIC:
                continue
            reasons.append((objective.name, sentence(objective, evaluation)))
    if not control.confirmed:
        reads = seen.reading.exposure if seen.reading is not None else "nothing"
        reasons.append(("flag", f"the flag reads {reads}, asked was {control.desired}"))
    elif draft.acts and (seen.reading is None or not same(seen.reading.exposure, control.desired, seen.smallest_step)):
        found = seen.reading.exposure if seen.reading is not None else seen.reading_error
        reasons.append(("flag", f"the flag does not read {control.desired}: {found}"))
    return reasons
