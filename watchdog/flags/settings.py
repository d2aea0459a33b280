"""What a flag service is told of itself. The settings' own class (config/flagsettings.py) is one of these."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from pydantic import SecretStr


class ServiceSettings(Protocol):
    """What the `flags:` section of the settings says (config/flagsettings.py): durations in seconds."""

    @property
    def service(self) -> str:
        """Name of the service, a key of `SERVICES`."""
        ...

    @property
    def path(self) -> Path:
        """The flag file, for services that keep one."""
        ...

    @property
    def timeout(self) -> float:
        """How long one call to the service may take."""
        ...

    @property
    def worst_propagation(self) -> float:
        """Worst case until a reader sees a change."""
        ...

    @property
    def bucketing(self) -> str:
        """The hash that deals users to percentages: `flagd-v2` or `flagd-v3`."""
        ...

    @property
    def audiences(self) -> Mapping[str, Any]:
        """Whom each audience means: name -> JsonLogic condition."""
        ...

    @property
    def url(self) -> str | None:
        """Where the service answers; None for its usual address, where it has one."""
        ...

    @property
    def set(self) -> str:
        """Name of the flag set."""
        ...

    @property
    def username(self) -> str | None:
        """Who signs in."""
        ...

    @property
    def password(self) -> SecretStr | None:
        """With which password."""
        ...

    @property
    def token(self) -> SecretStr | None:
        """The token that lets us change flags."""
        ...

    @property
    def secret(self) -> SecretStr | None:
        """The key that messages are signed with."""
        ...

    @property
    def project(self) -> str:
        """The service's project."""
        ...

    @property
    def environment(self) -> str:
        """The environment in which flags are changed."""
        ...

    @property
    def ca_file(self) -> Path | None:
        """Certificates to trust besides the system's."""
        ...
