"""What the measurements say: a fold over slots into evaluations, breach episodes, slices and windows.

Everything here derives from measurements and from three kinds of facts about the rollout (when it started, when a
person resumed, which exposure was confirmed when), so it can be thrown away and folded again: after a restart, when
late data arrives, and in a replay. Nothing here decides or acts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from watchdog import detect
from watchdog.model import (
    Breach,
    Evaluation,
    Exposure,
    Measurement,
    Objective,
    ObjectiveSlice,
    Rollout,
    Slice,
)
from watchdog.track import Track, look, seen_by_blind, start_anew, take_step
from watchdog.window import Looked, Windows, combine, judge


@dataclass(frozen=True, slots=True)
class Slot:
    """All facts of one slot: raw evaluations, the detector steps that end at it, the pooled slice if it ends one.

    `excused` names internal objectives whose slot only the watchdog's own downtime left unmeasured.
    """

    at: int
    evaluations: Mapping[str, Evaluation]
    steps: Mapping[str, Measurement] = field(default_factory=dict)
    pooled: Mapping[str, Measurement] = field(default_factory=dict)
    excused: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Found:
    """What one slot added: evaluations as judged (a blind detector overrides), episodes, and the slice it closed."""

    at: int
    evaluations: Mapping[str, Evaluation]
    opened: tuple[Breach, ...] = ()
    closed: tuple[Breach, ...] = ()
    closed_slice: Slice | None = None


ExposureOver = Callable[[int, int], Exposure | None]
"""The confirmed exposure throughout (start, end], None when it changed inside or is not known."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The fold's memory at a slice's end, from which later slots can be folded again."""

    at: int
    tracks: tuple[tuple[str, Track], ...]


class Watch:
    """The fold itself, owned by one tick loop. Feed it slots in order; `rewind` it to a checkpoint to feed again."""

    def __init__(self, rollout: Rollout, started_at: float) -> None:
        self.rollout = rollout
        self.started_at = started_at
        self.tunings = {o.name: detect.tuning(rollout, o) for o in rollout.objectives}
        first = int(started_at)
        self.tracks = {o.name: Track(first, not_good=first) for o in rollout.objectives}
        self.at = first
        self.slices: list[Slice] = []
        self.windows = Windows(rollout)
        self._lanes = {o.name: (o, self.tunings[o.name], rollout.step_range(o.detector)) for o in rollout.objectives}
        self.latest: Mapping[str, Evaluation] = {}
        self.unknown = False
        """Whether an objective of the newest slot could not be measured."""
        self._unmeasured: list[int] = []
        self._breaches: list[Breach] = []

    def fold(self, slot: Slot, exposure_over: ExposureOver, *, settled: bool = True) -> Found:
        """Take one slot into account. `settled` is False while a slot of its slice may still be asked again."""
        opened: list[Breach] = []
        closed: list[Breach] = []
        judged: dict[str, Evaluation] = {}
        unmeasured = False
        steps, evaluations = slot.steps, slot.evaluations
        tracks = self.tracks
        for name, (objective, tuning, length) in self._lanes.items():
            track = tracks[name]
            if name in steps:
                breach = take_step(objective, tuning, length, track, steps[name])
                if breach is not None:
                    opened.append(breach)
            evaluation = evaluations.get(name)
            if evaluation is not None:
                if track.blind:
                    evaluation = seen_by_blind(track, evaluation)
                judged[name] = evaluation
                if not look(track, evaluation) and name not in slot.excused:
                    unmeasured = True
            if track.open is not None and self._over(track, slot.at):
                closed.append(replace(track.open, closed_at=slot.at))
                start_anew(track, slot.at)
        if unmeasured:
            self._unmeasured.append(slot.at)
        self.unknown = unmeasured
        self.at, self.latest = slot.at, judged
        for breach in opened:
            self._breaches.append(breach)
        return Found(slot.at, judged, tuple(opened), tuple(closed), self._close_slice(slot, exposure_over, settled))

    def _over(self, track: Track, at: int) -> bool:
        """Whether the open episode ends at this slot: nothing but good slots for `resume_after`."""
        opened = track.open.at if track.open is not None else at
        return at - max(track.not_good, opened) >= self.rollout.resume_after

    def resume(self, at: int) -> tuple[Breach, ...]:
        """A person resumed: every detector starts empty, open episodes end. Returns those."""
        closed = [replace(t.open, closed_at=at) for t in self.tracks.values() if t.open is not None]
        for track in self.tracks.values():
            start_anew(track, at)
        return tuple(closed)

    def open_objectives(self) -> frozenset[str]:
        """The objectives with an open breach episode."""
        return frozenset(name for name, track in self.tracks.items() if track.open is not None)

    def open_breaches(self) -> dict[str, Breach]:
        """The open breach episodes, by objective."""
        return {name: track.open for name, track in self.tracks.items() if track.open is not None}

    def unknown_since(self) -> dict[str, int]:
        """Since which slot each objective that is unknown now (low traffic apart) has been so.

        One about ourselves counts from its first verdict on: before, there was nothing to lose sight of (alerts are
        counted after an hour of hearing them, drills when there was one).
        """
        found = {name: t.unknown_since for name, t in self.tracks.items() if t.unknown_since is not None}
        first = self.started_at + self.rollout.interval
        never = (o.name for o in self.rollout.objectives if o.internal and found.get(o.name, first + 1) <= first)
        for name in never:
            del found[name]
        return found

    def _close_slice(self, slot: Slot, exposure_over: ExposureOver, settled: bool) -> Slice | None:  # noqa: FBT001
        length = self.rollout.window.slice
        if slot.at % length:
            return None
        start = slot.at - length
        closed = None
        if start >= self.started_at:
            breaches = tuple(b for b in self._breaches if start < b.at <= slot.at)
            parts = tuple(self._part(o, slot, breaches) for o in self.rollout.objectives)
            runs = _runs(self._unmeasured, self.rollout.interval)
            closed = Slice(
                slot.at,
                combine(part.verdict for part in parts),
                parts,
                runs,
                exposure_over(start, slot.at),
                settled,
                breaches,
            )
            closed = self.windows.add(closed)
            self.slices.append(closed)
        self._unmeasured.clear()
        self._breaches = [b for b in self._breaches if b.at > slot.at]
        for track in self.tracks.values():
            track.measured = track.passed = track.failed = 0
        return closed

    def _part(self, objective: Objective, slot: Slot, breaches: Iterable[Breach]) -> ObjectiveSlice:
        track = self.tracks[objective.name]
        looked = Looked(self.rollout.window.slice // self.rollout.interval, track.measured, track.failed, track.passed)
        breach = next((b for b in breaches if b.objective == objective.name), None)
        return judge(objective, looked, slot.pooled.get(objective.name), breach)

    def checkpoint(self) -> Checkpoint:
        """The memory as it is now; only meaningful at a slice's end, where no slice is half folded."""
        return Checkpoint(self.at, tuple((name, replace(track)) for name, track in self.tracks.items()))

    def rewind(self, checkpoint: Checkpoint | None, breaches: Sequence[tuple[Breach, bool]]) -> None:
        """Go back to a checkpoint (None: the start) to fold what follows again.

        `breaches` are those at or before it, with whether each took the flag back; the windows are folded anew.
        """
        at = checkpoint.at if checkpoint is not None else int(self.started_at)
        if checkpoint is not None:
            self.tracks = {name: replace(track) for name, track in checkpoint.tracks}
        else:
            self.tracks = {o.name: Track(at, not_good=at) for o in self.rollout.objectives}
        self.at = at
        self._unmeasured.clear()
        self._breaches = []
        self.load_slices([item for item in self.slices if item.end <= at], breaches)

    def load_slices(self, slices: Sequence[Slice], breaches: Sequence[tuple[Breach, bool]]) -> None:
        """Fold recorded slices into new windows, each breach at its place."""
        self.windows = Windows(self.rollout)
        self.slices = []
        waiting = sorted(breaches, key=lambda item: item[0].at)
        for item in slices:
            while waiting and waiting[0][0].at <= item.end:
                breach, took_back = waiting.pop(0)
                self.windows.break_at(breach, rolled_back=took_back)
            self.slices.append(self.windows.add(item))
        for breach, took_back in waiting:
            self.windows.break_at(breach, rolled_back=took_back)


def _runs(slots: Sequence[int], interval: int) -> tuple[tuple[int, int], ...]:
    runs: list[tuple[int, int]] = []
    for at in slots:
        if runs and at - runs[-1][1] == interval:
            runs[-1] = (runs[-1][0], at)
        else:
            runs.append((at, at))
    return tuple(runs)
