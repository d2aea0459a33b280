"""Who may do what over HTTP, and under which name it goes on record: named tokens, a proxy, reads with a token."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.entering import ADA, ADAS, BOB, BOBS, EVE, PROXY, Browser, bearer, entry, http, tokens_file, via
from tests.test_web import problem
from tests.webserver import ALERTS_TOKEN, NAME, TOKEN, Site
from watchdog.access import Role
from watchdog.config.httpsettings import HttpSettings, ProxySettings
from watchdog.web.access import NEEDED

WHY = {"reason": "errors in the EU region"}
HOLD = f"/api/v1/rollouts/{NAME}/hold"
BEFORE = ProxySettings(
    trusted=(f"{PROXY}/32",),
    user_header="X-User",
    groups_header="X-Groups",
    roles={"sre": "approver", "dev": "operator"},
)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path, http=http(tmp_path)) as running:
        running.add()
        yield running


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Where reading takes a token, too."""
    directory = tmp_path_factory.mktemp("closed")
    with Site(directory, http=http(directory, reads="token")) as running:
        running.add()
        yield running


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("proxied")
    with Site(directory, http=http(directory, proxy=BEFORE)) as running:
        running.add()
        yield running


def post(site: Site, path: str, token: str | None, body: object = WHY) -> requests.Response:
    return site.ask("POST", path, json=body, headers=bearer(token) if token is not None else {})


# --- roles ------------------------------------------------------------------------------------------------------------

CHANGES = {
    **{f"/api/v1/rollouts/{NAME}/{verb}": (verb, WHY) for verb in ("start", "hold", "resume", "rollback", "stop")},
    f"/api/v1/rollouts/{NAME}/adopt": ("adopt", WHY),
    f"/api/v1/rollouts/{NAME}/waive": ("waive", {**WHY, "until": "48h"}),
    "/api/v1/flags/new-checkout/set": ("set", {**WHY, "percent": 1}),
    "/api/v1/flags/new-checkout/kill": ("kill", WHY),
    "/api/v1/flags/new-checkout/revert": ("revert", {**WHY, "version": 1}),
    "/api/v1/emergency/killswitch": ("switch", {**WHY, "on": True}),
    "/api/v1/alerts/episodes/x/label": ("label", {**WHY, "label": "false"}),
    "/api/v1/preflight": ("preflight", {}),
    "/api/v1/drills": ("drill", WHY),
}
"""Every address of the API that changes something, with its verb."""


@pytest.mark.parametrize("path", CHANGES)
def test_a_change_takes_the_role_of_its_verb(closed: Site, path: str) -> None:
    verb, body = CHANGES[path]
    assert "no `Authorization: Bearer ...`" in problem(post(closed, path, None, body), 401, "unauthorized")
    said = problem(post(closed, path, EVE, body), 403, "forbidden")
    assert said == f"eve has the role viewer here, and {verb} needs {NEEDED[verb]}; ask somebody who has it"
    if NEEDED[verb] is Role.APPROVER:
        assert "ada has the role operator" in problem(post(closed, path, ADA, body), 403, "forbidden")


def test_every_address_that_takes_a_post_is_among_those(closed: Site) -> None:
    """A new one must be thought about: what it needs, or whose token it takes."""
    paths = closed.get("/openapi.json", headers=bearer(EVE)).json()["paths"]
    taking = {path for path, item in paths.items() if "post" in item and not path.startswith("/ofrep/")}
    names = {"{id}": NAME, "/emergency/{flag}": "/emergency/killswitch", "{flag}": "new-checkout", "{episode}": "x"}
    for part, value in names.items():
        taking = {path.replace(part, value) for path in taking}
    pages = {path for path in taking if not path.startswith("/api/")}
    assert taking - pages - {"/api/v1/alerts"} == set(CHANGES)
    assert {path.replace("{service}", "flags") for path in pages} == {*FORMS, "/login", "/logout"}


FORMS = {
    f"/rollouts/{NAME}/{{verb}}": f"/rollouts/{NAME}/hold",
    "/noise/x/label": "/noise/x/label",
    "/preflight": "/preflight",
    "/drills": "/drills",
    "/flags/flags/new-checkout/{verb}": "/flags/flags/new-checkout/kill",
}
"""Every page that takes a form, with an address of it."""


@pytest.mark.parametrize("path", FORMS.values())
def test_a_form_takes_somebody_who_may_and_sends_others_to_log_in(closed: Site, path: str) -> None:
    stranger = Browser(closed.url).post(path, WHY)
    assert (stranger.status_code, stranger.headers["Location"]) == (303, f"/login?next={path}")
    eve = Browser(closed.url)
    eve.login(EVE)
    refused = eve.post(path, {**WHY, "csrf": eve.csrf}, headers={"Accept": "*/*"})
    assert "eve has the role viewer here" in problem(refused, 403, "forbidden")


def test_an_operator_steers_and_an_approver_does_so_too(site: Site) -> None:
    assert post(site, HOLD, ADA).json()["by"] == "ada"
    assert post(site, HOLD, BOB).json()["by"] == "bob"
    assert [command.by for command, _ in site.ledger.commands(1)] == ["ada", "bob"]


def test_whom_an_operator_acts_for_is_on_record_beside_who_it_was(site: Site) -> None:
    assert post(site, HOLD, ADA, {**WHY, "by": "the release manager"}).json()["by"] == "ada for the release manager"
    assert post(site, HOLD, ADA, {**WHY, "by": "ada"}).json()["by"] == "ada"


def test_the_one_token_of_old_goes_on_working_beside_named_ones(tmp_path: Path) -> None:
    with Site(tmp_path, http=http(tmp_path, token=TOKEN)) as site:
        site.add()
        assert post(site, HOLD, TOKEN).json()["by"] == "api (127.0.0.1)"
        assert post(site, HOLD, TOKEN, {**WHY, "by": "carol"}).json()["by"] == "carol"
        assert post(site, HOLD, ADA).json()["by"] == "ada"


def test_flags_know_who_changed_them(site: Site) -> None:
    assert post(site, "/api/v1/flags/new-checkout/kill", ADA).ok
    history = site.get("/api/v1/flags/new-checkout/history").json()["history"]
    assert "ada" in str(history[0])


# --- the file changes -------------------------------------------------------------------------------------------------


def test_a_token_is_taken_and_refused_as_the_file_says_now(tmp_path: Path, site: Site) -> None:
    tokens_file(tmp_path, BOBS)
    problem(post(site, HOLD, ADA), 401, "unauthorized")
    tokens_file(tmp_path, ADAS, BOBS)
    assert post(site, HOLD, ADA).status_code == 202


def test_a_broken_file_changes_nothing_but_a_metric(tmp_path: Path, site: Site) -> None:
    assert "slo_watchdog_tokens_file_good 1.0" in site.get("/metrics").text
    (tmp_path / "tokens.yaml").write_text("tokens: [")
    assert post(site, HOLD, ADA).status_code == 202
    assert "slo_watchdog_tokens_file_good 0.0" in site.get("/metrics").text
    assert site.get("/readyz").ok


def test_a_token_ends_when_it_says(tmp_path: Path, site: Site) -> None:
    tokens_file(tmp_path, entry("ada", Role.OPERATOR, ADA, site.now + 60))
    assert post(site, HOLD, ADA).status_code == 202
    site.now += 60
    assert "the token of ada, which expired at" in problem(post(site, HOLD, ADA), 401, "unauthorized")


def test_who_was_refused_is_counted_by_why(site: Site) -> None:
    post(site, HOLD, EVE)
    post(site, HOLD, "wrong")
    told = site.get("/metrics").text
    assert 'slo_watchdog_http_refused_total{why="forbidden"} 1.0' in told
    assert 'slo_watchdog_http_refused_total{why="unauthorized"} 1.0' in told


# --- reads ------------------------------------------------------------------------------------------------------------

READ = ["/", "/metrics", "/openapi.json", "/api/v1/rollouts", f"/api/v1/rollouts/{NAME}/report", "/nowhere"]


@pytest.mark.parametrize("path", READ)
def test_where_reads_take_a_token_nothing_is_told_without_one(closed: Site, path: str) -> None:
    said = problem(closed.get(path), 401, "unauthorized")
    assert "no `Authorization: Bearer ...` with a token" in said
    assert "another token" in problem(closed.get(path, headers=bearer("wrong")), 401, "unauthorized")
    assert closed.get(path, headers=bearer(EVE)).status_code in (200, 404)


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz", "/login", "/static/page.css"])
def test_probes_and_the_way_in_stay_open(closed: Site, path: str) -> None:
    assert closed.get(path).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        *("//api/v1/rollouts", "/static/../api/v1/rollouts", "/static/%2e%2e/api/v1/rollouts", "/healthz/../metrics"),
        *("/HEALTHZ", "/healthz/", "/login/", "/ofrep/../metrics", "/flagd/..%2fmetrics", "/static//metrics"),
    ],
)
def test_no_spelling_of_an_address_gets_around_that(closed: Site, path: str) -> None:
    with requests.Session() as session:
        asked = requests.Request("GET", closed.url + "/").prepare()
        asked.url = closed.url + path  # as it is: `requests` would tidy it up
        answer = session.send(asked, timeout=20, allow_redirects=False)
    assert answer.status_code in (401, 404)
    assert NAME not in answer.text
    assert "slo_watchdog_build_info" not in answer.text


def test_readers_of_flags_and_alertmanager_have_their_own_tokens(closed: Site) -> None:
    assert closed.get("/flagd/shop.json").ok
    assert closed.ask("POST", "/ofrep/v1/evaluate/flags", json={"context": {}}).ok
    alerts = {"version": "4", "alerts": []}
    assert post(closed, "/api/v1/alerts", ALERTS_TOKEN, alerts).ok
    problem(post(closed, "/api/v1/alerts", BOB, alerts), 401, "unauthorized")


def test_a_browser_is_sent_to_where_it_can_log_in_and_a_program_is_not(closed: Site) -> None:
    sent = Browser(closed.url).get("/rollouts/x?a=b")
    assert (sent.status_code, sent.headers["Location"]) == (303, "/login?next=/rollouts/x%3Fa%3Db")
    assert sent.headers["X-Frame-Options"] == "DENY"
    problem(closed.get("/rollouts/x"), 401, "unauthorized")
    problem(Browser(closed.url).get("/api/v1/rollouts"), 401, "unauthorized")


# --- a proxy ----------------------------------------------------------------------------------------------------------


def proxied_post(site: Site, address: str, **sent: str) -> requests.Response:
    """A hold, with these headers from that address and what a form of ours would carry."""
    browser = Browser(site.url, via(address))
    named = {name.replace("_", "-"): value for name, value in sent.items()}
    page = browser.get("/login", **sent)
    token = page.text.partition('action="/logout"')[2].partition('value="')[2].partition('"')[0]
    return browser.post(HOLD, json=WHY, headers={**named, "X-CSRF-Token": token, "Accept": "*/*"})


def test_a_trusted_proxy_says_who_it_is(proxied: Site) -> None:
    answer = proxied_post(proxied, PROXY, X_User="carol@shop.example", X_Groups="dev,staff")
    assert (answer.status_code, answer.json()["by"]) == (202, "carol@shop.example")


def test_whoever_has_no_role_there_is_nobody_here(proxied: Site) -> None:
    problem(proxied_post(proxied, PROXY, X_User="carol", X_Groups="guests"), 401, "unauthorized")


def test_the_same_headers_from_anybody_else_are_ignored_and_said_once(
    proxied: Site, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        answer = proxied_post(proxied, "127.0.0.3", X_User="carol", X_Groups="sre")
        problem(answer, 401, "unauthorized")
    told = capfd.readouterr()
    assert (told.out + told.err).count("is not in http.proxy.trusted: that header is ignored") == 1


@pytest.mark.parametrize(
    "lines",
    [
        ["X-User: ada", "X-User: root"],
        ["X-User: ada", "x-user: ada"],
        ["X-User: a\x7fda"],
        ["X-User: " + "a" * 101],
        ["X-User: ada", "X-Groups: dev", "X-Groups: sre"],
    ],
)
def test_headers_that_no_proxy_sends_are_refused(proxied: Site, lines: list[str]) -> None:
    import socket  # noqa: PLC0415 - only here: a client of HTTP would tidy it up

    head = ["GET / HTTP/1.1", "Host: x", "Connection: close", *lines]
    with socket.create_connection(("127.0.0.1", proxied.answering.port), 10, (PROXY, 0)) as line:
        line.sendall("\r\n".join([*head, "", ""]).encode("latin-1"))
        assert line.recv(65536).startswith(b"HTTP/1.1 400 ")


def test_a_person_of_the_proxy_cannot_be_made_to_change_anything_by_another_page(proxied: Site) -> None:
    """The proxy's login is a cookie, too: without the token of a form of ours nothing is done."""
    said = {"X-User": "carol", "X-Groups": "sre"}
    answer = via(PROXY).post(proxied.url + HOLD, json=WHY, headers=said, timeout=10)
    problem(answer, 403, "not-meant")


# --- settings ---------------------------------------------------------------------------------------------------------


def settings(**written: Any) -> HttpSettings:
    """The settings as somebody writes them."""
    return HttpSettings(**written)


def test_a_daemon_open_to_the_network_that_lets_nobody_in_is_worth_a_note(tmp_path: Path) -> None:
    everywhere = {"listen": "0.0.0.0:80"}
    (nobody,) = settings(**everywhere).warnings
    assert "without http.token, http.tokens_file or http.proxy; changing calls will be refused" in nobody
    for fine in ({"tokens_file": tokens_file(tmp_path)}, {"token": "x"}, {"listen": "127.0.0.1:80"}):
        assert settings(**{**everywhere, **fine}).warnings == []


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"reads": "token"}, "nobody could read anything"),
        ({"reads": "all"}, "expected public or token"),
        ({"session_key": "short"}, "fewer than 32 characters"),
        ({"proxy": {"trusted": ["0.0.0.0/0"]}}, "which is everybody"),
        ({"proxy": {"trusted": ["10.0.0.1/8"]}}, "expected networks such as 10.0.0.0/8"),
        ({"proxy": {"trusted": ["::/0"]}}, "which is everybody"),
        ({"proxy": {"trusted": []}}, "trusts nobody"),
        ({"proxy": {"trusted": ["10.0.0.1"], "user_header": "Cookie"}}, "expected a header of the proxy's own"),
        ({"proxy": {"trusted": ["10.0.0.1"], "user_header": "X-A\r\nB"}}, "expected a header of the proxy's own"),
        ({"proxy": {"trusted": ["10.0.0.1"], "roles": {"a": "root"}}}, "expected viewer or operator or approver"),
        ({"proxy": {"trusted": ["10.0.0.1"], "roles": {"a": "viewer"}}}, "has roles and no groups_header"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(written: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match="validation error") as refused:
        settings(**written)
    assert said in str(refused.value)
