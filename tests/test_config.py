"""The daemon's settings: file, environment, secret files and directory; and the rollouts that they name."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest
from pydantic import SecretStr

from watchdog.config import load_all, load_settings, revealed, rollout_files
from watchdog.config.settings import Settings
from watchdog.errors import ConfigError
from watchdog.rolloutfile import DaemonFacts
from watchdog.rolloutfile.standard import rules_directory

DATA = Path(__file__).parent / "data"
MINIMAL = "prometheus: {url: http://127.0.0.1:9090}\n"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A directory of its own, so that places are short: `watchdog.yaml: http.listen`."""
    with chdir(tmp_path):
        yield tmp_path


def settings(text: str, **variables: str) -> Settings:
    Path("watchdog.yaml").write_text(text)
    return load_settings(None, variables)


def problems(text: str, **variables: str) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as refused:
        settings(text, **variables)
    return [(problem.place, problem.message) for problem in refused.value.problems]


def refused(text: str, place: str, *words: str, **variables: str) -> None:
    found = problems(text, **variables)
    assert [where for where, _ in found] == [place], found
    for word in words:
        assert word in found[0][1], found


# The file


def test_the_contracts_example_loads_as_printed(home: Path) -> None:
    (home / "pd.key").write_text("routing\n")
    (home / "slack.token").write_text("xoxb-1\n")
    found = settings((DATA / "contract-watchdog.yaml").read_text())
    assert found.path == home / "watchdog.yaml"
    assert found.prometheus.url == "http://127.0.0.1:9090"
    assert (found.prometheus.timeout, found.prometheus.scrape_interval) == (5, 15)
    assert found.ledger == f"sqlite:///{home}/watchdog.db"
    assert found.rollouts == (home / "rollouts/*.yaml",)
    assert found.reports.dir == home / "reports"
    assert found.http.listen == ("127.0.0.1", 8799)
    assert found.http.external_url is None
    assert found.http.token is None
    assert (found.flags.service, found.flags.path, found.flags.timeout) == (
        "flagd-file",
        home / "flags/checkout.flagd.json",
        5,
    )
    assert found.notify.pagerduty is not None
    assert revealed(found.notify.pagerduty.routing_key) == "routing"
    assert found.notify.slack is not None
    assert (revealed(found.notify.slack.token), found.notify.slack.channel) == ("xoxb-1", "#deploys")
    assert found.tick_deadline == 10
    assert (found.log.format, found.log.level) == ("json", "info")


def test_only_the_address_of_prometheus_must_be_given(home: Path) -> None:
    found = settings(MINIMAL)
    assert found.ledger == f"sqlite:///{home}/watchdog.db"
    assert found.rollouts == (home / "rollouts/*.yaml",)
    assert found.reports.dir == home / "reports"
    assert found.flags.path == home / "flags/flags.flagd.json"
    assert found.warnings == []


def test_every_commented_key_of_the_contract_is_taken(home: Path) -> None:
    for name in ("bearer", "secret"):
        (home / name).write_text(name)
    found = settings(
        "prometheus:\n  url: https://prom.example/base/\n  bearer_token_file: bearer\n  ca_file: ca.pem\n"
        "  cert_file: cert.pem\n  key_file: key.pem\n  headers: {X-Scope-OrgID: shop}\n"
        "ledger: postgresql+psycopg://watchdog:pw@db/watchdog\n"
        "http: {listen: '[::1]:0', external_url: 'https://watchdog.example/', token: t0ken}\n"
        "flags: {service: memory, propagation: 2m}\n"
        "notify:\n  alertmanager: {url: 'http://am:9093'}\n  webhook: {url: 'http://hook/x', secret_file: secret}\n"
        "  email: {smtp: 'mail:587', from: w@x, to: [a@x, b@x]}\n  slack: {webhook_url: 'https://hooks/x'}\n"
        "log: {format: console, level: debug}\n"
    )
    assert found.prometheus.url == "https://prom.example/base"
    assert revealed(found.prometheus.bearer_token) == "bearer"
    assert found.prometheus.ca_file == home / "ca.pem"
    assert revealed(found.prometheus.headers["X-Scope-OrgID"]) == "shop"
    assert found.ledger == "postgresql+psycopg://watchdog:pw@db/watchdog"
    assert found.http.listen == ("::1", 0)
    assert revealed(found.http.token) == "t0ken"
    assert found.facts().propagation == 120
    assert found.notify.webhook is not None
    assert revealed(found.notify.webhook.secret) == "secret"
    assert found.notify.email is not None
    assert found.notify.email.to == ("a@x", "b@x")


def test_relative_paths_are_relative_to_the_file_wherever_they_were_written(home: Path) -> None:
    (home / "etc").mkdir()
    (home / "etc/w.yaml").write_text(MINIMAL)
    found = load_settings(
        Path("etc/w.yaml"), {"WATCHDOG_FLAGS__PATH": "f.json", "WATCHDOG_LEDGER": "sqlite:////var/w.db"}
    )
    assert found.reports.dir == home / "etc/reports"
    assert found.flags.path == home / "etc/f.json"
    assert found.ledger == "sqlite:////var/w.db"
    assert found.directory == home / "etc"


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("log: {}\n", "prometheus", ["is missing", "url"]),
        ("prometheus: {}\n", "prometheus.url", ["is missing", "http://127.0.0.1:9090"]),
        ("prometheus: {url: 127.0.0.1:9090}\n", "prometheus.url", ["expected an address"]),
        ("prometheus: {url: 'http://u:hunter2@x:9090'}\n", "prometheus.url", ["password_file"]),
        ("prometheus: {url: 'ftp://u:hunter2@x'}\n", "prometheus.url", ["expected an address"]),
        ("prometheus: [x]\n", "prometheus", ["expected a mapping"]),
        (MINIMAL + "ledgr: x\n", "ledgr", ["did you mean 'ledger'"]),
        (MINIMAL + "_env_file: /etc/passwd\n", "_env_file", ["unknown key"]),
        (MINIMAL + "__pydantic_self__: x\n", "__pydantic_self__", ["unknown key"]),
        (MINIMAL + "http: {lisen: x}\n", "http.lisen", ["did you mean 'listen'"]),
        (MINIMAL + "http: {listen: 8799}\n", "http.listen", ["HOST:PORT"]),
        (MINIMAL + "http: {listen: 'x:70000'}\n", "http.listen", ["HOST:PORT"]),
        (MINIMAL + "http: {token: ''}\n", "http.token", ["expected text"]),
        (MINIMAL + "ledger: mysql://u:hunter2@x\n", "ledger", ["'mysql'", "sqlite:///FILE"]),
        (MINIMAL + "ledger: postgresql://x/y\n", "ledger", ["write postgresql+psycopg://"]),
        (MINIMAL + "ledger: 'sqlite:///:memory:'\n", "ledger", ["forgets everything"]),
        (MINIMAL + "tick_deadline: fast\n", "tick_deadline", ["duration"]),
        (MINIMAL + "tick_deadline: 0s\n", "tick_deadline", ["above 0"]),
        (MINIMAL + "flags: {service: flipt}\n", "flags.service", ["flagd-file", "redis", "unleash"]),
        (MINIMAL + "flags: {timeout: -1s}\n", "flags.timeout", ["duration"]),
        (MINIMAL + "log: {level: loud}\n", "log.level", ["debug or info"]),
        (MINIMAL + "log: {format: xml}\n", "log.format", ["json or console"]),
        (MINIMAL + "rollouts: {a: b}\n", "rollouts", ["expected a list"]),
        (MINIMAL + "notify: {pager: {}}\n", "notify.pager", ["did you mean 'pagerduty'"]),
        (MINIMAL + "notify: {pagerduty: {url: null}}\n", "notify.pagerduty", ["routing_key_file"]),
        (MINIMAL + "notify: {slack: {channel: x}}\n", "notify.slack", ["token_file", "webhook_url_file"]),
        (MINIMAL + "notify: {slack: {token: x}}\n", "notify.slack", ["channel"]),
        (MINIMAL + "notify: {alertmanager: {}}\n", "notify.alertmanager.url", ["is missing"]),
        (
            MINIMAL + "notify: {email: {smtp: 'm:25', to: [a]}}\n",
            "notify.email.from",
            ["is missing", "the sender's address"],
        ),
        (MINIMAL + "log: {level: info}\nlog: {level: debug}\n", "log", ["written twice"]),
        ("prometheus: {url: http://x, username: u}\n", "prometheus", ["only one of username and password"]),
        ("prometheus: {url: http://x, cert_file: c}\n", "prometheus", ["only one of cert_file and key_file"]),
        (
            "prometheus: {url: http://x, bearer_token: t, username: u, password: hunter2}\n",
            "prometheus",
            ["one of them"],
        ),
        ("prometheus: {url: http://x, headers: {'a b': c}}\n", "prometheus.headers", ["a header's name"]),
    ],
)
def test_a_wrong_setting_is_refused_with_its_place(home: Path, text: str, place: str, words: list[str]) -> None:
    refused(text, f"watchdog.yaml: {place}", *words)
    assert "hunter2" not in str(problems(text))


def test_everything_wrong_is_said_at_once(home: Path) -> None:
    text = "prometheus: {}\nhttp: {listen: x, token_file: absent}\nlog: {level: loud}\nfoo: 1\n"
    found = problems(text, WATCHDOG_TICK_DEADLINE="soon", WATCHDOG_HTPP__LISTEN="x")
    assert {place for place, _ in found} == {
        "environment: WATCHDOG_HTPP__LISTEN",
        "environment: WATCHDOG_TICK_DEADLINE",
        "watchdog.yaml: http.token_file",
        "watchdog.yaml: prometheus.url",
        "watchdog.yaml: http.listen",
        "watchdog.yaml: log.level",
        "watchdog.yaml: foo",
    }


def test_broken_yaml_names_line_and_column(home: Path) -> None:
    refused("prometheus: {url: [\n", "watchdog.yaml: line 2, column 1", "not valid YAML")


def test_without_any_settings_the_ways_to_give_them_are_named(home: Path) -> None:
    with pytest.raises(ConfigError, match=r"--config FILE or WATCHDOG_CONFIG, or write one with slo-watchdog init"):
        load_settings(None, {})


def test_a_file_that_is_not_there_is_named(home: Path) -> None:
    for given, variables in ((Path("absent.yaml"), {}), (None, {"WATCHDOG_CONFIG": "absent.yaml"})):
        with pytest.raises(ConfigError, match=r"absent.yaml: cannot be read \(No such file"):
            load_settings(given, variables)


# The environment


def test_the_environment_wins_over_the_file(home: Path) -> None:
    found = settings(
        MINIMAL + "tick_deadline: 5s\nhttp: {listen: 127.0.0.1:1, external_url: http://kept}\n",
        WATCHDOG_TICK_DEADLINE="7s",
        WATCHDOG_HTTP__LISTEN="0.0.0.0:80",
        WATCHDOG_ROLLOUTS="a.yaml,b/*.yaml",
        WATCHDOG_PROMETHEUS__HEADERS='{"X-Scope-OrgID": "shop"}',
        watchdog_log__level="debug",
    )
    assert found.tick_deadline == 7
    assert found.http.listen == ("0.0.0.0", 80)  # noqa: S104 - read, not bound
    assert found.http.external_url == "http://kept"
    assert found.rollouts == (home / "a.yaml", home / "b/*.yaml")
    assert revealed(found.prometheus.headers["X-Scope-OrgID"]) == "shop"
    assert found.log.level == "debug"


def test_everything_can_come_from_the_environment(home: Path) -> None:
    found = load_settings(
        None,
        {
            "WATCHDOG_PROMETHEUS__URL": "http://prom:9090",
            "WATCHDOG_PROMETHEUS__HEADERS__X-TENANT": "shop",
            "WATCHDOG_ROLLOUTS": '["a.yaml"]',
            "WATCHDOG_NOTIFY__EMAIL__SMTP": "mail:25",
            "WATCHDOG_NOTIFY__EMAIL__FROM": "w@x",
            "WATCHDOG_NOTIFY__EMAIL__TO": "a@x,b@x",
            "WATCHDOG_NOTIFY__PAGERDUTY__ROUTING_KEY": "k",
        },
    )
    assert found.path is None
    assert found.directory == home
    assert found.rollouts == (home / "a.yaml",)
    assert revealed(found.prometheus.headers["x-tenant"]) == "shop"
    assert found.notify.email is not None
    assert found.notify.email.to == ("a@x", "b@x")


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("WATCHDOG_HTTP__LISTEN", "here", ["HOST:PORT"]),
        ("WATCHDOG_HTTP__LISTN", "x", ["did you mean 'WATCHDOG_HTTP__LISTEN'"]),
        ("WATCHDOG_HTTP", "{}", ["unknown variable"]),
        ("WATCHDOG_NOTIFY__SLACK__TOKN", "x", ["did you mean 'WATCHDOG_NOTIFY__SLACK__TOKEN'"]),
        ("WATCHDOG_HTTP__TOKEN_FILE", "absent", ["No such file"]),
        ("WATCHDOG_PROMETHEUS__HEADERS", "{hunter2", ["as JSON"]),
        ("WATCHDOG_ROLLOUTS", '["a', ["as JSON or separated by commas"]),
        ("WATCHDOG_SECRETS_DIR", "absent", ["expected a directory of secrets"]),
    ],
)
def test_a_wrong_variable_is_refused_by_its_name(home: Path, variable: str, value: str, words: list[str]) -> None:
    refused(MINIMAL, f"environment: {variable}", *words, **{variable: value})
    assert "hunter2" not in str(problems(MINIMAL, **{variable: value}))


def test_what_systemd_and_kubernetes_set_is_not_ours(home: Path) -> None:
    settings(
        MINIMAL,
        WATCHDOG_USEC="30000000",
        WATCHDOG_PID="1",
        WATCHDOG_CONFIG="watchdog.yaml",
        WATCHDOG_SERVICE_HOST="10.0.0.1",
        WATCHDOG_PORT_8799_TCP="tcp://10.0.0.1:8799",
        SLO_WATCHDOG_ELSE="x",
    )


# Secrets


def test_a_secret_comes_from_its_twin_without_the_last_line_end(home: Path) -> None:
    (home / "token").write_text("t0ken\n")
    assert revealed(settings(MINIMAL + "http: {token_file: token}\n").http.token) == "t0ken"
    assert revealed(settings(MINIMAL, WATCHDOG_HTTP__TOKEN_FILE="token").http.token) == "t0ken"


def test_a_ledger_with_a_password_may_come_from_a_file(home: Path) -> None:
    (home / "url").write_text("postgresql+psycopg://u:pw@h/d\n")
    assert settings(MINIMAL + "ledger_file: url\n").ledger == "postgresql+psycopg://u:pw@h/d"


def test_a_secret_of_the_environment_replaces_the_twin_of_the_file(home: Path) -> None:
    found = settings(MINIMAL + "http: {token_file: absent}\n", WATCHDOG_HTTP__TOKEN="t0ken")
    assert revealed(found.http.token) == "t0ken"


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, ["No such file"]), (b" \n", ["is empty"]), (b"\xff", ["not UTF-8"]), (b"x" * 70000, ["64 KiB"])],
)
def test_a_secret_file_that_holds_no_secret_is_said_once(home: Path, content: bytes | None, words: list[str]) -> None:
    if content is not None:
        (home / "pd.key").write_bytes(content)
    text = MINIMAL + "notify: {pagerduty: {routing_key_file: pd.key}}\n"
    refused(text, "watchdog.yaml: notify.pagerduty.routing_key_file", *words)


def test_a_secret_and_its_twin_are_one_too_many(home: Path) -> None:
    (home / "token").write_text("t")
    refused(MINIMAL + "http: {token: a, token_file: token}\n", "watchdog.yaml: http.token_file", "one of the two")


def test_a_secrets_directory_fills_in_what_is_not_given(home: Path) -> None:
    run = home / "run"
    run.mkdir()
    (run / "http__token").write_text("from directory\n")
    (run / "WATCHDOG_NOTIFY__PAGERDUTY__ROUTING_KEY").write_text("routing")
    (run / "someone-elses").write_text("x")
    found = settings(MINIMAL, WATCHDOG_SECRETS_DIR="run")
    assert revealed(found.http.token) == "from directory"
    assert found.notify.pagerduty is not None
    assert revealed(found.notify.pagerduty.routing_key) == "routing"
    assert revealed(settings(MINIMAL + "secrets_dir: run\nhttp: {token: written}\n").http.token) == "written"


def test_secrets_never_print(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = settings(
        "prometheus: {url: http://x, bearer_token: hunter2, headers: {Authorization: hunter2}}\n"
        "ledger: postgresql+psycopg://u:hunter2@h/d\nhttp: {token: hunter2}\n"
        "notify: {pagerduty: {routing_key: hunter2}, slack: {webhook_url: hunter2},"
        " webhook: {url: 'http://h/hunter2', secret: hunter2}}\n"
    )
    with caplog.at_level(logging.INFO):
        logging.getLogger("test").info("%s %r", found, found)
    assert "hunter2" not in f"{found} {found!r} {caplog.text}"
    assert isinstance(found.http.token, SecretStr)


# What follows from them


def test_facts_are_what_shapes_verdicts(home: Path) -> None:
    text = "prometheus: {url: http://x, scrape_interval: 20s}\ntick_deadline: 8s\nflags: {timeout: 3s}\n"
    assert settings(text).facts() == DaemonFacts(20.0, 8.0, 3.0, 1.0)
    assert settings(text.replace("flags: {", "flags: {service: memory, ")).facts().propagation == 0


def test_listening_to_the_network_without_a_token_is_a_warning(home: Path) -> None:
    (warning,) = settings(MINIMAL + "http: {listen: 0.0.0.0:80}\n").warnings
    assert "without http.token" in warning
    assert settings(MINIMAL + "http: {listen: 0.0.0.0:80, token: x}\n").warnings == []


def test_a_query_that_may_take_a_whole_tick_is_a_warning(home: Path) -> None:
    (warning,) = settings(MINIMAL + "tick_deadline: 5s\n").warnings
    assert "prometheus.timeout" in warning


def rule(name: str) -> str:
    return (rules_directory() / "rollouts/checkout.yaml").read_text().replace("checkout-2.14.0", name)


def test_rollouts_are_found_in_the_order_of_their_patterns(home: Path) -> None:
    for path in ("b/2.yaml", "b/1.yaml", "a.yaml", "[x]/deep/z.yaml"):
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_text(rule(Path(path).stem))
    found = settings(MINIMAL + "rollouts: [b/*.yaml, a.yaml, '**/1.yaml', none/*.yaml]\n")
    assert rollout_files(found) == [home / "b/1.yaml", home / "b/2.yaml", home / "a.yaml"]
    loaded = load_all(found)
    assert [path for path, _ in loaded] == rollout_files(found)
    assert [getattr(rollout, "name", rollout) for _, rollout in loaded] == ["1", "2", "a"]


def test_a_directory_may_be_named_like_a_pattern(home: Path) -> None:
    odd = home / "[odd]"
    (odd / "rollouts").mkdir(parents=True)
    (odd / "watchdog.yaml").write_text(MINIMAL)
    (odd / "rollouts/a.yaml").write_text(rule("a"))
    assert rollout_files(load_settings(odd / "watchdog.yaml", {})) == [odd / "rollouts/a.yaml"]


def test_one_bad_rollout_does_not_hide_the_others(home: Path) -> None:
    (home / "1.yaml").write_text("rollout: [")
    (home / "2.yaml").write_text(rule("good"))
    loaded = load_all(settings(MINIMAL + "rollouts: ['?.yaml', absent.yaml]\n"))
    first, second, third = (result for _, result in loaded)
    assert isinstance(first, ConfigError)
    assert first.problems[0].place == "1.yaml: line 1, column 11"
    assert not isinstance(second, ConfigError)
    assert isinstance(third, ConfigError)
    assert "absent.yaml: cannot be read" in str(third)


def test_a_rollouts_name_is_used_once(home: Path) -> None:
    for name in ("1.yaml", "2.yaml"):
        (home / name).write_text(rule("twice"))
    _, second = load_all(settings(MINIMAL + "rollouts: ['?.yaml']\n"))
    assert isinstance(second[1], ConfigError)
    assert str(second[1]) == "2.yaml: rollout: 'twice' is already the name of 1.yaml; a name is used once"
