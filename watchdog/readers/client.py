"""A reader that is a real OpenFeature client, whatever its provider."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from watchdog.readers.base import KEY, ReaderError, Sight

if TYPE_CHECKING:
    from openfeature.client import OpenFeatureClient
    from openfeature.provider import FeatureProvider

VERSIONS = ("slo-watchdog.version", "version")
"""Where an evaluation's metadata tell the version, the flag's own first."""
IDEM = "slo-watchdog.idem"
NEWS_WITHIN = 0.02
"""Seconds after which a reader that is told of changes is asked all the same."""


def _nothing() -> None:
    """Nothing to close."""


class ClientReader:
    """One provider under a domain of its own, so that readers of one process do not get in each other's way.

    `told` says that the provider tells of changes. Then it is evaluated when it does, and not all the time meanwhile:
    what keeps it up to date has the interpreter for itself.
    """

    def __init__(
        self,
        name: str,
        provider: FeatureProvider,
        poll: float,
        *,
        pause: float = 0.0002,
        told: bool = False,
        close: Callable[[], None] = _nothing,
    ) -> None:
        self.name = name
        self.poll = poll
        self._pause = pause
        self._news = threading.Event() if told else None
        self._provider = provider
        self._close = close
        self._domain = f"slo-watchdog-{name}-{id(self)}"
        self._client: OpenFeatureClient | None = None
        self._level = logging.NOTSET

    def __enter__(self) -> Self:
        from openfeature import api  # noqa: PLC0415 - only a drill pays for it
        from openfeature.event import ProviderEvent  # noqa: PLC0415
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
        self._client.add_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, self._changed)
        return self

    def __exit__(self, *_: object) -> None:
        from openfeature import api  # noqa: PLC0415
        from openfeature.event import ProviderEvent  # noqa: PLC0415
        from openfeature.provider.no_op_provider import NoOpProvider  # noqa: PLC0415

        if self._client is not None:
            self._client.remove_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, self._changed)
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

    def rest(self, stop: threading.Event) -> bool:
        """A moment, or until the provider tells of a change. Whether to stop."""
        if self._news is None:
            return stop.wait(self._pause)
        self._news.wait(NEWS_WITHIN)
        self._news.clear()
        return stop.is_set()

    def _changed(self, _: object) -> None:
        if self._news is not None:
            self._news.set()
