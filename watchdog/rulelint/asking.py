"""Questions to one Prometheus at one moment: in batches, so that somebody can be told how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from watchdog.errors import SourceError
from watchdog.model import Reason, Series
from watchdog.online.scrapes import Server, describe
from watchdog.prometheus import Prometheus
from watchdog.quantities import promql_duration
from watchdog.rulelint.nodes import Matcher, Selector

BATCH = 24
"""Queries that are asked together."""
Tell = Callable[[str, int, int], None]
"""Hears what is being asked, how many of it are done, and how many there are."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One number, or None where there is no series; `trouble` is why nobody knows, with its `reason`."""

    value: float | None = None
    reason: Reason | None = None
    trouble: str = ""


class Asking:
    """One server, asked at the instant `at`. `within`: seconds back in which a series still counts as there."""

    def __init__(self, source: Prometheus, at: float, within: float, tell: Tell) -> None:
        self.source = source
        self.at = int(at)
        self.within = within
        self.tell = tell
        self._server: Server | None = None

    @property
    def server(self) -> Server:
        """What the server says of its targets and its retention; nothing where it does not say."""
        if self._server is None:
            self._server = describe(self.source)
        return self._server

    def reach(self) -> None:
        """Raise SourceError unless something answers there."""
        try:
            self.source.build_info()
        except SourceError as error:
            if not error.permanent:
                raise  # only what answers, though perhaps not to this question, is worth asking more

    def numbers(self, what: str, expressions: Iterable[str]) -> dict[str, Answer]:
        """The number that each expression gives. Raises SourceError when the server can no longer be reached."""
        wanted = list(dict.fromkeys(expressions))
        found: dict[str, Answer] = {}
        for start in range(0, len(wanted), BATCH):
            self.tell(what, start, len(wanted))
            batch = wanted[start : start + BATCH]
            answers = [self._answer(series) for series in self.source.instants(batch, self.at)]
            if all(answer.reason is Reason.UNREACHABLE for answer in answers):
                self.reach()  # perhaps only these queries are slow
            found |= dict(zip(batch, answers, strict=True))
        self.tell(what, len(wanted), len(wanted))
        return found

    def _answer(self, series: Series) -> Answer:
        if self.at in series.problems:
            reason, detail = series.problems[self.at]
            return Answer(None, reason, detail)
        return Answer(series.values.get(self.at))

    def there(self, what: str, selectors: Iterable[Selector]) -> dict[Selector, bool | str]:
        """Whether each selector has a series now or had one within the time that counts; or why nobody knows."""
        wanted = list(dict.fromkeys(selectors))
        now = self.numbers(what, [_count(one) for one in wanted])
        absent = [one for one in wanted if now[_count(one)] == Answer()]
        past = {one: _before(one, self.within) for one in absent}
        then = self.numbers(f"{what}, earlier", past.values())
        answers = {one: then[past[one]] if one in past else now[_count(one)] for one in wanted}
        return {one: answer.trouble or answer.value is not None for one, answer in answers.items()}

    def rows(self, expression: str) -> list[dict[str, str]]:
        """The label sets of an expression's series. Raises SourceError."""
        return self.source.labels_of(expression, self.at)

    def label_names(self, metric: str) -> set[str]:
        """The labels that any series of a metric has had. Raises SourceError."""
        return set(self._texts(f"/api/v1/labels?{self._of(plain(metric))}"))

    def label_values(self, selector: Selector, label: str) -> list[str]:
        """The values of a label among the series of a selector. Raises SourceError."""
        return sorted(self._texts(f"/api/v1/label/{quote(label)}/values?{self._of(selector)}"))

    def groups(self) -> list[dict[str, Any]]:
        """The groups of rules that are loaded. Raises SourceError."""
        told = self.source.told("/api/v1/rules")
        try:
            groups = list(told["groups"])
            whole = all(group["file"] and rule["name"] and rule["query"] for group in groups for rule in group["rules"])
        except (KeyError, TypeError) as error:
            raise self._strange("/api/v1/rules") from error
        if not whole:
            raise self._strange("/api/v1/rules")
        return groups

    def _texts(self, path: str) -> list[str]:
        told = self.source.told(path)
        if not isinstance(told, list) or not all(isinstance(one, str) for one in told):
            raise self._strange(path.partition("?")[0])
        return told

    def _strange(self, path: str) -> SourceError:
        message = f"{self.source.name} answers {path} with something that is not understood; is it a Prometheus?"
        return SourceError(message, permanent=True)

    def each(self, what: str, items: Sequence[str]) -> Iterable[str]:
        """The items, one after the other, telling how far it is."""
        for index, item in enumerate(items):
            self.tell(what, index, len(items))
            yield item
        self.tell(what, len(items), len(items))

    def _of(self, selector: Selector) -> str:
        return urlencode({"match[]": str(selector), "start": int(self.at - self.within), "end": self.at})


def plain(metric: str) -> Selector:
    """All series of a metric, whatever letters its name has."""
    return Selector("", (Matcher("__name__", "=", metric),))


def types(metadata: Mapping[str, Mapping[str, str]], metric: str) -> str:
    """The type that a scrape gave for a metric, of a part of a histogram that of the whole; empty when unknown."""
    for name in (metric, metric.removesuffix("_total"), *(metric.removesuffix(end) for end in _PARTS)):
        if name in metadata:
            return metadata[name]["type"]
    return ""


_PARTS = ("_bucket", "_count", "_sum", "_created")


def _count(selector: Selector) -> str:
    return f"count({selector})"


def _before(selector: Selector, seconds: float) -> str:
    return f"count(present_over_time({selector}[{promql_duration(seconds)}]))"
