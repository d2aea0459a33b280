"""`watchdog.client` against a real server over a real ledger: every address, every shape, every kind of trouble."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.scripted import Reply, ScriptedPrometheus
from tests.servers import free_port
from tests.test_web_openapi import misfits
from tests.webserver import ALERTS_TOKEN, NAME, RULE, TOKEN, Site
from watchdog.client import (
    ApiProblem,
    Client,
    ClientError,
    Conflict,
    EvaluationFailed,
    Misunderstood,
    NotAllowed,
    NotThere,
    Trouble,
    Unreachable,
)
from watchdog.client.errors import problem_of
from watchdog.client.shapes.alerts import AlertMessage
from watchdog.ledger import DrillIntent
from watchdog.web.openapi import document
from watchdog.web.openapi_pages import TAG

ROOT = Path(__file__).parent.parent
MESSAGE: AlertMessage = {
    "version": "4",
    "alerts": [{"status": "firing", "startsAt": "2023-11-15T12:00:00Z", "labels": {"alertname": "Slow"}}],
}
USER = {"targetingKey": "user-1"}
LAST = {"next": None}
"""What the last page of a list says, through which the client has gone."""
CALLS: dict[str, Callable[[Client], Any]] = {
    "page": Client.page,
    "health": Client.health,
    "live": Client.live,
    "ready": Client.ready,
    "metrics": Client.metrics,
    "openapi": Client.openapi,
    "rollouts": lambda client: {"rollouts": client.rollouts(), **LAST},
    "rollout": lambda client: client.rollout(NAME),
    "evaluations": lambda client: client.evaluations(NAME),
    "transitions": lambda client: {"rollout": NAME, "transitions": client.transitions(NAME), **LAST},
    "commands": lambda client: {"rollout": NAME, "commands": client.commands(NAME), **LAST},
    "slices": lambda client: {"rollout": NAME, "slices": client.slices(NAME), **LAST},
    "breaches": lambda client: {"rollout": NAME, "breaches": client.breaches(NAME), **LAST},
    "detectors": lambda client: {"rollout": NAME, "detectors": client.detectors(NAME), **LAST},
    "notifications": lambda client: {"rollout": NAME, "notifications": client.notifications(NAME), **LAST},
    "waivers": lambda client: {"rollout": NAME, "waivers": client.waivers(NAME), **LAST},
    "explanation": lambda client: {"rollout": NAME, "text": client.explanation(NAME, 1_700_050_000)},
    "effect": lambda client: client.effect(NAME, "rollback"),
    "report": lambda client: client.report(NAME),
    "command": lambda client: client.command(NAME, 1),
    "hold": lambda client: client.hold(NAME, "lunch", by="ada"),
    "resume": lambda client: client.resume(NAME, "lunch is over"),
    "rollback": lambda client: client.rollback("other", "enough"),
    "stop": lambda client: client.stop("other", "enough"),
    "waive": lambda client: client.waive("other", "no reader yet", "48h", by="ada"),
    "adopt": lambda client: client.adopt("other", "ramped by hand"),
    "start": lambda client: client.start("other", "ready"),
    "flags": lambda client: {"flags": client.flags(), **LAST},
    "flag": lambda client: client.flag("new-checkout"),
    "flag_history": lambda client: {
        "flag": "new-checkout",
        "service": "flags",
        "history": client.flag_history("new-checkout", limit=5),
        **LAST,
    },
    "flags_audit": Client.flags_audit,
    "flag_set": lambda client: client.set_flag("old-checkout", 5, "a first look", by="ada"),
    "flag_kill": lambda client: client.kill_flag("old-checkout", "an incident"),
    "flag_revert": lambda client: client.revert_flag("old-checkout", 1, "it was nothing"),
    "flag_switch": lambda client: client.switch_emergency("ops.maintenance", "a new disk", on=False),
    "receive_alerts": lambda client: client.send_alerts(MESSAGE),
    "noise": Client.noise,
    "episodes": Client.episodes,
    "label_episode": lambda client: client.label_episode("a1", {"label": "acknowledged", "reason": "seen"}),
    "preflight": Client.preflights,
    "drills": lambda client: client.drills(limit=1),
    "drill": lambda client: client.drill(1),
    "evaluate_all": lambda client: client.evaluate_all(USER).value,
    "evaluate": lambda client: client.evaluate("blue", USER),
    "flag_document": lambda client: client.flag_document("shop").value,
}
"""A call of each operation, in an order in which each finds what it needs."""
REFUSED = {"start_preflight", "start_drill"}
"""What this server does not do; see test_a_preflight_that_cannot_be_started_is_trouble."""
OPERATIONS = {
    operation["operationId"]: operation
    for item in document("")["paths"].values()
    for method, operation in item.items()
    if method != "parameters" and (TAG not in operation.get("tags", ()) or operation["operationId"] == "page")
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("client")) as site:
        site.add(rule=RULE.replace("slices: 2, slice: 5m", "slices: 48, slice: 1h"))
        site.add("other", "old-checkout")
        site.tick(14)
        site.order("hold", json={"reason": "a command to look at"})
        for number in (1, 2):
            intent = DrillIntent("flags", f"drill-{number}", "ofrep", "ada", "a look", 3, 900.0)
            site.ledger.begin_drill(intent, site.now, 60.0)
        yield site


@pytest.fixture(scope="module")
def client(site: Site) -> Client:
    return Client(site.url, TOKEN)


def test_every_operation_of_the_api_has_its_call() -> None:
    assert CALLS.keys() | REFUSED == OPERATIONS.keys()


def test_every_method_of_the_client_is_called_here() -> None:
    """A method that nobody calls might not work."""
    text = inspect.getsource(sys.modules[__name__])
    methods = [name for name, _ in inspect.getmembers(Client, inspect.isfunction) if not name.startswith("_")]
    assert [name for name in methods if f"client.{name}(" not in text and f"Client.{name}" not in text] == []


@pytest.mark.parametrize("name", CALLS)
def test_a_call_gives_what_the_api_describes(site: Site, name: str) -> None:
    operation = OPERATIONS[name]
    token = ALERTS_TOKEN if operation.get("security") == [{"alerts": []}] else TOKEN
    found = CALLS[name](Client(site.url, token))
    status = min(int(status) for status in operation["responses"])
    schema = operation["responses"][str(status)].get("content", {}).get("application/json", {}).get("schema")
    if schema is not None and name != "report":
        assert list(misfits(schema, found)) == []
    else:
        assert found


def test_the_example_of_the_page_runs(site: Site, tmp_path: Path) -> None:
    """docs/http.md, copied out and run: only address and time are others."""
    page = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "http.token").write_text(f"{TOKEN}\n")
    (tmp_path / "example.py").write_text(
        code.replace("http://127.0.0.1:8799", site.url).replace("time.time()", str(site.now))
    )
    asked = [sys.executable, "example.py"]
    done = subprocess.run(
        asked,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert (done.stderr, done.returncode) == ("", 0)
    assert NAME in done.stdout


def test_the_shapes_are_those_that_the_daemon_describes() -> None:
    """They are generated; this fails when the API changed and the client did not."""
    asked = [sys.executable, "scripts/client_shapes.py", "--check"]
    checked = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_every_evaluation_comes_page_by_page(site: Site, client: Client) -> None:
    """2,400 of them, of which a page holds 2,000, each once and in order."""
    site.tick(800)
    found = list(client.every_evaluation(NAME, after=site.now - 60_000))
    objectives = len(client.rollout(NAME)["objectives"])
    slots = sorted({one["at"] for one in found})
    assert len(slots) >= 800
    assert len(found) == len(slots) * objectives
    assert len(client.evaluations(NAME, after=site.now - 60_000)["evaluations"]) <= 2000


def test_one_objective_and_a_span_can_be_asked_for(site: Site, client: Client) -> None:
    found = list(client.every_evaluation(NAME, objective="queue_age", after=site.now - 300, until=site.now))
    assert {one["objective"] for one in found} == {"queue_age"}
    assert 8 <= len(found) <= 11


def test_a_report_is_the_bytes_that_its_hash_names(client: Client) -> None:
    report = client.report(NAME, form="json")
    assert report.content.startswith(b"{")
    assert report.kind == "now"
    assert report.media_type.startswith("application/json")


def test_lists_come_page_by_page(client: Client) -> None:
    assert [one["flag"] for one in client.every_drill()] == ["drill-2", "drill-1"]
    page = client.drills(limit=1)
    assert [one["id"] for one in page["drills"]] == [2]
    assert page["next"] == "/api/v1/drills?limit=1&after=2"
    assert {one["id"] for one in client.every_episode()} == {one["id"] for one in client.episodes()["episodes"]}


def test_the_same_key_is_one_request_however_often_it_is_sent(client: Client) -> None:
    before = len(client.commands(NAME))
    first = client.hold(NAME, "lunch", key="a-key-of-mine")
    assert client.hold(NAME, "lunch", key="a-key-of-mine") == first
    assert len(client.commands(NAME)) == before + 1
    with pytest.raises(Misunderstood) as refused:
        client.hold(NAME, "dinner", key="a-key-of-mine")
    assert refused.value.kind == "key-reused"


def test_what_has_not_changed_is_the_answer_that_is_known(client: Client) -> None:
    status = client.rollout_since(NAME)
    assert client.rollout_since(NAME, status) is status
    first = client.flag_document("shop")
    assert client.flag_document("shop", known=first) is first
    every = client.evaluate_all(USER)
    assert client.evaluate_all(USER, known=every) is every


@pytest.mark.parametrize(
    ("call", "error", "kind"),
    [
        (lambda client: client.rollout("typo"), NotThere, "unknown-rollout"),
        (lambda client: client.command(NAME, 999), NotThere, "unknown-command"),
        (lambda client: client.flag("typo"), NotThere, "unknown-flag"),
        (lambda client: client.hold(NAME, " "), Misunderstood, "bad-body"),
        (lambda client: client.evaluations(NAME, objective="typo"), Misunderstood, "bad-parameter"),
        (lambda client: client.set_flag("new-checkout", 100.5, "x"), Misunderstood, "bad-body"),
        (lambda client: client.flag_document("typo"), NotThere, "unknown-set"),
    ],
)
def test_a_problem_is_an_error_of_its_kind_with_the_daemons_sentence(
    client: Client, call: Callable[[Client], Any], error: type[ApiProblem], kind: str
) -> None:
    with pytest.raises(error) as raised:
        call(client)
    assert raised.value.kind == kind
    assert raised.value.detail in str(raised.value)


def test_a_wrong_token_is_not_allowed_and_is_not_shown(site: Site) -> None:
    with pytest.raises(NotAllowed) as refused:
        Client(site.url, "the-wrong-one").hold(NAME, "x")
    assert refused.value.kind == "unauthorized"
    assert "the-wrong-one" not in str(refused.value)


def test_whoever_was_wrong_too_often_is_told_when_to_come_again() -> None:
    error = problem_of("too-many-attempts", 429, "Too many", "wait", retry_after=30.0)
    assert isinstance(error, NotAllowed)
    assert error.retry_after == 30.0


def test_without_a_token_one_can_read_and_not_change(site: Site) -> None:
    reader = Client(site.url)
    assert reader.rollout(NAME)["rollout"] == NAME
    with pytest.raises(NotAllowed):
        reader.stop(NAME, "x")


def test_raising_what_a_rollout_owns_is_a_conflict(client: Client) -> None:
    with pytest.raises(Conflict) as refused:
        client.revert_flag("new-checkout", 9999, "x")
    assert refused.value.kind == "flag-refused"


def test_a_preflight_that_cannot_be_started_is_trouble(client: Client) -> None:
    with pytest.raises(Trouble) as refused:
        client.start_preflight({"drill": False})
    assert refused.value.kind == "no-preflight"
    with pytest.raises(Trouble) as refused:
        client.start_drill("a look")
    assert refused.value.kind == "no-drill"


def test_a_daemon_that_is_not_ready_says_so_and_when_to_come_again(site: Site, client: Client) -> None:
    site.ready = (False, "the ledger does not answer")
    try:
        with pytest.raises(Trouble) as refused:
            client.ready()
    finally:
        site.ready = (True, "ready")
    assert refused.value.kind == "not-ready"
    assert refused.value.retry_after == 10


def test_a_flag_that_nobody_knows_leaves_the_default_to_the_caller(client: Client) -> None:
    with pytest.raises(EvaluationFailed) as refused:
        client.evaluate("typo", USER)
    assert (refused.value.code, refused.value.status) == ("FLAG_NOT_FOUND", 404)


def test_nobody_there_is_unreachable_with_a_sentence() -> None:
    with pytest.raises(Unreachable, match=r"http://127.0.0.1:\d+ cannot be asked: .*[Rr]efused"):
        Client(f"http://127.0.0.1:{free_port()}").rollouts()


@pytest.mark.parametrize("url", ["127.0.0.1:8799", "ftp://host", "http://", "http://user:secret@host", "http://h/?a=b"])
def test_an_address_that_is_none_is_refused_at_once_and_not_repeated(url: str) -> None:
    with pytest.raises(ClientError) as refused:
        Client(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("token", ["", "  ", "two\nlines", "schlüssel"])
def test_a_token_that_is_none_is_refused_at_once_and_not_shown(token: str) -> None:
    with pytest.raises(ClientError, match="not shown"):
        Client("http://127.0.0.1:1", token)


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_would_change_the_address_is_refused(client: Client, name: str) -> None:
    with pytest.raises(ClientError, match="not a name"):
        client.rollout(name)


def test_a_name_with_slashes_and_questions_stays_one_name(client: Client) -> None:
    with pytest.raises(NotThere):
        client.rollout("../../healthz?x=1#y")


@pytest.fixture
def stranger() -> Iterator[ScriptedPrometheus]:
    """A server that is no slo-watchdog."""
    with ScriptedPrometheus() as server:
        yield server


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(b"<html>", headers={"Content-Type": "text/html"}), "not JSON"),
        (Reply(b'{"rollouts": 1', headers={"Content-Type": "application/json"}), "not JSON"),
        (Reply(status=302, headers={"Location": "http://127.0.0.1:1/"}), "status 302"),
        (Reply(b"oops", status=502, headers={"Content-Type": "text/plain"}), "status 502"),
        (Reply(b'{"rollouts": []}', cut=3), "cannot be asked"),
        (Reply(hang=True), "no answer within 0.5 s"),
        (Reply(b"[1]", status=404, headers={"Content-Type": "application/problem+json"}), "no reason given"),
    ],
)
def test_an_answer_that_is_none_of_ours_is_an_error_with_a_sentence(
    stranger: ScriptedPrometheus, reply: Reply, said: str
) -> None:
    stranger.always(lambda _: reply)
    with pytest.raises(ClientError, match=said):
        Client(stranger.url, TOKEN, timeout=0.5).rollouts()
    assert len(stranger.asked) == 1


def test_a_next_page_elsewhere_does_not_get_the_token(stranger: ScriptedPrometheus) -> None:
    """Only the query of `next` is used: whoever forges an answer cannot send the token away."""
    with ScriptedPrometheus() as elsewhere:
        following = f"{elsewhere.url}/api/v1/rollouts/other/evaluations?from=1"
        page = f'{{"rollout": "r", "from": "", "to": "", "evaluations": [], "next": "{following}"}}'
        stranger.always(lambda _: Reply(page.encode()))
        with pytest.raises(Unreachable, match="circle"):
            list(Client(stranger.url, TOKEN).every_evaluation("r"))
        assert elsewhere.asked == []
    assert {asked.path for asked in stranger.asked} == {"/api/v1/rollouts/r/evaluations"}
