"""Who hears of it, as it is written: `notify:` of a rollout, and the sections `notify` and `alerts` of the settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest

from watchdog.config import load_settings, revealed
from watchdog.config.settings import Settings
from watchdog.errors import ConfigError
from watchdog.model import NotifyRule, Quiet, Rollout, Severity, TransitionHook
from watchdog.rolloutfile import DaemonFacts, parse_rollout, rollout_from_resolved

MINIMAL = "prometheus: {url: http://127.0.0.1:9090}\n"
ROLLOUT = """rollout: r
service: s
version: v
flag: f
ramp: {strategy: all_at_once}
objectives:
  - {name: e, bad: b, total: t, at_most: 0.001, outside: true}
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    with chdir(tmp_path):
        yield tmp_path


def settings(text: str, **variables: str) -> Settings:
    Path("watchdog.yaml").write_text(MINIMAL + text)
    return load_settings(None, variables)


def rollout(notify: str, file: str = "/etc/watchdog/rollouts/r.yaml") -> Rollout:
    return parse_rollout(f"{ROLLOUT}notify: {notify}\n", file, DaemonFacts())


def refusals_of_rollout(notify: str) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as refused:
        rollout(notify, "r.yaml")
    return [(problem.place, problem.message) for problem in refused.value.problems]


def refusals_of_settings(text: str, **variables: str) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as refused:
        settings(text, **variables)
    return [(problem.place, problem.message) for problem in refused.value.problems]


# --- a rollout ------------------------------------------------------------------------------------------------------

FULL = """
  routing_key_file: ../secrets/checkout.pd
  slack_channel: "#checkout"
  email_to: [a@example.com, b@example.com]
  severities: {interim: none, blind: warning}
  quiet: {between: 22:00-07:00, zone: Europe/Berlin, below: warning}
  on_transition: {url: "https://ci.example/hook", style: github, token_file: /run/github}
"""


def test_a_rollout_says_all_of_it() -> None:
    assert rollout(FULL).notify == NotifyRule(
        "/etc/watchdog/rollouts/../secrets/checkout.pd",
        "#checkout",
        ("a@example.com", "b@example.com"),
        {"interim": "none", "blind": "warning"},
        Quiet(22 * 60, 7 * 60, "Europe/Berlin", Severity.WARNING),
        TransitionHook("https://ci.example/hook", "github", None, "/run/github"),
    )


def test_what_a_rollout_leaves_out_is_as_the_daemon_says() -> None:
    assert rollout("").notify is None
    assert rollout("{}").notify == NotifyRule()
    bare = rollout("{routing_key_file: null, slack_channel: null, quiet: null, on_transition: null}")
    assert bare.notify == NotifyRule()
    one = rollout("{email_to: a@example.com, quiet: {between: 7:05 - 23:00}}").notify
    assert one == NotifyRule(email_to=("a@example.com",), quiet=Quiet(425, 1380))


def test_it_is_frozen_with_the_rule() -> None:
    frozen = rollout(FULL)
    assert rollout_from_resolved(frozen.resolved, frozen.text).notify == frozen.notify
    old = rollout("")
    assert rollout_from_resolved(old.resolved.replace(', "notify": null', ""), old.text).notify is None


@pytest.mark.parametrize(
    ("notify", "place", "words"),
    [
        ("[slack]", "notify", "expected a mapping of keys"),
        ("{slack_chanel: '#a'}", "notify.slack_chanel", "did you mean 'slack_channel'?"),
        (
            "{pager: x}",
            "notify.pager",
            "known are email_to, on_transition, quiet, routing_key_file, severities, slack_channel",
        ),
        ("{slack_channel: '  '}", "notify.slack_channel", "found '  ', expected text"),
        ("{email_to: {a: b}}", "notify.email_to", "found a mapping, expected a list"),
        ("{email_to: [[a]]}", "notify.email_to", "found a list, expected text"),
        ("{severities: [blind]}", "notify.severities", "found a list, expected a mapping of keys"),
        ("{severities: {blnd: info}}", "notify.severities", "unknown kind of message 'blnd'; did you mean 'blind'?"),
        ("{severities: {transition: none}}", "notify.severities", "unknown kind of message 'transition'"),
        ("{severities: {7: info}}", "notify.severities", "unknown kind of message '7'"),
        (
            "{severities: {blind: error}}",
            "notify.severities",
            "found 'error' for blind, expected one of critical, warning, info, none",
        ),
        ("{severities: {blind: [info]}}", "notify.severities", "found a list for blind"),
        ("{quiet: 22:00-07:00}", "notify.quiet", "expected a mapping of keys"),
        ("{quiet: {}}", "notify.quiet", "between: found nothing, expected hours such as 22:00-07:00"),
        ("{quiet: {between: 22-7}}", "notify.quiet", "between: found '22-7', expected hours such as 22:00-07:00"),
        ("{quiet: {between: 22:00-24:00}}", "notify.quiet", "between: found '22:00-24:00'"),
        ("{quiet: {between: 22:60-07:00}}", "notify.quiet", "between: found '22:60-07:00'"),
        ("{quiet: {between: 07:00-07:00}}", "notify.quiet", "begins and ends at the same time"),
        ("{quiet: {between: 22:00-07:00, zone: Berlin}}", "notify.quiet", "zone: found 'Berlin', expected a time zone"),
        ("{quiet: {between: 22:00-07:00, zone: Europe}}", "notify.quiet", "zone: found 'Europe'"),
        ("{quiet: {between: 22:00-07:00, zone: ../../etc/passwd}}", "notify.quiet", "zone: found"),
        ("{quiet: {between: 22:00-07:00, zone: ''}}", "notify.quiet", "zone: found ''"),
        ("{quiet: {between: 22:00-07:00, zone: [UTC]}}", "notify.quiet", "zone: found a list"),
        (
            "{quiet: {between: 22:00-07:00, below: info}}",
            "notify.quiet",
            "below: found 'info', expected warning or critical",
        ),
        (
            "{quiet: {between: 22:00-07:00, days: mon}}",
            "notify.quiet",
            "unknown key days; expected between, zone and below",
        ),
        ("{on_transition: yes}", "notify.on_transition", "expected a mapping of keys"),
        (
            "{on_transition: {secret_file: s}}",
            "notify.on_transition.url",
            "is missing; write the address that takes the POST",
        ),
        (
            "{on_transition: {url: ci.example, secret_file: s}}",
            "notify.on_transition.url",
            "found 'ci.example', expected an address such as https://ci.example/hooks/rollout",
        ),
        ("{on_transition: {url: 'http://[::1', secret_file: s}}", "notify.on_transition.url", "expected an address"),
        ("{on_transition: {url: 'http://h:99999', secret_file: s}}", "notify.on_transition.url", "expected an address"),
        ("{on_transition: {url: 'http://h', style: gitlab}}", "notify.on_transition.style", "expected plain or github"),
        (
            "{on_transition: {url: 'http://h', style: github, secret_file: s}}",
            "notify.on_transition.token_file",
            "is missing; GitHub takes a repository_dispatch with a token only",
        ),
        (
            "{on_transition: {url: 'http://h'}}",
            "notify.on_transition.secret_file",
            "is missing; without a signature a pipeline could not tell who sent it",
        ),
        ("{on_transition: {url: 'http://h', secret_file: s, when: now}}", "notify.on_transition.when", "unknown key"),
    ],
)
def test_what_is_wrong_in_a_rollout_is_said_with_its_place(notify: str, place: str, words: str) -> None:
    ((where, message),) = refusals_of_rollout(notify)
    assert where == f"r.yaml: {place}"
    assert words in message


@pytest.mark.parametrize(
    ("notify", "place", "file"),
    [
        ("{routing_key: hunter2}", "notify.routing_key", "routing_key_file"),
        ("{token: hunter2}", "notify.token", "token_file"),
        (
            "{on_transition: {url: 'http://h', secret: hunter2, secret_file: s}}",
            "notify.on_transition.secret",
            "secret_file",
        ),
        (
            "{on_transition: {url: 'http://h', token: hunter2, secret_file: s}}",
            "notify.on_transition.token",
            "token_file",
        ),
        ("{on_transition: {url: 'http://u:hunter2@h', secret_file: s}}", "notify.on_transition.url", "token_file"),
        ("{on_transition: {url: 'ftp://u:hunter2@h', secret_file: s}}", "notify.on_transition.url", "expected"),
    ],
)
def test_a_secret_in_a_rollout_is_refused_and_not_repeated(notify: str, place: str, file: str) -> None:
    ((where, message),) = refusals_of_rollout(notify)
    assert where == f"r.yaml: {place}"
    assert file in message
    assert "hunter2" not in message


def test_everything_that_is_wrong_is_said_at_once() -> None:
    places = [where for where, _ in refusals_of_rollout("{email_to: 1.5, quiet: x, routing_key: k, on_transition: {}}")]
    assert "r.yaml: notify.quiet" in places
    assert "r.yaml: notify.routing_key" in places
    assert "r.yaml: notify.on_transition.url" in places


# --- the settings ---------------------------------------------------------------------------------------------------


def test_the_daemons_rule_is_for_rollouts_that_say_nothing(home: Path) -> None:
    found = settings("notify: {severities: {blind: warning}, quiet: {between: 22:00-07:00, zone: Europe/Berlin}}\n")
    assert found.notify.rule() == NotifyRule(severities={"blind": "warning"}, quiet=Quiet(1320, 420, "Europe/Berlin"))
    assert settings("").notify.rule() == NotifyRule()


def test_in_the_environment_mappings_are_json(home: Path) -> None:
    hours, levels = '{"between": "22:00-07:00"}', '{"blind": "warning"}'
    found = settings("", WATCHDOG_NOTIFY__QUIET=hours, WATCHDOG_NOTIFY__SEVERITIES=levels).notify
    assert found.rule() == NotifyRule(severities={"blind": "warning"}, quiet=Quiet(1320, 420))
    ((where, message),) = refusals_of_settings("", WATCHDOG_NOTIFY__QUIET="{between")
    assert where == "environment: WATCHDOG_NOTIFY__QUIET"
    assert "expected a mapping, or one as JSON" in message


def test_the_receiver_of_alerts_has_its_defaults(home: Path) -> None:
    alerts = settings("").alerts
    assert (alerts.token, alerts.pages, alerts.heartbeat, alerts.grace) == (None, ("critical", "page"), 900.0, 43_200.0)
    (home / "am.token").write_text("hunter2\n")
    told = settings("alerts: {token_file: am.token, pages: [p1], grace: 6h}\n").alerts
    assert (revealed(told.token), told.pages, told.grace) == ("hunter2", ("p1",), 21_600.0)


@pytest.mark.parametrize("written", ["5", '"5"'])
def test_the_budget_is_a_number_of_pages(home: Path, written: str) -> None:
    assert settings(f"notify: {{budget: {written}}}\n").notify.budget == 5


def test_files_are_relative_to_the_settings_file(home: Path) -> None:
    (home / "hook.secret").write_text("hunter2")
    found = settings(
        "notify: {on_transition: {url: 'http://ci.example', secret_file: hook.secret}}\n"
    ).notify.on_transition
    assert found is not None
    assert revealed(found.secret) == "hunter2"
    assert found.style == "plain"


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("{severities: {blnd: info}}", "notify.severities", "did you mean 'blind'?"),
        ("{severities: {blind: loud}}", "notify.severities", "found 'loud' for blind"),
        ("{severities: info}", "notify.severities", "expected a mapping of keys"),
        ("{quiet: {between: tonight}}", "notify.quiet", "expected hours such as 22:00-07:00"),
        (
            "{quiet: {between: 22:00-07:00, zone: Nowhere}}",
            "notify.quiet",
            "expected a time zone such as Europe/Berlin",
        ),
        ("{budget: 0}", "notify.budget", "found '0', expected a whole number of pages a day, 1 or more"),
        ("{budget: many}", "notify.budget", "found 'many'"),
        ("{budget: 2.5}", "notify.budget", "found '2.5'"),
        ("{budget: true}", "notify.budget", "found true"),
        ("{runbook_url: wiki}", "notify.runbook_url", "expected an address"),
        ("{pagerduty: {}}", "notify.pagerduty", "has no routing_key; write routing_key_file"),
        ("{slack: {token: x, channel: c, webhook_url: y}}", "notify.slack", "write exactly one of the two"),
        ("{slack: {token: x}}", "notify.slack", 'write for example channel: "#deploys"'),
        ("{alertmanager: {url: am}}", "notify.alertmanager.url", "expected an address"),
        ("{webhook: {secret: x}}", "notify.webhook.url", "is missing"),
        ("{on_transition: {secret: x}}", "notify.on_transition.url", "is missing"),
        ("{on_transition: {url: 'http://h'}}", "notify.on_transition", "has no secret; without a signature"),
        ("{on_transition: {url: 'http://h', style: github}}", "notify.on_transition", "has style: github and no token"),
        ("{on_transition: {url: 'http://h', style: curl, secret: x}}", "notify.on_transition.style", "plain or github"),
        ("{email: {smtp: mail, from: a, to: [b]}}", "notify.email.smtp", "expected HOST:PORT"),
        ("{email: {smtp: 'm:25', to: [b]}}", "notify.email.from", "is missing"),
        (
            "{email: {smtp: 'm:25', from: a, to: [b], security: none, username: u, password: hunter2}}",
            "notify.email",
            "has a password and security: none, which would send it in the clear; write starttls",
        ),
        (
            "{email: {smtp: 'm:25', from: a, to: [b], username: u}}",
            "notify.email",
            "has only one of username and password",
        ),
        (
            "{email: {smtp: 'm:25', from: a, to: [b], security: ssl}}",
            "notify.email.security",
            "starttls or tls or none",
        ),
        ("{pagerduty: {routing_key: [hunter2]}}", "notify.pagerduty.routing_key", "what was found is not shown"),
        ("{webhook: {url: 'http://u:hunter2@h'}}", "notify.webhook.url", "which would print"),
        ("{webhook: {url: 'ftp://u:hunter2@h'}}", "notify.webhook.url", "expected an address"),
    ],
)
def test_what_is_wrong_in_the_settings_is_said_with_its_place(home: Path, text: str, place: str, words: str) -> None:
    ((where, message),) = refusals_of_settings(f"notify: {text}\n")
    assert where == f"watchdog.yaml: {place}"
    assert words in message
    assert "hunter2" not in message


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("{token: ''}", "alerts.token"),
        ("{grace: soon}", "alerts.grace"),
        ("{heartbeat: 0}", "alerts.heartbeat"),
        ("{pages: [[a]]}", "alerts.pages"),
        ("{label: x}", "alerts.label"),
    ],
)
def test_what_is_wrong_with_the_receiver_is_said_with_its_place(home: Path, text: str, place: str) -> None:
    ((where, _),) = refusals_of_settings(f"alerts: {text}\n")
    assert where == f"watchdog.yaml: {place}"


def test_no_secret_of_a_channel_prints(home: Path) -> None:
    found = settings(
        "alerts: {token: hunter2}\n"
        "notify:\n"
        "  pagerduty: {routing_key: hunter2}\n"
        "  slack: {token: hunter2, channel: c}\n"
        "  alertmanager: {url: 'http://am', bearer_token: hunter2}\n"
        "  webhook: {url: 'http://h/hunter2', secret: hunter2}\n"
        "  email: {smtp: 'm:25', from: a, to: [b], username: u, password: hunter2}\n"
        "  on_transition: {url: 'http://h/hunter2', style: github, token: hunter2, secret: hunter2}\n"
    )
    shown = f"{found} {found!r} {found.notify} {found.notify!r} {found.alerts!r} {found.notify.on_transition}"
    assert "hunter2" not in shown
    assert revealed(found.alerts.token) == "hunter2"


def test_channels_that_are_written_are_no_warning(home: Path) -> None:
    assert settings("notify: {alertmanager: {url: 'http://am:9093'}, webhook: {url: 'http://h'}}\n").warnings == []
