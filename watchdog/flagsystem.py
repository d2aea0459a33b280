"""The flags of one installation: the rollouts' own service, the emergency set and secondary services, all audited."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from watchdog.audit import AuditedFlags, ChangeLog, Observer, audited
from watchdog.config.flagsettings import FlagSettings
from watchdog.config.settings import Settings
from watchdog.flags import open_service
from watchdog.flags.base import ManagedFlagService
from watchdog.model import EMERGENCY_FLAGS

PRIMARY = "flags"
EMERGENCY = "emergency"


@dataclass(frozen=True, slots=True)
class FlagSystem:
    """Every flag service that the settings name. `primary` holds the rollouts' flags."""

    primary: AuditedFlags
    emergency: AuditedFlags
    secondary: Mapping[str, AuditedFlags] = field(default_factory=dict)

    def service_for(self, flag: str) -> AuditedFlags:
        """Where a flag is: emergency flags in their own set, every other in the rollouts' service."""
        return self.emergency if flag in EMERGENCY_FLAGS else self.primary

    @property
    def services(self) -> Mapping[str, AuditedFlags]:
        """Every service by its name in the audit."""
        return {PRIMARY: self.primary, EMERGENCY: self.emergency, **self.secondary}


def open_flags(
    settings: Settings,
    changes: ChangeLog | None,
    clock: Callable[[], float],
    *,
    observer: Observer | None = None,
    primary: ManagedFlagService | None = None,
) -> FlagSystem:
    """Open what the settings name; reaches nothing yet. `primary` stands in for the service of `flags:`.

    Raises ConfigError. Where the emergency flags are in the very service of the rollouts, the connection is shared.
    """
    own = open_service(settings.flags) if primary is None else primary
    apart = settings.emergency_flags
    shared = primary is None and apart == settings.flags
    switches = own if shared else _open_emergency(apart)
    actions = dict.fromkeys(EMERGENCY_FLAGS, "emergency") | {settings.drill.flag: "drill"}

    def wrap(service: ManagedFlagService, name: str) -> AuditedFlags:
        return audited(service, name, changes, clock, actions=actions, observer=observer)

    return FlagSystem(
        wrap(own, PRIMARY),
        wrap(switches, EMERGENCY),
        {name: wrap(open_service(service), name) for name, service in settings.services.items()},
    )


def _open_emergency(settings: FlagSettings) -> ManagedFlagService:
    """A set of switches: in a file, switching on works on top of a broken document, too."""
    if settings.service != "flagd-file":
        return open_service(settings)
    from watchdog.flags.flagd_file import FlagdFile  # noqa: PLC0415

    return FlagdFile(
        settings.path,
        settings.timeout,
        propagation=settings.worst_propagation,
        bucketing=settings.bucketing,
        emergency=True,
    )
