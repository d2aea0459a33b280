"""The script that the fast tests trust answers the same requests as the real server does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.answering import Answering
from tests.unleash.server import ADMIN_TOKEN, CLIENT_TOKEN, ENVIRONMENT, UnleashServer
from tests.unleashcontract import CLIENT, TOKEN, Contract
from tests.unleashcontract import ENVIRONMENT as SCRIPTED

FLAG = "compared"
PARAMETERS = {"rollout": "10", "stickiness": "userId", "groupId": FLAG}
HERE = f"/features/{FLAG}/environments/ENV"
ROLLOUT = "/parameters/rollout"


@pytest.fixture
def scripted() -> Iterator[str]:
    with Answering() as server:
        yield server.always(Contract()).url


class Side:
    """One of the two servers, with its own ids and tokens."""

    def __init__(self, url: str, token: str, environment: str) -> None:
        self._url, self._token, self._environment = f"{url}/api/admin/projects/default", token, environment
        self.strategy = "01M82RNME7B6AFJBQCPJNBG39W"

    def ask(self, method: str, path: str, body: Any = None, token: str | None = None) -> int:
        path = path.replace("ENV", self._environment).replace("SID", self.strategy)
        headers = {"Authorization": token or self._token}
        answer = requests.request(method, self._url + path, json=body, headers=headers, timeout=10)
        if path.endswith("/strategies") and answer.ok:
            self.strategy = answer.json()["id"]
        return answer.status_code

    def looks(self) -> Any:
        """What decides exposure, without ids."""
        headers = {"Authorization": self._token}
        whole = requests.get(f"{self._url}/features/{FLAG}", headers=headers, timeout=10).json()
        here = next(one for one in whole["environments"] if one["name"] == self._environment)
        names = ("name", "title", "constraints", "segments", "variants", "disabled")
        strategies = [{name: one.get(name) or None for name in names} for one in here["strategies"]]
        parameters = [
            {name: text for name, text in one["parameters"].items() if name != "groupId"} for one in here["strategies"]
        ]
        return here["enabled"], strategies, parameters, whole["dependencies"], whole["archived"]


STEPS: list[tuple[str, str, Any]] = [
    ("GET", f"/features/{FLAG}", None),
    ("POST", f"{HERE}/off", None),
    ("POST", "/features", {"name": FLAG, "type": "release"}),
    ("POST", "/features", {"name": FLAG, "type": "release"}),
    ("POST", "/features/nope/environments/ENV/off", None),
    ("POST", f"/features/{FLAG}/environments/nope/off", None),
    ("POST", f"{HERE}/strategies", {"name": "flexibleRollout", "parameters": {**PARAMETERS, "rollout": 10}}),
    ("POST", f"{HERE}/strategies", {"name": "flexibleRollout", "constraints": [], "parameters": PARAMETERS}),
    ("POST", f"{HERE}/on", None),
    ("POST", f"{HERE}/on", None),
    ("PATCH", f"{HERE}/strategies/SID", [{"op": "replace", "path": ROLLOUT, "value": 50}]),
    ("PATCH", f"{HERE}/strategies/SID", [{"op": "replace", "path": ROLLOUT, "value": "150"}]),
    ("PATCH", f"{HERE}/strategies/SID", [{"op": "test", "path": ROLLOUT, "value": "7"}]),
    (
        "PATCH",
        f"{HERE}/strategies/SID",
        [
            {"op": "test", "path": ROLLOUT, "value": "150"},
            {"op": "test", "path": "/constraints", "value": []},
            {"op": "test", "path": "/disabled", "value": False},
            {"op": "add", "path": "/title", "value": "ours"},
            {"op": "replace", "path": ROLLOUT, "value": "20"},
        ],
    ),
    ("PATCH", f"{HERE}/strategies/SID", [{"op": "test", "path": "/title", "value": "theirs"}]),
    ("PATCH", f"{HERE}/strategies/SID", [{"op": "replace", "path": "/disabled", "value": True}]),
    ("POST", f"{HERE}/on", None),
    ("POST", f"{HERE}/off", None),
    ("POST", f"{HERE}/off", None),
    ("DELETE", f"{HERE}/strategies/SID", None),
    ("DELETE", f"{HERE}/strategies/SID", None),
    ("PATCH", f"{HERE}/strategies/SID", [{"op": "replace", "path": ROLLOUT, "value": "1"}]),
    ("GET", "/change-requests/config", None),
]


def test_both_answer_alike(server: UnleashServer, scripted: str) -> None:
    real, script = Side(server.url, ADMIN_TOKEN, ENVIRONMENT), Side(scripted, TOKEN, SCRIPTED)
    for k, (method, path, body) in enumerate(STEPS):
        statuses = real.ask(method, path, body), script.ask(method, path, body)
        assert statuses[0] == statuses[1], f"step {k}: {method} {path} {body}"
        if k > 2:
            assert real.looks() == script.looks(), f"after step {k}: {method} {path} {body}"
    assert real.ask("POST", f"{HERE}/off", token="nonsense") == script.ask("POST", f"{HERE}/off", token="nonsense")
    assert real.ask("POST", f"{HERE}/off", token=CLIENT_TOKEN) == script.ask("POST", f"{HERE}/off", token=CLIENT)
