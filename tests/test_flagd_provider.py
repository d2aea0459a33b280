"""What an application gets: the flag file read by the real OpenFeature flagd provider in file mode."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext

from tests.flagfiles import AUDIENCES, FLAG, edit, for_audiences, to
from watchdog.flags.flagd_file import FlagdFile

KEYS = [f"user-{number}" for number in range(10_000)]
PATIENCE = 10.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkout.flagd.json"


@pytest.fixture
def flags(path: Path) -> FlagdFile:
    service = FlagdFile(path)
    service.init([FLAG, "search"], "me")
    return service


@pytest.fixture
def app(path: Path, flags: FlagdFile) -> Iterator[OpenFeatureClient]:
    """An application's client; its provider looks at the file every 100 ms."""
    provider = FlagdProvider(resolver_type=ResolverType.FILE, offline_flag_source_path=str(path), deadline_ms=100)
    api.set_provider_and_wait(provider, "flag-file")
    yield api.get_client("flag-file")
    api.shutdown()


def on(app: OpenFeatureClient, key: str | None, *, otherwise: bool = False) -> bool:
    return app.get_boolean_value(FLAG, otherwise, EvaluationContext(targeting_key=key))


def exposed(app: OpenFeatureClient) -> set[str]:
    return {key for key in KEYS if on(app, key)}


def seen(condition: Callable[[], bool]) -> None:
    """Poll the application until it sees what was written."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "the application did not see the change"
        time.sleep(0.01)


def version_seen(app: OpenFeatureClient, path: Path) -> None:
    written = json.loads(path.read_text())["metadata"]["version"]
    seen(lambda: app.get_boolean_details(FLAG, default_value=False).flag_metadata.get("version") == written)


def test_shares_are_right_and_nobody_goes_off_on_the_way_up(
    app: OpenFeatureClient, path: Path, flags: FlagdFile
) -> None:
    before: set[str] = set()
    for percent in (0, 1, 10, 25, 50, 100):
        flags.set(FLAG, to(percent))
        version_seen(app, path)
        now = exposed(app)

        share = percent / 100
        assert abs(len(now) / len(KEYS) - share) <= 4 * math.sqrt(share * (1 - share) / len(KEYS))
        assert before <= now
        assert on(app, None) is on(app, "") is (percent == 100)
        before = now

    assert flags.kill(FLAG, to(0)).exposure.none
    version_seen(app, path)
    assert exposed(app) == set()


def test_a_kill_serves_off_even_where_the_code_default_is_on(
    app: OpenFeatureClient, path: Path, flags: FlagdFile
) -> None:
    flags.set(FLAG, to(50))
    flags.kill(FLAG, to(0))
    version_seen(app, path)

    assert not any(on(app, key, otherwise=True) for key in [None, "", *KEYS[:500]])
    details = app.get_boolean_details(FLAG, default_value=True)
    assert details.flag_metadata["slo-watchdog.killed"] is True
    assert details.flag_metadata["slo-watchdog.latch"] == "checkout-1"


def test_the_cohort_has_the_feature_at_every_percentage(app: OpenFeatureClient, path: Path, flags: FlagdFile) -> None:
    flags.set(FLAG, to(10))
    version_seen(app, path)
    tenth = exposed(app)
    cohort = [key for key in KEYS if key not in tenth][:3]

    for percent, others in [(0, set()), (10, tenth), (100, set(KEYS))]:
        flags.set(FLAG, to(percent, *cohort))
        version_seen(app, path)
        assert exposed(app) == others | set(cohort)
        assert on(app, None, otherwise=True) is (percent == 100)


def test_what_a_person_wrote_serves_what_the_watchdog_reads(
    app: OpenFeatureClient, path: Path, flags: FlagdFile
) -> None:
    for rule in ([["off", 9], ["on", 1]], [["on", 1], ["off", 3]], [["on"], ["off"]]):
        edit(path, lambda flag, rule=rule: flag.update(targeting={"fractional": rule}))
        read = flags.read(FLAG).exposure.percent / 100
        seen(lambda read=read: abs(len(exposed(app)) / len(KEYS) - read) < 0.02)


@pytest.mark.parametrize("content", [b"", b"{", b"{}", None], ids=["empty", "truncated", "bare map", "gone"])
def test_a_kill_on_top_of_a_broken_file_reaches_the_application(
    app: OpenFeatureClient, path: Path, flags: FlagdFile, content: bytes | None
) -> None:
    flags.set(FLAG, to(100))
    seen(lambda: on(app, "anybody"))
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)

    flags.kill(FLAG, to(0))

    version_seen(app, path)
    assert not on(app, "anybody", otherwise=True)


def test_an_older_file_moved_into_place_reaches_the_application_once_it_was_read(
    app: OpenFeatureClient, path: Path, flags: FlagdFile
) -> None:
    backup = path.with_name("backup.json")
    backup.write_bytes(path.read_bytes())
    flags.set(FLAG, to(100))
    seen(lambda: on(app, "anybody"))
    backup.replace(path)

    assert flags.read(FLAG).exposure.none

    seen(lambda: not on(app, "anybody"))


def test_an_audience_has_the_feature_by_its_attributes_and_everybody_else_as_before(path: Path) -> None:
    flags = FlagdFile(path, audiences=AUDIENCES)
    flags.init([FLAG], "me")
    flags.set(FLAG, for_audiences(0, "beta", "staff"))
    provider = FlagdProvider(resolver_type=ResolverType.FILE, offline_flag_source_path=str(path), deadline_ms=100)
    api.set_provider_and_wait(provider, "audiences")
    app = api.get_client("audiences")

    def has(key: str | None, **attributes: str) -> bool:
        return app.get_boolean_value(FLAG, default_value=False, evaluation_context=EvaluationContext(key, attributes))

    try:
        assert has("a", email="a@example.com")
        assert has(None, plan="beta")
        assert not any(has(key, email="a@example.org", plan="free") for key in KEYS[:200])
        assert not any(has(key) for key in [None, "", *KEYS[:200]])

        flags.set(FLAG, for_audiences(10, "beta", "staff"))
        version_seen(app, path)
        assert has("a", email="a@example.com")
        assert 900 < len(exposed(app)) < 1100

        flags.kill(FLAG, to(0))
        version_seen(app, path)
        assert not has("a", email="a@example.com")
    finally:
        api.shutdown()
