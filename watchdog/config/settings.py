"""The daemon's settings: what each key of `watchdog.yaml` means, takes and defaults to. `config.py` loads them.

Durations are seconds. Relative paths, that of a SQLite ledger included, are relative to the settings file, wherever
they were written. Secrets are `SecretStr`: they never print.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, Field, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from watchdog.config.flagsettings import ABILITIES, DrillSettings, FlagSettings, ServeSettings
from watchdog.config.httpsettings import HttpSettings
from watchdog.config.notifysettings import AlertSettings, NotifySettings
from watchdog.config.sections import (
    DeadmanSettings,
    EvidenceSettings,
    HealthSettings,
    LogSettings,
    PreflightSettings,
    PrometheusSettings,
    ReplicaSettings,
    ReportSettings,
)
from watchdog.config.values import Duration, File, Files, Ledger
from watchdog.rolloutfile import DaemonFacts

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


class Settings(BaseSettings):
    """Everything the daemon is told. `path` is the file it came from, None when there was none.

    For example::

        prometheus: {url: "http://127.0.0.1:9090"}
        ledger: sqlite:///watchdog.db
        rollouts: [rollouts/*.yaml]
        secrets_dir: secrets
    """

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
    """Where everything is recorded: `sqlite:///FILE`, or `postgresql+psycopg://HOST/DATABASE` for more than one host
    (docs/replicas.md)."""
    ledger_file: File | None = None
    """File that holds the address, where it has a password."""
    rollouts: Files = (Path("rollouts/*.yaml"),)
    """Patterns of rollout files."""
    reports: ReportSettings = ReportSettings()
    evidence: EvidenceSettings = EvidenceSettings()
    preflight: PreflightSettings = PreflightSettings()
    http: HttpSettings = HttpSettings()
    health: HealthSettings = HealthSettings()
    flags: FlagSettings = FlagSettings()
    services: dict[str, FlagSettings] = Field(default_factory=dict)
    """Further flag services by name, each with the keys of `flags`; a rollout's `also:` names them."""
    emergency: FlagSettings | None = None
    """Where the emergency flags are, with the keys of `flags`. Without it, a set of their own beside the rollouts'
    flags."""
    serve: ServeSettings = ServeSettings()
    drill: DrillSettings = DrillSettings()
    notify: NotifySettings = NotifySettings()
    alerts: AlertSettings = AlertSettings()
    deadman: DeadmanSettings = DeadmanSettings()
    replicas: ReplicaSettings = ReplicaSettings()
    tick_deadline: Duration = 10.0
    """For all queries of one slot, which run in parallel; what has not answered by then is `unreachable`."""
    log: LogSettings = LogSettings()
    secrets_dir: File | None = None
    """Directory of secret files, see above."""

    _file: Path | None = None
    _directory: Path = Path()

    @model_validator(mode="after")
    def _on_a_server(self) -> Settings:
        if self.replicas.lease is not None and self.ledger.startswith("sqlite:"):
            raise ValueError(
                "replicas.lease: needs a ledger on PostgreSQL, and this one is a SQLite file, which has one host; "
                "write ledger: postgresql+psycopg://..., or remove replicas.lease"
            )
        return self

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
        found = self.http.warnings
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
            noise=self.alerts.rule() if self.alerts.token is not None else None,
        )
