"""The OpenFeature provider for Unleash: Unleash's own client, asking a strict script of its interface."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent
from openfeature.exception import ProviderNotReadyError
from openfeature.flag_evaluation import ErrorCode
from openfeature.provider.no_op_provider import NoOpProvider
from pydantic import SecretStr

from tests.answering import Answering, Request, reply
from tests.processes import wait_for
from tests.unleashcontract import CLIENT, ENVIRONMENT, TOKEN, Contract
from watchdog.config.flagsettings import FlagSettings
from watchdog.flags.base import Change
from watchdog.flags.unleash import open_unleash
from watchdog.model import Exposure
from watchdog.readers.base import ReaderError
from watchdog.readers.unleash_provider import UnleashProvider

FLAG = "new-checkout"
DOMAIN = "unleash-tests"


@pytest.fixture
def contract() -> Contract:
    return Contract()


@pytest.fixture
def server(contract: Contract) -> Iterator[Answering]:
    with Answering() as server:
        yield server.always(contract)


def serve(server: Answering, percent: float, *cohort: str) -> None:
    given = {"service": "unleash", "url": server.url, "token": TOKEN, "environment": ENVIRONMENT}
    service = open_unleash(FlagSettings.model_validate(given))
    service.init([FLAG], by="a test")
    service.set(FLAG, Change(Exposure(percent, cohort=bool(cohort)), cohort, "a test", "a test"))


@contextmanager
def application(provider: UnleashProvider) -> Iterator[OpenFeatureClient]:
    """An application's own client."""
    api.set_provider_and_wait(provider, DOMAIN)
    try:
        yield api.get_client(DOMAIN)
    finally:
        api.set_provider(NoOpProvider(), DOMAIN)
        provider.shutdown()  # the registry does so too, on a thread that nobody waits for


def test_the_targeting_key_decides_and_attributes_go_along(server: Answering) -> None:
    serve(server, 0, "qa-1")
    with application(UnleashProvider(server.url, CLIENT)) as client:
        member = EvaluationContext("qa-1", {"region": "eu", "sessionId": "s-1"})
        found = client.get_boolean_details(FLAG, default_value=False, evaluation_context=member)
        assert (found.value, found.variant, found.error_code) == (True, "on", None)
        assert not client.get_boolean_value(FLAG, default_value=True, evaluation_context=EvaluationContext("else"))
        assert not client.get_boolean_value(FLAG, default_value=True)
    asked = [one for one in server.asked if one.target.startswith("/api/client")]
    assert {(one.method, one.target) for one in asked} == {("GET", "/api/client/features")}, "no metrics, no sign-up"


def test_everybody_includes_callers_without_a_key(server: Answering) -> None:
    serve(server, 100)
    with application(UnleashProvider(f"{server.url}/api/", CLIENT)) as client:
        assert client.get_boolean_value(FLAG, default_value=False)


def test_an_unknown_flag_and_another_kind_of_flag_give_the_code_default(server: Answering) -> None:
    serve(server, 100)
    with application(UnleashProvider(server.url, CLIENT)) as client:
        unknown = client.get_boolean_details("nope", default_value=True)
        assert (unknown.value, unknown.error_code) == (True, ErrorCode.FLAG_NOT_FOUND)
        others: list[Any] = [
            client.get_string_details(FLAG, "a"),
            client.get_integer_details(FLAG, 1),
            client.get_float_details(FLAG, 1.5),
            client.get_object_details(FLAG, {"a": 1}),
        ]
        assert {one.error_code for one in others} == {ErrorCode.TYPE_MISMATCH}
        assert [one.value for one in others] == ["a", 1, 1.5, {"a": 1}]


@pytest.mark.parametrize("fault", [reply(401), reply(503), reply(200, b"<html>")])
def test_without_flags_it_is_not_ready_and_goes_on_trying(server: Answering, contract: Contract, fault: Any) -> None:
    serve(server, 100)
    broken = [True]
    contract.before = lambda request: fault if broken[0] and "client" in request.target else None
    provider = UnleashProvider(server.url, CLIENT, refresh=0.1)
    with pytest.raises(ProviderNotReadyError, match="check the address and the client token"):
        provider.initialize(EvaluationContext())
    heard: list[ProviderEvent] = []
    provider.attach(lambda _provider, event, _details: heard.append(event))
    broken[0] = False
    try:
        wait_for(lambda: heard or None, 5, lambda: "no event came")
        assert heard[0] is ProviderEvent.PROVIDER_READY
        assert provider.resolve_boolean_details(FLAG, default_value=False).value
    finally:
        provider.shutdown()


def test_while_unleash_is_away_the_last_flags_are_served(server: Answering, contract: Contract) -> None:
    serve(server, 100)
    asked: list[Request] = []
    with application(UnleashProvider(server.url, CLIENT, refresh=0.1)) as client:
        contract.before = lambda request: asked.append(request) or reply(503)
        wait_for(lambda: asked[2:] or None, 5, lambda: "nobody asked")
        assert client.get_boolean_value(FLAG, default_value=False)


def test_a_drill_reads_with_the_client_token_from_where_the_service_is(server: Answering) -> None:
    serve(server, 100)
    flags = SimpleNamespace(url=server.url, ca_file=None)
    drill = SimpleNamespace(url=None, token=SecretStr(CLIENT), refresh=1.0)
    with application(UnleashProvider.of(SimpleNamespace(flags=flags, drill=drill))) as client:  # type: ignore[arg-type]
        assert client.get_boolean_value(FLAG, default_value=False)
    without = SimpleNamespace(url=None, token=None, refresh=1.0)
    with pytest.raises(ReaderError, match=r"write drill\.token"):
        UnleashProvider.of(SimpleNamespace(flags=flags, drill=without))  # type: ignore[arg-type]
