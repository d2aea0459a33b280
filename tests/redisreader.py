"""An application that reads its flags from Redis, through OpenFeature."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Self

from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent

from tests.redisserver import FLAG, RedisServer
from watchdog.readers.redis_provider import RedisProvider

SOMEBODY = EvaluationContext("user-1")


class Application:
    """A program with an OpenFeature client on the set, and a memory of the provider's events."""

    def __init__(self, server: RedisServer, **options: object) -> None:
        self.provider = RedisProvider.of(server.settings(**options), poll=0.3)
        self.events: list[tuple[str, EventDetails]] = []
        self.client: OpenFeatureClient = api.get_client("redis-test")
        self._handlers: list[tuple[ProviderEvent, Callable[[EventDetails], None]]] = []
        for event in ProviderEvent:
            self._hear(event)

    def _hear(self, event: ProviderEvent) -> None:
        def handler(details: EventDetails) -> None:
            self.events.append((event.value, details))

        self._handlers.append((event, handler))
        self.client.add_handler(event, handler)

    def __enter__(self) -> Self:
        api.set_provider_and_wait(self.provider, "redis-test")
        return self

    def __exit__(self, *_: object) -> None:
        for event, handler in self._handlers:
            self.client.remove_handler(event, handler)
        self.provider.shutdown()
        api.clear_providers()

    def on(self, flag: str = FLAG, context: EvaluationContext = SOMEBODY, *, default: bool = False) -> bool:
        return self.client.get_boolean_value(flag, default, context)

    def until(self, holds: Callable[[], object], within: float = 5.0) -> None:
        end = time.monotonic() + within
        while not holds():
            assert time.monotonic() < end, f"not within {within} s; events so far: {self.events}"
            time.sleep(0.005)
