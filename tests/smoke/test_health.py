"""Area health: the process answers, it is ready, and it speaks to people and browsers as it should."""

from __future__ import annotations

import re

import pytest

from .asking import Site

pytestmark = pytest.mark.smoke


@pytest.mark.critical
def test_it_is_alive(target: Site) -> None:
    said = target.json("/healthz")
    assert said["status"] == "ok"
    assert said["version"]


@pytest.mark.critical
def test_it_is_ready(target: Site) -> None:
    """The ledger answers, every rollout ticks, readers are served."""
    assert target.json("/readyz")["status"] == "ready"


def test_the_status_page_is_there_and_all_its_scripts_are_its_own(target: Site) -> None:
    page = target.get("/")
    assert page.headers["Content-Type"].startswith("text/html")
    scripts = re.findall(r"<script\b([^>]*)>", page.text, re.IGNORECASE)
    assert scripts
    for written in scripts:
        (source,) = re.findall(r'src="(/static/[^"]+)"', written)
        assert "javascript" in target.get(source).headers["Content-Type"], source


def test_every_answer_forbids_foreign_scripts_frames_and_keeping_it_in_caches(target: Site) -> None:
    for path, kept in (("/", "no-store"), ("/healthz", "no-store"), ("/api/v1/rollouts", "private, no-cache")):
        headers = target.get(path).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"], path
        assert "unsafe" not in headers["Content-Security-Policy"], path
        assert headers["X-Frame-Options"] == "DENY", path
        assert headers["Cache-Control"] == kept, path


def test_what_is_not_there_is_a_problem_with_an_explanation(target: Site) -> None:
    answer = target.get("/api/v1/no-such-address", 404)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert target.parsed(answer)["type"].endswith(":not-found")


def test_the_last_preflight_can_be_read(target: Site) -> None:
    """It is not run: that asks every service and channel once more, and is for a rollout that is about to start."""
    assert "last" in target.json("/api/v1/preflight")
