"""An OpenFeature provider around Unleash's own Python client, for applications and for drills.

    api.set_provider(UnleashProvider("https://unleash.example", "default:production.SECRET", app_name="checkout"))

The targeting key is handed over as `userId`, by which the watchdog's strategies deal users to percentages. Only boolean
flags are read: those are what the watchdog ramps. Definitions are kept in memory and fetched every `refresh` seconds;
while Unleash is away the last ones go on being served.
"""

# ruff: noqa: ARG002 - the signatures are the SDK's

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from openfeature.event import ProviderEventDetails
from openfeature.exception import FlagNotFoundError, ProviderNotReadyError, TypeMismatchError
from openfeature.flag_evaluation import FlagResolutionDetails, Reason
from openfeature.provider import AbstractProvider
from openfeature.provider.metadata import Metadata
from UnleashClient import UnleashClient  # type: ignore[attr-defined]
from UnleashClient.cache import BaseCache
from UnleashClient.constants import FEATURES_URL
from UnleashClient.events import BaseEvent, UnleashEventType
from UnleashClient.utils import LOGGER, InstanceAllowType

from watchdog.readers.base import ReaderError

if TYPE_CHECKING:
    from openfeature.evaluation_context import EvaluationContext
    from openfeature.flag_evaluation import FlagValueType

    from watchdog.config.settings import Settings

FIELDS = ("sessionId", "remoteAddress", "appName", "environment", "currentTime")
"""Attributes that Unleash's context has a place of its own for; all others are its properties."""
TIMEOUT = 5.0


class UnleashProvider(AbstractProvider):
    """Reads the flags of the environment that `token`, a client token, belongs to; from `url`, without `/api`.

    `refresh` and `timeout` in seconds. With `report` the client registers itself and sends usage metrics to Unleash.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        app_name: str = "slo-watchdog",
        refresh: float = 15.0,
        timeout: float = TIMEOUT,
        ca_file: str | None = None,
        report: bool = False,
    ) -> None:
        super().__init__()
        self._late = False
        self._cache = _Memory()
        self._client = UnleashClient(
            f"{url.rstrip('/').removesuffix('/api')}/api",
            app_name,
            instance_id=f"{app_name}-{uuid.uuid4()}",
            refresh_interval=int(refresh) if refresh == int(refresh) else refresh,  # type: ignore[arg-type]
            request_timeout=timeout,  # type: ignore[arg-type]
            request_retries=0,
            disable_metrics=not report,
            disable_registration=not report,
            custom_headers={"Authorization": token},
            custom_options={"verify": ca_file} if ca_file is not None else {},
            cache=self._cache,
            event_callback=self._told,
            multiple_instance_mode=InstanceAllowType.SILENTLY_ALLOW,
            verbose_log_level=logging.DEBUG,
        )

    @classmethod
    def of(cls, settings: Settings) -> UnleashProvider:
        """The reader of a drill: where the flag service is, unless `drill` says otherwise. Raises ReaderError."""
        flags, drill = settings.flags, settings.drill
        url = drill.url or flags.url
        if url is None or drill.token is None:
            raise ReaderError(
                "drill: the reader unleash needs a client token of its environment; write drill.token or "
                "drill.token_file (the admin token of flags does not read flags as an application does)"
            )
        return cls(
            url,
            drill.token.get_secret_value(),
            app_name="slo-watchdog-drill",
            refresh=drill.refresh,
            ca_file=str(flags.ca_file) if flags.ca_file is not None else None,
        )

    def initialize(self, evaluation_context: EvaluationContext) -> None:
        """Fetch the flags, and go on fetching them. Raises ProviderNotReadyError when the first fetch fails."""
        level = LOGGER.level
        LOGGER.setLevel(logging.CRITICAL)  # what goes wrong here is raised below, not printed
        try:
            self._client.initialize_client()
        finally:
            LOGGER.setLevel(level)
        if not self._cache.has_flags():
            self._late = True
            raise ProviderNotReadyError("Unleash gave no flags; check the address and the client token; it is tried on")

    def shutdown(self) -> None:
        """Stop fetching."""
        self._client.destroy()

    def get_metadata(self) -> Metadata:
        """The provider's name."""
        return Metadata("unleash")

    def resolve_boolean_details(
        self,
        flag_key: str,
        default_value: bool,  # noqa: FBT001 - the SDK's signature
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        """Whether the flag is on for the targeting key. Raises FlagNotFoundError."""
        unknown: list[str] = []

        def fallback(name: str, _context: Mapping[str, Any]) -> bool:
            unknown.append(name)
            return default_value

        on = self._client.is_enabled(flag_key, _context(evaluation_context), fallback)
        if unknown:
            raise FlagNotFoundError(f"Unleash has no flag {flag_key!r} in this environment")
        return FlagResolutionDetails(on, reason=Reason.TARGETING_MATCH, variant="on" if on else "off")

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        """Raises TypeMismatchError: flags are boolean here."""
        raise _mismatch(flag_key)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        """Raises TypeMismatchError: flags are boolean here."""
        raise _mismatch(flag_key)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        """Raises TypeMismatchError: flags are boolean here."""
        raise _mismatch(flag_key)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        """Raises TypeMismatchError: flags are boolean here."""
        raise _mismatch(flag_key)

    def _told(self, event: BaseEvent) -> None:
        """Hand the client's news on; on a thread of the client."""
        if event.event_type is UnleashEventType.FETCHED and self._cache.has_flags():
            if self._late:
                self._late = False
                self.emit_provider_ready(ProviderEventDetails())
            self.emit_provider_configuration_changed(ProviderEventDetails())


def _mismatch(flag_key: str) -> TypeMismatchError:
    return TypeMismatchError(f"{flag_key}: only boolean flags are read from Unleash")


def _context(given: EvaluationContext | None) -> dict[str, Any]:
    """OpenFeature's context as Unleash's."""
    if given is None:
        return {}
    own = {name: value for name, value in given.attributes.items() if name in FIELDS}
    rest = {name: value for name, value in given.attributes.items() if name not in FIELDS}
    key = {"userId": given.targeting_key} if given.targeting_key else {}
    return {**own, **key, "properties": rest}


class _Memory(BaseCache):
    """The client's cache: nothing on disk, which another process could find stale."""

    def __init__(self) -> None:
        self._kept: dict[str, Any] = {}

    def set(self, key: str, value: Any) -> None:
        self._kept[key] = value

    def mset(self, data: dict[str, Any]) -> None:
        self._kept.update(data)

    def get(self, key: str, default: Any = None) -> Any:
        return self._kept.get(key, default)

    def exists(self, key: str) -> bool:
        return key in self._kept

    def destroy(self) -> None:
        self._kept.clear()

    def has_flags(self) -> bool:
        """Whether what was fetched last is flags: the client keeps any body of a good status."""
        try:
            return isinstance(json.loads(self.get(FEATURES_URL, ""))["features"], list)
        except (ValueError, TypeError, KeyError):
            return False
