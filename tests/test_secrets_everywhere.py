"""No secret is in anything that comes out: a real daemon, every channel in trouble, and a search of all there is.

The servers say back what they were sent: in bodies, in words for errors, in the address of a redirect.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from typer.testing import CliRunner

from tests.everyone import CHANNELS, SECRETS, USER, Everyone
from tests.leaks import ALERTS, HTTP, OWN_HOOK, OWN_KEY, PASSWORD, answers, echo, files, found_in, mail_trouble
from tests.mailserver import Scripted
from tests.processes import Daemon, Installation, Traffic, wait_for
from tests.servers import ScriptedPrometheus, free_port
from watchdog.cli import app
from watchdog.config import load_settings
from watchdog.trial import Wish, try_channels

NAME = "checkout-1"
TALKING = ("pagerduty", "slack", "alertmanager", "webhook", "on_transition")
"""The channels that speak HTTP, and so can send somebody elsewhere."""


@pytest.fixture
def everyone(tmp_path: Path) -> Iterator[Everyone]:
    with Everyone(tmp_path) as everyone:
        yield everyone


def test_the_search_finds_what_it_should() -> None:
    """Else the others would hold whatever leaks."""
    login = base64.b64encode(f"\0{USER}\0{SECRETS['email']}".encode()).decode()
    assert found_in({"a": f"x{SECRETS['webhook']}y", "b": "nothing", "c": f"AUTH PLAIN {login}"}) == [
        f"a: {SECRETS['webhook']}",
        f"c: {SECRETS['email']}",
    ]


# --- what a channel says ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["token", "webhook"])
def test_no_answer_of_a_channel_in_trouble_holds_its_secret(tmp_path: Path, form: str) -> None:
    said: dict[str, str] = {}
    with Everyone(tmp_path, slack_form=form, without={"email"}) as everyone:
        for kind in ("401", "500", "redirect", "plain text", "hang", "refused"):
            dead = TALKING if kind == "refused" else ()
            site = Installation(tmp_path, "http://127.0.0.1:9", notify=everyone.notify(dead, timeout="500ms"))
            settings = load_settings(site.config)
            for channel in TALKING if kind != "refused" else ():
                answers(everyone, channel, kind)
            for tried in try_channels(settings.notify, [Wish(channel) for channel in TALKING]):
                assert not tried.ok, f"{tried.wish.channel} did not notice: {kind}"
                said[f"{tried.wish.channel}, {kind}"] = tried.answer
            said[f"settings, {kind}"] = f"{settings!r} {settings}"
    assert len(said) == 6 * (len(TALKING) + 1)
    assert found_in(said) == []


def test_no_answer_of_a_mail_server_in_trouble_holds_the_password(everyone: Everyone) -> None:
    said: dict[str, str] = {}
    site = Installation(everyone.directory.parent, "http://127.0.0.1:9", notify=everyone.notify(timeout="500ms"))
    for kind in ("401", "mail", "rcpt", "data"):
        with mail_trouble(everyone, kind):
            said[kind] = commanded(site, everyone, "notify", "test", "email")
    hanging = f"220 hello {echo(everyone, 'email')}\r\n".encode()
    for name, lines in {"hangs": [hanging], "nonsense": [b"999 " + hanging], "rude": [b"554 " + hanging]}.items():
        with Scripted(lines, hang=name == "hangs") as server:
            keys = everyone.settings(timeout="500ms")
            keys["email"]["smtp"] = f"127.0.0.1:{server.port}"
            site = Installation(everyone.directory.parent, "http://127.0.0.1:9", notify=json.dumps(keys))
            said[name] = commanded(site, everyone, "notify", "test", "email")
    assert all("FAILED" in text for text in said.values()), said
    assert found_in(said) == []


def commanded(site: Installation, everyone: Everyone, *arguments: str) -> str:
    """All that a command prints, without its start-up time: in this process."""
    environ = {**everyone.environ, "COLUMNS": "4000"}
    done = CliRunner().invoke(app, ["--config", str(site.config), *arguments], env=environ)
    return f"{done.output}{done.exception or ''}"


# --- what a daemon leaves behind --------------------------------------------------------------------------------------


def installed(everyone: Everyone, address: str, notify: str, form: str, own: str = "null") -> Installation:
    """`notify` of the settings, the form of the log, and the rollout's own `notify`."""
    directory = everyone.directory.parent
    for name, text in {"http": HTTP, "alerts": ALERTS, "prometheus": PASSWORD}.items():
        (everyone.directory / name).write_text(text)
    site = Installation(
        directory,
        address,
        prometheus=f"{{url: {address}, timeout: 1s, scrape_interval: 500ms, username: {USER}, "
        "password_file: secrets/prometheus}",
        http=f'{{listen: "127.0.0.1:{free_port()}", token_file: secrets/http}}',
        alerts="{token_file: secrets/alerts}",
        log=f"{{level: debug, format: {form}}}",
        notify=notify,
    )
    site.rollout(NAME, auto_start="true", notify=own)
    return site


def tried_everywhere(site: Installation, everyone: Everyone, channels: set[str]) -> dict[str, str]:
    """Once each of these channels has failed: its error. What pipelines are told is in no list, so those are asked."""

    def found() -> dict[str, str] | None:
        ledger = site.ledger()
        try:
            stored = ledger.rollout(NAME)
            told = ledger.notifications_of(stored.id) if stored is not None else []
        finally:
            ledger.close()
        failed = {one.channel: one.error for item in told for one in item.deliveries if one.attempts and one.error}
        missing.update(channels)
        missing.difference_update(failed, ["on_transition"] if everyone.pipeline.asked else [])
        return None if missing else failed

    missing: set[str] = set()
    return wait_for(found, 20, lambda: f"not tried: {missing}")


def pages(url: str) -> dict[str, str]:
    """Everything that the HTTP side can be asked, with its token, a wrong one and none."""
    said: dict[str, str] = {}
    document = requests.get(f"{url}/openapi.json", timeout=10).json()
    asked = [
        (method, path, re.sub(r"\{[^}]*\}", "new-checkout" if "/flags/" in path else NAME, path))
        for path, operations in document["paths"].items()
        for method in operations.keys() & {"get", "post", "put"}
        if path != "/live"  # it never ends; what it sends is a part of the pages
    ]
    for token in ("", HTTP, ALERTS, "wrong"):  # the wrong ones last: after some of them this address has to wait
        for method, path, filled in asked:
            if method == "get" and token in (ALERTS, "wrong"):
                continue
            if method == "post" and token == HTTP and path.endswith("/preflight"):
                continue  # it would ask the channels for the settings, and hear what only a rollout's own was told
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            answer = requests.request(method, url + filled, headers=headers, json={}, timeout=10)
            said[f"{method} {path} with {token!r}"] = f"{answer.text} {dict(answer.headers)}"
    for form in ("json", "html", "md", "markdown"):
        answer = requests.get(f"{url}/api/v1/rollouts/{NAME}/report?format={form}", timeout=10)
        said[f"report {form}"] = answer.text
    return said


def commands(site: Installation, everyone: Everyone, *, all_channels: bool) -> dict[str, str]:
    """What the commands print. A server that says back a rollout's own secrets is to be asked with those only."""
    every = [
        ("status",),
        ("status", NAME, "--json"),
        ("history", NAME),
        ("history", NAME, "--json"),
        ("explain", NAME),
        *(("report", NAME, "--format", form) for form in ("json", "html", "md")),
        *([("notify", "test"), ("preflight", "--no-drill", "--json")] if all_channels else []),
        ("notify", "test", "--rollout", NAME, "--json"),
        ("check",),
        ("check", "--json"),
        ("noise", "list"),
    ]
    said = {" ".join(one): commanded(site, everyone, *one) for one in every}
    assert all(said.values()), said
    return said


@contextmanager
def running(site: Installation, everyone: Everyone) -> Iterator[tuple[Daemon, str]]:
    """The daemon and its address, whatever the form of its log."""
    url = f"http://{load_settings(site.config).http.listen.host}:{load_settings(site.config).http.listen.port}"
    daemon = site.daemon(everyone.environ)

    def ready() -> bool | None:
        assert daemon.process.poll() is None, daemon.text
        try:
            return requests.get(f"{url}/healthz", timeout=1).ok or None
        except requests.RequestException:
            return None

    try:
        wait_for(ready, 20, lambda: daemon.text)
        yield daemon, url
        assert daemon.end() == 0
    finally:
        if daemon.process.poll() is None:
            daemon.kill()


def rolled_back_through_trouble(
    site: Installation, everyone: Everyone, channels: set[str], take_back: Callable[[], object]
) -> dict[str, str]:
    """All that comes out of a rollout which is taken back while every one of these channels fails."""
    with running(site, everyone) as (daemon, url):
        site.until(NAME, lambda status: status.get("exposure", {}).get("actual"))
        take_back()
        site.until(NAME, lambda status: status["phase"] == "rolled_back")
        errors = tried_everywhere(site, everyone, channels)
        said = {**pages(url), **commands(site, everyone, all_channels="alertmanager" in channels)}
    assert daemon.text.count("\n") > 10
    return {**said, **errors, **files(site.directory, "secrets/", "watchdog.yaml")}


@pytest.fixture
def traffic(scripted_prometheus: ScriptedPrometheus) -> Traffic:
    traffic = Traffic()
    scripted_prometheus.always(traffic)
    return traffic


def test_a_daemon_whose_channels_all_fail_gives_no_secret_away(
    everyone: Everyone, scripted_prometheus: ScriptedPrometheus, traffic: Traffic
) -> None:
    site = installed(everyone, scripted_prometheus.url, everyone.notify(dead=["email"], timeout="1s"), "json")
    kinds = {"pagerduty": "401", "slack": "500", "alertmanager": "redirect", "webhook": "hang", "on_transition": "401"}
    for channel, kind in kinds.items():
        answers(everyone, channel, kind)
    said = rolled_back_through_trouble(site, everyone, set(CHANNELS), lambda: setattr(traffic, "bad", 500.0))
    assert "watchdog.db" in said
    assert found_in(said) == []


def test_nor_are_the_secrets_of_a_rollouts_own_channels_given_away(
    tmp_path: Path, scripted_prometheus: ScriptedPrometheus, traffic: Traffic
) -> None:
    """They are in no settings, so that the log does not know them. An operator takes the rollout back."""
    assert traffic.bad == 0.0
    with Everyone(tmp_path, slack_form="webhook") as everyone:
        (everyone.directory / "own.pd").write_text(OWN_KEY)
        (everyone.directory / "own.hook").write_text(OWN_HOOK)
        hook = {"url": f"{everyone.pipeline.url}/start", "secret_file": "../secrets/own.hook"}
        own = json.dumps({"routing_key_file": "../secrets/own.pd", "on_transition": hook})
        site = installed(
            everyone, scripted_prometheus.url, everyone.notify(dead=["alertmanager"], timeout="1s"), "console", own
        )
        answers(everyone, "pagerduty", "redirect", OWN_KEY)
        answers(everyone, "on_transition", "plain text", OWN_HOOK)
        answers(everyone, "slack", "401")
        answers(everyone, "webhook", "500")
        orders = ("rollback", NAME, "--reason", "a test", "--by", "ada")
        with mail_trouble(everyone, "401"):
            said = rolled_back_through_trouble(
                site, everyone, set(CHANNELS) - {"alertmanager"}, lambda: commanded(site, everyone, *orders)
            )
    assert found_in(said) == []
