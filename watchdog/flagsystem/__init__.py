"""The flag services of one installation, opened from its settings, each with its audit: the way to every flag."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from watchdog.audit import AuditedFlags, ChangeLog, Observer, audited
from watchdog.config.settings import Settings
from watchdog.errors import Refused
from watchdog.flags import open_service
from watchdog.flags.base import ManagedFlagService
from watchdog.model import EMERGENCY_FLAGS

PRIMARY = "flags"
EMERGENCY = "emergency"
"""The names of the two services that every installation has; further ones have their names in `services:`."""


@dataclass(frozen=True)
class FlagSystem:
    """All flag services: `primary` has the rollouts' flags, `emergency` the switches, `secondary` those of `services:`.

    `changes` is their log; None where nothing is changed.
    """

    primary: AuditedFlags
    emergency: AuditedFlags
    secondary: Mapping[str, AuditedFlags]
    changes: ChangeLog | None = None

    def service_for(self, flag: str) -> AuditedFlags:
        """Where a flag is as long as nobody says otherwise: emergency flags in their set, all others in `flags:`."""
        return self.emergency if flag in EMERGENCY_FLAGS else self.primary

    @property
    def services(self) -> dict[str, AuditedFlags]:
        """Every service by its name in the audit."""
        return {PRIMARY: self.primary, EMERGENCY: self.emergency, **self.secondary}

    def named(self, name: str) -> AuditedFlags:
        """The service of that name. Refused when there is none."""
        services = self.services
        if name not in services:
            raise Refused(f"there is no flag service {name!r}; there are {', '.join(services)}")
        return services[name]


def open_flags(
    settings: Settings,
    changes: ChangeLog | None,
    clock: Callable[[], float],
    *,
    primary: ManagedFlagService | None = None,
    observer: Observer | None = None,
) -> FlagSystem:
    """Every flag service that the settings name; none is asked anything yet. Raises ConfigError.

    `changes` None records nothing. `primary` stands in for the service that `flags:` names.
    """
    actions = {**dict.fromkeys(EMERGENCY_FLAGS, "emergency"), settings.drill.flag: "drill"}
    own = primary if primary is not None else open_service(settings.flags)

    def with_audit(service: ManagedFlagService, name: str) -> AuditedFlags:
        return audited(service, name, changes, clock, actions=actions, observer=observer)

    return FlagSystem(
        primary=with_audit(own, PRIMARY),
        emergency=with_audit(_emergency(settings, own), EMERGENCY),
        secondary={name: with_audit(open_service(section), name) for name, section in settings.services.items()},
        changes=changes,
    )


def _emergency(settings: Settings, own: ManagedFlagService) -> ManagedFlagService:
    """The service of the emergency flags: the rollouts' own where both are one project of a server."""
    section = settings.emergency_flags
    if section.service == "flagd-file":
        from watchdog.flags.flagd_file import FlagdFile  # noqa: PLC0415 - only where one is used

        return FlagdFile(
            section.path,
            section.timeout,
            propagation=section.worst_propagation,
            bucketing=section.bucketing,
            emergency=True,
        )
    return own if section == settings.flags else open_service(section)
