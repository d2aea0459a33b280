"""SECRETS.md names every secret of the settings, the rollouts, the workflows and the scripts, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, SecretStr

from watchdog.config.settings import Settings
from watchdog.model import NotifyRule, TransitionHook

ROOT = Path(__file__).parent.parent
PIPELINES = ROOT / "deploy" / "pipelines"
PAGE = (PIPELINES / "SECRETS.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
CREDENTIAL = re.compile(r"\b[A-Z][A-Z_]*(?:TOKEN|SECRET|PASSWORD|CREDENTIALS?)\b")


def listed(section: str) -> list[str]:
    """The names in the first cells of a table."""
    return [
        name
        for cell in re.findall(r"^\| (`[^|]+) \|", SECTIONS[section], re.MULTILINE)
        for name in re.findall("`([^`]+)`", cell)
    ]


def models(kind: Any) -> Iterator[type[BaseModel]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    for inner in get_args(kind):
        yield from models(inner)


def holds_secret(kind: Any) -> bool:
    return kind is SecretStr or any(holds_secret(inner) for inner in get_args(kind))


def settings(model: type[BaseModel] = Settings, above: str = "") -> Iterator[tuple[str, bool]]:
    """Every key that is a secret, and every key that names a file."""
    for name, field in model.model_fields.items():
        key = f"{above}{field.alias or name}"
        inner = set(models(field.annotation))
        for one in inner:
            yield from settings(one, f"{key}.")
        if not inner and (holds_secret(field.annotation) or name.endswith("_file")):
            yield key, holds_secret(field.annotation)


def test_every_secret_of_the_settings_is_there_and_no_other() -> None:
    found = dict(settings())
    secrets = {key for key, secret in found.items() if secret}
    files = {key for key, secret in found.items() if not secret}
    assert len(secrets) > 20, "the settings are walked"
    public = set(re.findall("`([^`]+)`", SECTIONS["Files that are no secrets"]))
    assert public <= files
    alone = {key for key in files - public if key.removesuffix("_file") not in secrets}
    keys = {"ledger_file", "prometheus.key_file", "http.tls.key_file"}
    assert alone == keys, "a file that holds a secret has its twin, or is listed"
    daemon = set(listed("The daemon's"))
    assert daemon == secrets | {"ledger"} | keys
    assert len(listed("The daemon's")) == len(daemon), "each once"


def test_every_file_of_secrets_that_a_rollout_names_is_there() -> None:
    own = {f"rollout: notify.{one.name}" for one in fields(NotifyRule) if one.name.endswith("_file")}
    own |= {f"rollout: notify.on_transition.{one.name}" for one in fields(TransitionHook) if one.name.endswith("_file")}
    assert set(listed("A rollout's own")) == own


def test_every_secret_of_the_workflows_and_scripts_is_there_and_no_other() -> None:
    files = [*PIPELINES.glob("workflows/*.yml"), *PIPELINES.glob("actions/*/action.yml")]
    files += [*(ROOT / ".github").rglob("*.yml")]
    asked = {name for file in files for name in re.findall(r"secrets\.([A-Z_]+)", file.read_text(encoding="utf-8"))}
    scripts = {
        name
        for file in (PIPELINES / "scripts").iterdir()
        if file.is_file()
        for name in CREDENTIAL.findall(file.read_text(encoding="utf-8"))
    }
    assert asked == {"GITHUB_TOKEN", "TRANSITION_SECRET"}
    assert set(listed("In GitHub")) == asked | scripts


def test_each_row_says_who_reads_it_and_how_it_is_rotated() -> None:
    for section, cells in (("In GitHub", 4), ("The daemon's", 3), ("A rollout's own", 3)):
        rows = re.findall(r"^\| `.*$", SECTIONS[section], re.MULTILINE)
        assert rows
        for row in rows:
            told = [cell.strip() for cell in row.strip("|").split(" | ")]
            assert (len(told), all(told)) == (cells, True), row
