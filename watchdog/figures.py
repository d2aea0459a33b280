"""The figures of a run, live or replayed, as the plain data of `replay --json` and of the report. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from watchdog.model import Breach, Evaluation, Exposure, Phase, Rollout, Transition, Verdict
from watchdog.quantities import rfc3339
from watchdog.window import Window


@dataclass(slots=True)
class Tally:
    """Counts verdicts and gathers gaps, slot by slot, oldest first."""

    rollout: Rollout
    slots: int = 0
    counts: dict[str, dict[Verdict, int]] = field(default_factory=dict)
    reasons: dict[str, dict[str, int]] = field(default_factory=dict)
    gaps: list[tuple[int, int, str]] = field(default_factory=list)
    _open: dict[str, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for objective in self.rollout.objectives:
            self.counts[objective.name] = dict.fromkeys(Verdict, 0)
            self.reasons[objective.name] = {}

    def add(self, at: int, evaluations: Mapping[str, Evaluation]) -> None:
        """Count one slot."""
        self.slots += 1
        missing: set[str] | None = None
        for name, evaluation in evaluations.items():
            self.counts[name][evaluation.verdict] += 1
            reason = evaluation.reason
            if reason is not None:
                counted = self.reasons[name]
                counted[reason.value] = counted.get(reason.value, 0) + 1
                if not evaluation.measured:
                    missing = missing or set()
                    missing.add(reason.value)
        if missing or self._open:
            self._gaps(at, missing or set())

    def _gaps(self, at: int, missing: set[str]) -> None:
        for reason in list(self._open):
            run = self._open[reason]
            if reason not in missing or at - run[1] != self.rollout.interval:
                self.gaps.append((run[0], run[1], reason))
                del self._open[reason]
        for reason in missing:
            self._open.setdefault(reason, [at, at])[1] = at

    def all_gaps(self) -> list[tuple[int, int, str]]:
        """Maximal runs of slots with one reason, any objective, as (first, last, reason)."""
        return sorted([*self.gaps, *((run[0], run[1], reason) for reason, run in self._open.items())])

    def evaluations(self) -> dict[str, dict[str, object]]:
        """Verdict counts by objective, with the reasons of the unknown ones."""
        return {
            name: {**{verdict.value: counts[verdict] for verdict in Verdict}, "reasons": dict(self.reasons[name])}
            for name, counts in self.counts.items()
        }


def window_figures(rollout: Rollout, interim: Window, final: Window, final_at: int | None) -> dict[str, object]:
    """The `window` object of replay, status and report."""
    done = final_at if final_at is not None else final.completed_at
    return {
        "required": interim.required,
        "current": interim.current,
        "longest": interim.longest,
        "completed_at": _time(interim.completed_at),
        "idle": interim.idle,
        "unknown_s": interim.gap * rollout.interval,
        "resets": [
            {"at": rfc3339(reset.at), "objective": reset.objective, "why": reset.why} for reset in interim.resets
        ],
        "final": {"current": final.current, "completed_at": _time(done)},
    }


def figures(
    rollout: Rollout,
    span: tuple[float, float],
    phase: Phase,
    tally: Tally,
    window: dict[str, object],
    *,
    breaches: Sequence[Breach],
    exposure: Iterable[tuple[int, Exposure]],
    transitions: Sequence[Transition],
) -> dict[str, object]:
    """The object of `replay --json` (interface.md); `events` adds what happened without a change of phase."""
    told = [
        {
            "at": rfc3339(t.at),
            "kind": t.kind,
            "from": t.source.value,
            "to": t.target.value,
            "why": t.why,
            "by": t.by,
            "objective": t.objective,
        }
        for t in transitions
    ]
    return {
        "rollout": rollout.name,
        "from": rfc3339(span[0]),
        "to": rfc3339(span[1]),
        "interval_s": rollout.interval,
        "phase": phase.value,
        "slots": tally.slots,
        "evaluations": tally.evaluations(),
        "breaches": [{"objective": b.objective, "at": rfc3339(b.at), "why": b.why} for b in breaches],
        "window": window,
        "gaps": [{"from": rfc3339(a), "to": rfc3339(b), "reason": reason} for a, b, reason in tally.all_gaps()],
        "exposure": [{"at": rfc3339(at), "percent": e.percent, "cohort": e.cohort} for at, e in exposure],
        "transitions": [item for item in told if item["from"] != item["to"]],
        "events": [item for item in told if item["from"] == item["to"]],
    }


def _time(at: float | None) -> str | None:
    return rfc3339(at) if at is not None else None
