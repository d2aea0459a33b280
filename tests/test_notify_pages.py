"""The pages of the channels say what the settings and the code say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from watchdog.config.notifysettings import AlertmanagerSettings, EmailSettings, TransitionSettings, WebhookSettings

PAGES = Path(__file__).parent.parent / "docs" / "notify"
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
SETTINGS: list[tuple[str, str, type[BaseModel]]] = [
    ("alertmanager", "alertmanager", AlertmanagerSettings),
    ("webhook", "webhook", WebhookSettings),
    ("email", "email", EmailSettings),
    ("transitions", "on_transition", TransitionSettings),
]


def blocks(page: str, language: str) -> Iterator[str]:
    """The examples of a page, with the keys that stand in comments."""
    for kind, text in BLOCK.findall((PAGES / f"{page}.md").read_text()):
        if kind == language:
            yield re.sub(r"^( +)# (\w+: \S+)", r"\1\2", text, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("page", "section", "model"), SETTINGS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_the_first_example_of_a_page_has_every_key_that_there_is(
    page: str, section: str, model: type[BaseModel]
) -> None:
    found: dict[str, Any] = yaml.safe_load(next(blocks(page, "yaml")))["notify"][section]
    fields = {field.alias or name for name, field in model.model_fields.items()}
    unknown = set(found) - fields
    # Secrets are written by their files; a token beside a signature is told of further down.
    missing = {key for key in fields - set(found) if key not in {"secret", "token", "password", "bearer_token"}}
    assert unknown == set()
    assert missing - {"token_file"} == set()


def test_the_document_in_the_webhooks_page_is_one_of_its_schema() -> None:
    [example] = blocks("webhook", "json")
    schema = json.loads((PAGES / "webhook.schema.json").read_text())
    assert list(json.loads(example)) == schema["required"]
