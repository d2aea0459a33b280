"""A GitHub on loopback that is as strict as its REST reference: dispatches, owners, protection of branches.

with GitHubServer(token="...") as github:
    github.url            # its API
    github.events         # repository_dispatch events that it took: (event_type, client_payload)
    github.protection     # what stands for a branch, as it answers it
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any, Self

from tests.answering import Answering, Reply, Request, reply

REPOSITORY = "acme/checkout"
LARGEST = 65_535
SWITCHES = (
    *("required_linear_history", "allow_force_pushes", "allow_deletions", "block_creations"),
    *("required_conversation_resolution", "lock_branch", "allow_fork_syncing"),
)
REQUIRED = ("required_status_checks", "enforce_admins", "required_pull_request_reviews", "restrictions")
"""Keys that a protection has to have, `null` where nothing is wanted."""
Json = dict[str, Any]


class GitHubServer:
    """One repository, with users, teams and the token that administrates it."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._server = Answering().always(self._answer)
        self._lock = threading.Lock()
        self.url = self._server.url
        self.users: dict[str, str] = {"ada": "admin", "eve": "read"}
        """Permission of each user in the repository; `none` for one who is no collaborator."""
        self.teams: dict[str, bool] = {"acme/maintainers": True, "acme/releases": True, "acme/guests": False}
        """Whether a team has access to the repository."""
        self.events: list[tuple[str, Json]] = []
        self.protection: dict[str, Json] = {}
        self.environments: dict[str, Json] = {}
        self.refused: list[str] = []
        """What it did not take, and why."""
        self.asked = self._server.asked

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.__exit__()

    def _answer(self, asked: Request) -> Reply:
        with self._lock:
            status, data = self._decide(asked)
            if status >= 400 and status != 404:
                self.refused.append(f"{asked.method} {asked.target}: {status} {data}")
        return reply(status) if data is None else reply(status, json=data)

    def _decide(self, asked: Request) -> tuple[int, Any]:
        headers = asked.headers
        if not headers.get("user-agent"):
            return 403, _said("Request forbidden by administrative rules: no User-Agent")
        if headers.get("authorization") != f"Bearer {self._token}":
            return 401, _said("Bad credentials")
        if headers.get("x-github-api-version") != "2022-11-28":
            return 400, _said("X-GitHub-Api-Version is not a supported version")
        if headers.get("accept") != "application/vnd.github+json":
            return 415, _said("Unsupported 'Accept' header")
        for method, pattern, act in self._routes():
            found = re.fullmatch(pattern, asked.target)
            if found and method == asked.method:
                return act(asked, *found.groups())
        return 404, _said("Not Found")

    def _routes(self) -> list[tuple[str, str, Callable[..., tuple[int, Any]]]]:
        repository = f"/repos/{REPOSITORY}"
        return [
            ("POST", f"{repository}/dispatches", self._dispatch),
            ("GET", r"/users/([\w-]+)", self._user),
            ("GET", rf"{repository}/collaborators/([\w-]+)/permission", self._permission),
            ("GET", r"/orgs/([\w-]+)/teams/([\w-]+)", self._team),
            ("GET", rf"/orgs/([\w-]+)/teams/([\w-]+)/repos/{REPOSITORY}", self._access),
            ("GET", rf"{repository}/branches/([\w-]+)/protection", self._protected),
            ("PUT", rf"{repository}/branches/([\w-]+)/protection", self._protect),
            ("GET", rf"{repository}/environments/([\w-]+)", self._environment),
            ("PUT", rf"{repository}/environments/([\w-]+)", self._write_environment),
        ]

    def _dispatch(self, asked: Request) -> tuple[int, Any]:
        body = asked.json
        kind, payload = body.get("event_type"), body.get("client_payload", {})
        if set(body) - {"event_type", "client_payload"}:
            return 422, _said("Invalid request: no such key")
        if not isinstance(kind, str) or not 0 < len(kind) <= 100:
            return 422, _said("Invalid request: event_type is too long or no text")
        if not isinstance(payload, dict) or len(payload) > 10 or len(json.dumps(payload)) > LARGEST:
            return 422, _said("Invalid request: client_payload")
        self.events.append((kind, payload))
        return 204, None

    def _user(self, _: Request, name: str) -> tuple[int, Any]:
        return (200, {"login": name, "id": _number(name)}) if name in self.users else (404, _said("Not Found"))

    def _permission(self, _: Request, name: str) -> tuple[int, Any]:
        if name not in self.users:
            return 404, _said(f"{name} is not a user")
        return 200, {"permission": self.users[name], "role_name": self.users[name]}

    def _team(self, _: Request, owner: str, team: str) -> tuple[int, Any]:
        name = f"{owner}/{team}"
        return (200, {"slug": team, "id": _number(name)}) if name in self.teams else (404, _said("Not Found"))

    def _access(self, _: Request, owner: str, team: str) -> tuple[int, Any]:
        return (204, None) if self.teams.get(f"{owner}/{team}") else (404, _said("Not Found"))

    def _protected(self, _: Request, branch: str) -> tuple[int, Any]:
        found = self.protection.get(branch)
        return (200, found) if found is not None else (404, _said("Branch not protected"))

    def _protect(self, asked: Request, branch: str) -> tuple[int, Any]:
        body = asked.json
        if lacking := [name for name in REQUIRED if name not in body]:
            return 422, _said(f"Invalid request. {lacking} weren't supplied.")
        if strangers := set(body) - {*REQUIRED, *SWITCHES}:
            return 422, _said(f"Invalid request. {sorted(strangers)} are not permitted keys.")
        self.protection[branch] = _decorated(body, f"{self.url}/repos/{REPOSITORY}/branches/{branch}/protection")
        return 200, self.protection[branch]

    def _environment(self, _: Request, name: str) -> tuple[int, Any]:
        found = self.environments.get(name)
        return (200, found) if found is not None else (404, _said("Not Found"))

    def _write_environment(self, asked: Request, name: str) -> tuple[int, Any]:
        body = asked.json
        policy = body.get("deployment_branch_policy")
        if set(body) - {"reviewers", "prevent_self_review", "deployment_branch_policy", "wait_timer"}:
            return 422, _said("Invalid request: no such key")
        if policy is not None and policy["protected_branches"] == policy["custom_branch_policies"]:
            return 422, _said("protected_branches and custom_branch_policies cannot have the same value")
        if len(body.get("reviewers", ())) > 6:
            return 422, _said("There can be at most six reviewers")
        reviewers = [{"type": one["type"], "reviewer": {"id": one["id"]}} for one in body.get("reviewers", ())]
        rules: list[Json] = [{"id": 3, "type": "branch_policy"}] if policy else []
        if reviewers:
            own = bool(body.get("prevent_self_review"))
            rules.append({"id": 4, "type": "required_reviewers", "prevent_self_review": own, "reviewers": reviewers})
        found = {"id": 1, "name": name, "protection_rules": rules, "deployment_branch_policy": policy}
        self.environments[name] = found
        return 200, found


def _decorated(body: Mapping[str, Any], url: str) -> Json:
    """As GitHub answers a protection: switches wrapped, addresses added, what is null left out."""
    found: Json = {"url": url}
    checks = body["required_status_checks"]
    if checks is not None:
        found["required_status_checks"] = {
            **checks,
            "url": f"{url}/required_status_checks",
            "contexts_url": f"{url}/required_status_checks/contexts",
            "checks": [{"context": name, "app_id": None} for name in checks["contexts"]],
        }
    found["enforce_admins"] = {"url": f"{url}/enforce_admins", "enabled": bool(body["enforce_admins"])}
    reviews = body["required_pull_request_reviews"]
    if reviews is not None:
        found["required_pull_request_reviews"] = {"url": f"{url}/required_pull_request_reviews", **reviews}
    found["required_signatures"] = {"url": f"{url}/required_signatures", "enabled": False}
    return {**found, **{name: {"enabled": bool(body.get(name))} for name in SWITCHES}}


def _said(message: str) -> Json:
    return {"message": message, "documentation_url": "https://docs.github.com/rest"}


def _number(name: str) -> int:
    return sum(name.encode())
