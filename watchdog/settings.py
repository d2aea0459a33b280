"""The daemon's settings: what each key of `watchdog.yaml` means, takes and defaults to. `config.py` loads them.

Durations are seconds. Relative paths, that of a SQLite ledger included, are relative to the settings file, wherever
they were written. Secrets are `SecretStr`: they never print.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from watchdog.fields import listing, mapping, positive_duration, text, word
from watchdog.quantities import parse_duration, shown
from watchdog.rolloutfile import DaemonFacts

PROPAGATION = {"flagd-file": 1.0, "memory": 0.0}
"""Worst case from a write to the reader, by flag service: flagd's file watcher polls once a second."""


class Address(NamedTuple):
    """Where to listen. Port 0 lets the system choose a free one."""

    host: str
    port: int


def _path(found: Any) -> Path:
    return found if isinstance(found, Path) else Path(text(found)).expanduser()


def _paths(found: Any) -> tuple[Path, ...]:
    return tuple(_path(item) for item in _words(found))


def _words(found: Any) -> tuple[str, ...]:
    """A list, or the same as text from the environment: JSON, or separated by commas."""
    if isinstance(found, str):
        try:
            found = json.loads(found) if found.lstrip().startswith("[") else found.split(",")
        except ValueError as error:
            raise ValueError(f"found {shown(found)}, expected a list, as JSON or separated by commas") from error
    return tuple(text(item) for item in listing(found))


def _secret(found: Any) -> SecretStr:
    if isinstance(found, SecretStr):
        return found
    if not isinstance(found, str) or not found.strip():
        raise ValueError("expected text (what was found is not shown)")
    return SecretStr(found.strip())


def _url(found: Any) -> str:
    url = text(found)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if host is None or parts.scheme not in {"http", "https"}:
        raise ValueError(f"found {shown(_without_userinfo(url))}, expected an address such as http://127.0.0.1:9090")
    if parts.username is not None or parts.password is not None:
        raise ValueError("holds a user or a password, which would print; write username and password_file instead")
    return url.rstrip("/")


def _without_userinfo(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//...@", url)


def _ledger(found: Any) -> str:
    url = text(found)
    if url.startswith("sqlite:///"):
        if url.removeprefix("sqlite:///").partition("?")[0] in {"", ":memory:"}:
            raise ValueError("found a ledger in memory, which forgets everything; expected sqlite:///FILE")
        return url
    if url.startswith("postgresql+psycopg://"):
        return url
    scheme = url.partition(":")[0] if "://" in url else ""
    hint = " (write postgresql+psycopg://)" if scheme in {"postgres", "postgresql"} else ""
    raise ValueError(
        f"found the scheme {scheme!r}, expected sqlite:///FILE or postgresql+psycopg://HOST/DATABASE{hint}"
    )


def _address(found: Any) -> Address:
    if isinstance(found, Address):
        return found
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):(\d{1,5})", text(found))
    if match is None or int(match[2]) > 65535:
        raise ValueError(f"found {shown(found)}, expected HOST:PORT such as 127.0.0.1:8799")
    return Address(match[1].strip("[]"), int(match[2]))


def _headers(found: Any) -> dict[str, SecretStr]:
    """A mapping, or one as JSON from the environment."""
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except ValueError as error:
            raise ValueError("expected headers as a mapping, or as JSON (what was found is not shown)") from error
    headers = {}
    for name, value in mapping(found).items():
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
            raise ValueError(f"found the header {shown(name)}, expected a header's name such as X-Scope-OrgID")
        headers[name] = _secret(value)
    return headers


Duration = Annotated[float, BeforeValidator(positive_duration)]
Text = Annotated[str, BeforeValidator(text)]
Url = Annotated[str, BeforeValidator(_url)]
Secret = Annotated[SecretStr, BeforeValidator(_secret)]
File = Annotated[Path, BeforeValidator(_path)]


M = TypeVar("M", bound=BaseModel)


def _located(model: M, directory: Path) -> M:
    changed: dict[str, Any] = {}
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, Path):
            changed[name] = directory / value
        elif isinstance(value, BaseModel):
            changed[name] = _located(value, directory)
        elif isinstance(value, tuple) and value and isinstance(value[0], Path):
            changed[name] = tuple(directory / path for path in value)
    return model.model_copy(update=changed)


class Part(BaseModel):
    """What all sections have in common: no unknown key, and no change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class PrometheusSettings(Part):
    """Where the numbers come from."""

    url: Url = Field(description="the server's address, for example http://127.0.0.1:9090")
    timeout: Duration = 5.0
    scrape_interval: Duration = 15.0
    bearer_token: Secret | None = None
    bearer_token_file: File | None = None
    username: Text | None = None
    password: Secret | None = None
    password_file: File | None = None
    ca_file: File | None = None
    cert_file: File | None = None
    key_file: File | None = None
    headers: Annotated[dict[str, SecretStr], BeforeValidator(_headers)] = Field(default_factory=dict)
    """Sent with every query, for example a tenant's. Secret, for it may be what lets us in."""

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
    """Where a sign-off freezes its report."""

    dir: File = Path("reports")


class HttpSettings(Part):
    """The status page and API."""

    listen: Annotated[Address, BeforeValidator(_address)] = Address("127.0.0.1", 8799)
    external_url: Url | None = None
    token: Secret | None = None
    """Without it every call that changes something is refused."""
    token_file: File | None = None


class FlagSettings(Part):
    """Which flag service is steered."""

    service: Annotated[str, BeforeValidator(word(*PROPAGATION))] = "flagd-file"
    path: File = Path("flags/flags.flagd.json")
    timeout: Duration = 5.0
    propagation: Annotated[float, BeforeValidator(parse_duration)] | None = None
    """Worst case from a write to its last reader; None: what is known of the service (`PROPAGATION`)."""


class PagerDutySettings(Part):
    """Pages through PagerDuty's Events API."""

    routing_key: Secret | None = None
    routing_key_file: File | None = None
    url: Url | None = None

    @model_validator(mode="after")
    def _complete(self) -> PagerDutySettings:
        if self.routing_key is None:
            raise ValueError("has no routing_key; write routing_key_file with the file that holds it")
        return self


class SlackSettings(Part):
    """Messages to a Slack channel, by token or by incoming webhook."""

    token: Secret | None = None
    token_file: File | None = None
    channel: Text | None = None
    webhook_url: Secret | None = None
    webhook_url_file: File | None = None
    url: Url | None = None

    @model_validator(mode="after")
    def _complete(self) -> SlackSettings:
        if (self.token is None) == (self.webhook_url is None):
            raise ValueError("needs either token_file and channel, or webhook_url_file; write exactly one of the two")
        if self.token is not None and self.channel is None:
            raise ValueError('has a token but no channel; write for example channel: "#deploys"')
        return self


class AlertmanagerSettings(Part):
    """Alerts to an Alertmanager."""

    url: Url = Field(description="the Alertmanager's address, for example http://127.0.0.1:9093")


class WebhookSettings(Part):
    """A signed POST to an address of your own."""

    url: Url = Field(description="the address that takes the POST")
    secret: Secret | None = None
    secret_file: File | None = None


class EmailSettings(Part):
    """Mail through an SMTP server."""

    smtp: Annotated[Address, BeforeValidator(_address)] = Field(description="HOST:PORT, for example mail.example:587")
    sender: Text = Field(alias="from", description="the sender's address")
    to: Annotated[tuple[str, ...], BeforeValidator(_words)] = Field(description="a list of addresses")
    username: Text | None = None
    password: Secret | None = None
    password_file: File | None = None


class NotifySettings(Part):
    """Who hears of it; every channel is optional."""

    pagerduty: PagerDutySettings | None = None
    slack: SlackSettings | None = None
    alertmanager: AlertmanagerSettings | None = None
    webhook: WebhookSettings | None = None
    email: EmailSettings | None = None


class LogSettings(Part):
    """What the process prints."""

    format: Annotated[str, BeforeValidator(word("json", "console"))] = "json"
    level: Annotated[str, BeforeValidator(word("debug", "info", "warning", "error"))] = "info"


class Settings(BaseSettings):
    """Everything the daemon is told. `path` is the file it came from, None when there was none."""

    model_config = SettingsConfigDict(
        env_prefix="WATCHDOG_",
        env_nested_delimiter="__",
        enable_decoding=False,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    prometheus: PrometheusSettings = Field(description="prometheus: {url: http://127.0.0.1:9090}")
    ledger: Annotated[str, BeforeValidator(_ledger)] = Field(default="sqlite:///watchdog.db", repr=False)
    """Not printed: it may hold a password."""
    ledger_file: File | None = None
    rollouts: Annotated[tuple[Path, ...], BeforeValidator(_paths)] = (Path("rollouts/*.yaml"),)
    """Patterns as absolute paths; `config.rollout_files` expands them."""
    reports: ReportSettings = ReportSettings()
    http: HttpSettings = HttpSettings()
    flags: FlagSettings = FlagSettings()
    notify: NotifySettings = NotifySettings()
    tick_deadline: Duration = 10.0
    log: LogSettings = LogSettings()
    secrets_dir: File | None = None
    """A directory of files named like the secrets they hold, for example `http__token`."""

    _file: Path | None = None
    _directory: Path = Path()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        **_: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Nothing is read behind the loader's back: `config.load_settings` merges the sources and knows their places."""
        return (init_settings,)

    def located(self, file: Path | None, directory: Path) -> Settings:
        """The same settings, every relative path (a SQLite ledger's too) taken from `directory`."""
        settings = _located(self, directory)
        scheme, _, rest = settings.ledger.partition("sqlite:///")
        if not scheme:
            settings = settings.model_copy(update={"ledger": f"sqlite:///{directory / Path(rest).expanduser()}"})
        settings._file, settings._directory = file, directory  # noqa: SLF001
        return settings

    @property
    def path(self) -> Path | None:
        """The settings file."""
        return self._file

    @property
    def directory(self) -> Path:
        """What relative paths are relative to."""
        return self._directory

    @property
    def propagation(self) -> float:
        """Worst case from a flag write to its last reader, as written or as known of the flag service."""
        written = self.flags.propagation
        return PROPAGATION[self.flags.service] if written is None else written

    @property
    def warnings(self) -> list[str]:
        """What is legal and still worth a sentence of `check`."""
        found = [
            f"notify.{channel}: is configured, but this version only records pages; nothing is sent there yet"
            for channel in type(self.notify).model_fields
            if getattr(self.notify, channel) is not None
        ]
        if self.http.listen.host not in {"127.0.0.1", "::1", "localhost"} and self.http.token is None:
            found.append("http.listen: is open to the network without http.token; changing calls will be refused")
        if self.prometheus.timeout >= self.tick_deadline:
            found.append("prometheus.timeout: is not shorter than tick_deadline, so one slow query can cost a tick")
        return found

    def facts(self) -> DaemonFacts:
        """What shapes verdicts, for the rule of each rollout."""
        return DaemonFacts(self.prometheus.scrape_interval, self.tick_deadline, self.flags.timeout, self.propagation)
