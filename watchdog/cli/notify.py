"""`notify test`: a harmless message through the channels, and what they answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from watchdog.cli.shared import AsJson, Config, cell, ledger_of, print_json, print_table, settings_of
from watchdog.config import load_all
from watchdog.config.settings import Settings
from watchdog.errors import ConfigError, Problem
from watchdog.model import NotifyRule, Rollout
from watchdog.rolloutfile import rollout_from_resolved

if TYPE_CHECKING:
    from watchdog.trial import Tried

app = typer.Typer(help="The channels by which people are told.", no_args_is_help=True)


@app.command("test")
def send_test(
    ctx: typer.Context,
    channel: Annotated[str | None, typer.Argument(metavar="[CHANNEL]", help="only this one (default: all)")] = None,
    rollout: Annotated[
        str | None, typer.Option("--rollout", help="go where this rollout's `notify:` says, not the settings'")
    ] = None,
    page: Annotated[  # noqa: FBT002
        bool, typer.Option("--page", help="PagerDuty: open an incident (severity info) and end it; may wake people")
    ] = False,
    as_json: AsJson = False,  # noqa: FBT002
    config: Config = None,
) -> None:
    """Send a harmless message and show each channel's answer. Exit: 0 all took it, 1 otherwise, 2 no such channel.

    It goes out directly, whether a daemon runs or not, and nothing of it is recorded. PagerDuty gets a change event,
    which wakes nobody; with --page a real incident of severity info, which is ended at once: whoever is on call may be
    notified, by the urgency rules of that service. Slack gets one message outside of all threads, Alertmanager an alert
    `SloWatchdogTest` that ends after a minute, mail, webhook and pipeline one message each.

    Examples: `slo-watchdog notify test`, `slo-watchdog notify test slack --rollout checkout-2.14.0`.
    """
    from watchdog.trial import Wish, try_channels  # noqa: PLC0415 - the daemon starts without it

    settings = settings_of(ctx, config)
    rule = _rule_of(settings, rollout) if rollout is not None else None
    names = _wanted(settings, channel, rule, page=page)
    url = settings.http.external_url or ""
    tried = try_channels(settings.notify, [Wish(name, rollout or "", rule, url, page) for name in names])
    if as_json:
        print_json({"ok": all(one.ok for one in tried), "channels": [_data(one) for one in tried]})
    else:
        print_table(["channel", "", "answer", "seconds"], [_row(one) for one in tried])
    raise typer.Exit(0 if all(one.ok for one in tried) else 1)


def _wanted(settings: Settings, channel: str | None, rule: NotifyRule | None, *, page: bool) -> tuple[str, ...]:
    """The channels to try. Raises ConfigError for one that is none or is not configured."""
    from watchdog.notifiers import CHANNELS  # noqa: PLC0415 - the daemon starts without it
    from watchdog.trial import PAGER, configured  # noqa: PLC0415 - the daemon starts without it

    there = configured(settings.notify, rule)
    if channel is not None and channel not in CHANNELS:
        raise ConfigError([Problem("CHANNEL", f"found {channel!r}, expected one of {', '.join(CHANNELS)}")])
    if not there:
        found = "no channel is configured, so nobody hears of anything; write one below notify: in watchdog.yaml"
        raise ConfigError([Problem("notify", found)])
    if channel is not None and channel not in there:
        found = f"it is not configured; write notify.{channel} in watchdog.yaml. There are: {', '.join(there)}"
        raise ConfigError([Problem(channel, found)])
    names = (channel,) if channel is not None else there
    if page and PAGER not in names:
        raise ConfigError([Problem("--page", f"is about {PAGER}, which is not among what is tested here")])
    return names


def _rule_of(settings: Settings, name: str) -> NotifyRule | None:
    """The `notify:` of a rollout: as it is frozen, else as its file says. Raises ConfigError, LedgerError."""
    with ledger_of(settings) as ledger:
        stored = ledger.rollout(name)
        if stored is not None:
            return rollout_from_resolved(stored.resolved, stored.text).notify
        names = {one.name for one in ledger.rollouts()}
    files = {item.name: item for _, item in load_all(settings) if isinstance(item, Rollout)}
    if name not in files:
        known = ", ".join(sorted(names | set(files))) or "none"
        raise ConfigError(
            [Problem("--rollout", f"found {name!r}, which neither ledger nor files have; known: {known}")]
        )
    return files[name].notify


def _data(one: Tried) -> dict[str, object]:
    wish = one.wish
    told = {"channel": wish.channel, "rollout": wish.rollout or None, "ok": one.ok, "answer": one.answer}
    return {**told, "seconds": round(one.seconds, 3)}


def _row(one: Tried) -> list[str]:
    return [one.wish.channel, "ok" if one.ok else "FAILED", cell(one.answer), f"{one.seconds:.1f}"]
