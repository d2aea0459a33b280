"""`deployments`: which builds were handed in with a start, and what became of their rollouts. It changes nothing."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from watchdog.cli.shared import AsJson, Config, cell, known, ledger_of, print_json, print_table, settings_of
from watchdog.ledger import StoredDeployment, StoredRollout
from watchdog.quantities import rfc3339


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(deployments)


def deployments(
    ctx: typer.Context,
    rollout: Annotated[str | None, typer.Argument(metavar="[ROLLOUT]")] = None,
    as_json: AsJson = False,  # noqa: FBT002
    config: Config = None,
) -> None:
    """Which build each rollout watches, as `start --deployment` recorded it, and its phase; the newest first.

    Examples: `slo-watchdog deployments`, `slo-watchdog deployments checkout-2.14.0 --json`.
    """
    with ledger_of(settings_of(ctx, config)) as ledger:
        if rollout:
            known(ledger, rollout)
        rollouts = {stored.id: stored for stored in ledger.rollouts()}
        found = [(rollouts[number], one) for number, one in ledger.deployments() if number in rollouts]
    found = [pair for pair in found if rollout in (None, pair[0].name)]
    if as_json:
        print_json([_told(stored, one) for stored, one in found])
        return
    if not found:
        typer.echo("no deployment on record; `slo-watchdog start FILE --deployment deployment.json` records one")
        return
    columns = ("rollout", "phase", "environment", "colour", "commit", "digest", "by", "at")
    print_table(columns, [_row(stored, one) for stored, one in found])


def _told(stored: StoredRollout, one: StoredDeployment) -> dict[str, Any]:
    recorded = {"at": rfc3339(one.at), "by": one.by, "sha256": one.sha256}
    return {"rollout": stored.name, "phase": stored.phase.value, "recorded": recorded, "deployment": one.facts}


def _row(stored: StoredRollout, one: StoredDeployment) -> tuple[str, ...]:
    facts = one.facts
    what = (facts["environment"], facts["colour"], facts["commit"][:12], facts["digest"][:19], facts["by"], facts["at"])
    return tuple(cell(str(text)) for text in (stored.name, stored.phase.value, *what))
