"""What the preflight says of rules: generated from their sources, and in force in a real Prometheus."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.preflighting import OBJECTIVES, RULE, failed, held, look, served, setting
from tests.processes import Installation
from tests.servers import PrometheusServer
from watchdog import rulebook
from watchdog.config import load_settings
from watchdog.preflight.ground import Ground
from watchdog.preflight.rules import _reasons, rules
from watchdog.rulelint import lint_configuration

ROOT = Path(__file__).parent.parent
LINKS = rulebook.Links("https://wiki.example/runbooks", "https://grafana.example/d")
"""Other addresses than the usual ones: they are taken from the files."""
NAMES = ("generated rules are what their sources say", "generated rules are in force")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of sources over the shipped ones, and what is generated from them."""
    directory = tmp_path_factory.mktemp("site") / "rules"
    directory.mkdir()
    shutil.copy(ROOT / "rules" / "thresholds.yaml", directory)
    rulebook.write(rulebook.generate(rulebook.read_sources(directory), LINKS), directory / "prometheus")
    return directory


@pytest.fixture(scope="module")
def prometheus(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    """It has loaded what was generated when it started, over the history of a healthy service."""
    server = served(tmp_path_factory.mktemp("prometheus"), None)
    server.more = server.more.replace("rules.yaml]", f"rules.yaml, '{sources}/prometheus/*.yaml']", 1)
    with server:
        yield server


def site(directory: Path, prometheus: str, sources: Path | None = None) -> Installation:
    site = Installation(directory, prometheus, prometheus=f"{{url: '{prometheus}', timeout: 5s}}")
    site.rollout("checkout-1", OBJECTIVES, **RULE)
    if sources is not None:
        shutil.copytree(sources, directory / "rules")
    return site


def said(found: dict[str, str]) -> dict[str, str]:
    return {name: found[f"rules: {name}"] for name in NAMES if f"rules: {name}" in found}


def test_rules_that_are_generated_and_loaded_are_counted(
    tmp_path: Path, prometheus: PrometheusServer, sources: Path
) -> None:
    here = site(tmp_path, prometheus.url, sources)
    verdict = look(here, "rules")
    assert said(failed(verdict)) == {}
    first, second = said(held(verdict)).values()
    assert f" files in {tmp_path / 'rules' / 'prometheus'}" in first
    assert "rules are loaded as they are generated" in second
    assert int(second.split()[0]) > 100


def test_a_source_that_was_changed_and_not_generated_stands_in_the_way(
    tmp_path: Path, prometheus: PrometheusServer, sources: Path
) -> None:
    here = site(tmp_path, prometheus.url, sources)
    thresholds = tmp_path / "rules" / "thresholds.yaml"
    thresholds.write_text(thresholds.read_text().replace("value: 90%", "value: 80%", 1))

    wrong = said(failed(look(here, "rules")))

    assert "thresholds.yaml is not what its sources say" in wrong[NAMES[0]]
    assert "are not loaded as they are generated: record slo:" in wrong[NAMES[1]]


def test_rules_that_are_generated_and_not_loaded_stand_in_the_way(
    tmp_path: Path, sources: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with PrometheusServer(tmp_path_factory.mktemp("empty") / "tsdb") as empty:
        here = site(tmp_path, empty.url, sources)
        wrong = said(failed(look(here, "rules")))
    assert list(wrong) == [NAMES[1]]
    count, _, whole = wrong[NAMES[1]].split(" are ")[0].split()[:3]
    assert count == whole


def test_where_there_are_no_sources_nothing_is_compared(tmp_path: Path, prometheus: PrometheusServer) -> None:
    here = site(tmp_path, prometheus.url)
    verdict = look(here, "rules")
    assert "so none are compared with Prometheus" in held(verdict)["rules: generated rules"]

    setting(here, "preflight", {"rules": "nowhere"})
    assert "there is no directory" in said(failed(look(here, "rules")))[NAMES[0]]


def test_lint_looks_at_the_generated_rules_with_the_reasons_beside_their_sources(
    tmp_path: Path, prometheus: PrometheusServer, sources: Path
) -> None:
    here = site(tmp_path, prometheus.url, sources)
    assert "service_spend_total" in lint_of(here), "nobody exports what a service costs"
    text = (ROOT / "rules" / "lint.yaml").read_text()
    (tmp_path / "rules" / "lint.yaml").write_text(f"{text}\nservice_spend_total: we do not pay\n")
    assert "service_spend_total" not in lint_of(here)


def lint_of(here: Installation) -> str:
    """All that lint says, not only the first findings."""
    with Ground(load_settings(here.config)) as ground:
        found = lint_configuration(
            ground.settings,
            ground.rollouts,
            ground.source,
            ground.clock(),
            rules=sorted((here.directory / "rules" / "prometheus").glob("*.yaml")),
            waivers=_reasons(here.directory / "rules"),
        )
        (told,) = [one[1] for one in rules(ground) if one[1].name == "rules lint"]
        assert not told.ok
        assert told.found.startswith(f"{len([one for one in found if one.severity == 'error'])} findings: ")
    return "\n".join(map(str, found))


def test_lint_speaks_up_for_a_metric_that_nobody_exports(tmp_path: Path, prometheus: PrometheusServer) -> None:
    here = site(tmp_path, prometheus.url)
    here.rollout("checkout-1", OBJECTIVES.replace("http_requests_total", "http_request_total"), **RULE)
    found = failed(look(here, "rules"))["rules: rules lint"]
    assert "http_request_total" in found
