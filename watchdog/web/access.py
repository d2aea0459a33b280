"""Who asks, for every request of `http.listen`: found before any handler runs, and asked for by those that need it.

Handlers call `need(request, role)` or `allow(request, verb)`, and `recorded(request, by)` for the name on record.
`request.state.principal` is who it is, or None; `request.state.csrf` is what each form of a page must carry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import structlog
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from watchdog.access import Asker, Found, Gate, Principal, Role, TooMany
from watchdog.access.gate import bearer
from watchdog.access.proxy import BadHeader
from watchdog.web.access_forms import FORM, FORM_TYPE, fields_of, read_again
from watchdog.web.bodies import authorize, read_body
from watchdog.web.problempage import on_problem_or_page
from watchdog.web.problems import Problem

NEEDED = {
    **dict.fromkeys(("hold", "resume", "rollback", "stop", "start", "label", "preflight", "drill"), Role.OPERATOR),
    **dict.fromkeys(("set", "kill", "revert", "switch"), Role.OPERATOR),
    **dict.fromkeys(("waive", "adopt", "countersign"), Role.APPROVER),
}
"""Every change by its verb, with the role that it takes. Looking takes a viewer, where it takes anybody at all."""
LOGIN, LOGOUT = "/login", "/logout"
OPEN = frozenset({"/healthz", "/livez", "/readyz", LOGIN})
"""Answered to everybody, also where reading takes a token."""
OPEN_BELOW = ("/static/",)
READERS = ("/ofrep/", "/flagd/")
"""Readers of flags have their own token, `serve.token`."""
ALERTS = "/api/v1/alerts"
"""Alertmanager has its own as well, `alerts.token`."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
CSRF_HEADER = "X-CSRF-Token"
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="slo-watchdog"'}
NOBODY = (
    "no token is configured, so nobody may change anything over HTTP: write http.tokens_file and run `slo-watchdog "
    "tokens add`, or set http.token_file (or the environment variable WATCHDOG_HTTP__TOKEN_FILE) to a file that holds "
    "one; then restart the daemon"
)
NOTHING = "no `Authorization: Bearer ...` with a token, and no session of a browser, which /login opens"
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Entrance:
    """How `http.listen` lets people in. `reads_need_token`: whoever reads must be somebody, too.

    `url` is `http.external_url`; `refused` hears the kind of each problem that somebody got.
    """

    gate: Gate
    reads_need_token: bool = False
    url: str | None = None
    refused: Callable[[str], None] = lambda _kind: None


class Access:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, entrance: Entrance) -> None:
        self.app = app
        self.entrance = entrance
        self.gate = entrance.gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Find out who it is, refuse what is not meant or not allowed, and pass the rest on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state.update(entrance=self.entrance, found=Found(), principal=None, csrf="")
        if scope["path"].startswith(READERS):
            await self.app(scope, receive, send)
            return
        try:
            passed = await self._passed(scope, receive)
        except Problem as problem:
            login = _to_login(scope, self.gate) if problem.kind == "unauthorized" else None
            if login is None:  # who is only shown the way in is not refused
                _log(Request(scope), problem, scope["path"])
            await (login or await on_problem_or_page(Request(scope), problem))(scope, receive, send)
            return
        await self.app(scope, passed, self._answered(scope, receive, send))

    async def _passed(self, scope: Scope, receive: Receive) -> Receive:
        """What the handler reads from. Raises Problem for what must not get there."""
        asker, path, state = asker_of(scope), scope["path"], scope["state"]
        try:
            if path == ALERTS:
                _may_try(self.gate, asker)
                return receive
            found = self.gate.find(asker)
        except TooMany as error:
            raise too_many(error) from error
        except BadHeader as error:
            raise Problem("bad-request", str(error)) from error
        state.update(found=found, principal=found.principal, csrf=self.gate.csrf(found))
        if found.ambient and scope["method"] not in SAFE and path != LOGIN:
            receive = await self._meant(scope, receive, found)
        if self.entrance.reads_need_token and path not in OPEN and not path.startswith(OPEN_BELOW):
            _needed(Request(scope), Role.VIEWER, path)
        return receive

    async def _meant(self, scope: Scope, receive: Receive, found: Found) -> Receive:
        """Refuse a change that some other page makes a browser send. Raises Problem."""
        request = Request(scope, receive)
        from_here(request, self.entrance.url)
        given = request.headers.get(CSRF_HEADER, "")
        if not given and _is_form(request.headers):
            body = await read_body(request)
            given = fields_of(body).get(FORM, "")
            receive = read_again(body, receive)
        if not self.gate.sessions.carries(found.kind, found.about, given):
            raise Problem(
                "not-meant",
                f"the request does not carry the field `{FORM}` (or the header {CSRF_HEADER}) of a page of this "
                "session; open the page again and send the form from there",
            )
        return receive

    def _answered(self, scope: Scope, receive: Receive, send: Send) -> Send:
        """Send a browser that has to log in to where it can, and count wrong tokens of Alertmanager."""
        replaced = False

        async def sending(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and message["status"] == 401:
                if scope["path"] == ALERTS and bearer(scope["headers"]):
                    self.gate.attempts.failed(self.gate.client(asker_of(scope)))
                login = _to_login(scope, self.gate)
                if login is not None:
                    replaced = True
                    await login(scope, receive, send)
            if not replaced:
                await send(message)

        return sending


def need(request: Request, role: Role, what: str = "") -> Principal:
    """Who asks, if that one has at least this role. Raises Problem: 401 for nobody, 403 for too little.

    `what` is wanted, as a verb, for the log and the sentence.
    """
    try:
        return _needed(request, role, what or request.url.path)
    except Problem as problem:
        _log(request, problem, what or request.url.path)
        raise


def allow(request: Request, verb: str) -> Principal:
    """Who asks, if that one may do this; `verb` is a key of `NEEDED`. Raises Problem."""
    return need(request, NEEDED[verb], verb)


def of_alertmanager(request: Request, token: str | None) -> None:
    """Let Alertmanager's own token pass. Raises Problem for any other, and where none is configured."""
    try:
        authorize(request, token, "alerts.token")
    except Problem as problem:
        _log(request, problem, "alerts")
        raise


def recorded(request: Request, by: str | None = None) -> str:
    """The name for the record of whoever asks; `by` is what the request itself says of that."""
    principal: Principal | None = getattr(request.state, "principal", None)
    if principal is not None:
        return principal.signs(by)
    return by or f"api ({request.client.host if request.client is not None else 'an unknown address'})"


def may(request: Request, verb: str) -> bool:
    """Whether `allow` would let this one do it: for pages, which show what can be done."""
    principal: Principal | None = getattr(request.state, "principal", None)
    return principal is not None and principal.role >= NEEDED[verb]


def asker_of(scope: Scope) -> Asker:
    """What the gate wants to know of a request."""
    client = scope.get("client")
    return Asker(client[0] if client else None, scope["headers"], scope.get("scheme") == "https")


def from_here(request: Request, url: str | None) -> None:
    """Refuse a request that a browser says another page has caused. Raises Problem."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    ours = {request.headers.get("host", "").lower(), *([urlsplit(url).netloc.lower()] if url else [])}
    foreign = origin is not None and (origin == "null" or urlsplit_host(origin) not in ours)
    if foreign or site not in (None, "same-origin"):
        raise Problem("not-meant", "a page of another site has caused this request; open our own page and use that")


def urlsplit_host(origin: str) -> str:
    """Host and port of an origin, empty when it has none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def too_many(error: TooMany) -> Problem:
    """The problem for somebody who was wrong too often."""
    return Problem("too-many-attempts", str(error), {"Retry-After": str(error.retry_after)})


def _needed(request: Request, role: Role, what: str) -> Principal:
    found: Found = getattr(request.state, "found", Found())
    entrance: Entrance | None = getattr(request.state, "entrance", None)
    if found.principal is not None:
        if found.principal.role < role:
            has = f"{found.principal.name} has the role {found.principal.role} here"
            raise Problem("forbidden", f"{has}, and {what[:100]} needs {role}; ask somebody who has it")
        return found.principal
    if (entrance is None or entrance.gate.closed) and role > Role.VIEWER:
        raise Problem("no-token", NOBODY)
    brought = f"{found.why or NOTHING}; see http.tokens_file and http.token_file of the daemon"
    raise Problem("unauthorized", f"the request brings {brought}", CHALLENGE)


def _may_try(gate: Gate, asker: Asker) -> None:
    if bearer(asker.headers) and (wait := gate.attempts.wait(gate.client(asker))) > 0:
        raise TooMany(wait)


def _is_form(headers: Headers) -> bool:
    return headers.get("content-type", "").partition(";")[0].strip().lower() == FORM_TYPE


def _to_login(scope: Scope, gate: Gate) -> RedirectResponse | None:
    """For a browser that asks for a page and has not said who it is: the page where it can."""
    path, accepts = scope["path"], Headers(scope=scope).get("accept", "")
    a_page = "text/html" in accepts and path not in ("/metrics", LOGIN) and not path.startswith("/api/")
    if not a_page or not gate.takes_tokens or bearer(scope["headers"]):
        return None
    query = scope["query_string"].decode("latin-1") if scope["method"] in SAFE else ""
    wanted = quote(path) + (f"?{query}" if query else "")
    return RedirectResponse(f"{LOGIN}?next={quote(wanted, safe='/')}", 303)


def _log(request: Request, problem: Problem, what: str) -> None:
    """A line for who is refused: somebody may be trying keys."""
    entrance: Entrance | None = getattr(request.state, "entrance", None)
    if entrance is not None:
        entrance.refused(problem.kind)
    peer = request.client.host if request.client is not None else None
    named: dict[str, Any] = {"rollout" if name == "id" else name: value for name, value in request.path_params.items()}
    log.warning("http", refused=what[:200], peer=peer, why=problem.detail, **named)
