"""The sections of `watchdog.yaml` that are about the daemon itself: Prometheus, preflight, addresses, replicas, logs.

The text behind each key is its line in docs/configuration.md, which `scripts/configuration_page.py` writes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from watchdog.config.values import Duration, File, Flag, Headers, Listen, Secret, Text, Url
from watchdog.rolloutfile.fields import word

SHORTEST_LEASE, LONGEST_LEASE = 1.0, 300.0


class Part(BaseModel):
    """What all sections have in common: no unknown key, and no change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class PrometheusSettings(Part):
    """Where the numbers come from.

    For example::

        prometheus:
          url: https://prometheus.example
          scrape_interval: 30s
          bearer_token_file: prometheus.token
          ca_file: /etc/ssl/acme.pem
          headers: {X-Scope-OrgID: shop}
    """

    url: Url = Field(description="the server's address, for example http://127.0.0.1:9090")
    """Address of Prometheus, Thanos, Mimir or VictoriaMetrics, without user and password."""
    timeout: Duration = 5.0
    """For one instant query, to its last byte; long ranges get more. Shorter than `tick_deadline`."""
    scrape_interval: Duration = 15.0
    """As the server scrapes the services that are watched. It shapes detector steps; `check --online` compares it."""
    bearer_token: Secret | None = None
    """Sent as `Authorization: Bearer`. Not together with `username`."""
    bearer_token_file: File | None = None
    username: Text | None = None
    """For basic authentication, with `password`."""
    password: Secret | None = None
    """For basic authentication, with `username`."""
    password_file: File | None = None
    ca_file: File | None = None
    """Certificate authority of the server, PEM. Without it, the system's."""
    cert_file: File | None = None
    """Client certificate, PEM, with `key_file`."""
    key_file: File | None = None
    """Its key."""
    headers: Headers = Field(default_factory=dict)
    """Sent with every query, for example `{X-Scope-OrgID: shop}`. Treated as secret."""

    @model_validator(mode="after")
    def _consistent(self) -> PrometheusSettings:
        if self.bearer_token is not None and self.username is not None:
            raise ValueError("has bearer_token and username; a request carries one of them, so remove the other")
        if (self.username is None) != (self.password is None):
            raise ValueError("has only one of username and password (or password_file); write both")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("has only one of cert_file and key_file; a client certificate needs both")
        return self


class ReportSettings(Part):
    """Where a sign-off freezes its report.

    For example::

        reports:
          dir: /var/lib/slo-watchdog/reports
    """

    dir: File = Path("reports")
    """Where a sign-off freezes its report; the ledger holds its sha256."""


class EvidenceSettings(Part):
    """What [bundles of evidence](evidence.md) are signed with, and whose countersignatures count.

    For example::

        evidence:
          key_file: evidence.key
          approvers: approvers
    """

    key: Secret | None = None
    """Private key, Ed25519 in PEM, that `report --bundle` signs with; `slo-watchdog evidence keygen` makes one."""
    key_file: File | None = None
    approvers: File | None = None
    """Directory of approvers' public keys, each in NAME.pub: then nobody else may countersign, and only as NAME."""


class PreflightSettings(Part):
    """What a rollout needs before it starts.

    For example::

        preflight:
          required: true
          max_age: 12h
          alertmanager: http://127.0.0.1:9093
          retention: 30d
    """

    required: Flag = False
    """`true`: nothing that acts starts without a preflight of its rule that held (docs/preflight.md), or a waiver."""
    max_age: Duration = 86400.0
    """How old that preflight may be."""
    history: Duration = 604800.0
    """How far back it looks to see whether a [sign-off is likely](feasibility.md)."""
    alertmanager: Url | None = None
    """Alertmanager as it is reached from here, instead of the addresses that Prometheus says it sends to."""
    allow_ephemeral: Flag = False
    """`true`: a SQLite ledger may lie in memory, in a container's own layer or an `emptyDir`, where nothing lasts."""
    retention: Duration | None = None
    """How long the data is kept, where Prometheus does not say so (Thanos, Mimir, a limit by size)."""
    rules: File | None = None
    """Directory of rules sources, generated into `prometheus/` below it. Without it: `rules` beside this file, where
    there is one."""
    image: Text | None = None
    """The image that the watchdog runs from, with its digest; recorded with every preflight."""
    commit: Text | None = None
    """The commit that this configuration was deployed from; recorded."""


class HealthSettings(Part):
    """Probes and metrics where a cluster reaches them, apart from the API.

    For example::

        health:
          listen: 0.0.0.0:9464
    """

    listen: Listen | None = None
    """An address for probes and Prometheus, for example `0.0.0.0:9464`: `/healthz`, `/livez`, `/readyz` and `/metrics`,
    nothing else. See docs/http.md."""


class ReplicaSettings(Part):
    """Several daemons on one ledger, which stand in for each other.

    For example::

        ledger_file: ledger.address   # postgresql+psycopg://watchdog:...@db.example/watchdog
        replicas:
          lease: 20s
    """

    lease: Duration | None = None
    """For how long one of them acts without asking again, `1s` to `5m`; without it, this daemon has no others. Needs
    PostgreSQL, see docs/replicas.md."""

    @model_validator(mode="after")
    def _sensible(self) -> ReplicaSettings:
        if self.lease is not None and not SHORTEST_LEASE <= self.lease <= LONGEST_LEASE:
            raise ValueError(
                f"has a lease of {self.lease:g} s, expected {SHORTEST_LEASE:g} s to {LONGEST_LEASE:g} s, such as 20s"
            )
        return self


class DeadmanSettings(Part):
    """The dead man's switch: an address that is pinged after each complete cycle, and wakes somebody when it is not.

    For example::

        deadman:
          url_file: deadman.url
          every: 1m
    """

    url: Secret | None = None
    """Dead man's switch: pinged (POST) after each complete cycle, see docs/operations.md#the-dead-mans-switch. Treated
    as secret."""
    url_file: File | None = None
    fail_url: Secret | None = None
    """Told when the watch is blind; without it, `deadman.url` with `/fail` behind its path."""
    fail_url_file: File | None = None
    every: Duration = 60.0
    """The shortest time between two pings that say the same."""
    timeout: Duration = 10.0
    """For one ping."""

    @model_validator(mode="after")
    def _addresses(self) -> DeadmanSettings:
        for name, found in (("url", self.url), ("fail_url", self.fail_url)):
            if found is None:
                continue
            parts = urlsplit(found.get_secret_value())
            if parts.scheme not in {"http", "https"} or not parts.hostname:
                raise ValueError(f"has a {name} (not shown) that is no address; expected https://HOST/PATH")
        if self.url is None and self.fail_url is not None:
            raise ValueError("has a fail_url and no url; write url_file with the address that is pinged")
        return self


class LogSettings(Part):
    """What the process prints.

    For example::

        log:
          format: console
          level: debug
    """

    format: Annotated[str, BeforeValidator(word("json", "console"))] = "json"
    """`json`, or `console` for people."""
    level: Annotated[str, BeforeValidator(word("debug", "info", "warning", "error"))] = "info"
    """`debug`, `info`, `warning` or `error`."""
