"""docs/configuration.md names every key of both files, no other, and each with the default that it really has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from watchdog.config.flagsettings import FlagSettings
from watchdog.config.settings import Settings
from watchdog.errors import ConfigError
from watchdog.model import Confirm, Rollout, Sequential
from watchdog.quantities import format_duration, format_number, format_share
from watchdog.rolloutfile import DaemonFacts, parse_rollout

PAGE = (Path(__file__).parent.parent / "docs" / "configuration.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([^`]+)` \| ([^|]+) \| [^|]+ \|$", re.MULTILINE)
DAEMON, ROLLOUT = PAGE.split("\n## A rollout")


def rows(text: str) -> dict[str, str]:
    found = ROW.findall(text)
    assert len({key for key, _ in found}) == len(found)
    return {key: default.strip().strip("`") for key, default in found}


def settings_keys(model: type[BaseModel] = Settings, above: str = "") -> Iterator[tuple[str, str]]:
    """Every key of the settings with its default as people write it."""
    for name, field in model.model_fields.items():
        key = f"{above}{field.alias or name}"
        kinds = (field.annotation, *get_args(field.annotation))
        inner = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
        if inner is FlagSettings and name != "flags":
            yield key, "none"  # the keys of `flags` once more
        elif inner is not None:
            yield from settings_keys(inner, f"{key}.")
        else:
            yield key, written(field.get_default(call_default_factory=True))


def written(default: Any) -> str:
    if default is PydanticUndefined:
        return "required"
    if default is None or default == {}:
        return "none"
    if isinstance(default, float):
        return format_duration(default)
    if hasattr(default, "port"):
        return f"{default.host}:{default.port}"
    return ", ".join(map(str, default)) if isinstance(default, tuple) else str(default)


def test_every_setting_is_there_with_its_default() -> None:
    # "by service" and a key that one of two ways must give are the only defaults that code cannot show.
    told = {"flags.propagation": "by service", "notify.pagerduty.routing_key": "required"}
    assert rows(DAEMON) == dict(settings_keys()) | told


EVENT = "  - {name: e, bad: b, total: t, at_most: 0.001, outside: true%s}\n"
HEAD = "rollout: r\nservice: s\nversion: v\nflag: f\n"
RAMP = "ramp: {strategy: all_at_once}\n"
PROBE = "no_such_key_at_all"


def rollout_file(head: str = "", ramp: str = RAMP, objective: str = "") -> str:
    return f"{HEAD}{head}{ramp}objectives:\n{EVENT % objective}"


def known(text: str) -> list[str]:
    """The keys that are offered in place of one that nobody knows."""
    with pytest.raises(ConfigError) as refused:
        parse_rollout(text, "r.yaml", DaemonFacts())
    offered = [re.search(rf"{PROBE}'; known are (.*)", problem.message) for problem in refused.value.problems]
    (keys,) = [match[1].split(", ") for match in offered if match]
    return keys


def rollout_keys() -> set[str]:
    sections = {
        "": rollout_file(f"{PROBE}: 1\n"),
        "window.": rollout_file(f"window: {{{PROBE}: 1}}\n"),
        "rollback.": rollout_file(f"rollback: {{{PROBE}: 1}}\n"),
        "cohorts.": rollout_file(f"cohorts: {{exposed: 'a=\"b\"', {PROBE}: 1}}\n"),
        "waive.": rollout_file(f"waive: {{{PROBE}: x}}\n"),
        "ramp.": rollout_file(ramp=f"ramp: {{strategy: all_at_once, {PROBE}: 1}}\n"),
        "ramp.steps[].": rollout_file(ramp=f"ramp: {{steps: [{{percent: 1, {PROBE}: 1}}]}}\n"),
        "objectives[].": rollout_file(objective=f", {PROBE}: 1"),
        "objectives[].sequential.": rollout_file(objective=f", sequential: {{{PROBE}: 1}}"),
        "objectives[].confirm.": rollout_file(objective=f", confirm: {{{PROBE}: 1}}"),
    }
    keys = {f"{above}{key}" for above, text in sections.items() for key in known(text)}
    return keys - {"window", "rollback", "cohorts", "waive", "ramp", "objectives"}


def test_every_key_of_a_rollout_is_there() -> None:
    assert set(rows(ROLLOUT)) == rollout_keys()


def test_defaults_of_a_rollout_are_those_that_are_told() -> None:
    rollout = parse_rollout(rollout_file(), "r.yaml", DaemonFacts())
    told = rows(ROLLOUT)
    real = defaults(rollout)
    assert {key: told[key] for key in real} == real
    others = {default for key, default in told.items() if key not in real}
    assert others == {"none", "required", "3 / allowed share", "event objectives", "other objectives"}


def defaults(rollout: Rollout) -> dict[str, str]:
    (objective,) = rollout.objectives
    confirmed = parse_rollout(rollout_file(objective=", confirm: {}"), "r.yaml", DaemonFacts()).objectives[0].detector
    assert isinstance(objective.detector, Sequential)
    assert isinstance(confirmed, Confirm)
    seconds = {
        "interval": rollout.interval,
        "delay": rollout.delay,
        "settle": rollout.settle,
        "blind_after": rollout.blind_after,
        "resume_after": rollout.resume_after,
        "window.slice": rollout.window.slice,
        "window.max_gap": rollout.window.max_gap,
        "rollback.within": rollout.rollback.within,
        "rollback.verify": rollout.rollback.verify,
        "objectives[].range": objective.range,
        "objectives[].max_age": objective.max_age,
        "objectives[].sequential.every": objective.detector.every,
        "objectives[].confirm.every": confirmed.every,
    }
    numbers = {
        "window.slices": rollout.window.slices,
        "window.max_idle": rollout.window.max_idle,
        "ramp.from": rollout.ramp.start,
        "ramp.to": rollout.ramp.to,
        "rollback.to": rollout.rollback.to,
        "objectives[].min_events": objective.min_events,
        "objectives[].sequential.rollback_above": objective.detector.rollback_above,
        "objectives[].confirm.fails": confirmed.fails,
        "objectives[].confirm.of": confirmed.of,
    }
    words = {
        "mode": rollout.mode.value,
        "auto_start": str(rollout.auto_start).lower(),
        "false_rollback": format_share(rollout.false_rollback),
        "late_breach": rollout.late_breach.value,
        "objectives[].present": objective.present,
        "objectives[].pool": "window" if objective.pool_window else "slice",
        "objectives[].no_data": "fail" if objective.silence_fails else "unknown",
        "objectives[].outside": "false",
        "objectives[].on_breach": objective.on_breach.value,
    }
    return (
        {key: format_duration(value) for key, value in seconds.items()}
        | {key: format_number(value) for key, value in numbers.items()}
        | words
    )


def test_a_setting_is_read_from_the_variable_that_the_page_names() -> None:
    for name in re.findall(r"`(WATCHDOG_[A-Z_]+__[A-Z_]+)`", DAEMON):
        path = name.removeprefix("WATCHDOG_").lower().replace("__", ".")
        assert path in rows(DAEMON)
