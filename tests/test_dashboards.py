"""The dashboards: what is committed is what the code builds, and everything that they name exists."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.models import units

from tests import alertpack
from tests.dashboards import (
    DASHBOARDS,
    GRAFANA,
    SOURCE,
    UIDS,
    Query,
    all_panels,
    boards,
    marks,
    panels,
    queries,
    used,
    values_of,
    variables,
)
from tests.dashboardschema import faults_of_dashboard
from watchdog.rulelint.tree import COMPARISONS, Binary, Call, Number, parse, selectors, walk

DOCS = GRAFANA.parent.parent / "docs"
MODERN = {"timeseries", "stat", "gauge", "state-timeline", "table", "heatmap", "barchart"}
SCREEN = 22
"""Rows of the grid that a laptop shows at once."""
_NAME = re.compile(r"`([a-zA-Z_:][\w:]*)`")


def build(*options: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, GRAFANA / "build.py", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def documented() -> set[str]:
    """Metrics of the tables in the documents, of histograms with their series."""
    found = set()
    for page in ("metrics.md", "noise.md", "rules.md", "dashboards.md"):
        for line in (DOCS / page).read_text(encoding="utf-8").splitlines():
            first = line.split("|")[1] if line.startswith("| `") else ""
            names = _NAME.findall(first)
            found |= {name + suffix for name in names for suffix in ("", "_bucket", "_sum", "_count")}
    return found


def recorded() -> set[str]:
    return {rule["record"] for rule in alertpack.rules() if "record" in rule}


def every_query() -> list[Query]:
    """Of panels, annotations and variables."""
    offered = [
        Query(uid, f"variable {name}", "values", values_of(variable["query"])[0])
        for uid, document in boards().items()
        for name, variable in variables(document).items()
        if variable["type"] == "query"
    ]
    return [*queries(), *marks(), *offered]


# --- code and files --------------------------------------------------------------------------------------------------


def test_what_is_committed_is_what_the_code_builds() -> None:
    checked = build("--check")
    assert checked.returncode == 0, checked.stderr
    assert set(boards()) == UIDS
    assert {path.stem for path in DASHBOARDS.iterdir()} == UIDS


def test_the_check_names_what_is_changed_missing_or_too_much_and_the_build_repairs_it(tmp_path: Path) -> None:
    shutil.copytree(DASHBOARDS, tmp_path, dirs_exist_ok=True)
    (tmp_path / "slo-fleet.json").unlink()
    (tmp_path / "slo-noise.json").write_text((tmp_path / "slo-noise.json").read_text().replace("now-24h", "now-7d"))
    (tmp_path / "slo-old.json").write_text("{}")
    checked = build("--check", "--out", tmp_path)
    assert checked.returncode == 1
    assert re.findall(r"slo-\w+\.json", checked.stderr) == ["slo-fleet.json", "slo-noise.json", "slo-old.json"]
    assert build("--out", tmp_path).returncode == 0
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        path.name: path.read_text() for path in DASHBOARDS.iterdir()
    }


def test_runbooks_are_where_one_says(tmp_path: Path) -> None:
    assert build("--out", tmp_path, "--runbooks", "https://wiki.example.com/slo/").returncode == 0
    written = "".join(path.read_text() for path in tmp_path.iterdir())
    assert '"https://wiki.example.com/slo/RolloutFlagDrift"' in written
    assert '"https://wiki.example.com/slo/${__value.text}"' in written
    assert '"/runbooks' not in written


@pytest.mark.parametrize("uid", sorted(UIDS))
def test_a_dashboard_is_valid_by_grafanas_own_types(uid: str) -> None:
    assert faults_of_dashboard(boards()[uid]) == []


def test_the_schema_finds_faults() -> None:
    document = boards()["slo-fleet"]
    first, *others = document["panels"]
    wrong: list[dict[str, Any]] = [
        {**document, "refreshh": "30s"},
        {**document, "panels": [{**first, "titel": "Now"}, *others]},
        {**document, "panels": [{**first, "gridPos": {**first["gridPos"], "w": "wide"}}, *others]},
        {**document, "panels": [{**first, "options": {**first["options"], "colorMode": "rainbow"}}, *others]},
        {**document, "panels": [{**first, "targets": [{"refId": "A", "exp": "up"}]}, *others]},
    ]
    for broken in wrong:
        assert faults_of_dashboard(broken)


# --- panels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("uid", sorted(UIDS))
def test_every_panel_says_what_it_is_and_asks_the_chosen_prometheus(uid: str) -> None:
    known = {value for name, value in vars(units).items() if name[0].isupper() and isinstance(value, str)} | {"x"}
    titles = [panel["title"] for panel in panels(boards()[uid])]
    assert len(set(titles)) == len(titles)
    for panel in panels(boards()[uid]):
        title, defaults = panel["title"], panel["fieldConfig"]["defaults"]
        assert title, panel["id"]
        assert panel["description"].endswith("."), title
        assert defaults["noValue"], title
        assert defaults["unit"] in known, title
        assert defaults["thresholds"]["steps"], title
        assert panel["type"] in MODERN, title
        assert panel["datasource"] == SOURCE, title
        assert [target["datasource"] for target in panel["targets"]] == [SOURCE] * len(panel["targets"]) != [], title
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters), title
        if panel["type"] in {"timeseries", "barchart", "state-timeline"}:
            assert panel["options"]["legend"]["showLegend"] is True, title
        if panel["type"] == "timeseries":
            assert all(target["legendFormat"] for target in panel["targets"]), title


@pytest.mark.parametrize("uid", sorted(UIDS))
def test_no_panel_lies_on_another_and_none_leaves_the_grid(uid: str) -> None:
    document = boards()[uid]
    open_panels = [panel for panel in document["panels"] if not panel.get("panels")]
    folded = [panel["panels"] for panel in document["panels"] if panel.get("panels")]
    for together in (open_panels, *folded):
        for one, other in combinations([panel["gridPos"] for panel in together], 2):
            apart = (
                one["x"] + one["w"] <= other["x"]
                or other["x"] + other["w"] <= one["x"]
                or one["y"] + one["h"] <= other["y"]
                or other["y"] + other["h"] <= one["y"]
            )
            assert apart, (uid, one, other)
        assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in together)
        assert all(panel["gridPos"]["h"] >= 1 and panel["gridPos"]["w"] >= 3 for panel in together)


@pytest.mark.parametrize("uid", sorted(UIDS))
def test_figures_come_first_and_the_first_screen_has_most_of_the_answer(uid: str) -> None:
    document = boards()[uid]
    top = [panel for panel in document["panels"] if panel["gridPos"]["y"] == 0]
    assert {panel["type"] for panel in top} <= {"stat", "gauge"}
    assert sum(panel["gridPos"]["w"] for panel in top) == 24
    seen = [panel for panel in panels(document) if panel["gridPos"]["y"] + panel["gridPos"]["h"] <= SCREEN]
    assert len(seen) >= 8
    ids = [panel["id"] for panel in (*document["panels"], *panels(document)) if panel["type"] == "row"]
    ids += [panel["id"] for panel in panels(document)]
    assert len(set(ids)) == len(ids)
    tops = [panel["gridPos"]["y"] for panel in document["panels"]]
    assert tops == sorted(tops)


def test_states_have_the_same_colour_everywhere_and_a_word_beside_it() -> None:
    shown: dict[str, set[str]] = {}
    for _, panel in all_panels():
        overrides = [one["properties"] for one in panel["fieldConfig"]["overrides"]]
        of_columns = [one["value"] for some in overrides for one in some if one["id"] == "mappings"]
        for mapping in (panel["fieldConfig"]["defaults"].get("mappings", []), *of_columns):
            for result in (result for one in mapping for result in one["options"].values()):
                shown.setdefault(result["text"], set()).add(result["color"])
    assert {"ramping", "rolled_back", "pass", "fail", "unknown", "critical", "warning"} <= set(shown)
    assert {word: colours for word, colours in shown.items() if len(colours) > 1} == {}


# --- queries ---------------------------------------------------------------------------------------------------------


def test_every_query_parses_once_its_variables_are_filled_in() -> None:
    for query in every_query():
        parse(query.filled())


def test_every_query_names_variables_of_its_dashboard_only() -> None:
    for query in every_query():
        known = set(variables(boards()[query.board]))
        assert used(query.expr) <= known, query.place


def test_every_metric_of_a_query_is_exported_or_recorded() -> None:
    known = documented() | recorded()
    for query in every_query():
        named = {selector.metric for selector in selectors(parse(query.filled()))}
        assert named <= known, (query.place, named - known)


def test_limits_come_from_recordings_not_from_the_dashboard() -> None:
    for query in every_query():
        for node in walk(parse(query.filled())):
            sides: tuple[object, ...] = ()
            if isinstance(node, Binary) and node.op in COMPARISONS:
                sides = (node.left, node.right)
            elif isinstance(node, Call) and node.name == "vector":
                sides = node.args
            assert all(side.value in {0, 1} for side in sides if isinstance(side, Number)), query.place
    for uid, panel in all_panels():
        assert all(value in {None, 0, 1} for value in thresholds(panel)), (uid, panel["title"])


def thresholds(panel: dict[str, Any]) -> Iterator[float | None]:
    field = panel["fieldConfig"]
    properties = [one for override in field["overrides"] for one in override["properties"]]
    of_columns = [one["value"] for one in properties if one["id"] == "thresholds"]
    for config in (field["defaults"]["thresholds"], *of_columns):
        yield from (step["value"] for step in config["steps"])


def test_each_objective_is_drawn_against_its_recorded_target() -> None:
    limits = [query.expr for query in queries() if query.board == "slo-rollout" and query.legend.startswith("limit")]
    for objective in ("error_rate", "latency_p95", "availability", "test_pass_rate"):
        assert f'max(slo:objective:ratio{{objective="{objective}"}})' in limits
    assert 'max(slo:objective:value{objective="alert_noise"})' in limits
    assert "max(slo:exposure_tolerance:percent)" in limits


def test_limits_are_dashed() -> None:
    drawn = [query for query in queries() if query.legend.startswith("limit")]
    assert len(drawn) > 20
    for query in drawn:
        assert query.panel is not None
        if query.panel["type"] != "timeseries":
            continue
        overrides = query.panel["fieldConfig"]["overrides"]
        dashed = [one["properties"] for one in overrides if one["matcher"]["options"] == "/^limit/"]
        assert "custom.lineStyle" in {one["id"] for one in dashed[0]}, query.place
