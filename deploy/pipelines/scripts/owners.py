"""CODEOWNERS: who owns what, and GitHub's answer to whether they exist."""

from __future__ import annotations

import re
from dataclasses import dataclass

import github
import steps

FILE = steps.ROOT / ".github" / "CODEOWNERS"
_TEAM = re.compile(r"@([A-Za-z0-9][A-Za-z0-9-]*)/([A-Za-z0-9][\w.-]*)")
_USER = re.compile(r"@([A-Za-z0-9][A-Za-z0-9-]{0,38})")


@dataclass(frozen=True)
class Rule:
    """One line: a pattern and its owners."""

    line: int
    pattern: str
    owners: tuple[str, ...]


def rules(text: str) -> list[Rule]:
    """The lines that say something. StepFailed, with every problem, for owners of no known form."""
    found, wrong = [], []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        found.append(Rule(number, words[0], tuple(words[1:])))
        wrong += [
            f"line {number}: {one!r} is no owner; expected @user or @organisation/team"
            for one in words[1:]
            if not (_TEAM.fullmatch(one) or _USER.fullmatch(one))
        ]
        if len(words) == 1:
            wrong.append(f"line {number}: {words[0]} has no owner")
    if not any(rule.pattern == "*" for rule in found):
        wrong.append("no line `*` says who owns everything else")
    if wrong:
        raise steps.StepFailed(f"{FILE}: {'; '.join(wrong)}")
    return found


def reviewer(owner: str) -> dict[str, object]:
    """An owner as GitHub's environments name reviewers. StepFailed when there is none."""
    if team := _TEAM.fullmatch(owner):
        found = github.ask("GET", f"/orgs/{team[1]}/teams/{team[2]}").data
        return {"type": "Team", "id": found["id"]}
    found = github.ask("GET", f"/users/{owner.removeprefix('@')}").data
    return {"type": "User", "id": found["id"]}


def missing(owner: str, repository: str) -> str:
    """Why an owner cannot own anything here, or nothing: it must exist and may write."""
    if team := _TEAM.fullmatch(owner):
        path = f"/orgs/{team[1]}/teams/{team[2]}"
        if github.ask("GET", path, accept=(200, 404)).status == 404:
            return f"{owner}: there is no such team, or the token may not see it"
        rights = github.ask("GET", f"{path}/repos/{repository}", accept=(200, 204, 404)).status
        return "" if rights != 404 else f"{owner}: the team has no access to {repository}"
    name = owner.removeprefix("@")
    if github.ask("GET", f"/users/{name}", accept=(200, 404)).status == 404:
        return f"{owner}: there is no such user"
    answer = github.ask("GET", f"/repos/{repository}/collaborators/{name}/permission", accept=(200, 404))
    may = answer.data.get("permission") if answer.status == 200 else "none"
    return "" if may in ("admin", "maintain", "write") else f"{owner}: may not write to {repository} (permission {may})"
