"""Everybody who can be told, on loopback: each channel's server, the settings that reach it, and its secrets.

with Everyone(tmp_path) as everyone:
    site = Installation(tmp_path, prometheus.url, notify=everyone.notify())
    with site.daemon(everyone.environ):
        ...
        assert everyone.pagerduty.changes
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from tests.answering import Answering, reply
from tests.mailserver import MailServer, made_certificate
from tests.pagerdutyserver import PagerDutyServer
from tests.servers import free_port
from tests.slackserver import HOOK, TOKEN, SlackServer

CHANNELS = ("pagerduty", "slack", "alertmanager", "webhook", "email", "on_transition")
SECRETS = {
    "pagerduty": "5ecretPagerDutyRoutingKey0123456",
    "slack": TOKEN,
    "slack webhook": HOOK.rpartition("/")[2],
    "alertmanager": "s3cret-alertmanager-bearer-token",
    "webhook": "s3cret-webhook-signing-key",
    "webhook path": "s3cret-path-of-the-webhook",
    "email": "s3cret-smtp-password",
    "on_transition": "s3cret-github-token",
    "on_transition path": "s3cret-path-of-the-pipeline",
}
"""What each channel keeps to itself; no two have more than a few letters in common."""
USER = "watchdog"


class Everyone:
    """The servers. `slack_form` is `token` or `webhook`; those of `without` are not configured."""

    def __init__(self, directory: Path, *, slack_form: str = "token", without: Collection[str] = ()) -> None:
        self.directory = directory / "secrets"
        self.directory.mkdir()
        self.slack_form = slack_form
        self.without = frozenset(without)
        certificate = made_certificate(self.directory)
        self.environ = {"SSL_CERT_FILE": str(self.directory / "cert.pem")}
        self.pagerduty = PagerDutyServer(SECRETS["pagerduty"])
        self.slack = SlackServer()
        self.alertmanager = Answering().always(reply(200))
        self.webhook = Answering().always(reply(200))
        self.pipeline = Answering().always(reply(204))
        self.mail = MailServer(certificate, logins={USER: SECRETS["email"]})
        self.alertmanager_url = self.alertmanager.url
        self._open = ExitStack()

    def __enter__(self) -> Self:
        for server in (self.pagerduty, self.slack, self.alertmanager, self.webhook, self.pipeline, self.mail):
            self._open.enter_context(server)
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def settings(self, dead: Iterable[str] = (), timeout: str = "5s", **changes: object) -> dict[str, Any]:
        """The section `notify`; at the address of a `dead` channel nobody listens. `changes` are further keys."""
        slack = {"token_file": self.file("slack"), "channel": next(iter(self.slack.channels.values())).id}
        if self.slack_form == "webhook":
            slack = {"webhook_url_file": self.file("slack webhook", self.slack.hook_url)}
        else:
            slack |= {"url": self.slack.url}
        hook = f"{self.webhook.url}/{SECRETS['webhook path']}"
        dispatch = f"{self.pipeline.url}/{SECRETS['on_transition path']}/dispatches"
        mail = {"smtp": f"127.0.0.1:{self.mail.settings().port}", "from": "watchdog@example.com"}
        sections: dict[str, dict[str, Any]] = {
            "pagerduty": {"routing_key_file": self.file("pagerduty"), "url": self.pagerduty.url},
            "slack": slack,
            "alertmanager": {"url": self.alertmanager_url, "bearer_token_file": self.file("alertmanager")},
            "webhook": {"url": hook, "secret_file": self.file("webhook")},
            "email": {**mail, "to": ["ops@example.com"], "username": USER, "password_file": self.file("email")},
            "on_transition": {"url": dispatch, "style": "github", "token_file": self.file("on_transition")},
        }
        for name in dead:
            sections[name] = _moved(sections[name], free_port())
        there = {name: {**keys, "timeout": timeout} for name, keys in sections.items() if name not in self.without}
        return {**there, **changes}

    def notify(self, dead: Iterable[str] = (), timeout: str = "5s", **changes: object) -> str:
        """The same as YAML."""
        return json.dumps(self.settings(dead, timeout, **changes))

    def file(self, name: str, text: str | None = None) -> str:
        """The file of a secret."""
        path = self.directory / name.replace(" ", "-")
        path.write_text(f"{SECRETS[name] if text is None else text}\n")
        return str(path)


def _moved(keys: Mapping[str, Any], port: int) -> dict[str, Any]:
    """The section with another port in its address."""
    found = dict(keys)
    if "smtp" in keys:
        return {**found, "smtp": f"127.0.0.1:{port}"}
    if "webhook_url_file" in keys:
        file = Path(keys["webhook_url_file"])
        file.write_text(_at(file.read_text(), port))
        return found
    return {**found, "url": _at(keys["url"], port)}


def _at(url: str, port: int) -> str:
    scheme, _, rest = url.partition("://")
    path = rest.partition("/")[2]
    return f"{scheme}://127.0.0.1:{port}/{path}".rstrip("/")
