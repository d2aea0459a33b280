"""The preflight's look at the channels: a test message to everybody who would be told, and what they answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.answering import reply
from tests.everyone import CHANNELS, Everyone
from tests.processes import Installation
from tests.rollouts import event
from watchdog.config import load_settings
from watchdog.preflight.ground import Ground
from watchdog.preflight.notifications import notifications

NOWHERE = "http://127.0.0.1:9"
OBSERVES = {"mode": "observe"}


@pytest.fixture
def everyone(tmp_path: Path) -> Iterator[Everyone]:
    """All channels but mail, whose certificate this process does not trust."""
    with Everyone(tmp_path, without={"email"}) as everyone:
        yield everyone


def installed(everyone: Everyone) -> Installation:
    return Installation(everyone.directory.parent, NOWHERE, notify=everyone.notify(timeout="2s"))


def rollout(site: Installation, name: str = "checkout-1", **keys: str) -> None:
    usual = {"interval": "30s", "delay": "30s", "window": "{slices: 48, slice: 1h}"}
    usual |= {"ramp": "{strategy: progressive, over: 7d, every: 1h}", "rollback": "{within: 15m}", "settle": "10m"}
    site.rollout(name, f"\n{event()}\n", **{**usual, **keys})


def look(site: Installation) -> dict[str, tuple[bool, str]]:
    """Check -> whether it holds and what was found, its rollout's name before it."""
    with Ground(load_settings(site.config)) as ground:
        found = {
            f"{rollout.name}: {check.name}" if rollout else check.name: (check.ok, check.found)
            for rollout, check in notifications(ground)
        }
        assert len(ground.configured) == len(list(ground.settings.path.parent.glob("rollouts/*.yaml")))  # type: ignore[union-attr]
        return found


def failed(site: Installation) -> dict[str, str]:
    return {name: found for name, (ok, found) in look(site).items() if not ok}


def test_every_channel_gets_a_test_message_and_its_answer_is_what_was_found(everyone: Everyone) -> None:
    site = installed(everyone)
    rollout(site)
    found = look(site)
    assert set(found) == {f"{name}: takes a test message" for name in set(CHANNELS) - {"email"}}
    assert all(ok for ok, _ in found.values())
    assert found["pagerduty: takes a test message"] == (True, "a change event was accepted (202)")
    assert everyone.pagerduty.incidents == []


def test_a_channel_that_does_not_take_it_fails_with_its_answer(everyone: Everyone) -> None:
    site = installed(everyone)
    rollout(site)
    everyone.webhook.always(reply(410))
    wrong = failed(site)
    assert list(wrong) == ["webhook: takes a test message"]
    assert "410" in wrong["webhook: takes a test message"]


def test_where_rollouts_tell_of_themselves_is_tried_once_for_all_of_them(everyone: Everyone) -> None:
    site = installed(everyone)
    usual, payments = (channel.id for channel in everyone.slack.channels.values())
    rollout(site, "checkout-1", notify=f"{{slack_channel: {payments}}}")
    rollout(site, "search-1", notify=f"{{slack_channel: {payments}}}", flag="new-search")
    rollout(site, "cart-1", notify=f"{{slack_channel: {usual}}}", flag="new-cart")
    everyone.slack.channels["payments"].archived = True

    wrong = failed(site)

    assert list(wrong) == [
        "checkout-1: slack: slack_channel takes a test message",
        "search-1: slack: slack_channel takes a test message",
    ]
    assert (
        "The rollout's notify.slack_channel names it." in wrong["checkout-1: slack: slack_channel takes a test message"]
    )
    assert len(everyone.slack.of("chat.postMessage")) == 2, "the daemon's channel, and the other one"


def test_a_routing_key_that_cannot_be_read_and_a_hook_that_is_gone_fail_for_their_rollout(everyone: Everyone) -> None:
    site = installed(everyone)
    hook = {"url": f"{everyone.webhook.url}/gone", "secret_file": everyone.file("webhook")}
    rollout(site, notify=json.dumps({"routing_key_file": "nowhere.pd", "on_transition": hook}))
    everyone.webhook.always(lambda asked: reply(404 if asked.target == "/gone" else 200))
    wrong = failed(site)
    assert list(wrong) == [
        "checkout-1: pagerduty: routing_key_file takes a test message",
        "checkout-1: on_transition: on_transition takes a test message",
    ]
    assert "No such file" in wrong["checkout-1: pagerduty: routing_key_file takes a test message"]


def test_routing_through_a_channel_that_nobody_configured_leads_nowhere(tmp_path: Path) -> None:
    with Everyone(tmp_path, without=set(CHANNELS) - {"webhook"}) as everyone:
        site = installed(everyone)
        rollout(site, notify='{slack_channel: "#team", email_to: team@example.com}')
        assert failed(site) == {
            "checkout-1: slack: slack_channel": "its notify.slack_channel leads nowhere: "
            "watchdog.yaml has no notify.slack",
            "checkout-1: email: email_to": "its notify.email_to leads nowhere: watchdog.yaml has no notify.email",
        }


@pytest.mark.parametrize("only", ["nobody", "on_transition"])
def test_a_rollout_that_acts_and_tells_nobody_fails(tmp_path: Path, only: str) -> None:
    """A pipeline is nobody: it wakes no one."""
    with Everyone(tmp_path, without=set(CHANNELS) - {only}) as everyone:
        site = installed(everyone)
        rollout(site)
        rollout(site, "search-1", flag="new-search", **OBSERVES)
        wrong = failed(site)
    assert list(wrong) == ["checkout-1: somebody hears of it"]
    assert "nobody would hear of a breach" in wrong["checkout-1: somebody hears of it"]


def test_where_everything_only_observes_nobody_has_to_hear_of_it(tmp_path: Path) -> None:
    with Everyone(tmp_path, without=CHANNELS) as everyone:
        site = installed(everyone)
        rollout(site, **OBSERVES)
        assert look(site) == {
            "somebody hears of it": (True, "no channel to people is configured, and no rollout acts"),
        }


def test_the_routing_of_a_rollout_that_only_observes_is_not_tried(everyone: Everyone) -> None:
    site = installed(everyone)
    rollout(site, notify="{slack_channel: C0NOWHERE}", **OBSERVES)
    assert failed(site) == {}
