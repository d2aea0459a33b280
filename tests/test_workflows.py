"""The workflows: what every one of them must have, and that nothing in them happens which CI does not execute here."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.rehearsal.expressions import NotUnderstood, evaluate, filled
from tests.rehearsal.runner import declared

ROOT = Path(__file__).parent.parent
PIPELINES = ROOT / "deploy" / "pipelines"
FILES = sorted((PIPELINES / "workflows").glob("*.yml"))
INTEGRATION = PIPELINES / "workflows" / "continuous-integration.yml"
ACTIONS = sorted(PIPELINES.glob("actions/*/action.yml"))
CALL = re.compile(r"deploy/pipelines/scripts/([\w-]+\.(?:py|sh))((?: [\w-]+| \$\{\{ matrix\.\w+ \}\})*)")
IN_ACTION = re.compile(r'"\$GITHUB_ACTION_PATH/\.\./\.\./scripts/([\w-]+\.py)"')
PINNED = re.compile(r"^ +uses: (actions/[\w-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)$", re.MULTILINE)
REHEARSED = {"staging.yml", "production.yml", "settle.yml", "gate.yml"}
"""What tests/rehearsal runs step by step, as it is written."""
WRITES = {("continuous-integration.yml", "publish", "packages")}
CONDITIONS = {
    "always()",
    "failure()",
    "inputs.bypass_reason == ''",
    "steps.newest.outputs.rollout != ''",
    "steps.gate.outputs.decision == 'signed_off' || steps.gate.outputs.decision == 'taken_back'",
}
"""Every condition of a step: none of them leaves out a check without a recorded reason."""


def load(file: Path) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return found


def jobs(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from load(file)["jobs"].items()


def steps(file: Path) -> Iterator[dict[str, Any]]:
    for _, job in jobs(file):
        yield from job["steps"]


def everywhere() -> list[tuple[Path, str, dict[str, Any], dict[str, Any]]]:
    return [(file, name, job, step) for file in FILES for name, job in jobs(file) for step in job["steps"]]


def test_there_are_the_workflows_that_the_page_tells_of() -> None:
    assert {file.name for file in FILES} == REHEARSED | {INTEGRATION.name}
    page = (ROOT / "docs" / "pipelines.md").read_text(encoding="utf-8")
    assert [file.name for file in FILES if f"`{file.name}`" not in page] == []


# --- one call, which CI executes ------------------------------------------------------------------------------------


def expanded(job: dict[str, Any], run: str) -> list[str]:
    """A run for each combination of the job's matrix."""
    matrix = job.get("strategy", {}).get("matrix", {})
    found = []
    for values in product(*matrix.values()):
        text = run
        for key, value in zip(matrix, values, strict=True):
            text = text.replace(f"${{{{ matrix.{key} }}}}", str(value))
        found.append(text)
    return sorted(set(found))


def test_every_run_is_one_call_of_one_script() -> None:
    runs = [(step["run"], CALL) for _, _, _, step in everywhere() if "run" in step]
    runs += [(step["run"], IN_ACTION) for file in ACTIONS for step in load(file)["runs"]["steps"]]
    assert len(runs) > 25
    for run, form in runs:
        found = form.fullmatch(run)
        assert found, f"{run!r} is not one call of a script in deploy/pipelines/scripts"
        assert os.access(PIPELINES / "scripts" / found[1], os.X_OK), f"{found[1]} cannot be executed"


def test_ci_executes_every_run() -> None:
    ran = set(
        re.findall(
            r"^(?:run|aside) (deploy/pipelines/scripts/\S+.*?)(?: \|\| .*)?$",
            (ROOT / ".ci/run").read_text(),
            re.MULTILINE,
        )
    )
    wanted = {
        call
        for _, job in jobs(INTEGRATION)
        for step in job["steps"]
        if "run" in step
        for call in expanded(job, step["run"])
    }
    # The rehearsal fails unless it has executed every run of its workflows; publish_image.py pushes to a real registry
    # in tests/test_publish_image.py, which `check.sh test` runs.
    wanted.remove("deploy/pipelines/scripts/publish_image.py")
    assert "deploy/pipelines/scripts/check.sh pipelines" in wanted
    assert wanted - ran == set(), ".ci/run executes what continuous-integration.yml does"


def test_every_program_of_the_scripts_is_called_by_a_workflow_or_by_check() -> None:
    called = {CALL.fullmatch(step["run"])[1] for _, _, _, step in everywhere() if "run" in step}  # type: ignore[index]
    called |= {IN_ACTION.fullmatch(step["run"])[1] for file in ACTIONS for step in load(file)["runs"]["steps"]}  # type: ignore[index]
    programs = {file.name for file in (PIPELINES / "scripts").iterdir() if os.access(file, os.X_OK) and file.is_file()}
    assert programs - called == {"branch_protection.py", "check_owners.py"}, "people and check.sh call these"


def test_this_repository_runs_the_integration_that_it_ships() -> None:
    own = ROOT / ".github" / "workflows" / INTEGRATION.name
    assert own.read_text() == INTEGRATION.read_text(), f"copy {INTEGRATION.name} to .github/workflows"


# --- what every workflow has ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_it_has_little_rights_a_turn_and_an_end(file: Path) -> None:
    document = load(file)
    assert document["permissions"] == {"contents": "read"}
    assert document["concurrency"]["group"]
    assert "cancel-in-progress" in document["concurrency"]
    for name, job in jobs(file):
        assert job["timeout-minutes"] <= 60, name
        assert job["name"], name
        rights = job.get("permissions", {})
        writes = {(file.name, name, what) for what, right in rights.items() if right != "read"}
        assert writes <= WRITES
        assert "continue-on-error" not in job


def test_only_what_deploys_is_never_cancelled_half_way() -> None:
    cancelled = {file.name: load(file)["concurrency"]["cancel-in-progress"] for file in FILES}
    assert {name for name, may in cancelled.items() if may is not False} == {INTEGRATION.name}
    groups = {load(file)["concurrency"]["group"] for file in FILES if file.name in ("settle.yml", "gate.yml")}
    assert groups == {"settle"}, "both act on the same environment, one at a time"


def test_every_action_is_pinned_by_its_whole_commit_and_says_which_release_that_is() -> None:
    known: dict[str, tuple[str, str]] = {}
    for file in FILES:
        text = file.read_text(encoding="utf-8")
        found = PINNED.findall(text)
        used = [step["uses"] for step in steps(file) if "uses" in step and not step["uses"].startswith("./")]
        assert len(found) == len(used), f"{file.name}: expected `uses: actions/name@<40 digits> # vX.Y.Z`"
        for name, commit, release in found:
            assert known.setdefault(name, (commit, release)) == (commit, release), f"{name} has two pins"


def test_steps_are_named_and_no_check_is_left_out() -> None:
    for file, _, _, step in everywhere():
        assert step.get("name"), f"{file.name}: {step}"
        assert "continue-on-error" not in step
        assert str(step.get("if", "always()")) in CONDITIONS, f"{file.name}: {step['name']}"


def test_checkouts_keep_no_token_and_pythons_keep_their_downloads() -> None:
    for _, _, _, step in everywhere():
        given = step.get("with", {})
        if "checkout@" in step.get("uses", ""):
            assert given["persist-credentials"] is False
        if "setup-python@" in step.get("uses", ""):
            assert (given["cache"], given["cache-dependency-path"]) == ("pip", "requirements.lock")


def test_artefacts_are_named_by_their_commit() -> None:
    commits = ("github.sha", "inputs.commit")
    for file, _, _, step in everywhere():
        if "-artifact@" in step.get("uses", ""):
            assert any(one in step["with"]["name"] for one in commits), f"{file.name}: {step['name']}"


def test_whoever_touches_an_environment_names_it() -> None:
    for file in FILES:
        for name, job in jobs(file):
            own = "self-hosted" in job["runs-on"]
            assert own == ("environment" in job), f"{file.name}: {name}"
    production = load(PIPELINES / "workflows" / "production.yml")["jobs"]["release"]
    assert production["environment"]["name"] == "production", "whose reviewers approve"


def test_inputs_are_described_and_a_bypass_needs_a_reason() -> None:
    for file in FILES:
        triggers = load(file)[True]  # YAML 1.1 reads `on` as true
        inputs = (triggers.get("workflow_dispatch") or {}).get("inputs", {}) if isinstance(triggers, dict) else {}
        for name, about in inputs.items():
            assert len(about["description"]) > 20, name
            assert {"type", "required"} <= set(about), name
    for file in ACTIONS:
        assert all(len(about["description"]) > 15 for about in load(file)["inputs"].values())
    bypass = "github.event.inputs"
    assert all(bypass not in file.read_text(encoding="utf-8") for file in FILES)


def test_no_word_of_other_people_stands_in_a_run() -> None:
    for _, _, _, step in everywhere():
        inside = re.findall(r"\$\{\{(.*?)\}\}", step.get("run", ""))
        assert [one for one in inside if not one.strip().startswith("matrix.")] == []


# --- thresholds -------------------------------------------------------------------------------------------------------


def test_no_workflow_has_a_threshold_of_its_own() -> None:
    """Numbers that decide are in rollouts, settings and pyproject.toml; a workflow has times and versions only."""
    for file in FILES:
        document = load(file)
        sections = [
            document.get("env"),
            *(job.get("env") for _, job in jobs(file)),
            *(s.get("env") for s in steps(file)),
        ]
        for section in sections:
            for name, value in (section or {}).items():
                bare = re.sub(r"\$\{\{.*?\}\}", "", str(value))
                assert not re.search(r"\d", bare), f"{file.name}: {name} is {value}"
        for step in steps(file):
            assert not re.search(r"\d", re.sub(r"[\w-]+\.(py|sh)", "", step.get("run", ""))), step["run"]


def test_the_coverage_that_is_required_is_stated_once() -> None:
    said = []
    places = [
        ROOT / "pyproject.toml",
        ROOT / "Makefile",
        ROOT / ".ci/run",
        *FILES,
        *(PIPELINES / "scripts").glob("*.*"),
    ]
    for file in places:
        text = file.read_text(encoding="utf-8")
        said += [f"{file.name}: {line}" for line in text.splitlines() if re.search(r"fail[_-]under", line)]
    assert said == ["pyproject.toml: fail_under = 95"]


# --- the little runner ------------------------------------------------------------------------------------------------


def contexts(**more: Any) -> dict[str, Any]:
    functions = {"always": lambda: True, "failure": lambda: False}
    return {"inputs": {"reason": "", "rollout": "r.yaml"}, "steps": {}, "functions": functions, **more}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("inputs.rollout || 'x'", "r.yaml"),
        ("inputs.reason || inputs.rollout", "r.yaml"),
        ("inputs.reason == '' && always()", True),
        ("${{ !failure() }}", True),
        ("inputs.rollout == 'R.YAML'", True),
        ("(inputs.reason != '' || failure()) == false", True),
        ("steps.gone.outputs.decision == ''", True),
        ("'it''s'", "it's"),
    ],
)
def test_expressions_mean_what_they_mean_on_github(text: str, value: object) -> None:
    assert evaluate(text, contexts()) == value


def test_texts_are_filled_in() -> None:
    assert filled("a-${{ inputs.rollout }}-${{ inputs.reason }}b", contexts()) == "a-r.yaml-b"


@pytest.mark.parametrize(
    "text", ["inputs.rolout", "hashFiles('x')", "inputs.rollout ==", "a ? b : c", "vars.X", "(true"]
)
def test_what_is_not_understood_is_never_guessed(text: str) -> None:
    with pytest.raises(NotUnderstood):
        evaluate(text, contexts())


def test_a_dispatch_must_name_what_is_required_and_nothing_else() -> None:
    production = load(PIPELINES / "workflows" / "production.yml")
    assert declared(production, "workflow_dispatch", {"commit": "c"})["bypass_reason"] == ""
    for wrong in ({}, {"commit": "c", "comit": "d"}):
        with pytest.raises(NotUnderstood):
            declared(production, "workflow_dispatch", wrong)
    with pytest.raises(NotUnderstood):
        declared(production, "push", {})
