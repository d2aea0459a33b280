"""`noise list | label`: what fired, which of it was false, and what a person says of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchdog.alarms import Alarms
from watchdog.cli.remote import TokenFile, Url, daemon_at, steered_at
from watchdog.cli.shared import (
    AsJson,
    By,
    Config,
    Why,
    duration,
    instant,
    ledger_of,
    print_json,
    print_table,
    say_error,
    settings_of,
    who,
)
from watchdog.errors import ConfigError, Problem, Refused
from watchdog.noise.episodes import Label
from watchdog.noise.summary import Asked, label_row, pages_of, rows, summary
from watchdog.quantities import format_duration, format_share, rfc3339

if TYPE_CHECKING:
    from watchdog.client.shapes.alerts import EpisodeLabel, LabelEpisode

app = typer.Typer(help="Alerts: what fired, what was false, and what people say of it.", no_args_is_help=True)


@app.command("list")
def list_(
    ctx: typer.Context,
    since: Annotated[str, typer.Option("--since", help="how far back: a duration, or a time")] = "24h",
    service: Annotated[str | None, typer.Option("--service", help="what concerns this service only")] = None,
    as_json: AsJson = False,  # noqa: FBT002
    url: Url = None,
    token_file: TokenFile = None,
    config: Config = None,
) -> None:
    """What fired, newest last, with what it turned out to be.

    Examples: `slo-watchdog noise list`, `slo-watchdog noise list --since 7d --service checkout --json`.
    """
    now = time.time()
    first = instant(since, "--since") if "T" in since else now - duration(since, "--since")
    found: list[Any]
    told: Any
    if url is not None:
        with daemon_at(url, token_file) as client:
            told = client.noise(after=first, service=service)
            found = list(client.every_episode(after=first, service=service))[::-1]
    else:
        settings = settings_of(ctx, config)
        asked = Asked(settings.alerts.rule(), first, now, now, service)
        with ledger_of(settings) as ledger:
            known = Alarms().known(ledger, first, now)
            found = rows(pages_of(known, asked), known.said, now)
            told = summary(known, asked)
    if as_json:
        print_json({**told, "episodes": found})
        return
    print_table(["id", "began", "lasted", "alert", "service", "severity", "class", "why"], [_row(one) for one in found])
    _print(told)


@app.command()
def label(  # noqa: PLR0913, PLR0917 - the form typer wants
    ctx: typer.Context,
    episode: Annotated[str, typer.Argument(metavar="EPISODE", help="its id, as `noise list` shows it")],
    says: Annotated[Label, typer.Argument(metavar="LABEL", help="what it was")],
    reason: Why,
    by: By = None,
    at: Annotated[str, typer.Option("--at", help="when it was acknowledged or silenced")] = "now",
    as_json: AsJson = False,  # noqa: FBT002
    url: Url = None,
    token_file: TokenFile = None,
    config: Config = None,
) -> None:
    """Say what an episode was; the newest verdict counts. Exit: 0 recorded, 1 no such episode, 4 no daemon at --url.

    Examples: `slo-watchdog noise label a17 false_positive --reason "disk of a test machine"`,
    `slo-watchdog noise label a17 silenced --at 2026-11-22T09:05:00Z --reason "known, being fixed"`.
    """
    happened_at = instant(at, "--at")
    now = time.time()
    if happened_at > now:
        raise ConfigError([Problem("--at", "is in the future; it says when the thing was done")])
    said: Any
    if url is not None:
        said = _label_there(episode, says, reason, who(by), None if at == "now" else happened_at, url, token_file)
    else:
        with ledger_of(settings_of(ctx, config)) as ledger:
            try:
                said = label_row(ledger.label_episode(episode, says, who(by), reason, happened_at, now))
            except Refused as error:
                say_error(str(error))
                raise typer.Exit(1) from error
    if as_json:
        print_json(said)
    else:
        typer.echo(f"{said['episode']}: {said['label']}, by {said['by']}")


def _label_there(
    episode: str, says: Label, reason: str, by: str, at: float | None, url: str, token_file: Path | None
) -> EpisodeLabel:
    from watchdog.client import NotThere  # noqa: PLC0415 - most commands need no HTTP

    with steered_at(f"noise label {episode}", url, token_file) as client:
        order: LabelEpisode = {"label": says.value, "reason": reason, "by": by}
        if at is not None:
            order["at"] = rfc3339(at)
        try:
            return client.label_episode(episode, order)
        except NotThere as error:
            say_error(str(error))
            raise typer.Exit(1) from error


def _row(found: Any) -> list[str]:
    more = f" ({found['alerts']} alerts)" if found["alerts"] > 1 else ""
    says = f"{found['by']}: {found['why']}" if found["by"] not in ("", "rule") else found["why"]
    class_ = found["class"] if found["page"] else "no page"
    cells = (f"{found['alertname']}{more}", found["service"], found["severity"], class_, says)
    return [found["id"], found["started_at"], _lasted(found), *map(_shown, cells)]


def _lasted(found: Any) -> str:
    if found["ended_at"] is None:
        return "still"
    begin, end = (instant(found[name], name) for name in ("started_at", "ended_at"))
    return format_duration(round(end - begin))


def _shown(text: str) -> str:
    """Text of alerts and people, without what a terminal or the table would act on."""
    from rich.markup import escape  # noqa: PLC0415 - the daemon starts without it

    plain = "".join(sign if sign.isprintable() else " " for sign in text)
    return escape(plain) or "-"


def _print(told: dict[str, Any]) -> None:
    typer.echo(
        f"false alarms: {told['lower']} to {told['upper']} of {told['pages']} pages; {told['unclassified_young']} "
        f"unclassified and not older than {format_duration(told['grace_s'])}"
    )
    precision, recall = (told[name] for name in ("precision", "recall"))
    typer.echo(
        f"precision {format_share(precision) if precision is not None else 'unknown'}, "
        f"recall {format_share(recall) if recall is not None else 'unknown'} "
        f"({told['breaches_with_page']} of {told['breaches']} breaches)"
    )
    if told["heard_why"]:
        typer.echo(f"note: {told['heard_why']}")
