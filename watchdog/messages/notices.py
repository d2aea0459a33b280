"""The table of everything that people are told: one row for each kind of recorded notification.

`docs/notifications.md` shows this table, and a test holds the two together, row by row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from watchdog.messages.message import Effect
from watchdog.model import Severity


@dataclass(frozen=True, slots=True)
class Notice:
    """One kind of message. `cause` names its incident, with fields of the recorded details in braces."""

    kind: str
    when: str
    severity: Severity
    """The one it is recorded with, unless its decision knows better."""
    effect: Effect = Effect.TELL
    cause: str = ""
    broadcast: bool = False
    change: bool = False
    ends: tuple[str, ...] = ()
    """Further incidents that end with it, by what their cause begins with."""
    ends_all: bool = False
    """It closes every incident of the rollout that is still open, but those of deeds: they are still being tried."""


_CRITICAL, _WARNING, _INFO = Severity.CRITICAL, Severity.WARNING, Severity.INFO
_OPEN, _ESCALATE, _RESOLVE = Effect.OPEN, Effect.ESCALATE, Effect.RESOLVE
_BREACH, _DEED = "breach:{objective}", "deed:{service}:{flag}"

NOTICES: tuple[Notice, ...] = (
    Notice("start", "the watch begins", _INFO, change=True),
    Notice("step", "exposure goes one step up", _INFO, change=True),
    Notice(
        "hold", "the ramp is held, by a person, for drift or for an emergency", _CRITICAL, _OPEN, "hold", change=True
    ),
    Notice("resume", "a person resumed it", _INFO, _RESOLVE, "hold", change=True),
    Notice("blind", "an objective could not be judged for `blind_after`", _CRITICAL, _OPEN, "blind"),
    Notice("sighted", "every objective can be judged again", _INFO, _RESOLVE, "blind"),
    Notice(
        "breach", "an objective is breached and nothing is taken back for it", _CRITICAL, _OPEN, _BREACH, broadcast=True
    ),
    Notice("rollback", "a rollback is decided", _CRITICAL, _OPEN, _BREACH, broadcast=True, change=True, ends=("hold",)),
    Notice(
        "rollback_unconfirmed",
        "one minute later the flag does not read it",
        _CRITICAL,
        _ESCALATE,
        _BREACH,
        broadcast=True,
    ),
    Notice(
        "rollback_late",
        "at `rollback.within` the flag still does not read it",
        _CRITICAL,
        _ESCALATE,
        _BREACH,
        broadcast=True,
    ),
    Notice(
        "rolled_back",
        "the flag reads the rollback",
        _INFO,
        _OPEN,
        _BREACH,
        broadcast=True,
        change=True,
        ends=("hold", "blind", "drift", "drill", "channel"),
    ),
    Notice("contributors", "it is known who contributed most to a breach (`explain_by`)", _INFO, _OPEN, _BREACH),
    Notice("recovered", "the objective is good again", _INFO, _RESOLVE, _BREACH),
    Notice(
        "errors_continue",
        "the flag is off for `rollback.verify`, and the objective is no better",
        _CRITICAL,
        _ESCALATE,
        _BREACH,
        broadcast=True,
    ),
    Notice("drift", "the flag reads more than was asked for", _CRITICAL, _OPEN, "drift"),
    Notice("drift_over", "the flag reads what was asked for again", _INFO, _RESOLVE, "drift"),
    Notice("external_change", "somebody changed the flag after a rollback", _CRITICAL, _OPEN, "external_change"),
    Notice(
        "deed", "something else is done for safety: a secondary service, an emergency flag", _CRITICAL, _OPEN, _DEED
    ),
    Notice("deed_unconfirmed", "one minute later it is not confirmed", _CRITICAL, _ESCALATE, _DEED),
    Notice("deed_late", "at its deadline it still is not", _CRITICAL, _ESCALATE, _DEED),
    Notice("deed_done", "it is confirmed", _INFO, _RESOLVE, _DEED),
    Notice("flag_unreadable", "the flag service has not answered for a minute", _CRITICAL, _OPEN, "flag_service"),
    Notice("flag_readable", "it answers again", _INFO, _RESOLVE, "flag_service"),
    Notice("ledger_failing", "nothing could be recorded for a minute", _CRITICAL, _OPEN, "ledger"),
    Notice("ledger_working", "the ledger can be written again", _INFO, _RESOLVE, "ledger"),
    Notice("drill_failed", "a rollback drill failed or could not be made", _CRITICAL, _OPEN, "drill:{flag}"),
    Notice("drill_passed", "a drill of the same flag passed after one that had not", _INFO, _RESOLVE, "drill:{flag}"),
    Notice("waiver_ended", "what let it start without a preflight that held has ended", _WARNING),
    Notice("window_reset", "the window starts again", _WARNING),
    Notice("interim", "the first full window is good: interim sign-off", _INFO, broadcast=True, change=True),
    Notice("signed_off", "final sign-off", _INFO, broadcast=True, change=True, ends_all=True),
    Notice("stop", "a person stopped the watch", _INFO, change=True, ends_all=True),
    Notice(
        "channel_failing",
        "another channel refuses messages, or has taken none for ten minutes",
        _WARNING,
        _OPEN,
        "channel:{channel}",
    ),
    Notice("channel_working", "it takes messages again", _INFO, _RESOLVE, "channel:{channel}"),
    Notice("page_budget", "the pages that `notify.budget` allows in a day are used up", _WARNING),
    Notice("test", "`notify test`", _INFO),
)
TRANSITION = "transition"
"""The kind of what goes to pipelines: every transition, to `on_transition` and to nobody else."""

BY_KIND: Mapping[str, Notice] = {notice.kind: notice for notice in NOTICES}
UNKNOWN = Notice("", "a message of a newer version", _INFO)


def notice_of(kind: str) -> Notice:
    """The row of a kind; one without effect for what this version does not know."""
    return BY_KIND.get(kind, UNKNOWN)


def cause_of(kind: str, details: Mapping[str, object]) -> str:
    """The cause in a recorded notification: what its incident is named after; empty where there is none."""
    template = notice_of(kind).cause
    if template == _BREACH and not details.get("objective"):
        return "rollback"  # a person's, or an emergency's
    named = {name: str(details.get(name) or "unknown") for name in ("objective", "service", "flag", "channel")}
    return template.format_map(named)
