"""What goes wrong when a daemon is asked over HTTP, each with a sentence of the daemon's or of this program's."""

from __future__ import annotations

from watchdog.errors import WatchdogError

PREFIX = "urn:problem-type:slo-watchdog:"


class ClientError(WatchdogError):
    """Root of everything that the client raises."""


class Unreachable(ClientError):
    """No answer came in time, or none that is one: nobody knows whether the daemon did what it was asked."""


class ApiProblem(ClientError):
    """The daemon said no, in a problem document.

    `kind` is the last word of its `type` and part of the contract, `status` that of HTTP, `detail` the daemon's own
    sentence. `retry_after` is how many seconds to wait before another try, None where it does not say.
    """

    def __init__(self, kind: str, status: int, title: str, detail: str, *, retry_after: float | None = None) -> None:
        self.kind = kind
        self.status = status
        self.title = title
        self.detail = detail
        self.retry_after = retry_after
        super().__init__(f"{detail} ({status}, {kind})")


class NotAllowed(ApiProblem):
    """401, 403 and 429: the token is missing or wrong, its role does not suffice, or too many were wrong.

    Or the daemon has no token and takes no changes.
    """


class NotThere(ApiProblem):
    """404: no such rollout, command, flag, episode, drill, report, flag set, page of a list or address."""


class Conflict(ApiProblem):
    """409: the state forbids it now (an owned or latched flag, a rollout that runs, a preflight or drill under way).

    Or somebody was first, or the request of that key is not answered.
    """


class Misunderstood(ApiProblem):
    """400, 405, 408, 413, 415 and 422: the request itself is wrong; sending it again cannot help."""


class Trouble(ApiProblem):
    """500 to 503: the daemon, its ledger or its flag service cannot do it at the moment."""


class EvaluationFailed(ClientError):
    """A flag could not be evaluated: the caller's code default holds. `code` is OpenFeature's word for why."""

    def __init__(self, code: str, status: int, details: str) -> None:
        self.code = code
        self.status = status
        self.details = details
        super().__init__(f"{details or code} ({status}, {code})")


def problem_of(kind: str, status: int, title: str, detail: str, *, retry_after: float | None = None) -> ApiProblem:
    """The error of a problem document, by its status."""
    error = Trouble if status >= 500 else _BY_STATUS.get(status, Misunderstood)
    return error(kind, status, title, detail, retry_after=retry_after)


_BY_STATUS: dict[int, type[ApiProblem]] = {
    401: NotAllowed,
    403: NotAllowed,
    404: NotThere,
    409: Conflict,
    429: NotAllowed,
}
