"""What Unleash's published interface promises, as a strict script for `Answering`: one project, flags in memory.

It takes only what the real server takes: the bare token, strings as parameters, JSON patches whose tests hold. The slow
suite sends the same requests to it and to a real server (tests/unleash/test_contract.py), so that the two agree.
"""

from __future__ import annotations

import copy
import itertools
import json
import re
import threading
from collections.abc import Callable
from typing import Any

from tests.answering import Reply, Request, reply

TOKEN = "*:*.the-admin-token"
CLIENT = "default:production.the-client-token"
PROJECT = "/api/admin/projects/default"
ENVIRONMENT = "production"
EVERYBODY = {"name": "flexibleRollout", "parameters": {"rollout": "100", "stickiness": "default", "groupId": ""}}

Json = dict[str, Any]
Moment = tuple[float, frozenset[str]]
"""Who has a flag: so many percent, and these members."""


class Contract:
    """The server's memory. `moments` holds who had the flag after each request; `before` is called before each.

    `between` is called once, after a patch has been compared and before it is written: the server holds no lock there.
    """

    def __init__(self) -> None:
        self.flags: dict[str, Json] = {}
        self.moments: list[tuple[str, Moment | None]] = []
        self.before: Callable[[Request], Reply | None] = lambda _request: None
        self.between: Callable[[], None] | None = None
        self.approvals: bool | None = None
        self.rights: list[Json] = [{"permission": "ADMIN"}]
        self._ids = itertools.count(1)
        self._lock = threading.RLock()

    def __call__(self, request: Request) -> Reply:
        instead = self.before(request)
        if instead is not None:
            return instead
        with self._lock:
            answer = self._answer(request)
            self.moments += [(flag, self.serves(flag)) for flag in self.flags]
            return answer

    def environment(self, flag: str) -> Json:
        return self.flags[flag]["environments"][0]  # type: ignore[no-any-return]

    def strategies(self, flag: str) -> list[Json]:
        return self.environment(flag)["strategies"]  # type: ignore[no-any-return]

    def add(self, flag: str, strategy: Json) -> Json:
        whole = {"constraints": [], "variants": [], "segments": [], "disabled": False, **copy.deepcopy(strategy)}
        whole |= {"id": f"S{next(self._ids)}", "sortOrder": len(self.strategies(flag))}
        self.strategies(flag).append(whole)
        return whole

    def serves(self, flag: str) -> Moment | None:
        """Who has it; None when a strategy is not of the two kinds that the watchdog writes."""
        percent, members = 0.0, frozenset[str]()
        if not self.environment(flag)["enabled"]:
            return percent, members
        for strategy in self.strategies(flag):
            constraints = strategy["constraints"]
            if constraints:
                members |= frozenset(constraints[0]["values"])
            elif percent or strategy["name"] != "flexibleRollout" or "rollout" not in strategy["parameters"]:
                return None
            else:
                percent = float(strategy["parameters"]["rollout"])
        return percent, members

    def _answer(self, request: Request) -> Reply:
        token, path = request.headers.get("authorization"), request.target
        if path.startswith("/api/client/"):
            return self._client(request) if token == CLIENT else _error(401, "You must log in to use Unleash.")
        if token == CLIENT:
            return _error(403, "invalid token: expected a different token type for this endpoint")
        if token != TOKEN:
            return _error(401, "You must log in to use Unleash.")
        if request.body and request.headers.get("content-type") != "application/json":
            return _error(415, "expected application/json")
        body = json.loads(request.body) if request.body else None
        for method, pattern, handler in self._routes():
            found = re.fullmatch(pattern, path)
            if found and request.method == method:
                return handler(*found.groups(), *([body] if method in {"POST", "PATCH"} and body is not None else []))
        return _error(404, f"The path you were looking for ({path}) is not available.")

    def _routes(self) -> list[tuple[str, str, Callable[..., Reply]]]:
        flag = rf"{PROJECT}/features/([^/]+)"
        here = rf"{flag}/environments/([^/]+)"
        return [
            ("GET", "/api/admin/user", lambda: reply(json={"user": {"secret": TOKEN}, "permissions": self.rights})),
            ("GET", f"{PROJECT}/change-requests/config", self._change_requests),
            ("POST", f"{PROJECT}/features", self._create),
            ("GET", flag, self._get),
            ("POST", rf"{here}/(on|off)", self._switch),
            ("POST", rf"{here}/strategies", self._add),
            ("PATCH", rf"{here}/strategies/([^/]+)", self._patch),
            ("DELETE", rf"{here}/strategies/([^/]+)", self._remove),
        ]

    def _change_requests(self) -> Reply:
        if self.approvals is None:
            return _error(404, "The path you were looking for is not available.")
        return reply(json=[{"environment": ENVIRONMENT, "changeRequestEnabled": self.approvals}])

    def _create(self, body: Json) -> Reply:
        name = body["name"]
        if name in self.flags:
            return _error(409, "A flag with that name already exists")
        environments = [{"name": ENVIRONMENT, "enabled": False, "strategies": [], "lastSeenAt": None}]
        self.flags[name] = {"name": name, "type": body["type"], "archived": False, "dependencies": []}
        self.flags[name] |= {"project": "default", "environments": environments}
        return reply(201, json={"name": name})

    def _get(self, flag: str) -> Reply:
        if flag not in self.flags:
            return _error(404, f'There\'s no feature named "{flag}" in project "default".')
        return reply(json=self.flags[flag])

    def _switch(self, flag: str, environment: str, how: str) -> Reply:
        if missing := self._missing(flag, environment):
            return missing
        if how == "on" and all(one["disabled"] for one in self.strategies(flag)):
            self.add(flag, EVERYBODY)
        self.environment(flag)["enabled"] = how == "on"
        return reply(200)

    def _add(self, flag: str, environment: str, body: Json) -> Reply:
        # The real server makes strings of numbers here, and refuses them in a patch.
        parameters = {name: str(value) for name, value in body["parameters"].items()}
        return self._missing(flag, environment) or reply(json=self.add(flag, {**body, "parameters": parameters}))

    def _patch(self, flag: str, environment: str, strategy: str, operations: list[Json]) -> Reply:
        if missing := self._missing(flag, environment):
            return missing
        old = next((one for one in self.strategies(flag) if one["id"] == strategy), None)
        if old is None:
            return _error(404, f"Could not find strategy with id: {strategy}")
        new = copy.deepcopy(old)
        for operation in operations:
            *parents, last = operation["path"].strip("/").split("/")
            place = new
            for parent in parents:
                place = place[parent]
            if operation["op"] == "test":
                if place.get(last) != operation["value"]:
                    return _error(500, "Test operation failed\nname: TEST_OPERATION_FAILED")
            else:
                assert operation["op"] in {"add", "replace"}
                place[last] = operation["value"]
        if invalid := _invalid(new):
            return invalid
        if (between := self.between) is not None:
            self.between = None
            self._lock.release()
            try:
                between()
            finally:
                self._lock.acquire()
        if old not in self.strategies(flag):
            return _error(500, "Something went wrong")
        old.clear()
        old.update(new)
        self._off_if_idle(flag)
        return reply(json=new)

    def _remove(self, flag: str, environment: str, strategy: str) -> Reply:
        if missing := self._missing(flag, environment):
            return missing
        left = [one for one in self.strategies(flag) if one["id"] != strategy]
        if len(left) == len(self.strategies(flag)):
            return _error(404, f"Could not find strategy with id={strategy}")
        self.environment(flag)["strategies"] = left
        self._off_if_idle(flag)
        return reply(200)

    def _off_if_idle(self, flag: str) -> None:
        if all(one["disabled"] for one in self.strategies(flag)):
            self.environment(flag)["enabled"] = False

    def _missing(self, flag: str, environment: str) -> Reply | None:
        if flag not in self.flags:
            return _error(404, f"Could not find feature flag with name {flag}")
        if environment != ENVIRONMENT:
            return _error(404, f"Could not find environment {environment} for feature: {flag}")
        return None

    def _client(self, request: Request) -> Reply:
        assert request.target == "/api/client/features"
        features = [
            {
                "name": name,
                "type": "release",
                "enabled": flag["environments"][0]["enabled"],
                "project": "default",
                "strategies": [
                    {key: one[key] for key in ("name", "constraints", "parameters")} for one in self.strategies(name)
                ],
                "variants": [],
            }
            for name, flag in self.flags.items()
        ]
        return reply(json={"version": 2, "features": features})


def _invalid(strategy: Json) -> Reply | None:
    """The real server's own check: parameters are strings."""
    odd = [name for name, text in strategy["parameters"].items() if not isinstance(text, str)]
    if odd or not isinstance(strategy.get("title", ""), str):
        return _error(400, f"Request validation failed: {odd} must be string")
    return None


def _error(status: int, message: str) -> Reply:
    return reply(status, json={"name": "Error", "message": message})
