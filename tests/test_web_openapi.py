"""/openapi.json against the routes, both ways, and against real answers: what is sent is described, and the reverse."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

from tests.webserver import ALERTS_TOKEN, NAME, TOKEN, Site, healthy
from watchdog.ledger import DrillIntent
from watchdog.model import Waiver
from watchdog.web.openapi import document
from watchdog.web.openapi_pages import TAG
from watchdog.web.problems import KINDS

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z")
TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}
DOCUMENT = document("0.0.0")
API = f"/api/v1/rollouts/{NAME}"
EXAMPLES = {
    "/healthz": "/healthz",
    "/livez": "/livez",
    "/readyz": "/readyz",
    "/openapi.json": "/openapi.json",
    "/api/v1/rollouts": "/api/v1/rollouts",
    "/api/v1/rollouts/{id}": API,
    "/api/v1/rollouts/{id}/evaluations": f"{API}/evaluations",
    "/api/v1/rollouts/{id}/transitions": f"{API}/transitions",
    "/api/v1/rollouts/{id}/commands": f"{API}/commands",
    "/api/v1/rollouts/{id}/slices": f"{API}/slices",
    "/api/v1/rollouts/{id}/breaches": f"{API}/breaches",
    "/api/v1/rollouts/{id}/detectors": f"{API}/detectors",
    "/api/v1/rollouts/{id}/notifications": f"{API}/notifications",
    "/api/v1/rollouts/{id}/waivers": "/api/v1/rollouts/pending/waivers",
    "/api/v1/rollouts/{id}/explanation": f"{API}/explanation",
    "/api/v1/rollouts/{id}/effect": f"{API}/effect?verb=rollback",
    "/api/v1/rollouts/{id}/report": f"{API}/report?format=json",
    "/api/v1/rollouts/{id}/commands/{command}": f"{API}/commands/1",
    "/api/v1/flags": "/api/v1/flags",
    "/api/v1/flags/{flag}": "/api/v1/flags/new-checkout",
    "/api/v1/flags/{flag}/history": "/api/v1/flags/new-checkout/history",
    "/api/v1/flags-audit": "/api/v1/flags-audit",
    "/api/v1/noise": "/api/v1/noise",
    "/api/v1/alerts/episodes": "/api/v1/alerts/episodes",
    "/api/v1/preflight": "/api/v1/preflight",
    "/api/v1/drills": "/api/v1/drills",
    "/api/v1/drills/{drill}": "/api/v1/drills/1",
    "/flagd/{set}.json": "/flagd/shop.json",
}
"""An address of each path that answers JSON."""
ALERTS = "/api/v1/alerts"
SENDER = {"Authorization": f"Bearer {ALERTS_TOKEN}"}
LABEL = f"{ALERTS}/episodes/{{episode}}/label"


def misfits(schema: Mapping[str, Any], value: Any, place: str = "$") -> Iterator[str]:
    """Where a value departs from its schema; a key that is not described departs too."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/components/schemas/")
        yield from misfits(DOCUMENT["components"]["schemas"][name], value, place)
        return
    if "anyOf" in schema:
        tries = [list(misfits(one, value, place)) for one in schema["anyOf"]]
        yield from () if any(not found for found in tries) else min(tries, key=len)
        return
    types = schema.get("type", [])
    allowed = tuple(kind for name in ([types] if isinstance(types, str) else types) for kind in TYPES[name])
    if allowed and (not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed)):
        yield f"{place}: {value!r} is not {types}"
    elif isinstance(value, list) and "items" in schema:
        for number, item in enumerate(value):
            yield from misfits(schema["items"], item, f"{place}[{number}]")
    elif isinstance(value, dict) and "properties" in schema:
        known = schema["properties"]
        yield from (f"{place}: {key} is missing" for key in schema["required"] if key not in value)
        yield from (f"{place}: {key} is not described" for key in value if key not in known)
        for key in known.keys() & value.keys():
            yield from misfits(known[key], value[key], f"{place}.{key}")
    else:
        yield from breaches_of(schema, value, place)


def breaches_of(schema: Mapping[str, Any], value: Any, place: str) -> Iterator[str]:
    """Where a plain value breaks what its schema says of it."""
    if "enum" in schema and value not in schema["enum"]:
        yield f"{place}: {value!r} is not one of {schema['enum']}"
    if "const" in schema and value != schema["const"]:
        yield f"{place}: {value!r} is not {schema['const']!r}"
    if isinstance(value, str) and schema.get("format") == "date-time" and not TIME.fullmatch(value):
        yield f"{place}: {value!r} is no time"
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    if numeric and not schema.get("minimum", -math.inf) <= value <= schema.get("maximum", math.inf):
        yield f"{place}: {value} is out of bounds"


def described(path: str, method: str, status: int) -> dict[str, Any]:
    """The schema of an answer."""
    content = DOCUMENT["paths"][path][method]["responses"][str(status)]["content"]
    kind = "application/problem+json" if status >= 400 else "application/json"
    return dict(content[kind]["schema"])


@pytest.fixture(scope="module")
def eventful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Rollouts in every state that has fields of its own: unknown verdicts, a hold, a reset, a rollback, a sign-off."""
    with Site(tmp_path_factory.mktemp("eventful")) as site:
        site.add("signed-off", "old-checkout")
        site.tick(40, "signed-off")
        site.add("pending", "old-checkout")
        site.ledger.add_waiver("pending", Waiver("preflight", "ada", "no reader yet", site.now, site.now + 60))
        drill = DrillIntent("flags", "drill", "ofrep", "ada", "a look", 3, 900.0)
        number = site.ledger.begin_drill(drill, site.now, 60.0)
        site.ledger.finish_drill(number, site.now + 9, passed=True, worst=1.5, report={"why": "3 of 3 runs"})
        site.add()
        site.source.answer = lambda expression, at: 0.0 if "requests" in expression else healthy(expression, at)
        site.tick(3)
        site.source.answer = healthy
        site.tick(14)
        site.source.answer = lambda expression, at: 99.0 if "queue_age" in expression else healthy(expression, at)
        site.tick(8)
        site.order("hold", json={"reason": "lunch", "by": "ada"})
        site.tick(1)
        site.source.answer = lambda expression, at: 9000.0 if "bad_total" in expression else healthy(expression, at)
        site.tick(1)
        alerts = [
            {"status": "firing", "startsAt": "2023-11-15T12:00:00Z", "fingerprint": fingerprint, "labels": labels}
            for fingerprint, labels in (
                ("a", {"alertname": "Slow", "service": "checkout"}),
                ("b", {"severity": "page"}),
            )
        ]
        site.ask("POST", ALERTS, json={"version": "4", "alerts": alerts}, headers=SENDER)
        yield site


def test_every_route_is_described_and_every_description_has_its_route(eventful: Site) -> None:
    served = {
        (re.sub(r":\w+}", "}", route.path), method.lower())
        for route in eventful.app.routes
        if isinstance(route, Route)
        for method in route.methods or ()
        if method != "HEAD"
    }
    paths = DOCUMENT["paths"]
    told = {(path, method) for path, item in paths.items() for method in item if method != "parameters"}
    assert told == served


def test_every_json_address_has_an_example_here() -> None:
    answering = {
        path
        for path, item in DOCUMENT["paths"].items()
        if "get" in item and "application/json" in item["get"]["responses"]["200"]["content"]
        if TAG not in item["get"].get("tags", ())
    }
    assert answering == EXAMPLES.keys()


@pytest.mark.parametrize("path", EXAMPLES)
def test_an_answer_is_as_described(eventful: Site, path: str) -> None:
    answer = eventful.get(EXAMPLES[path])
    assert answer.status_code == 200
    assert list(misfits(described(path, "get", 200), answer.json())) == []


@pytest.mark.parametrize("verdict", ["pass", "fail", "unknown"])
def test_evaluations_are_as_described_whatever_they_say(eventful: Site, verdict: str) -> None:
    found = eventful.get(f"{API}/evaluations").json()["evaluations"]
    assert verdict in {one["verdict"] for one in found}


def test_a_rollback_is_as_described(eventful: Site) -> None:
    eventful.order("rollback", json={"reason": "enough"})
    eventful.tick(2)
    found = eventful.get(API).json()
    assert found["rollback"]["confirmed_at"] is not None
    assert list(misfits(described("/api/v1/rollouts/{id}", "get", 200), found)) == []


@pytest.mark.parametrize("what", ["slices", "breaches", "detectors", "notifications", "waivers", "commands"])
def test_every_list_of_the_story_has_something_to_be_described(eventful: Site, what: str) -> None:
    """Else the comparison above would compare nothing."""
    assert eventful.get(EXAMPLES[f"/api/v1/rollouts/{{id}}/{what}"]).json()[what]


@pytest.mark.parametrize("verb", ["hold", "resume", "rollback", "stop", "start", "adopt", "waive"])
@pytest.mark.parametrize("name", ["pending", "signed-off", NAME])
def test_an_effect_is_as_described(eventful: Site, name: str, verb: str) -> None:
    answer = eventful.get(f"/api/v1/rollouts/{name}/effect?verb={verb}")
    assert list(misfits(described("/api/v1/rollouts/{id}/effect", "get", 200), answer.json())) == []


@pytest.mark.parametrize("verb", ["hold", "resume", "rollback", "stop"])
def test_a_command_is_as_described(eventful: Site, verb: str) -> None:
    answer = eventful.order(verb, "signed-off", json={"reason": "a test"})
    assert list(misfits(described(f"/api/v1/rollouts/{{id}}/{verb}", "post", 202), answer.json())) == []


@pytest.mark.parametrize(
    ("path", "asked", "body", "status"),
    [
        ("/ofrep/v1/evaluate/flags", "/ofrep/v1/evaluate/flags", "{}", 200),
        ("/ofrep/v1/evaluate/flags/{key}", "/ofrep/v1/evaluate/flags/blue", "{}", 200),
        ("/ofrep/v1/evaluate/flags/{key}", "/ofrep/v1/evaluate/flags/typo", "{}", 404),
        ("/ofrep/v1/evaluate/flags/{key}", "/ofrep/v1/evaluate/flags/blue", "", 400),
        ("/ofrep/v1/evaluate/flags", "/ofrep/v1/evaluate/flags", "", 400),
    ],
)
def test_what_readers_of_flags_get_is_as_described(
    eventful: Site, path: str, asked: str, body: str, status: int
) -> None:
    answer = eventful.ask("POST", asked, data=body)
    assert answer.status_code == status
    schema = DOCUMENT["paths"][path]["post"]["responses"][str(status)]["content"]["application/json"]["schema"]
    assert list(misfits(schema, answer.json())) == []


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"context": {}},
        {"context": {"targetingKey": None}},
        {"context": {"targetingKey": "ada"}},
        {"context": {"targetingKey": 7}},
        {"context": []},
        [],
    ],
)
def test_a_context_is_taken_exactly_where_it_is_as_described(eventful: Site, said: Any) -> None:
    fits = not list(misfits({"$ref": "#/components/schemas/EvaluationContext"}, said))
    assert eventful.ask("POST", "/ofrep/v1/evaluate/flags/blue", json=said).status_code == (200 if fits else 400)


@pytest.mark.parametrize(
    ("path", "asked", "status"),
    [
        ("/flagd/{set}.json", "/flagd/typo.json", 404),
        ("/api/v1/rollouts/{id}", "/api/v1/rollouts/typo", 404),
        ("/api/v1/rollouts/{id}/evaluations", f"{API}/evaluations?to=noon", 400),
        ("/api/v1/rollouts/{id}/report", f"{API}/report?kind=final", 404),
        ("/api/v1/rollouts/{id}/commands/{command}", f"{API}/commands/999", 404),
    ],
)
def test_a_problem_of_a_reader_is_as_described(eventful: Site, path: str, asked: str, status: int) -> None:
    answer = eventful.get(asked)
    assert answer.status_code == status
    assert list(misfits(described(path, "get", status), answer.json())) == []


@pytest.mark.parametrize(
    ("status", "how"),
    [
        (401, {"token": "wrong", "json": {"reason": "x"}}),
        (404, {"name": "typo", "json": {"reason": "x"}}),
        (413, {"data": b"x" * 70_000, "headers": {"Content-Type": "application/json"}}),
        (415, {"data": b"x"}),
        (400, {"data": b"x", "headers": {"Content-Type": "application/json"}}),
        (422, {"json": {}}),
    ],
)
def test_a_problem_of_an_operator_is_as_described(eventful: Site, status: int, how: dict[str, Any]) -> None:
    answer = eventful.order("hold", **how)
    assert answer.status_code == status
    assert list(misfits(described("/api/v1/rollouts/{id}/hold", "post", status), answer.json())) == []


@pytest.mark.parametrize(
    ("status", "how"),
    [
        (200, {"json": {"version": "4", "alerts": []}, "headers": SENDER}),
        (401, {"json": {}}),
        (400, {"data": "x", "headers": SENDER}),
        (422, {"json": {}, "headers": SENDER}),
        (413, {"data": b" " * (9 * 1024 * 1024), "headers": SENDER}),
    ],
)
def test_what_alertmanager_gets_is_as_described(eventful: Site, status: int, how: dict[str, Any]) -> None:
    answer = eventful.ask("POST", ALERTS, **how)
    assert answer.status_code == status
    assert list(misfits(described(ALERTS, "post", status), answer.json())) == []


@pytest.mark.parametrize(
    ("episode", "said", "status"),
    [
        ("a1", {"label": "acknowledged", "reason": "looking", "by": "ada"}, 201),
        ("a99", {"label": "acknowledged", "reason": "looking"}, 404),
        ("a1", {"label": "meh", "reason": "looking"}, 422),
    ],
)
def test_a_label_is_as_described(eventful: Site, episode: str, said: dict[str, str], status: int) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = eventful.ask("POST", LABEL.format(episode=episode), json=said, headers=headers)
    assert answer.status_code == status
    assert list(misfits(described(LABEL, "post", status), answer.json())) == []
    found = eventful.get(f"{ALERTS}/episodes").json()
    assert list(misfits(described(f"{ALERTS}/episodes", "get", 200), found)) == []


def test_every_kind_of_problem_is_told_for_some_address_or_is_the_routers() -> None:
    titles = {
        title
        for item in DOCUMENT["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
        for answer in operation["responses"].values()
        for title in answer["description"].removesuffix(".").split("; ")
    }
    routers = {"method-not-allowed"}
    assert {kind for kind, (_, title) in KINDS.items() if title not in titles} == routers


def test_the_document_is_sound() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    names = [
        operation["operationId"]
        for item in DOCUMENT["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
    ]
    assert len(names) == len(set(names))
    used = set(re.findall(r"'#/components/schemas/(\w+)'", str(DOCUMENT)))
    assert used == DOCUMENT["components"]["schemas"].keys()
    for path, item in DOCUMENT["paths"].items():
        own = [
            one["name"]
            for where in (item, *item.values())
            if isinstance(where, dict)
            for one in where.get("parameters", ())
            if one["in"] == "path"
        ]
        assert sorted(own) == sorted(re.findall(r"{(\w+)}", path))


def test_the_page_about_http_tells_every_address_and_every_kind_of_problem() -> None:
    page = (Path(__file__).parent.parent / "docs" / "http.md").read_text(encoding="utf-8")
    addresses = set(re.findall(r"^\| `(GET|POST) (/\S*)` \|", page, re.MULTILINE))
    assert addresses == {
        (method.upper(), path)
        for path, item in DOCUMENT["paths"].items()
        for method, operation in item.items()
        if method != "parameters" and TAG not in operation.get("tags", ())
    }
    kinds = {kind: int(status) for status, kind in re.findall(r"^\| (\d+) \| `([a-z-]+)` \|", page, re.MULTILINE)}
    assert kinds == {kind: status for kind, (status, _) in KINDS.items()}
