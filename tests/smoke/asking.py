"""Asking an installation: one deadline a request, no repeats, and a sentence for whatever is not as it should be."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

import pytest
import requests

TIMEOUT = 5.0
"""Seconds for one answer."""
PATIENCE = 3
"""Requests without an answer after which an address is given up, so that the suite ends in seconds."""
LOOKS = 15
PAUSE = 0.2
"""How often, and how many seconds apart, two sides are compared: a rollout may take a step at any moment."""
T = TypeVar("T")


class Site:
    """One address that is asked. `name` is what a sentence calls it; a `token` goes along with every request."""

    def __init__(self, url: str, name: str, token: str = "") -> None:
        self._address = url.rstrip("/")
        self.url = _shown(self._address)
        self.name = name
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._session = requests.Session()
        self._silent = 0
        self._gone = ""

    def ask(
        self, method: str, path: str, *, json: Any = None, headers: Mapping[str, str] | None = None
    ) -> requests.Response:
        """Any answer. Where nobody is there at all, the tests that ask this address afterwards fail at once."""
        if self._gone:
            self._fail(f"{self._gone} (it is not asked again)")
        what = f"{method} {self.url}{path}"
        given = {**self._headers, **(headers or {})}
        try:
            return self._session.request(
                method, self._address + path, json=json, headers=given, timeout=TIMEOUT, allow_redirects=False
            )
        except requests.Timeout:
            self._silent += 1
            said = f"{what} had no answer within {TIMEOUT:g} s"
            self._gone = said if self._silent >= PATIENCE else ""
        except requests.RequestException as error:
            reason = "connection refused" if "refused" in str(error) else type(error).__name__
            said = f"{what} could not be asked: {reason}; does {self.name} run, and is it at this address?"
            self._gone = said if isinstance(error, requests.ConnectionError) and "refused" in reason else ""
        return self._fail(said)

    def get(self, path: str, status: int = 200, **headers: str) -> requests.Response:
        """The answer to a GET, which must have this status."""
        return self.expect(self.ask("GET", path, headers=headers), status)

    def json(self, path: str) -> Any:
        """The JSON at an address."""
        return self.parsed(self.get(path))

    def parsed(self, answer: requests.Response) -> Any:
        """The JSON of an answer."""
        try:
            return answer.json()
        except ValueError:
            self._fail(f"{_what(answer)} is no JSON: {answer.text[:200]!r}")

    def expect(self, answer: requests.Response, *statuses: int) -> requests.Response:
        """The answer, if it has one of these statuses."""
        if answer.status_code not in statuses:
            wanted = " or ".join(map(str, statuses))
            said = f"{_what(answer)} answered {answer.status_code}, expected {wanted}"
            self._fail(f"{said}. It said: {answer.text[:500]}")
        return answer

    def refused(self, path: str) -> dict[str, Any]:
        """The problem document of a changing call without a token: it must change nothing, whatever the path says."""
        answer = self.expect(self.ask("POST", path, json={"reason": "a smoke test without a token"}), 401, 403)
        problem: dict[str, Any] = self.parsed(answer)
        assert problem["status"] == answer.status_code
        assert problem["detail"]
        return problem

    def command(self, path: str, body: Mapping[str, Any]) -> Any:
        """A changing call."""
        return self.parsed(self.expect(self.ask("POST", path, json=body), 200, 202))

    def samples(self) -> dict[str, float]:
        """Its metrics: `name{labels}` and value. A line that is none fails."""
        found = {}
        for line in self.get("/metrics").text.splitlines():
            if line and not line.startswith("#"):
                parts = re.fullmatch(r"([a-zA-Z_:][\w:]*(?:\{.*\})?) (\S+)", line)
                if parts is None:
                    self._fail(f"{self.url}/metrics has a line that is no sample: {line[:200]!r}")
                found[parts[1]] = float(parts[2])
        return found

    def _fail(self, sentence: str) -> NoReturn:
        pytest.fail(f"{self.name}: {sentence}", pytrace=False)


def _shown(url: str) -> str:
    """An address without credentials."""
    return re.sub(r"//[^/]*@", "//", url)


def _what(answer: requests.Response) -> str:
    return f"{answer.request.method} {_shown(answer.url)}"


def labelled(samples: Mapping[str, float], name: str) -> dict[str, float]:
    """The samples of one metric, by the text of their labels."""
    return {series[len(name) :]: value for series, value in samples.items() if re.split("[{]", series)[0] == name}


def agree(first: Callable[[], T], second: Callable[[], T], what: str) -> None:
    """Fail unless both sides say the same within three seconds: a change reaches the one before the other."""
    for _ in range(LOOKS):
        one, other = first(), second()
        if one == other:
            return
        time.sleep(PAUSE)
    pytest.fail(f"{what}: {_apart(one, other)} on the one side, {_apart(other, one)} on the other", pytrace=False)


def _apart(one: object, other: object) -> object:
    """Of a dictionary only what the other one has otherwise."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return one
    return {key: value for key, value in one.items() if key not in other or other[key] != value}
