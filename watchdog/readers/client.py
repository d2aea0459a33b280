"""A reader that is a real OpenFeature client, whatever its provider."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from watchdog.readers.base import KEY, ReaderError, Sight

if TYPE_CHECKING:
    from openfeature.client import OpenFeatureClient
    from openfeature.provider import FeatureProvider

VERSIONS = ("slo-watchdog.version", "version")
"""Where an evaluation's metadata tell the version, the flag's own first."""
IDEM = "slo-watchdog.idem"


def _nothing() -> None:
    """Nothing to close."""


class ClientReader:
    """One provider under a domain of its own, so that readers of one process do not get in each other's way."""

    def __init__(
        self,
        name: str,
        provider: FeatureProvider,
        poll: float,
        *,
        pause: float = 0.0005,
        close: Callable[[], None] = _nothing,
    ) -> None:
        self.name = name
        self.poll = poll
        self.pause = pause
        self._provider = provider
        self._close = close
        self._domain = f"slo-watchdog-{name}-{id(self)}"
        self._client: OpenFeatureClient | None = None
        self._level = logging.NOTSET

    def __enter__(self) -> Self:
        from openfeature import api  # noqa: PLC0415 - only a drill pays for it
        from openfeature.exception import OpenFeatureError  # noqa: PLC0415

        # What goes wrong is in the sight; while a drill waits, the SDK would say it a thousand times.
        logger = logging.getLogger("openfeature")
        self._level = logger.level
        logger.setLevel(logging.CRITICAL + 1)
        try:
            api.set_provider_and_wait(self._provider, self._domain)
        except (OpenFeatureError, OSError, ValueError, RuntimeError) as error:
            self.__exit__()
            raise ReaderError(
                f"drill: the reader {self.name} cannot be started: {error or type(error).__name__}; see that what it "
                "reads from is there, or name another reader (drill.reader)"
            ) from error
        self._client = api.get_client(self._domain)
        return self

    def __exit__(self, *_: object) -> None:
        from openfeature import api  # noqa: PLC0415
        from openfeature.provider.no_op_provider import NoOpProvider  # noqa: PLC0415

        api.set_provider(NoOpProvider(), self._domain)  # the registry ends the one before
        self._close()
        self._client = None
        logging.getLogger("openfeature").setLevel(self._level)

    def is_on(self, flag: str, key: str = KEY) -> Sight:
        """One evaluation as an application makes it; the code default never passes for an answer."""
        from openfeature.evaluation_context import EvaluationContext  # noqa: PLC0415

        if self._client is None:
            return Sight(None, problem=f"the reader {self.name} is closed")
        found = self._client.get_boolean_details(flag, default_value=True, evaluation_context=EvaluationContext(key))
        if found.error_code is not None:
            return Sight(None, problem=f"{found.error_code.value}: {found.error_message or 'no reason given'}")
        metadata = found.flag_metadata
        version = next((str(metadata[name]) for name in VERSIONS if name in metadata), "")
        return Sight(bool(found.value), version, str(metadata.get(IDEM, "")))
