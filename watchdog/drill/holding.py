"""One drill from the settings: the flag service with its audit, the reader that belongs to it, the plan."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from random import Random

from watchdog.audit import open_changes
from watchdog.config.settings import Settings
from watchdog.drill.plan import Wish, bound_rollouts, make_plan, refuse_flag
from watchdog.drill.report import Report
from watchdog.drill.run import Drill, OnRun, no_reader, nobody_watches
from watchdog.flagsystem import open_flags
from watchdog.ledger import Ledger
from watchdog.model import Rollout
from watchdog.readers.base import ReaderError
from watchdog.readers.opening import open_reader, reader_name


def hold(
    settings: Settings,
    ledger: Ledger,
    configured: Sequence[Rollout],
    wish: Wish,
    *,
    random: Random | None = None,
    stop: threading.Event | None = None,
    on_run: OnRun = nobody_watches,
) -> Report:
    """Drill with what the settings name; `configured` are the rollouts of the files. Recorded, and told when it fails.

    Raises Refused for a flag that something uses or while another drill runs, LedgerError, and ConfigError.
    """
    plan = make_plan(settings, bound_rollouts(ledger, configured), wish)
    refuse_flag(plan.flag, ledger, configured)
    flags = open_flags(settings, open_changes(settings.ledger, ledger, time.time), time.time)
    service = flags.primary.acting("drill")
    name = settings.flags.service
    try:
        with open_reader(settings, service) as reader:
            drill = Drill(service, reader, ledger, plan, name=name, random=random or Random(), stop=stop)  # noqa: S311
            return drill.run(on_run)
    except ReaderError as error:
        return no_reader(ledger, plan, name, reader_name(settings), str(error), time.time())
