"""Every Prometheus configuration that is shipped is valid, rules included, and scrapes every job that is named."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.alertpack import FILES, RULES
from tests.servers import binary

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
SHIPPED = sorted(
    file
    for file in DEPLOY.rglob("*.y*ml")
    for document in yaml.safe_load_all(re.sub(r"@(\w+)@", r"\1:1", file.read_text()))
    if "scrape_configs" in (document or {})
)
STACK = DEPLOY / "stack"
WITH_RULES = ["compose/prometheus.yml", "prometheus/prometheus.yml", "stack/prometheus.yml", "stack/second.yml"]
JOB = re.compile(r"\bjob\s*(=~|=)\s*\\?\"([^\"\\]+)\\?\"")
"""A matcher for a job in PromQL, which JSON writes with backslashes."""
QUERY = re.compile(r"^```promql\n(.*?)^```", re.MULTILINE | re.DOTALL)


def filled(file: Path, directory: Path) -> Path:
    """The configuration with its @NAMES@ filled in, and with the rules where it looks for them."""
    (directory / "slo").symlink_to(RULES)
    text = file.read_text().replace("@RULES@", str(RULES)).replace("@SCRAPE@", "2s")
    to = directory / "prometheus.yml"
    to.write_text(re.sub(r"@\w+@", "127.0.0.1:9090", text))
    return to


def jobs_of(config: Path) -> set[str]:
    scrapes: list[dict[str, Any]] = yaml.safe_load(config.read_text().replace("@SCRAPE@", "2s"))["scrape_configs"]
    return {scrape["job_name"] for scrape in scrapes}


def named_in(file: Path) -> set[str]:
    """The jobs that the queries of a file name, without variables, expressions and the SERVICE of the runbooks."""
    text = file.read_text(encoding="utf-8")
    queries = "\n".join(QUERY.findall(text)) if file.suffix == ".md" else text
    found = set()
    for operator, value in JOB.findall(queries):
        found |= set(value.split("|")) if operator == "=~" else {value}
    return {job for job in found if re.fullmatch(r"[a-z0-9_-]+", job)}


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: str(file.relative_to(DEPLOY)))
def test_promtool_accepts_every_shipped_configuration(file: Path, tmp_path: Path) -> None:
    checked = subprocess.run(
        [binary("promtool"), "check", "config", "--lint=all", "--lint-fatal", str(filled(file, tmp_path))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_all_five_of_them_are_found() -> None:
    assert [str(file.relative_to(DEPLOY)) for file in SHIPPED] == [
        "compose/prometheus.yml",
        "demo/prometheus.yml",
        "prometheus/prometheus.yml",
        "stack/prometheus.yml",
        "stack/second.yml",
    ]


@pytest.mark.parametrize("name", WITH_RULES)
def test_those_with_rules_load_all_of_them(name: str, tmp_path: Path) -> None:
    checked = subprocess.run(
        [binary("promtool"), "check", "config", str(filled(DEPLOY / name, tmp_path))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert len(re.findall(r"rules found", checked.stdout)) == len(FILES)


@pytest.mark.parametrize("name", WITH_RULES)
def test_every_target_of_those_says_its_environment(name: str, tmp_path: Path) -> None:
    config = yaml.safe_load(filled(DEPLOY / name, tmp_path).read_text())
    labels = [static.get("labels", {}) for scrape in config["scrape_configs"] for static in scrape["static_configs"]]
    assert labels
    assert all("environment" in each for each in labels)


def test_every_job_that_rules_runbooks_and_dashboards_name_is_scraped_in_the_stack() -> None:
    readers = [
        *FILES,
        *sorted((ROOT / "docs" / "runbooks").rglob("*.md")),
        *sorted((DEPLOY / "grafana").rglob("*.json")),
    ]
    known = jobs_of(STACK / "prometheus.yml")
    unknown = {str(file.relative_to(ROOT)): named_in(file) - known for file in readers if named_in(file) - known}
    assert not unknown


def test_the_search_for_jobs_finds_them_in_dashboards_and_in_the_queries_of_pages(tmp_path: Path) -> None:
    board, page = tmp_path / "some.json", tmp_path / "some.md"
    board.write_text(r'{"expr": "up{job=\"shop\",x=\"y\"} or up{job=~\"load|nobody\"} or up{job=~\"$service\"}"}')
    page.write_text('```promql\nup{job="shop"} or up{job="SERVICE"}\n```\n\n```text\n{job="example"} 1\n```\n')
    assert (named_in(board), named_in(page)) == ({"shop", "load", "nobody"}, {"shop"})
