"""Whether people would hear of it: a test message through every channel, and wherever a rollout tells of itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from watchdog.config.notifysettings import NotifySettings
from watchdog.flags.base import Check
from watchdog.model import Mode, Rollout
from watchdog.preflight.ground import Ground
from watchdog.trial import PIPELINES, TO_PEOPLE, Tried, Wish, configured, own_ways, try_channels

SOMEBODY = "somebody hears of it"
NOBODY = "no channel to people is configured: nobody would hear of a breach, or of a rollback"
WRITE_ONE = "write a channel below notify: in watchdog.yaml, or a reason in the rollout's waive.preflight"

Looked = Iterator[tuple[Rollout | None, Check]]


@dataclass(slots=True)
class _Way:
    """One place to which a message goes: the daemon's own of a channel, or that of these rollouts."""

    wish: Wish
    key: str
    rollouts: list[Rollout]


def notifications(ground: Ground) -> Looked:
    """Send the test messages, all at the same time, and show the answers. What only observes tells nobody."""
    settings = ground.settings.notify
    channels = configured(settings)
    telling = [rollout for rollout in ground.rollouts if rollout.mode is not Mode.OBSERVE]
    if not any(name in TO_PEOPLE for name in channels):
        for rollout in telling:
            yield rollout, Check(SOMEBODY, ok=False, found=NOBODY, todo=WRITE_ONE)
        if not telling:
            yield None, Check(SOMEBODY, ok=True, found="no channel to people is configured, and no rollout acts")
    for rollout in telling:
        yield from _leading_nowhere(settings, rollout)
    url = ground.settings.http.external_url or ""
    ways = [_Way(Wish(name, external_url=url), "", []) for name in channels]
    ways += _own(settings, telling, url)
    for way, tried in zip(ways, try_channels(settings, [way.wish for way in ways]), strict=True):
        check = _check(way, tried)
        yield from ((rollout, check) for rollout in way.rollouts or (None,))


def _leading_nowhere(settings: NotifySettings, rollout: Rollout) -> Looked:
    for channel, key, _ in own_ways(settings, rollout):
        if channel != PIPELINES and getattr(settings, channel) is None:
            found = f"its notify.{key} leads nowhere: watchdog.yaml has no notify.{channel}"
            yield rollout, Check(f"{channel}: {key}", ok=False, found=found, todo=f"write notify.{channel} there")


def _own(settings: NotifySettings, telling: list[Rollout], url: str) -> list[_Way]:
    """Where rollouts tell of themselves, each place once, whoever else tells there."""
    found: dict[tuple[str, object], _Way] = {}
    for rollout in telling:
        for channel, key, to in own_ways(settings, rollout):
            if channel in configured(settings, rollout.notify):
                wish = Wish(channel, rollout.name, rollout.notify, url)
                found.setdefault((channel, to), _Way(wish, key, [])).rollouts.append(rollout)
    return list(found.values())


def _check(way: _Way, tried: Tried) -> Check:
    channel = way.wish.channel
    name = f"{channel}: {way.key} takes a test message" if way.key else f"{channel}: takes a test message"
    again = f"slo-watchdog notify test {channel}" + (f" --rollout {way.wish.rollout}" if way.wish.rollout else "")
    return Check(name, tried.ok, tried.answer, "" if tried.ok else f"then try again: `{again}`")
