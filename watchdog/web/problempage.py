"""Problems as a page, for people who asked for one; everybody else gets the problem document."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from watchdog.web.layout import page
from watchdog.web.problems import KINDS, Problem, of_refusal, on_problem
from watchdog.web.rolloutpage_text import marked, sentence

NO_PAGES = ("/api/", "/ofrep/", "/flagd/", "/static/", "/live", "/healthz", "/livez", "/readyz", "/metrics", "/openapi")


async def on_problem_or_page(request: Request, problem: Exception) -> Response:
    """The handler for `Problem`: HTML for a browser that asked for a page, else as the API tells it."""
    if not isinstance(problem, Problem) or not wants_page(request):
        return await on_problem(request, problem)
    status, title = KINDS[problem.kind]
    told = {"problem": title, "detail": marked(sentence(problem.detail))}
    answer = page(request, "problem.html", status, **told)
    answer.headers.update(problem.headers or {})
    return answer


async def on_http_exception_or_page(request: Request, error: Exception) -> Response:
    """Likewise for what the router refuses."""
    if not isinstance(error, HTTPException):
        raise error
    return await on_problem_or_page(request, of_refusal(request, error))


def wants_page(request: Request) -> bool:
    """Whether whoever asks reads HTML, of an address where pages are."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith(NO_PAGES)
