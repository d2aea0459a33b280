"""The standard objectives are PromQL that Prometheus accepts, and their thresholds are written once."""

import json
import subprocess
from pathlib import Path

import pytest

from watchdog.model import STANDARD_OBJECTIVES
from watchdog.rolloutfile.standard import needs_labels, rules_directory, standard_names, standard_objective, with_labels


def test_the_files_are_the_seven_standard_objectives() -> None:
    assert standard_names() == sorted(STANDARD_OBJECTIVES)
    for name in standard_names():
        assert standard_objective(name)["name"] == name


@pytest.mark.parametrize(
    "name", [name for name in sorted(STANDARD_OBJECTIVES) if needs_labels(standard_objective(name))]
)
def test_prometheus_accepts_the_queries(name: str, tmp_path: Path) -> None:
    objective = with_labels(standard_objective(name), {"job": 'check"out', "path": "a\\b"})
    rules = [
        {"record": f"checked:{name}:{key}", "expr": objective[key].replace("$range", "5m")} for key in ("bad", "total")
    ]
    file = tmp_path / "rules.json"  # JSON is YAML
    file.write_text(json.dumps({"groups": [{"name": "checked", "rules": rules}]}))
    checked = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_rules_of_the_package_are_those_of_the_repository() -> None:
    assert rules_directory().resolve() == Path(__file__).resolve().parent.parent / "rules"
