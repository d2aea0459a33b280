"""Flags in words and tables: what they serve, who changed them, and what became of the log of changes."""

from __future__ import annotations

from typing import Any

import typer

from watchdog.cli.shared import print_table, say_error


def serves(found: dict[str, Any]) -> str:
    """What a flag serves, or why that cannot be read."""
    if found["percent"] is None:
        return str(found["error"])
    said = [f"{found['percent']:g}%", *(["the cohort"] if found["cohort"] else []), *found["audiences"]]
    latch = f", latched by the rollback of {found['latch']}" if found["latch"] else ""
    error = f" (recorded; now: {found['error']})" if found["error"] else ""
    return f"{' and '.join(said)}{latch}{error}"


def changed(found: dict[str, Any]) -> str:
    """The newest change."""
    last = found["last_change"]
    return "" if last is None else f"{last['at']} {last['action']} {last['result']} by {last['by']}"


def print_rollout(found: dict[str, Any]) -> None:
    """The rollout that steers a flag."""
    typer.echo(
        f"rollout {found['rollout']}: {found['phase']}, {found['strategy']}, step {found['step']} of {found['steps']}, "
        f"asked for {found['desired']:g}%{'' if found['confirmed'] else ', not confirmed yet'}"
    )
    if found["next"] is not None:
        when = f", not before {found['next']['not_before']}" if found["next"]["not_before"] else ""
        typer.echo(f"next step: {percent(found['next'])}{when}")
    for reason in found["waiting"]:
        typer.echo(f"waiting: {reason}")
    if found["hold"] is not None:
        hold = found["hold"]
        typer.echo(f"HELD since {hold['since']} by {hold['by']} ({hold['cause']}): {hold['why']}")


def print_history(found: list[dict[str, Any]]) -> None:
    """The changes as a table. An intention is left out where its outcome is there; --json has every row."""
    done = {one["idem"] for one in found if one["result"] != "intended"}
    rows = [
        (
            "" if one["version"] is None else str(one["version"]),
            f"{one['at'][:10]} {one['at'][11:19]}",
            f"{one['action']} {one['result']}",
            " -> ".join(percent(one[side]) for side in ("before", "after") if side == "after" or one["before"]),
            one["by"] if not one["rollout"] else f"{one['by']}, {one['rollout']}",
            f"{one['why']} ({one['error']})" if one["error"] else one["why"],
        )
        for one in found
        if one["result"] != "intended" or one["idem"] not in done
    ]
    print_table(("version", "at (UTC)", "what", "serves", "by", "why"), rows)


def percent(content: dict[str, Any] | None) -> str:
    """What a recorded content serves."""
    if content is None or content.get("percent") is None:
        return "?"
    besides = ["+cohort"] if content.get("cohort") else []
    besides += [f"+{name}" for name in content.get("audiences") or ()]
    return " ".join([f"{content['percent']:g}%", *besides])


def print_verification(said: dict[str, Any]) -> None:
    """What verifying the log found."""
    for one in said["findings"]:
        whose = f" ({one['service']}, flag {one['flag']})" if one["flag"] else ""
        say_error(f"flags verify: change {one['id']}{whose} {one['what']}")
    waiting = f"; {said['waiting']} more wait for the ledger" if said["waiting"] else ""
    wrong = len(said["findings"])
    verdict = f"{wrong} {'finding' if wrong == 1 else 'findings'}" if wrong else "the chain is whole"
    typer.echo(f"{said['rows']} changes: {verdict}; head {said['head'] or 'none'}{waiting}")
