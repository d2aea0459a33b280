"""docs/configuration.md names every key of both files, no other, and each with the default that it really has."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from watchdog.config import load_settings
from watchdog.config.flagsettings import FlagSettings
from watchdog.config.settings import Settings
from watchdog.errors import ConfigError
from watchdog.model import Confirm, Rollout, Sequential
from watchdog.quantities import format_duration, format_number, format_share
from watchdog.rolloutfile import DaemonFacts, parse_rollout

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
SETTING = re.compile(r"^\| `([^`]+)` \| [^|]+ \| ([^|]+) \| `(WATCHDOG_[^`]+)` \| [^|]+ \|$", re.MULTILINE)
ROW = re.compile(r"^\| `([^`]+)` \| ([^|]+) \| [^|]+ \|$", re.MULTILINE)
EXAMPLE = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HELD = {
    "ledger": "postgresql+psycopg://w:p@db.example/w",
    "url": "https://ping.example/checkout",
    "session_key": "5e" * 32,
}
"""What the files of the examples hold, where it must have a form."""
DAEMON, ROLLOUT = PAGE.split("\n## A rollout")


def rows(found: list[tuple[str, str]]) -> dict[str, str]:
    assert len({key for key, _ in found}) == len(found)
    return {key: default.strip().strip("`") for key, default in found}


def test_the_settings_on_the_page_are_those_of_the_classes() -> None:
    """The tables are generated; this fails when a setting changed and the page did not."""
    asked = [sys.executable, "scripts/configuration_page.py", "--check"]
    checked = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


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
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float):
        return format_duration(default)
    if hasattr(default, "port"):
        return f"{default.host}:{default.port}"
    return ", ".join(map(str, default)) if isinstance(default, tuple) else str(default)


def test_every_setting_is_there_with_its_default() -> None:
    told = {"flags.propagation": "by service"}  # the only default that code cannot show
    assert rows([(key, default) for key, default, _ in SETTING.findall(DAEMON)]) == dict(settings_keys()) | told


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
        "notify.": rollout_file(f"notify: {{{PROBE}: 1}}\n"),
        "notify.on_transition.": rollout_file(
            f"notify: {{on_transition: {{url: http://ci.example, secret_file: s, {PROBE}: 1}}}}\n"
        ),
        "waive.": rollout_file(f"waive: {{{PROBE}: x}}\n"),
        "ramp.": rollout_file(ramp=f"ramp: {{strategy: all_at_once, {PROBE}: 1}}\n"),
        "ramp.steps[].": rollout_file(ramp=f"ramp: {{steps: [{{percent: 1, {PROBE}: 1}}]}}\n"),
        "objectives[].": rollout_file(objective=f", {PROBE}: 1"),
        "objectives[].sequential.": rollout_file(objective=f", sequential: {{{PROBE}: 1}}"),
        "objectives[].confirm.": rollout_file(objective=f", confirm: {{{PROBE}: 1}}"),
    }
    keys = {f"{above}{key}" for above, text in sections.items() for key in known(text)}
    return keys - {"window", "rollback", "cohorts", "notify", "notify.on_transition", "waive", "ramp", "objectives"}


def test_every_key_of_a_rollout_is_there() -> None:
    assert set(rows(ROW.findall(ROLLOUT))) == rollout_keys()


def test_defaults_of_a_rollout_are_those_that_are_told() -> None:
    rollout = parse_rollout(rollout_file(), "r.yaml", DaemonFacts())
    told = rows(ROW.findall(ROLLOUT))
    real = defaults(rollout)
    assert {key: told[key] for key in real} == real
    others = {default for key, default in told.items() if key not in real}
    assert others == {"none", "required", "plain", "3 / allowed share", "event objectives", "other objectives"}


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


def test_a_setting_is_read_from_the_variable_that_the_page_names(tmp_path: Path) -> None:
    """Each variable alone is a known one: its value may be refused, its name is not."""
    file = tmp_path / "watchdog.yaml"
    file.write_text("log: {level: info}\n")
    told = [variable.removesuffix("...") for _, _, variable in SETTING.findall(DAEMON)]
    assert len(told) > 100
    whole = [f"{name}SERVICE" if name.endswith("__") else name for name in told]
    with pytest.raises(ConfigError) as refused:
        load_settings(file, dict.fromkeys(whole, "x"))
    said = "\n".join(str(problem) for problem in refused.value.problems)
    assert "WATCHDOG_HTTP__LISTEN" in said
    assert "unknown variable" not in said


@pytest.mark.parametrize("example", EXAMPLE.findall(DAEMON))
def test_an_example_of_settings_loads(tmp_path: Path, example: str) -> None:
    """What a reader copies works; files that it names are there."""
    (tmp_path / "secrets").mkdir()
    for key, name in re.findall(r"(\w+)_file: ([\w.]+)", example):
        (tmp_path / name).write_text(HELD.get(key, "a-secret"))
    file = tmp_path / "watchdog.yaml"
    server = "" if example.startswith("prometheus:") else 'prometheus: {url: "http://127.0.0.1:9090"}\n'
    file.write_text(server + example)
    settings = load_settings(file, {})
    assert settings.path == file
    for section in re.findall(r"^(\w+):", example, re.MULTILINE):
        assert section.removesuffix("_file") in settings.model_fields_set
