"""The drill itself: on for everybody, a random wait, decide, record, kill, read back, and what the reader is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from random import Random

from watchdog.drill.page import tell_result
from watchdog.drill.plan import Plan
from watchdog.drill.report import BLIND, BROKEN, LATE, PASSED, STOPPED, Report, Run
from watchdog.errors import FlagConflict, FlagServiceError, LedgerError
from watchdog.flags.base import Change, FlagService
from watchdog.ledger import DrillIntent, Ledger
from watchdog.model import NOBODY, Exposure
from watchdog.readers.base import Reader, Sight, wait_for
from watchdog.readers.opening import SERVICE

EVERYBODY = Exposure(100.0)
AGAIN = 1.0
"""Seconds between two tries of a kill that failed."""
LEAST_PHASE = 0.05
"""Seconds: the random wait before the kill covers a reader's poll interval, and this where there is none."""
HANDS_OFF = 0.02
"""Seconds after the kill for which the reader has this process to itself: elsewhere it has one of its own."""
SETTLE_WITHIN = 20.0
"""For how long switching the flag off is tried at the end of a drill that went wrong."""

OnRun = Callable[[int, int], None]


def nobody_watches(_done: int, _wanted: int) -> None:
    """Told after each run how many are done of how many."""


class Drill:
    """One drill of one flag. `reader` is open; `clock` gives wall time; every stage is read off one monotonic clock.

    Set `stop` to end it early: the flag is switched off all the same.
    """

    def __init__(
        self,
        service: FlagService,
        reader: Reader,
        ledger: Ledger,
        plan: Plan,
        *,
        name: str,
        random: Random,
        clock: Callable[[], float] = time.time,
        stop: threading.Event | None = None,
    ) -> None:
        self.service = service
        self.reader = reader
        self.ledger = ledger
        self.plan = plan
        self.name = name
        self.clock = clock
        self.stop = stop if stop is not None else threading.Event()
        self._random = random
        self._may_be_on = False
        self._id = 0

    def run(self, on_run: OnRun = nobody_watches) -> Report:
        """Drill until all runs are done, one has failed, or somebody stops it; the flag is off afterwards.

        What it found is recorded and told (`tell_result`). Raises LedgerError, and Refused while another drill of the
        flag runs.
        """
        plan, began = self.plan, self.clock()
        intent = DrillIntent(self.name, plan.flag, self.reader.name, plan.by, plan.why, plan.runs, plan.within)
        self._id = self.ledger.begin_drill(intent, began, plan.longest_run)
        runs: list[Run] = []
        left_on, crashed = "it was ended at once", True
        try:
            while len(runs) < plan.runs and not self.stop.is_set():
                runs.append(self._run(len(runs) + 1))
                on_run(len(runs), plan.runs)
                if runs[-1].result != PASSED:
                    break
            crashed = False
        finally:
            if crashed and not self.stop.is_set():
                runs.append(Run(len(runs) + 1, self.clock(), 0.0, {}, BLIND, "an error inside the drill ended it"))
            left_on = self._leave_off()
            report = self._report(began, [run for run in runs if run.result != STOPPED], left_on)
            self.ledger.finish_drill(
                self._id, self.clock(), passed=report.passed, worst=report.worst, report=report.as_data()
            )
            tell_result(self.ledger, report, self.clock())
        return report

    def _report(self, began: float, runs: list[Run], left_on: str) -> Report:
        return Report(
            self._id,
            began,
            self.name,
            self.reader.name,
            self._measured_to,
            self.plan,
            self.reader.poll,
            tuple(runs),
            stopped=self.stop.is_set(),
            left_on=left_on,
        )

    @property
    def _measured_to(self) -> str:
        if self.reader.name != SERVICE:
            return "reader"
        return "read_back" if self.service.capabilities.readable else "written"

    def _run(self, number: int) -> Run:
        began = self.clock()
        failed = self._switch_on(number)
        if failed is not None or self.stop.is_set():
            return Run(number, began, 0.0, {}, STOPPED if self.stop.is_set() else BLIND, failed or "")
        phase = self._random.uniform(0.0, max(self.reader.poll, LEAST_PHASE))
        if self.stop.wait(phase):
            return Run(number, began, phase, {}, STOPPED)
        return self._measure(number, phase)

    def _switch_on(self, number: int) -> str | None:
        """On for everybody, and seen on by the reader; what went wrong, None when nothing did."""
        plan = self.plan
        self._may_be_on = True
        try:
            self._set(self._change(EVERYBODY, number, "on"))
        except FlagServiceError as error:
            self._may_be_on = self._reads_on(otherwise=not error.permanent)
            return f"the flag could not be switched on, so nothing was measured: {error}"
        if self.reader.name == SERVICE:
            return None
        until = time.monotonic() + plan.on_patience
        seen, sight = wait_for(self.reader, plan.flag, until, self.stop, on=True)
        if seen is not None:
            return None
        found = sight.problem or "it said off"
        return (
            f"the reader {self.reader.name} did not see the flag on within {plan.on_patience:g} s, so nothing was "
            f"measured: {found}; see that it reads what {self.name} keeps"
        )

    def _reads_on(self, *, otherwise: bool) -> bool:
        """Whether the flag is on for anybody, `otherwise` when the service does not say."""
        try:
            return not self.service.read(self.plan.flag).exposure.none
        except FlagServiceError:
            return otherwise

    def _set(self, change: Change, tries: int = 3) -> None:
        """Set the flag; once more when somebody else wrote it at the same moment."""
        for left in reversed(range(tries)):
            try:
                self.service.set(self.plan.flag, change)
            except FlagConflict:
                if not left:
                    raise
            else:
                return

    def _measure(self, number: int, phase: float) -> Run:
        """The kill, stage by stage; the reader is watched from before the decision."""
        plan, stages = self.plan, dict[str, float]()
        change = self._change(NOBODY, number, "off")
        watching = self._watch(change.idem) if self._measured_to == "reader" else None
        at, decided = self.clock(), time.monotonic()
        until = decided + plan.patience
        try:
            self.ledger.touch_drill(self._id, at)
            stages["recorded"] = time.monotonic() - decided
            broken, version = self._kill(change, until)
            if not broken:
                stages["written"] = time.monotonic() - decided
                if watching is not None:
                    watching.join(HANDS_OFF)
                broken = self._read_back(stages, until)
        except LedgerError as error:
            broken, version = f"the kill could not be recorded: {error}", ""
        seen, sight = (None, Sight(None)) if watching is None else watching.end(until, give_up=bool(broken))
        if seen is not None:
            stages["reader"] = seen - decided
        result, why = self._judge(stages, sight, broken)
        return Run(number, at, phase, stages, result, why, version, sight.version)

    def _judge(self, stages: dict[str, float], sight: Sight, broken: str) -> tuple[str, str]:
        """The run's result, and why it is not `passed`."""
        plan, end = self.plan, stages.get(self._measured_to)
        if self.stop.is_set() and end is None:
            return STOPPED, ""
        if broken:
            return BROKEN, broken
        if end is None:
            told = (
                sight.problem or "it still said on" if sight.on is not False else "off, but by somebody else's change"
            )
            why = f"the reader {self.reader.name} was not told off within {plan.patience:g} s of the decision: {told}"
            return LATE, f"{why}; the bound is {plan.within:g} s"
        unmeasured = plan.propagation if self.reader.name == SERVICE else 0.0
        if end + unmeasured > plan.within:
            return LATE, f"off {end + unmeasured:.3g} s after the decision; the bound is {plan.within:g} s"
        return PASSED, ""

    def _kill(self, change: Change, until: float) -> tuple[str, str]:
        """Kill until it is acknowledged; what went wrong, and the version acknowledged."""
        while True:
            try:
                reading = self.service.kill(self.plan.flag, change)
            except FlagServiceError as error:
                wait = error.retry_after if error.retry_after is not None else AGAIN
                if error.permanent or time.monotonic() + wait > until or self.stop.wait(wait):
                    return f"the kill failed: {error}", ""
            else:
                self._may_be_on = not reading.exposure.none
                return "", reading.version

    def _read_back(self, stages: dict[str, float], until: float) -> str:
        """Stamp when the service itself says off, had it been asked at once; what went wrong."""
        asked = time.monotonic()
        if not self.service.capabilities.readable:
            self._may_be_on = False
            return ""
        while True:
            try:
                found = str(self.service.read(self.plan.flag).exposure)
                if found == str(NOBODY):
                    stages["read_back"] = stages["written"] + time.monotonic() - asked
                    return ""
            except FlagServiceError as error:
                found = str(error)
            if time.monotonic() + AGAIN > until or self.stop.wait(AGAIN):
                return f"the service acknowledged the kill, but its read-back says: {found}"

    def _watch(self, idem: str) -> _Watching:
        plan = self.plan
        watching = _Watching(self.reader, plan.flag, idem, time.monotonic() + plan.on_patience + plan.patience)
        watching.start()
        watching.began.wait(plan.on_patience)
        return watching

    def _leave_off(self) -> str:
        """Switch the flag off if it may be on; why it could not be done."""
        if not self._may_be_on:
            return ""
        change = self._change(NOBODY, 0, "end")
        until = time.monotonic() + SETTLE_WITHIN
        while True:
            try:
                self.service.kill(self.plan.flag, change)
            except FlagServiceError as error:
                if error.permanent or time.monotonic() + AGAIN > until:
                    return str(error)
                time.sleep(AGAIN)
            else:
                return ""

    def _change(self, exposure: Exposure, number: int, what: str) -> Change:
        plan = self.plan
        idem = f"drill:{self._id}:{number}:{what}:{int(self.clock() * 1000)}"
        return Change(exposure, (), plan.by, f"drill {self._id}: {plan.why}", idem=idem)


def no_reader(ledger: Ledger, plan: Plan, name: str, reader: str, why: str, now: float) -> Report:
    """Record, and tell of, a drill that could not begin for want of a reader. Raises LedgerError."""
    intent = DrillIntent(name, plan.flag, reader, plan.by, plan.why, plan.runs, plan.within)
    number = ledger.begin_drill(intent, now, 0.0)
    report = Report(number, now, name, reader, "reader", plan, 0.0, (Run(1, now, 0.0, {}, BLIND, why),))
    ledger.finish_drill(number, now, passed=False, worst=None, report=report.as_data())
    tell_result(ledger, report, now)
    return report


class _Watching(threading.Thread):
    """Watches a reader until it is told off, so that nothing else delays the stamp."""

    def __init__(self, reader: Reader, flag: str, idem: str, latest: float) -> None:
        super().__init__(name="drill-reader", daemon=True)
        self.began = threading.Event()
        self._reader = reader
        self._flag = flag
        self._idem = idem
        self._latest = latest
        self._enough = threading.Event()
        self._found: tuple[float | None, Sight] = (None, Sight(None))

    def run(self) -> None:
        self._found = (None, self._reader.is_on(self._flag))
        self.began.set()
        self._found = wait_for(self._reader, self._flag, self._latest, self._enough, on=False, idem=self._idem)

    def end(self, until: float, *, give_up: bool) -> tuple[float | None, Sight]:
        """When it was told off, waiting until the monotonic instant `until`; None when it was not."""
        if not give_up:
            self.join(max(0.0, until - time.monotonic()))
        self._enough.set()
        with suppress(RuntimeError):
            self.join()
        return self._found
