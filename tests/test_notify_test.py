"""`notify test`: a harmless message straight through every channel, and what each of them answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.answering import Reply, reply
from tests.everyone import CHANNELS, Everyone
from tests.pagerdutyserver import down
from tests.processes import Finished, Installation
from tests.slackserver import failing
from watchdog.cli import app
from watchdog.config import load_settings
from watchdog.config.notifysettings import NotifySettings
from watchdog.errors import ConfigError
from watchdog.intake import Intake
from watchdog.trial import Tried, Wish, configured, try_channels

NOWHERE = "http://127.0.0.1:9"
OWN_KEY = "0wnTeamsPagerDutyRoutingKey01234"


@pytest.fixture
def everyone(tmp_path: Path) -> Iterator[Everyone]:
    with Everyone(tmp_path) as everyone:
        yield everyone


def installed(everyone: Everyone, notify: str) -> Installation:
    return Installation(everyone.directory.parent, NOWHERE, notify=notify)


def asked_to_test(site: Installation, everyone: Everyone, *arguments: str) -> Finished:
    """The command, without its start-up time: in this process. Raises what `main` tells as a sentence."""
    environ = {**everyone.environ, "COLUMNS": "200"}
    done = CliRunner().invoke(app, ["--config", str(site.config), "notify", "test", *arguments], env=environ)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Finished(done.exit_code, done.stdout, done.stderr)


def tried(everyone: Everyone, *channels: str, within: float = 10.0, page: bool = False) -> dict[str, Tried]:
    """The channels tried in this process; mail is left out, whose certificate this process does not trust."""
    settings = NotifySettings.model_validate(loaded(everyone))
    wishes = [Wish(name, page=page) for name in channels]
    return {one.wish.channel: one for one in try_channels(settings, wishes, within)}


def loaded(everyone: Everyone) -> NotifySettings:
    return load_settings(installed(everyone, everyone.notify(timeout="1s")).config).notify


# --- what is sent -----------------------------------------------------------------------------------------------------


def test_every_channel_gets_one_harmless_message_and_its_answer_is_shown(everyone: Everyone) -> None:
    site = installed(everyone, everyone.notify())
    done = site.run("notify", "test", "--json", environ=everyone.environ)

    assert done.status == 0, done.out + done.err
    assert done.data["ok"] is True
    answers = {one["channel"]: one["answer"] for one in done.data["channels"]}
    assert answers == {
        "pagerduty": "a change event was accepted (202)",
        "slack": answers["slack"],
        "alertmanager": "took the alert SloWatchdogTest, which ends by itself in 60 s",
        "webhook": "took it (200)",
        "email": "took it for 1 of 1 addresses",
        "on_transition": "GitHub took the event slo-watchdog-test (204)",
    }
    assert answers["slack"].startswith("posted in C")
    assert set(done.data["channels"][0]) == {"channel", "rollout", "ok", "answer", "seconds"}

    assert (everyone.pagerduty.wakes, everyone.pagerduty.incidents, len(everyone.pagerduty.changes)) == (0, [], 1)
    (shown,) = everyone.slack.messages
    assert not shown.thread, "no rollout's message is opened for it"
    assert "Nothing has happened" in shown.words
    (mail,) = everyone.mail.mails
    assert mail["Subject"].startswith("[slo-watchdog] INFO: A test message of slo-watchdog")
    for server in (everyone.alertmanager, everyone.webhook, everyone.pipeline):
        assert len(server.asked) == 1
    assert everyone.webhook.asked[0].json["kind"] == "test"
    assert not (everyone.directory.parent / "watchdog.db").exists(), "nothing is recorded"


def test_the_table_names_channel_answer_and_seconds(everyone: Everyone) -> None:
    everyone.webhook.always(reply(404, b"[red]no such hook[/red]"))
    done = asked_to_test(installed(everyone, everyone.notify()), everyone)

    assert done.status == 1
    rows = {line.split()[0]: line for line in done.out.splitlines() if line.split()}
    assert set(CHANNELS) < set(rows)
    assert "FAILED" in rows["webhook"]
    assert "404" in rows["webhook"]
    assert "[red]no such hook[/red]" in done.out, "somebody else's text is shown, not obeyed"
    assert "ok" in rows["pagerduty"]


def test_one_channel_alone_is_tried(everyone: Everyone) -> None:
    done = asked_to_test(installed(everyone, everyone.notify()), everyone, "slack")
    assert done.status == 0
    assert len(everyone.slack.messages) == 1
    assert everyone.webhook.asked == []


def test_a_real_page_is_opened_as_info_and_ended_at_once_when_asked_for(everyone: Everyone) -> None:
    found = tried(everyone, "pagerduty", "webhook", page=True)
    assert found["pagerduty"].answer == (
        "slo-watchdog:test as info was accepted (202); the end of slo-watchdog:test was accepted (202)"
    )
    (incident,) = everyone.pagerduty.incidents
    assert (incident.severity, incident.open, len(incident.events)) == ("info", False, 2)
    assert everyone.pagerduty.changes == []
    assert len(everyone.webhook.asked) == 1


def test_a_page_that_could_not_be_ended_says_how_far_it_got(everyone: Everyone) -> None:
    everyone.pagerduty.next(None, down(503))
    found = tried(everyone, "pagerduty", page=True)["pagerduty"]
    assert not found.ok
    assert found.answer.startswith("slo-watchdog:test as info was accepted (202); PagerDuty (http://127.0.0.1:")
    assert everyone.pagerduty.open == ["slo-watchdog:test"]


def test_a_rollouts_own_routing_is_used_for_it(everyone: Everyone) -> None:
    site = installed(everyone, everyone.notify())
    key = everyone.directory / "own"
    key.write_text(OWN_KEY)
    everyone.pagerduty.keys.add(OWN_KEY)
    payments = everyone.slack.channels["payments"].id
    own = f"{{routing_key_file: {key}, slack_channel: {payments}, email_to: [team@example.com]}}"
    site.rollout("checkout-1", notify=own)

    done = asked_to_test(site, everyone, "--rollout", "checkout-1", "--json")

    assert done.status == 0, done.out + done.err
    assert everyone.pagerduty.asked[0].event["routing_key"] == OWN_KEY
    assert everyone.slack.messages[0].channel == payments
    assert everyone.mail.taken[0].to == ["team@example.com"]
    assert "the rollout checkout-1" in everyone.slack.messages[0].words
    assert OWN_KEY not in done.out


def test_the_hook_of_a_rollout_is_tried_where_the_settings_have_none(tmp_path: Path) -> None:
    with Everyone(tmp_path, without=CHANNELS) as everyone:
        site = installed(everyone, "{}")
        hook = {"url": f"{everyone.pipeline.url}/start", "secret_file": everyone.file("webhook")}
        site.rollout("checkout-1", notify=f"{{on_transition: {hook}}}")
        done = asked_to_test(site, everyone, "--rollout", "checkout-1", "--json")
        assert done.status == 0, done.out + done.err
        assert [one["channel"] for one in done.data["channels"]] == ["on_transition"]
        assert everyone.pipeline.asked[0].json["kind"] == "test"


def test_what_the_ledger_has_frozen_comes_before_the_file(everyone: Everyone) -> None:
    site = installed(everyone, everyone.notify())
    usual, payments = (channel.id for channel in everyone.slack.channels.values())
    site.rollout("checkout-1", notify=f"{{slack_channel: {payments}}}")
    ledger = site.ledger()
    Intake(load_settings(site.config), ledger, time.time).look(strict=True)
    ledger.close()
    site.rollout("checkout-1", notify=f"{{slack_channel: {usual}}}")

    assert asked_to_test(site, everyone, "slack", "--rollout", "checkout-1").status == 0
    assert everyone.slack.messages[0].channel == payments


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_channel_that_fails_hides_no_other_and_all_are_asked_at_once(everyone: Everyone) -> None:
    everyone.webhook.always(Reply(hang=True))
    everyone.slack.fail("chat.postMessage", failing("not_in_channel"))
    everyone.pagerduty.stop()
    found = tried(everyone, "pagerduty", "slack", "alertmanager", "webhook")
    assert [name for name, one in found.items() if one.ok] == ["alertmanager"]
    assert "could not be reached" in found["pagerduty"].answer
    assert "invite the app to the channel" in found["slack"].answer
    assert "no answer within 1 s" in found["webhook"].answer


def test_a_channel_that_hangs_beyond_all_its_timeouts_is_left_behind(everyone: Everyone) -> None:
    everyone.webhook.always(Reply(hang=True))
    found = tried(everyone, "webhook", within=0.2)["webhook"]
    assert found.answer == "webhook: no whole answer within 0.2 s; it may still arrive"


def test_a_message_that_slack_wants_in_a_simpler_layout_goes_out_in_it(everyone: Everyone) -> None:
    everyone.slack.fail("chat.postMessage", failing("invalid_blocks"))
    assert tried(everyone, "slack")["slack"].ok
    assert everyone.slack.messages[0].blocks == []


def test_a_key_that_is_none_is_the_answer_of_its_channel_only(everyone: Everyone) -> None:
    site = installed(everyone, everyone.notify())
    everyone.file("pagerduty", "not a key")
    done = asked_to_test(site, everyone, "--json")
    assert done.status == 1
    failed = [one for one in done.data["channels"] if not one["ok"]]
    assert [one["channel"] for one in failed] == ["pagerduty"]
    assert "expected an integration key of 32 letters and digits" in failed[0]["answer"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("pager",), "CHANNEL: found 'pager', expected one of pagerduty, slack, alertmanager"),
        (("webhook",), "webhook: it is not configured; write notify.webhook in watchdog.yaml. There are: slack"),
        (("--page",), "--page: is about pagerduty, which is not among what is tested here"),
        (("--rollout", "nobody"), "--rollout: found 'nobody', which neither ledger nor files have; known: none"),
    ],
    ids=["unknown", "not configured", "no pager", "no rollout"],
)
def test_what_cannot_be_tested_is_said_in_a_sentence(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    with Everyone(tmp_path, without=set(CHANNELS) - {"slack"}) as everyone:
        with pytest.raises(ConfigError) as caught:
            asked_to_test(installed(everyone, everyone.notify()), everyone, *arguments)
        assert str(caught.value).startswith(said)
        assert everyone.slack.messages == []


def test_without_any_channel_there_is_nothing_to_test(tmp_path: Path) -> None:
    done = Installation(tmp_path, NOWHERE).run("notify", "test")
    assert (done.status, done.out) == (2, "")
    assert done.err == (
        "slo-watchdog: notify: no channel is configured, so nobody hears of anything; "
        "write one below notify: in watchdog.yaml\n"
    )


def test_only_what_is_configured_counts(everyone: Everyone) -> None:
    assert configured(NotifySettings()) == ()
    assert configured(loaded(everyone)) == CHANNELS
