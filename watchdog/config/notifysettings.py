"""Who hears of what, and who tells of alerts: the sections `notify` and `alerts` of `watchdog.yaml`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from watchdog.config.values import Duration, File, Listen, Secret, Text, Url, Words
from watchdog.model import NoiseRule, NotifyRule, Quiet
from watchdog.quantities import shown
from watchdog.rolloutfile.fields import word
from watchdog.rolloutfile.notifying import read_quiet, read_severities

T = TypeVar("T")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _per_day(found: Any) -> int:
    number = int(found) if isinstance(found, str) and found.strip().isdigit() else found
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ValueError(f"found {shown(found)}, expected a whole number of pages a day, 1 or more")
    return number


def _or_json(read: Callable[[Any], T]) -> Callable[[Any], T]:
    """The reader of a mapping, which in the environment is written as JSON."""

    def parse(found: Any) -> T:
        if isinstance(found, str) and found.lstrip().startswith("{"):
            try:
                found = json.loads(found)
            except ValueError as error:
                raise ValueError(f"found {shown(found)}, expected a mapping, or one as JSON") from error
        return read(found)

    return parse


Severities = Annotated[dict[str, str], BeforeValidator(_or_json(read_severities))]
QuietHours = Annotated[Quiet, BeforeValidator(_or_json(read_quiet))]


class PagerDutySettings(_Part):
    """Pages through PagerDuty's Events API.

    For example::

        notify:
          pagerduty:
            routing_key_file: pagerduty.key
    """

    routing_key: Secret | None = None
    """Integration key of the Events API; required for this channel."""
    routing_key_file: File | None = None
    url: Url | None = None
    """Another address than the vendor's, for proxies and tests."""
    timeout: Duration = 10.0
    """For one request."""

    @model_validator(mode="after")
    def _complete(self) -> PagerDutySettings:
        if self.routing_key is None:
            raise ValueError("has no routing_key; write routing_key_file with the file that holds it")
        return self


class SlackSettings(_Part):
    """Messages to a Slack channel, by token or by incoming webhook.

    For example::

        notify:
          slack:
            token_file: slack.token
            channel: "#deploys"
    """

    token: Secret | None = None
    """Bot token, with `channel`. Either this or `webhook_url`."""
    token_file: File | None = None
    channel: Text | None = None
    """For example `"#deploys"`; quoted, or YAML reads a comment."""
    webhook_url: Secret | None = None
    """Incoming webhook; secret."""
    webhook_url_file: File | None = None
    url: Url | None = None
    """Another address than the vendor's."""
    timeout: Duration = 10.0
    """For one request."""

    @model_validator(mode="after")
    def _complete(self) -> SlackSettings:
        if (self.token is None) == (self.webhook_url is None):
            raise ValueError("needs either token_file and channel, or webhook_url_file; write exactly one of the two")
        if self.token is not None and self.channel is None:
            raise ValueError('has a token but no channel; write for example channel: "#deploys"')
        return self


class AlertmanagerSettings(_Part):
    """Alerts to an Alertmanager.

    For example::

        notify:
          alertmanager:
            url: http://127.0.0.1:9093
    """

    url: Url = Field(description="the Alertmanager's address, for example http://127.0.0.1:9093")
    """Address of an Alertmanager."""
    bearer_token: Secret | None = None
    """Sent as `Authorization: Bearer`."""
    bearer_token_file: File | None = None
    timeout: Duration = 10.0
    """For one request."""


class WebhookSettings(_Part):
    """A signed POST of every message to an address of your own.

    For example::

        notify:
          webhook:
            url: https://hooks.example/slo-watchdog
            secret_file: webhook.secret
    """

    url: Url = Field(description="the address that takes the POST", repr=False)
    """Address that takes a POST of every message."""
    secret: Secret | None = None
    """Signs the body."""
    secret_file: File | None = None
    timeout: Duration = 10.0
    """For one request."""


class TransitionSettings(_Part):
    """A signed POST of every transition, for pipelines; a rollout may name another.

    For example::

        notify:
          on_transition:
            url: https://api.github.com/repos/acme/checkout/dispatches
            style: github
            token_file: github.token
            secret_file: transitions.secret
    """

    url: Url = Field(description="the address that takes the POST", repr=False)
    """Address that takes a signed POST of every transition, for pipelines."""
    style: Annotated[str, BeforeValidator(word("plain", "github"))] = "plain"
    """`plain`: our own document; `github`: a `repository_dispatch`, with `token`."""
    secret: Secret | None = None
    """Signs the body."""
    secret_file: File | None = None
    token: Secret | None = None
    """`github`: sent as `Authorization: Bearer`."""
    token_file: File | None = None
    timeout: Duration = 10.0
    """For one request."""

    @model_validator(mode="after")
    def _complete(self) -> TransitionSettings:
        if self.style == "github" and self.token is None:
            raise ValueError("has style: github and no token; GitHub takes a repository_dispatch with a token only")
        if self.style == "plain" and self.secret is None:
            raise ValueError("has no secret; without a signature a pipeline could not tell who sent it")
        return self


class EmailSettings(_Part):
    """Mail through an SMTP server.

    For example::

        notify:
          email:
            smtp: mail.example:587
            from: slo-watchdog@example.com
            to: [checkout@example.com, release@example.com]
            username: slo-watchdog
            password_file: mail.password
    """

    smtp: Listen = Field(description="HOST:PORT, for example mail.example:587")
    """`HOST:PORT` of the mail server."""
    sender: Text = Field(alias="from", description="the sender's address")
    """Sender."""
    to: Words = Field(description="a list of addresses")
    """List of recipients."""
    username: Text | None = None
    """For a server that wants to know who is sending."""
    password: Secret | None = None
    """Its password."""
    password_file: File | None = None
    security: Annotated[str, BeforeValidator(word("starttls", "tls", "none"))] = "starttls"
    """`starttls`, `tls` from the first byte on, or `none`, which is refused with a password."""
    timeout: Duration = 10.0
    """For one mail."""

    @model_validator(mode="after")
    def _consistent(self) -> EmailSettings:
        if (self.username is None) != (self.password is None):
            raise ValueError("has only one of username and password (or password_file); write both")
        if self.password is not None and self.security == "none":
            raise ValueError("has a password and security: none, which would send it in the clear; write starttls")
        return self


class NotifySettings(_Part):
    """Who hears of it; every channel is optional.

    For example::

        notify:
          severities: {blind: warning, step: none}
          quiet: {between: 22:00-07:00, zone: Europe/Berlin, below: critical}
          runbook_url: https://wiki.example/runbooks
          budget: 5
    """

    pagerduty: PagerDutySettings | None = None
    slack: SlackSettings | None = None
    alertmanager: AlertmanagerSettings | None = None
    webhook: WebhookSettings | None = None
    email: EmailSettings | None = None
    on_transition: TransitionSettings | None = None
    severities: Severities = Field(default_factory=dict)
    """How loud each kind of message is, see docs/notifications.md: `{blind: warning, step: none}`. A rollout's own come
    before these."""
    quiet: QuietHours | None = None
    """Hours in which less urgent messages wait: `{between: 22:00-07:00, zone: Europe/Berlin, below: critical}`."""
    runbook_url: Url | None = None
    """Where your runbooks are: a message of a kind links to this address, a slash and the kind."""
    budget: Annotated[int, BeforeValidator(_per_day)] | None = None
    """Pages a day that the watchdog allows itself; after them only what is critical still pages."""

    def rule(self) -> NotifyRule:
        """What holds for rollouts that say nothing."""
        return NotifyRule(severities=self.severities, quiet=self.quiet)


class AlertSettings(_Part):
    """The webhook receiver for Alertmanager, and how its alerts are read.

    For example::

        alerts:
          token_file: alerts.token
          pages: [critical, page]
    """

    token: Secret | None = None
    """Bearer token that Alertmanager must send to the receiver of alerts; without one it is closed."""
    token_file: File | None = None
    service_label: Text = "service"
    """The label that names an alert's service."""
    severity_label: Text = "severity"
    """The label that names its severity."""
    pages: Words = ("critical", "page")
    """Severities that wake somebody; only those can be false alarms."""
    heartbeat: Duration = 900.0
    """Silence of Alertmanager after which nobody can tell what fired. Its Watchdog alert must come more often."""
    grace: Duration = 43200.0
    """How long an alert may stay unclassified before the upper count takes it."""

    def rule(self) -> NoiseRule:
        """How alerts are counted."""
        return NoiseRule(self.pages, self.heartbeat, self.grace)
