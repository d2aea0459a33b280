"""What is on record of a rollout, for the lower half of its page: exposure, waits, breaches, messages, reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from watchdog.account import Account
from watchdog.flagsystem import PRIMARY
from watchdog.flagsystem.views import change_view
from watchdog.ledger import BreachFact, Delivery, StoredNotification
from watchdog.model import Command, Phase
from watchdog.quantities import format_number, rfc3339
from watchdog.stamps import time_of, waived
from watchdog.web.rolloutpage_view import address

Json = dict[str, Any]

MOST = 60
"""Rows of one list, the newest; what is left out is said, and the report has it."""

CHANGES = 30
INTENDED = "intended"


def record(account: Account, now: float) -> Json:
    """Everything but the glance. Asks the ledger and nobody else; raises LedgerError."""
    from watchdog.report.story import condensed, planned, waits  # noqa: PLC0415 - with the report comes a good deal

    stored, ledger = account.stored, account.ledger
    told = ledger.transitions(stored.id)
    end = now if not account.control.phase.terminal else float(stored.last_slot or now)
    facts = ledger.exposures(stored.id)
    points = [
        {
            "at": rfc3339(fact.at),
            "kind": {"desired": "asked for", "confirmed": "read back", "simulated": "simulated"}[fact.kind],
            "exposure": str(fact.exposure),
        }
        for fact in facts
    ]
    plan = [
        {"at": one["at"], "percent": f"{format_number(one['percent'])} %"}
        for one in planned(account.rollout, account.control.started_at)
    ]
    return {
        "chart": address(stored.name, "charts", "exposure"),
        "exposures": _newest(points),
        "planned": plan,
        "waits": _newest(waits(told, end)),
        "transitions": _newest(condensed(told)),
        "breaches": _newest([_breach(account, one) for one in account.breaches]),
        "notifications": _newest([_notification(one) for one in ledger.notifications_of(stored.id)]),
        "waivers": _waivers(account),
        "changes": {"rows": _changes(account), "left_out": 0},
        "commands": _newest([_command(one, said) for one, said in ledger.commands(stored.id)]),
        "reports": reports(account),
        "rule": {"text": stored.text, "sha256": stored.sha256, "file": stored.file},
    }


def _changes(account: Account) -> list[Json]:
    """The newest changes of the flag; one that was carried out is told once, not as intended before, too."""
    rows = [change_view(one) for one in account.ledger.flag_history(PRIMARY, account.stored.flag, CHANGES)]
    ended = {row["idem"] for row in rows if row["result"] != INTENDED}
    return [row for row in rows if row["result"] != INTENDED or row["idem"] not in ended]


def _newest(rows: Sequence[Json]) -> Json:
    """The newest rows first, and how many older ones were left out."""
    return {"rows": list(rows)[::-1][:MOST], "left_out": max(0, len(rows) - MOST), "total": len(rows)}


def _breach(account: Account, fact: BreachFact) -> Json:
    breach, control = fact.breach, account.control
    state = "not confirmed by settled data" if fact.unconfirmed else "over" if breach.closed_at is not None else "open"
    return {
        "objective": breach.objective,
        "href": address(account.stored.name, "objectives", breach.objective),
        "at": rfc3339(breach.at),
        "detected_at": time_of(fact.detected_at),
        "closed_at": time_of(breach.closed_at),
        "state": state + (", found afterwards" if fact.late else ""),
        "statistic": f"{format_number(breach.statistic)} of {format_number(breach.threshold)}",
        "detector": breach.detector,
        "why": breach.why,
        "took_back": (breach.objective, breach.at) == control.cause,
    }


def _command(one: Command, outcome: str | None) -> Json:
    told = {"id": one.id, "at": rfc3339(one.at), "verb": one.verb, "by": one.by}
    return {**told, "reason": one.reason, "outcome": outcome}


def _notification(stored: StoredNotification) -> Json:
    message = stored.notification
    return {
        "at": rfc3339(message.at),
        "kind": message.kind.replace("_", " "),
        "severity": message.severity.value,
        "summary": message.summary,
        "deliveries": [{"channel": one.channel, **_delivered(one)} for one in stored.deliveries],
    }


def _delivered(one: Delivery) -> Json:
    """How a channel fares with a message: a word, a time where there is one, and why where it is not plain."""
    if one.sent_at is not None:
        return {"state": "sent", "at": rfc3339(one.sent_at), "why": ""}
    if one.withheld:
        return {"state": "not told there", "at": None, "why": one.error}
    if one.superseded_by is not None:
        return {"state": "told by a newer message", "at": None, "why": ""}
    if one.given_up:
        return {"state": "given up", "at": None, "why": one.error}
    if one.next_try_at is not None:
        tried = f"tried {one.attempts} times" if one.attempts != 1 else "tried once"
        return {"state": "tried again", "at": rfc3339(one.next_try_at), "why": f"{tried}: {one.error}"}
    return {"state": "being sent" if one.started_at is not None else "waiting", "at": None, "why": one.error}


def _waivers(account: Account) -> list[Json]:
    """Those of the rule, which have no end, then those that somebody gave for the start."""
    nobody = {"by": None, "at": None, "until": None}
    written = [{"name": name, "reason": why, **nobody} for name, why in sorted(account.rollout.waive.items())]
    given = [said for one in account.ledger.waivers(account.stored.id) if (said := waived(one)) is not None]
    return written + given


def reports(account: Account) -> list[Json]:
    """Where the report is to be had: rebuilt now, and the frozen ones, by form."""
    base = f"/api/v1/rollouts/{quote(account.stored.name, safe='')}"
    found = [
        {"words": "Report", "href": f"{base}/report?format=html"},
        {"words": "Report as JSON", "href": f"{base}/report?format=json"},
        {"words": "Report as Markdown", "href": f"{base}/report?format=md"},
    ]
    if any(one.format == "bundle" for one in account.ledger.reports(account.stored.id)):
        found.append({"words": "Evidence bundle", "href": f"{base}/report?format=bundle"})
    return [
        *found,
        {"words": "Status as JSON", "href": base},
        {"words": "All transitions", "href": f"{base}/transitions"},
    ]


def started(account: Account) -> bool:
    """Whether there is anything measured to show."""
    return account.control.started_at is not None and account.control.phase is not Phase.PENDING
