"""A rollout as it is now, for channels that show it. Reads the ledger, never writes."""

from __future__ import annotations

from typing import Any

from watchdog.account import Account
from watchdog.ledger import Ledger, StoredRollout
from watchdog.messages import About, Message, View, rollout_links
from watchdog.model import Exposure

STRIP = 48
"""Slices that are shown, the newest."""


def view_of(ledger: Ledger, stored: StoredRollout, about: About, opened: tuple[Message, ...], now: float) -> View:
    """The rollout at wall time `now`; `opened` are its open incidents. Raises LedgerError, ConfigError."""
    account = Account(ledger, stored)
    status = account.status()
    window, exposure, hold = status["window"], status["exposure"], status["hold"]
    actual = exposure["actual"]
    return View(
        rollout=stored.name,
        service=stored.service,
        version=stored.version,
        flag=stored.flag,
        phase=str(status["phase"]),
        at=now,
        hold=f"{hold['why']} ({hold['cause'].replace('_', ' ')}, by {hold['by']})" if hold is not None else "",
        waiting=tuple(status["waiting"]),
        desired=str(account.control.desired),
        actual=_actual(exposure) if actual is not None else "",
        required=window["required"],
        current=window["current"],
        strip=tuple(one.verdict.value for one in account.slices[-STRIP:]),
        verdicts=tuple((o["name"], o["verdict"] or "", o["why"]) for o in status["objectives"]),
        links=rollout_links(about.external_url, stored.name),
        over=over(stored, opened),
        open=opened,
        rule=about.rule,
    )


def over(stored: StoredRollout, opened: tuple[Message, ...]) -> bool:
    """Whether nothing will change any more: the rollout has ended, and so has everything that was told of it."""
    return stored.phase.terminal and not opened


def _actual(exposure: dict[str, Any]) -> str:
    return str(Exposure(exposure["actual"]))
