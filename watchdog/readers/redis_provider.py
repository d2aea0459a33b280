"""An OpenFeature provider for a flag set in Redis: evaluates in the application's own process, and is told of changes.

    api.set_provider(RedisProvider("redis://127.0.0.1:6379/0", "checkout"))

Rules are evaluated by flagd's own core. The last good document stays in use while Redis is away or the document is
broken; before the first one, callers get their code defaults.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, cast

from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEventDetails
from openfeature.exception import (
    ErrorCode,
    FlagNotFoundError,
    GeneralError,
    ParseError,
    ProviderNotReadyError,
    TypeMismatchError,
)
from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType, Reason
from openfeature.provider import AbstractProvider, Metadata

from watchdog.flags import flagd_document as flagd
from watchdog.flags.flagd_document import Json
from watchdog.flags.flagd_evaluator import Evaluator, NotEvaluated
from watchdog.flags.redis_link import connect
from watchdog.flags.redis_scripts import Keys
from watchdog.flags.settings import ServiceSettings
from watchdog.readers.redis_watch import POLL, RedisWatch

ERRORS: dict[str, type[FlagNotFoundError | ParseError]] = {
    "FLAG_NOT_FOUND": FlagNotFoundError,
    "PARSE_ERROR": ParseError,
}
ERAS = ("flagd-v2", "flagd-v3")


class RedisProvider(AbstractProvider):
    """Reads the set `flag_set` of the Redis at `url` (no user or password in it).

    `timeout` in seconds, for connecting, for each answer and for the first document at `initialize`. `poll` in seconds:
    how long a change may go unseen whose message was lost. `bucketing` holds for a document that does not name its own.
    """

    def __init__(
        self,
        url: str,
        flag_set: str = "flags",
        *,
        username: str | None = None,
        password: str | None = None,
        ca_file: Path | None = None,
        bucketing: str = "flagd-v2",
        timeout: float = 2.0,
        poll: float = POLL,
    ) -> None:
        super().__init__()
        self._bucketing = bucketing
        self._timeout = timeout
        self._evaluator: Evaluator | None = None
        self._document: Json | None = None
        self._problem = ""
        self._settled = threading.Event()
        self._watch = RedisWatch(
            connect(url, timeout=timeout, username=username, password=password, ca_file=ca_file),
            url,
            Keys(flag_set),
            timeout,
            changed=self._changed,
            lost=self._lost,
            found=self._found,
            poll=poll,
        )

    @classmethod
    def of(cls, settings: ServiceSettings, *, poll: float = POLL) -> Self:
        """A provider for the set that the watchdog's settings name."""
        return cls(
            settings.url or "",
            settings.set,
            username=settings.username,
            password=settings.password.get_secret_value() if settings.password is not None else None,
            ca_file=settings.ca_file,
            bucketing=settings.bucketing,
            timeout=settings.timeout,
            poll=poll,
        )

    def get_metadata(self) -> Metadata:
        """The provider's name."""
        return Metadata("slo-watchdog-redis")

    def initialize(self, evaluation_context: EvaluationContext) -> None:  # noqa: ARG002 - as the SDK has it
        """Wait for the first document. Raises GeneralError without one, and goes on trying."""
        self._settled.clear()
        self._watch.start()
        self._settled.wait(self._timeout)
        if self._evaluator is None:
            raise GeneralError(self._problem or f"no flags within {self._timeout:g} s; it is tried again")

    def shutdown(self) -> None:
        """End the connections and the thread. The last good document stays in use."""
        self._watch.stop()

    def resolve_boolean_details(
        self,
        flag_key: str,
        default_value: bool,  # noqa: FBT001 - as the SDK has it
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        """A boolean flag for one caller."""
        return self._resolved(flag_key, default_value, evaluation_context, bool)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        """A text flag for one caller."""
        return self._resolved(flag_key, default_value, evaluation_context, str)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        """A whole number for one caller."""
        return self._resolved(flag_key, default_value, evaluation_context, int)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        """A number for one caller."""
        found = self._resolved(flag_key, default_value, evaluation_context, int, float)
        found.value = float(found.value)  # the SDK takes no whole number for a float
        return found

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        """A map or list for one caller."""
        return self._resolved(flag_key, default_value, evaluation_context, dict, list)

    def _resolved(
        self, flag: str, default: Any, context: EvaluationContext | None, *kinds: type
    ) -> FlagResolutionDetails[Any]:
        evaluator = self._evaluator
        if evaluator is None:
            raise ProviderNotReadyError(self._problem or "no document was read yet")
        attributes = dict(context.attributes) if context is not None else {}
        if context is not None and context.targeting_key is not None:
            attributes["targetingKey"] = cast("Any", context.targeting_key)
        try:
            found = evaluator.evaluate(flag, attributes)
        except NotEvaluated as error:
            raise ERRORS.get(error.code, GeneralError)(str(error)) from error
        metadata = dict(found.metadata)
        if found.variant is None:
            return FlagResolutionDetails(default, reason=Reason(found.reason), flag_metadata=metadata)
        if not isinstance(found.value, kinds) or (isinstance(found.value, bool) and bool not in kinds):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise TypeMismatchError(f"flag {flag!r} is {type(found.value).__name__}, asked as {wanted}")
        return FlagResolutionDetails(
            found.value, variant=found.variant, reason=Reason(found.reason), flag_metadata=metadata
        )

    def _changed(self, document: Json) -> None:
        before = self._document
        self._evaluator = Evaluator(document, self._era(document))
        self._document = document
        if before is not None:
            old, new = before["flags"], document["flags"]
            changed = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
            self.emit_provider_configuration_changed(ProviderEventDetails(flags_changed=changed))

    def _era(self, document: Json) -> str:
        mark = document.get("metadata", {}).get(flagd.BUCKETING)
        return mark if mark in ERAS else self._bucketing

    def _lost(self, problem: str) -> None:
        self._problem = problem
        self._settled.set()
        if self._evaluator is None:
            self.emit_provider_error(ProviderEventDetails(message=problem, error_code=ErrorCode.PROVIDER_NOT_READY))
        else:
            self.emit_provider_stale(ProviderEventDetails(message=problem))

    def _found(self) -> None:
        self._problem = ""
        if not self._settled.is_set():
            self._settled.set()  # `initialize` says that it is ready
        else:
            self.emit_provider_ready(ProviderEventDetails())
