"""Flag services in the settings: what each needs, what belongs to another, and where emergency flags are."""

from __future__ import annotations

from pathlib import Path

import pytest

from watchdog.config import load_settings, revealed
from watchdog.config.flagsettings import ABILITIES, KEYS, PROPAGATION, FlagSettings
from watchdog.config.settings import Settings
from watchdog.errors import ConfigError
from watchdog.flags import SERVICES, open_service

HEAD = "prometheus: {url: http://127.0.0.1:9090}\n"


def settings(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> Settings:
    file = tmp_path / "watchdog.yaml"
    file.write_text(HEAD + text)
    return load_settings(file, environ or {})


def refusal(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as refused:
        settings(tmp_path, text)
    return str(refused.value)


def test_every_service_has_its_keys_and_its_propagation() -> None:
    assert set(SERVICES) == set(KEYS) == set(PROPAGATION)


COMPLETE = {
    "flagd-file": FlagSettings(),
    "memory": FlagSettings(service="memory"),
    "redis": FlagSettings(service="redis", url="redis://127.0.0.1:6379/0"),
    "unleash": FlagSettings(service="unleash", url="http://127.0.0.1:4242", token="t"),
    "launchdarkly": FlagSettings(service="launchdarkly", token="t", project="shop", environment="production"),
    "webhook": FlagSettings(service="webhook", url="http://127.0.0.1:1", secret="s"),
}


@pytest.mark.parametrize("name", SERVICES)
def test_what_the_rules_are_checked_against_is_what_the_service_can_do(name: str) -> None:
    can = open_service(COMPLETE[name]).capabilities
    assert ABILITIES[name] == (can.smallest_step, can.cohort, can.audiences)
    assert can.propagation == PROPAGATION[name]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("flags: {service: redis}", ["needs url", "redis://127.0.0.1"]),
        ("flags: {service: unleash, url: 'http://127.0.0.1:4242'}", ["needs token", "token_file"]),
        ("flags: {service: launchdarkly}", ["needs token"]),
        ("flags: {service: webhook, url: 'http://127.0.0.1:1'}", ["needs secret"]),
        ("flags: {service: redis, url: 'http://127.0.0.1:1'}", ["redis:// or rediss://"]),
        ("flags: {service: unleash, url: 'redis://127.0.0.1:1', token: t}", ["http:// or https://"]),
        ("flags: {service: flagd-file, token: t}", ["token belongs to service", "remove it"]),
        ("flags: {service: memory, path: x}", ["path belongs to service flagd-file"]),
        ("flags: {bucketing: flagd-v1}", ["flagd-v2", "flagd-v3"]),
        ("flags: {audiences: {internal: yes}}", ["internal", "JsonLogic"]),
        ("flags: {audiences: {'two words': {in: [a, b]}}}", ["letters, digits"]),
        ("flags: {audiences: {some: {fractional: [[on, 1]]}}}", ["fractional", "plain conditions"]),
        ("drill: {runs: 0}", ["drill.runs"]),
        ("drill: {reader: telnet}", ["drill.reader"]),
        ("services: {eu: {service: unleash}}", ["services.eu", "needs url"]),
        ("services: {eu: {servise: redis}}", ["services.eu.servise"]),
    ],
)
def test_what_a_service_cannot_work_with_is_refused_with_its_place(tmp_path: Path, text: str, words: list[str]) -> None:
    said = refusal(tmp_path, text)
    assert all(word in said for word in words), said


def test_a_password_in_an_address_is_refused_and_not_repeated(tmp_path: Path) -> None:
    said = refusal(tmp_path, "flags: {service: redis, url: 'redis://:hunter2@127.0.0.1:6379/0'}")
    assert "password_file" in said
    assert "hunter2" not in said


def test_secrets_of_every_service_can_stand_in_files(tmp_path: Path) -> None:
    (tmp_path / "flags.token").write_text("hunter1\n")
    (tmp_path / "eu.key").write_text("hunter2\n")
    found = settings(
        tmp_path,
        "flags: {service: unleash, url: 'http://127.0.0.1:4242', token_file: flags.token}\n"
        "services: {eu: {service: webhook, url: 'https://eu.example/flags', secret_file: eu.key}}\n",
    )
    assert revealed(found.flags.token) == "hunter1"
    assert revealed(found.services["eu"].secret) == "hunter2"
    assert "hunter" not in repr(found)


def test_a_secret_file_of_a_named_service_that_is_missing_is_said_with_its_place(tmp_path: Path) -> None:
    said = refusal(tmp_path, "services: {eu: {service: webhook, url: 'https://eu.example', secret_file: none.key}}")
    assert "services.eu.secret_file" in said


def test_paths_of_named_services_are_relative_to_the_settings(tmp_path: Path) -> None:
    found = settings(tmp_path, "services: {second: {path: flags/second.flagd.json}}")
    assert found.services["second"].path == tmp_path / "flags/second.flagd.json"


def test_the_environment_can_give_an_audience_and_a_url(tmp_path: Path) -> None:
    environ = {
        "WATCHDOG_FLAGS__AUDIENCES": '{"beta": {"in": ["beta", {"var": "groups"}]}}',
        "WATCHDOG_SERVE__LISTEN": "127.0.0.1:8016",
    }
    found = settings(tmp_path, "", environ)
    assert found.flags.audiences == {"beta": {"in": ["beta", {"var": "groups"}]}}
    assert found.serve.listen is not None
    assert found.serve.listen.port == 8016


def test_emergency_flags_are_in_a_set_of_their_own(tmp_path: Path) -> None:
    file = settings(tmp_path, "flags: {path: flags/checkout.flagd.json}").emergency_flags
    assert file.path == tmp_path / "flags/ops.flagd.json"
    redis = settings(tmp_path, "flags: {service: redis, url: 'redis://127.0.0.1:6379', set: checkout}").emergency_flags
    assert (redis.service, redis.set) == ("redis", "ops")
    webhook = settings(tmp_path, "flags: {service: webhook, url: 'http://127.0.0.1:1', secret: s}").emergency_flags
    assert (webhook.service, webhook.path) == ("flagd-file", tmp_path / "flags/ops.flagd.json")
    written = settings(tmp_path, "emergency: {path: switches.json}").emergency_flags
    assert written.path == tmp_path / "switches.json"
