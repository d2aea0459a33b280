"""docs/security.md against the code: which address answers what, what a change needs, and how secrets are typed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, SecretStr
from starlette.routing import Route

from tests.webserver import SHOP
from watchdog.access.attempts import BURST, EVERY, MOST
from watchdog.access.sessions import LONGEST
from watchdog.config.settings import Settings
from watchdog.metrics import Metrics
from watchdog.serving import Counts, Readers
from watchdog.web import headers, live, loggingout
from watchdog.web.access import NEEDED
from watchdog.web.bodies import BODY_WITHIN, LARGEST_BODY
from watchdog.web.health import health_app
from watchdog.web.openapi import document
from watchdog.web.readers import reader_app

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def answered(listener: str) -> set[str]:
    """The addresses that the page's table names for a listener."""
    (row,) = re.findall(rf"^\| `{re.escape(listener)}` \|.*$", PAGE, re.MULTILINE)
    return set(re.findall(r"`(/[^`]*)`", row.split("|")[3]))


def served(app: Any) -> set[str]:
    return {re.sub(r":\w+}", "}", route.path) for route in app.routes if isinstance(route, Route)}


def test_the_listener_for_probes_answers_what_the_page_says_and_nothing_else() -> None:
    app = health_app(metrics=Metrics(), ready=lambda: (True, ""), stuck=lambda: None)
    assert served(app) == answered("health.listen")


def test_the_listener_for_readers_of_flags_answers_what_the_page_says_and_nothing_else() -> None:
    metrics = Metrics()
    app = reader_app(Readers([SHOP], Counts(metrics.registry)), None, metrics, lambda: b"")
    assert served(app) == answered("serve.listen")


def test_every_change_over_http_needs_a_token() -> None:
    """Whatever takes a POST is a reader of flags, a form for people, or wants one of the tokens of the page's table."""
    for path, item in document("")["paths"].items():
        for method, operation in item.items():
            if "pages" in (operation.get("tags", []) if isinstance(operation, dict) else []):
                assert not path.startswith("/api/"), path  # `test_access_web` asks each form who may
            elif method == "post" and not path.startswith("/ofrep/"):
                (needed,) = operation["security"]
                assert set(needed) <= {"bearer", "alerts"}, path
            elif method == "get" and not path.startswith("/flagd/"):
                assert "security" not in operation, path


def test_the_bounds_of_a_body_are_those_of_the_page() -> None:
    assert f"at most {LARGEST_BODY // 1024} KiB" in PAGE
    assert f"{BODY_WITHIN:g} s to arrive" in PAGE


def test_no_answer_allows_frames_or_anything_that_comes_from_elsewhere() -> None:
    for policy in (headers.DATA, headers.PAGE, headers.REPORT):
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy
        assert "base-uri 'none'" in policy
        assert "http" not in policy
    assert "script-src" not in headers.DATA + headers.REPORT
    assert "form-action 'self'" in headers.PAGE
    assert "'unsafe" not in headers.DATA + headers.PAGE


def test_the_roles_on_the_page_are_those_that_are_asked_for() -> None:
    access = (ROOT / "docs" / "access.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(viewer|operator|approver)` \| (.*) \|$", access, re.MULTILINE)
    told = {verb: role for role, does in rows for verb in re.findall(r"`([a-z]+)`", does)}
    assert told == {verb: str(role) for verb, role in NEEDED.items()}


def test_the_bounds_of_wrong_tokens_and_of_sessions_are_those_of_the_page() -> None:
    access = (ROOT / "docs" / "access.md").read_text(encoding="utf-8")
    assert f"{BURST} wrong tokens" in access
    assert f"one more every {EVERY:g} s" in access
    assert f"{MOST} addresses" in access
    assert f"{LONGEST / 3600:g} hours" in access
    assert f"within {loggingout.LOOK:g} s, in which they read the ledger" in access
    status = (ROOT / "docs" / "status-page.md").read_text(encoding="utf-8")
    assert f"the stream ends every {live.VOUCHED / 60:g} minutes" in status


def parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for inner in get_args(annotation):
        yield from parts(inner)


def secrets_of(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, bool]]:
    """Every key that has a `_file` twin, and whether its type keeps it from being printed."""
    for name, field in model.model_fields.items():
        kinds = list(parts(field.annotation))
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from secrets_of(kind, f"{above}{name}.")
        if f"{name}_file" in model.model_fields:
            yield f"{above}{name}", any(kind is SecretStr for kind in kinds) or not field.repr


def test_every_setting_with_a_file_of_its_own_is_one_that_does_not_print() -> None:
    found = dict(secrets_of(Settings))
    assert len(found) > 10
    assert [key for key, kept in found.items() if not kept] == []


def test_the_image_is_as_the_page_says() -> None:
    """User, bill of materials and a base that is named by its digest."""
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^ARG BASE=\S+@sha256:[0-9a-f]{64}$", dockerfile, re.MULTILINE)
    assert re.findall(r"^USER (\d+)", dockerfile, re.MULTILINE) == re.findall(r"runs as user (\d+)", PAGE)
    (materials,) = re.findall(r"CycloneDX\) at `([^`]+)`", PAGE)
    assert f">{materials}" in dockerfile
    assert "--require-hashes" in dockerfile


def test_the_pods_are_as_restricted_as_the_page_says() -> None:
    container = ROOT / "deploy" / "kubernetes" / "components" / "container" / "container.yaml"
    (pod,) = yaml.safe_load(container.read_text(encoding="utf-8"))["spec"]["template"]["spec"]["containers"]
    context = pod["securityContext"]
    assert context["runAsNonRoot"]
    assert context["readOnlyRootFilesystem"]
    assert not context["allowPrivilegeEscalation"]
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
