"""Log in with a token, log out again: `/login` and `/logout`, which need no script."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote, urlsplit

import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from watchdog.access import Found, Gate, TooMany
from watchdog.access.gate import COOKIE, SECURE_COOKIE
from watchdog.access.proxy import BadHeader
from watchdog.access.sessions import LONGEST
from watchdog.web.access import LOGIN, LOGOUT, Entrance, asker_of, from_here
from watchdog.web.access_forms import FORM, fields_of
from watchdog.web.bodies import read_body
from watchdog.web.layout import page
from watchdog.web.problems import Problem

VISIT, SECURE_VISIT = f"{COOKIE}-visit", f"{SECURE_COOKIE}-visit"
"""A cookie for who has not logged in yet: the form that logs in must be one of ours, too."""
VISIT_LASTS = 3600
LONGEST_TOKEN = 1000
LONGEST_NEXT = 500
HOME = "/"
MEANT = "that form was not sent from this page; it is a new one now, please try again"
log = structlog.get_logger()

Endpoint = Callable[[Request], Awaitable[Response]]
Work = Callable[[Request], Response]


@dataclass(frozen=True, slots=True)
class Login:
    """The handlers. They run on worker threads."""

    entrance: Entrance

    @property
    def gate(self) -> Gate:
        """Where tokens are shown."""
        return self.entrance.gate

    def show(self, request: Request) -> Response:
        """The form; whoever has logged in and was on the way somewhere goes on."""
        found: Found = request.state.found
        wanted = request.query_params.get("next")
        if found.session is not None and wanted is not None:
            return RedirectResponse(local(wanted), 303)
        answer = self._form(request, local(wanted))
        if request.headers.get("sec-fetch-site") == "cross-site" and wanted is not None:
            # A browser does not send our cookie along a link from elsewhere. From this page it does: try once.
            answer.headers["Refresh"] = f"0; url={LOGIN}?next={quote(local(wanted), safe='/')}"
        return answer

    def enter(self, request: Request, fields: dict[str, str]) -> Response:
        """Open a session for whoever shows a token, and send them where they wanted to go."""
        wanted, given = local(fields.get("next")), fields.get("token", "").strip()
        if not self.gate.sessions.carries("visit", _visit(request) or "", fields.get(FORM, "")):
            return self._form(request, wanted, MEANT, HTTPStatus.FORBIDDEN)
        if not given or len(given) > LONGEST_TOKEN:
            return self._form(request, wanted, "a token is needed", HTTPStatus.UNPROCESSABLE_ENTITY)
        try:
            client = self.gate.client(asker_of(request.scope))
            cookie, why = self.gate.login(given, client)
        except BadHeader as error:
            raise Problem("bad-request", str(error)) from error
        except TooMany as error:
            self._refused(request, "too-many-attempts", str(error))
            answer = self._form(request, wanted, str(error), HTTPStatus.TOO_MANY_REQUESTS)
            answer.headers["Retry-After"] = str(error.retry_after)
            return answer
        if cookie is None:
            self._refused(request, "unauthorized", why)
            return self._form(request, wanted, why, HTTPStatus.UNAUTHORIZED)
        secure = is_secure(request, self.entrance.url)
        answer = RedirectResponse(wanted, 303)
        _set(answer, SECURE_COOKIE if secure else COOKIE, cookie, int(LONGEST), secure=secure)
        for name in (VISIT, SECURE_VISIT):
            _forget(answer, name)
        return answer

    def leave(self, request: Request) -> Response:
        """End the session."""
        found: Found = request.state.found
        if found.session is not None:
            self.gate.logout(found.session)
        answer = RedirectResponse(HOME, 303)
        for name in (COOKIE, SECURE_COOKIE):
            _forget(answer, name)
        return answer

    def _form(self, request: Request, wanted: str, why: str = "", status: int = HTTPStatus.OK) -> Response:
        visit = _visit(request) or secrets.token_urlsafe(16)
        told = {"wanted": wanted, "why": why, "form": self.gate.sessions.csrf("visit", visit)}
        answer = page(request, "login.html", status, **told)
        secure = is_secure(request, self.entrance.url)
        _set(answer, SECURE_VISIT if secure else VISIT, visit, VISIT_LASTS, secure=secure)
        return answer

    def _refused(self, request: Request, kind: str, why: str) -> None:
        self.entrance.refused(kind)
        log.warning("http", refused="login", peer=request.client.host if request.client is not None else None, why=why)


def login_routes(entrance: Entrance, on: Callable[[Work], Endpoint]) -> list[Route]:
    """The routes; `on` puts work on threads. None where no token could be shown."""
    if not entrance.gate.takes_tokens:
        return []
    login = Login(entrance)

    async def enter(request: Request) -> Response:
        from_here(request, entrance.url)
        fields = fields_of(await read_body(request))
        return await on(lambda asked: login.enter(asked, fields))(request)

    return [
        Route(LOGIN, on(login.show)),
        Route(LOGIN, enter, methods=["POST"]),
        Route(LOGOUT, on(login.leave), methods=["POST"]),
    ]


def local(wanted: str | None) -> str:
    r"""Where somebody goes on, if that is an address of ours, else the first page.

    `//host` and `/\host` are addresses of others, and browsers drop control characters before they look.
    """
    if wanted is None or len(wanted) > LONGEST_NEXT or re.fullmatch(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*", wanted) is None:
        return HOME
    return HOME if urlsplit(wanted).path in (LOGIN, LOGOUT) else wanted


def is_secure(request: Request, url: str | None) -> bool:
    """Whether the browser speaks https, here or with a proxy before us: as it says itself, else as settings do."""
    origin = request.headers.get("origin", "")
    if request.url.scheme == "https" or origin.startswith("https://"):
        return True
    return (url or "").startswith("https://") and request.headers.get("host") == urlsplit(url or "").netloc


def _visit(request: Request) -> str | None:
    found = request.cookies.get(SECURE_VISIT) or request.cookies.get(VISIT)
    return found if found is not None and re.fullmatch(r"[A-Za-z0-9_-]{16,64}", found) else None


def _set(answer: Response, name: str, value: str, lasts: int, *, secure: bool) -> None:
    answer.set_cookie(name, value, max_age=lasts, path="/", secure=secure, httponly=True, samesite="strict")


def _forget(answer: Response, name: str) -> None:
    answer.delete_cookie(name, path="/", secure=name.startswith("__Host-"), httponly=True, samesite="strict")
