"""The daemon's settings: what each key of `watchdog.yaml` means, takes and defaults to. `config.py` loads them.

Durations are seconds. Relative paths, that of a SQLite ledger included, are relative to the settings file, wherever
they were written. Secrets are `SecretStr`: they never print.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from watchdog.config.flagsettings import ABILITIES, DrillSettings, FlagSettings, ServeSettings
from watchdog.config.values import Address, Duration, File, Files, Headers, Ledger, Listen, Secret, Text, Url, Words
from watchdog.rolloutfile import DaemonFacts
from watchdog.rolloutfile.fields import word

M = TypeVar("M", bound=BaseModel)


def _located(model: M, directory: Path) -> M:
    changed: dict[str, Any] = {}
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, Path):
            changed[name] = directory / value
        elif isinstance(value, BaseModel):
            changed[name] = _located(value, directory)
        elif isinstance(value, dict) and any(isinstance(item, BaseModel) for item in value.values()):
            changed[name] = {key: _located(item, directory) for key, item in value.items()}
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
    headers: Headers = Field(default_factory=dict)
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

    listen: Listen = Address("127.0.0.1", 8799)
    external_url: Url | None = None
    token: Secret | None = None
    """Without it every call that changes something is refused."""
    token_file: File | None = None


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

    url: Url = Field(description="the address that takes the POST", repr=False)
    secret: Secret | None = None
    secret_file: File | None = None


class EmailSettings(Part):
    """Mail through an SMTP server."""

    smtp: Listen = Field(description="HOST:PORT, for example mail.example:587")
    sender: Text = Field(alias="from", description="the sender's address")
    to: Words = Field(description="a list of addresses")
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
        validate_default=False,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    prometheus: PrometheusSettings = Field(description="prometheus: {url: http://127.0.0.1:9090}")
    ledger: Ledger = Field(default="sqlite:///watchdog.db", repr=False)
    """Not printed: it may hold a password."""
    ledger_file: File | None = None
    rollouts: Files = (Path("rollouts/*.yaml"),)
    """Patterns as absolute paths; `config.rollout_files` expands them."""
    reports: ReportSettings = ReportSettings()
    http: HttpSettings = HttpSettings()
    flags: FlagSettings = FlagSettings()
    services: dict[str, FlagSettings] = Field(default_factory=dict)
    """Further flag services by name, for `also:` in a rollout."""
    emergency: FlagSettings | None = None
    """Where the emergency flags are; None: beside the rollouts' flags, in a set of their own (`emergency_flags`)."""
    serve: ServeSettings = ServeSettings()
    drill: DrillSettings = DrillSettings()
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
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Nothing is read behind the loader's back: it merges the sources itself, and so knows every key's place."""
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
    def emergency_flags(self) -> FlagSettings:
        """The service of the emergency flags: as written, else that of the rollouts, in another set if it has sets.

        A bad write to the rollouts' document then cannot block them. What cannot be read, as a webhook, cannot hold
        them: they are a flagd file then.
        """
        if self.emergency is not None:
            return self.emergency
        flags = self.flags
        if flags.service == "flagd-file":
            return flags.model_copy(update={"path": flags.path.with_name("ops.flagd.json"), "audiences": {}})
        if flags.service == "redis":
            return flags.model_copy(update={"set": "ops" if flags.set != "ops" else "emergency", "audiences": {}})
        if flags.service == "webhook":
            return FlagSettings(path=self.directory / "flags/ops.flagd.json")
        return flags

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
        smallest_step, cohort, audiences = ABILITIES[self.flags.service]
        return DaemonFacts(
            self.prometheus.scrape_interval,
            self.tick_deadline,
            self.flags.timeout,
            self.flags.worst_propagation,
            audiences=frozenset(self.flags.audiences),
            smallest_step=smallest_step,
            supports_cohort=cohort,
            supports_audiences=audiences,
            services=frozenset(self.services),
        )
