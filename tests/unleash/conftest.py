"""One server for the whole suite, and a flag of its own for each test."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import SimpleNamespace

import pytest
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import FlagNotFoundError

from tests.unleash.server import ADMIN_TOKEN, CLIENT_TOKEN, ENVIRONMENT, UnleashServer
from watchdog.config.flagsettings import FlagSettings
from watchdog.flags.base import Change
from watchdog.flags.unleash import Unleash, open_unleash
from watchdog.model import NOBODY, Exposure
from watchdog.readers.unleash_provider import UnleashProvider

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server() -> Iterator[UnleashServer]:
    with UnleashServer() as running:
        yield running


@pytest.fixture
def unleash(server: UnleashServer) -> Unleash:
    return service(server)


@pytest.fixture
def flag(unleash: Unleash) -> str:
    """A flag of this test alone, as `flags init` makes it."""
    name = f"new-checkout-{next(_numbers)}"
    unleash.init([name], by="a test")
    return name


def service(server: UnleashServer, token: str = ADMIN_TOKEN, **settings: object) -> Unleash:
    """The flag service as the settings open it."""
    given = {"service": "unleash", "url": server.url, "token": token, "environment": ENVIRONMENT, **settings}
    return open_unleash(FlagSettings.model_validate(given))


def to(percent: float, *cohort: str, rollout: str | None = "checkout-2.14.0", **more: str) -> Change:
    """A change to so many percent, and besides them the cohort."""
    return Change(Exposure(percent, cohort=bool(cohort)), cohort, "watchdog", "a step", rollout, **more)


def off(rollout: str | None = "checkout-2.14.0", idem: str = "") -> Change:
    """A rollback."""
    return Change(NOBODY, (), "watchdog", "error_rate is broken", rollout, idem)


class Readers:
    """An application's client, with its default settings but for how often it asks."""

    def __init__(self, provider: UnleashProvider) -> None:
        self._provider = provider

    def on(self, flag: str, key: str | None) -> bool:
        """What one caller gets."""
        try:
            return self._provider.resolve_boolean_details(
                flag, default_value=True, evaluation_context=EvaluationContext(key)
            ).value
        except FlagNotFoundError:  # a flag that was made a moment ago
            return False

    def all_on(self, flag: str, keys: list[str]) -> set[str]:
        """Who of them has the feature."""
        return {key for key in keys if self.on(flag, key)}


@contextmanager
def reading(server: UnleashServer, refresh: float = 1.0) -> Iterator[Readers]:
    provider = UnleashProvider(server.url, CLIENT_TOKEN, refresh=refresh)
    provider.initialize(EvaluationContext())
    try:
        yield Readers(provider)
    finally:
        provider.shutdown()


@pytest.fixture(scope="session")
def readers(server: UnleashServer) -> Callable[[], AbstractContextManager[Readers]]:
    """Opens a client that asks once a second."""
    return lambda: reading(server)


class Person:
    """Somebody who works on flags in Unleash's own pages."""

    def __init__(self, server: UnleashServer) -> None:
        self._server = server

    def strategies(self, flag: str) -> list[SimpleNamespace]:
        environments = self.feature(flag).environments
        found = next(one for one in environments if one["name"] == ENVIRONMENT)
        return [SimpleNamespace(**one) for one in found["strategies"]]

    def feature(self, flag: str) -> SimpleNamespace:
        return SimpleNamespace(**self._server.admin("GET", _feature(flag)).json())

    def rolls_out(self, flag: str, percent: int) -> None:
        self.patches(flag, {"op": "replace", "path": "/parameters/rollout", "value": str(percent)})

    def patches(self, flag: str, *operations: object, position: int = 0) -> None:
        strategy = self.strategies(flag)[position].id
        self._server.admin("PATCH", f"{_environment(flag)}/strategies/{strategy}", list(operations))

    def adds(self, flag: str, percent: int = 100, **more: object) -> None:
        parameters = {"rollout": str(percent), "stickiness": "default", "groupId": flag}
        body = {"name": "flexibleRollout", "constraints": [], "parameters": parameters, **more}
        self._server.admin("POST", f"{_environment(flag)}/strategies", body)

    def switches(self, flag: str, how: str) -> None:
        self._server.admin("POST", f"{_environment(flag)}/{how}")

    def archives(self, flag: str) -> None:
        self._server.admin("DELETE", _feature(flag))

    def depends(self, flag: str, parent: str) -> None:
        self._server.admin("POST", f"{_feature(flag)}/dependencies", {"feature": parent})

    def events(self, flag: str, kind: str) -> int:
        """How many events of a kind Unleash's own audit has of a flag."""
        path = f"/search/events?feature=IS:{flag}&type=IS:{kind}"
        return int(self._server.admin("GET", path).json()["total"])


@pytest.fixture
def person(server: UnleashServer) -> Person:
    return Person(server)


def _feature(flag: str) -> str:
    return f"/projects/default/features/{flag}"


def _environment(flag: str) -> str:
    return f"{_feature(flag)}/environments/{ENVIRONMENT}"
