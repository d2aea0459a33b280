"""The real OFREP client reads what is served: every type, every reason, a kill, and a daemon that is not there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import FlagNotFoundError, GeneralError, InvalidContextError, ParseError, TypeMismatchError
from openfeature.flag_evaluation import FlagResolutionDetails, Reason

from tests.flagfiles import FLAG, OFF
from tests.reading import Reading
from watchdog.flags.flagd_evaluator import Evaluator
from watchdog.serving import FlagSet

Details = FlagResolutionDetails[bool]
ADA = EvaluationContext("ada", {"plan": "team", "seats": 7})


def boolean(client: OFREPProvider, flag: str = FLAG, mine: bool = False, who: EvaluationContext = ADA) -> Details:  # noqa: FBT001, FBT002
    """What the client makes of a flag, with a default of its own."""
    return client.resolve_boolean_details(flag, mine, who)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Reading]:
    with Reading(tmp_path) as reading:
        yield reading


@pytest.fixture
def client(site: Reading) -> Iterator[OFREPProvider]:
    provider = OFREPProvider(site.url, timeout=2)
    yield provider
    provider.session.close()


def test_a_kill_reaches_the_client_at_its_next_evaluation(site: Reading, client: OFREPProvider) -> None:
    slowest = 0.0
    for _ in range(30):
        site.set(100)
        assert boolean(client).value is True
        site.kill()
        began = time.perf_counter()
        found = boolean(client, mine=True)
        slowest = max(slowest, time.perf_counter() - began)
        assert (found.value, found.variant) == (False, "off")
    assert slowest < 0.5, "an evaluation over loopback takes about a millisecond"


def test_the_client_sees_version_reason_and_variant(site: Reading, client: OFREPProvider) -> None:
    site.set(100)
    found = boolean(client)
    assert (found.value, found.variant, found.reason) == (True, "on", Reason.TARGETING_MATCH)
    assert found.flag_metadata["version"] == site.flags.document()[1]["metadata"]["version"]


@pytest.mark.parametrize("bucketing", ["flagd-v2", "flagd-v3"])
def test_the_client_gets_the_share_that_is_asked_for(tmp_path: Path, bucketing: str) -> None:
    with Reading(tmp_path, bucketing=bucketing) as site:
        site.set(10)
        client = OFREPProvider(site.url)
        users = [f"user-{number}" for number in range(400)]
        got = {user for user in users if boolean(client, who=EvaluationContext(user)).value}
        client.session.close()
        evaluator = Evaluator(site.flags.document()[1], bucketing)
        assert got == {user for user in users if evaluator.evaluate(FLAG, {"targetingKey": user}).value}
        assert 20 <= len(got) <= 60


def test_values_of_every_type(tmp_path: Path) -> None:
    values = {"text": "blue", "whole": 5, "float": 2.5, "object": {"a": [1, {"b": None}]}, "boolean": True}
    flags = {name: {"state": "ENABLED", "variants": {"x": one}, "defaultVariant": "x"} for name, one in values.items()}
    document = {"flags": flags}
    with Reading(tmp_path, sets=[FlagSet("types", lambda: ("1", document), "flagd-v2", lambda: 1)]) as site:
        client = OFREPProvider(site.url)
        assert client.resolve_string_details("text", "").value == "blue"
        assert client.resolve_integer_details("whole", 0).value == 5
        assert client.resolve_float_details("float", 0.0).value == 2.5
        assert client.resolve_object_details("object", {}).value == values["object"]
        assert boolean(client, "boolean").reason == Reason.STATIC
        with pytest.raises(TypeMismatchError):
            boolean(client, "text")
        client.session.close()


def test_where_there_is_no_value_the_client_takes_its_own(tmp_path: Path) -> None:
    document = {"flags": {"off": {**OFF, "state": "DISABLED"}, "none": {**OFF, "defaultVariant": None}}}
    with Reading(tmp_path, sets=[FlagSet("none", lambda: ("1", document), "flagd-v2", lambda: 1)]) as site:
        client = OFREPProvider(site.url)
        for flag, reason in (("off", Reason.DISABLED), ("none", Reason.DEFAULT)):
            for mine in (True, False):
                found = boolean(client, flag, mine)
                assert (found.value, found.reason) == (mine, reason)
        client.session.close()


def test_errors_reach_the_client_as_what_they_are(tmp_path: Path) -> None:
    document = {"flags": {"bad": {**OFF, "targeting": {"roll": 1}}}}
    with Reading(tmp_path, sets=[FlagSet("bad", lambda: ("1", document), "flagd-v2", lambda: 1)]) as site:
        client = OFREPProvider(site.url)
        with pytest.raises(FlagNotFoundError, match="typo"):
            boolean(client, "typo")
        with pytest.raises(ParseError, match="bad"):
            boolean(client, "bad")
        with pytest.raises(InvalidContextError, match="targetingKey"):
            boolean(client, "bad", who=EvaluationContext(attributes={"targetingKey": 7}))
        assert client.retry_after is None
        client.session.close()


def test_a_client_with_the_token_gets_in_and_one_without_does_not(tmp_path: Path) -> None:
    with Reading(tmp_path, token="s3cret") as site:
        inside = OFREPProvider(site.url, headers_factory=lambda: {"Authorization": "Bearer s3cret"})
        outside = OFREPProvider(site.url)
        assert boolean(inside, mine=True).value is False
        with pytest.raises(Exception, match="unauthorized"):
            boolean(outside, mine=True)
        for client in (inside, outside):
            client.session.close()


def test_a_client_of_a_dead_daemon_is_left_to_its_code_default_and_comes_back(
    site: Reading, client: OFREPProvider
) -> None:
    """As docs/flags/serving.md tells: the SDK turns this error into the caller's default."""
    site.set(100)
    assert boolean(client).value is True
    site.stop()
    with pytest.raises(GeneralError):
        boolean(client)
    site.start()
    assert boolean(client).value is True
