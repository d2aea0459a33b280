"""Protection of branches and environments, and the owners: scripts against a GitHub that keeps its reference."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.githubserver import REPOSITORY, GitHubServer
from tests.processes import Finished

ROOT = Path(__file__).parent.parent
TOKEN = "a-token-that-administrates"
OWNERS = "*  @acme/maintainers\n/deploy/  @ada @acme/releases\n"


@pytest.fixture
def github() -> Iterator[GitHubServer]:
    with GitHubServer(TOKEN) as server:
        yield server


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The scripts beside owners who exist on this GitHub."""
    for part in ("deploy/pipelines/scripts", ".github"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "deploy/pipelines/branch-protection.json", tmp_path / "deploy/pipelines")
    (tmp_path / ".github/CODEOWNERS").write_text(OWNERS)
    return tmp_path


def script(copy: Path, github: GitHubServer, *words: str, token: str = TOKEN) -> Finished:
    environ = {"GITHUB_API_URL": github.url, "GITHUB_TOKEN": token, "GITHUB_REPOSITORY": REPOSITORY}
    command = [sys.executable, str(copy / "deploy/pipelines/scripts" / words[0]), *words[1:]]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GITHUB_")}
    environ |= {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env={**kept, **environ}, capture_output=True, text=True, timeout=60, check=False)
    return Finished(done.returncode, done.stdout, done.stderr)


def test_what_is_written_is_applied_and_then_nothing_differs(copy: Path, github: GitHubServer) -> None:
    before = script(copy, github, "branch_protection.py", "diff")
    assert before.status == 1
    assert "branch main is not protected" in before.out
    assert "environment production is not protected" in before.out

    applied = script(copy, github, "branch_protection.py", "apply")
    assert applied.status == 0, applied.out + applied.err
    assert github.refused == []
    assert github.protection["main"]["enforce_admins"]["enabled"] is True
    rule = next(
        one for one in github.environments["production"]["protection_rules"] if one["type"] == "required_reviewers"
    )
    assert [one["type"] for one in rule["reviewers"]] == ["Team"]
    assert rule["prevent_self_review"] is True

    after = script(copy, github, "branch_protection.py", "diff")
    assert (after.status, "GitHub has what is written" in after.out) == (0, True), after.out


def test_a_difference_is_named_with_both_values(copy: Path, github: GitHubServer) -> None:
    script(copy, github, "branch_protection.py", "apply")
    github.protection["main"]["allow_force_pushes"]["enabled"] = True
    github.protection["main"]["required_status_checks"]["contexts"].remove("Image")
    github.environments["production"]["protection_rules"].pop()
    found = script(copy, github, "branch_protection.py", "diff")
    assert found.status == 1
    assert "branch main.allow_force_pushes: GitHub has true, written is false" in found.out
    assert "branch main.required_status_checks.contexts: GitHub has" in found.out
    assert "environment production.reviewers: GitHub has []" in found.out
    assert "3 differences" in found.out or "4 differences" in found.out


def test_owners_that_exist_and_may_write_are_found(copy: Path, github: GitHubServer) -> None:
    found = script(copy, github, "check_owners.py")
    assert (found.status, f"3 owners exist and may write to {REPOSITORY}" in found.out) == (0, True), found.out


@pytest.mark.parametrize(
    ("owner", "why"),
    [
        ("@nobody-there", "there is no such user"),
        ("@eve", "may not write to acme/checkout (permission read)"),
        ("@acme/nobody", "there is no such team"),
        ("@acme/guests", "the team has no access"),
        ("somebody", "is no owner; expected @user or @organisation/team"),
        ("", "has no owner"),
    ],
)
def test_an_owner_who_cannot_own_fails_the_check(copy: Path, github: GitHubServer, owner: str, why: str) -> None:
    (copy / ".github/CODEOWNERS").write_text(f"{OWNERS}/docs/ {owner}\n")
    found = script(copy, github, "check_owners.py")
    assert (found.status, why in found.out) == (1, True), found.out


def test_a_wrong_token_is_said_and_never_shown(copy: Path, github: GitHubServer) -> None:
    found = script(copy, github, "branch_protection.py", "diff", token="an-old-token")
    assert (found.status, "Bad credentials; the token is wrong or has ended" in found.out) == (1, True)
    assert "an-old-token" not in found.out + found.err


def test_without_a_token_the_form_of_codeowners_is_checked(copy: Path, github: GitHubServer) -> None:
    found = script(copy, github, "check_owners.py", token="")
    assert (found.status, "whether their owners exist needs GITHUB_TOKEN" in found.out) == (0, True)
    assert github.asked == []


def test_required_checks_are_the_jobs_of_continuous_integration() -> None:
    import yaml  # noqa: PLC0415 - only here

    jobs = yaml.safe_load((ROOT / "deploy/pipelines/workflows/continuous-integration.yml").read_text())["jobs"]
    names = set()
    for job in jobs.values():
        matrix = job.get("strategy", {}).get("matrix", {})
        shown = [job["name"].replace(f"${{{{ matrix.{key} }}}}", one) for key, ones in matrix.items() for one in ones]
        names.update(shown or [job["name"]])
    written = json.loads((ROOT / "deploy/pipelines/branch-protection.json").read_text())
    required = set(written["branches"]["main"]["required_status_checks"]["contexts"])
    assert required == names - {"Publish the image"}, "a pull request publishes nothing"
