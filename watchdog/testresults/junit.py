"""Reports in JUnit's XML, of which every tool has a dialect of its own, read as they come and without trust.

There is no standard. What all dialects share is `testcase` within `testsuite`; what differs is how they tell of a suite
that never ran, of retries and of skipped tests. A report may come from code that nobody has reviewed: it is streamed, a
DOCTYPE is refused (no test report needs one, and entities come with it), and size, depth and number are bounded.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from watchdog.quantities import parse_time

LARGEST = 256 * 1024 * 1024
"""Bytes of one report; reports hold the output of tests, which is skipped."""
DEEPEST = 100
MOST_CASES = 200_000
PIECE = 64 * 1024
LONGEST_TOKEN = 16 * 1024 * 1024
"""Bytes of one tag or comment: until it ends, the parser reads it anew with each piece."""
LONGEST_NAME = 500
"""Characters that are kept of a name."""

BAD = {"failure": "failed", "error": "error"}
FLAKY = ("flakyFailure", "flakyError")
RERUNS = (*FLAKY, "rerunFailure", "rerunError")
SKIPPED_WORDS = frozenset({"skipped", "disabled", "ignored", "notrun", "suppressed", "pending", "todo"})
BAD_WORDS = {"failed": "failed", "failure": "failed", "error": "error", "errored": "error", "broken": "error"}
NEVER_BUILT = (
    "collection failure",
    "collection error",
    "test suite failed to run",
    "[build failed]",
    "[setup failed]",
    "initializationerror",
)
"""How pytest, jest, go and JUnit say that a file or class could not even be loaded."""


class Unreadable(Exception):
    """A report is not there, is not one, or is refused; the text says why."""


@dataclass(slots=True)
class Case:
    """One `testcase`: what it came to, and how often it was tried before."""

    name: str
    result: str = "passed"
    flaky: bool = False
    reruns: int = 0
    never_built: bool = False


@dataclass(slots=True)
class Report:
    """What a report says. `errors` and `missing` are what its totals tell beyond its test cases.

    `ended_at` is an epoch second, None when the report does not say it with a zone; `duration` is in seconds. `unique`
    reports are pytest's: whatever appears there twice was run twice, and only the last time is sure to tell the truth.
    """

    cases: list[Case] = field(default_factory=list)
    errors: int = 0
    missing: int = 0
    skipped: int = 0
    ended_at: float | None = None
    duration: float = 0.0
    unique: bool = False


@dataclass(slots=True)
class _Open:
    """A `testsuite` that is being read."""

    said: Mapping[str, str]
    leaf: bool = True
    cases: int = 0
    bad: int = 0
    skipped: int = 0
    own_errors: int = 0
    seconds: float = 0.0


def read_report(path: Path) -> Report:
    """The report in a file. Raises Unreadable."""
    reading = _Reading()
    parser = expat.ParserCreate(namespace_separator="}")
    parser.StartElementHandler = reading.start
    parser.EndElementHandler = reading.end
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    size = 0
    try:
        # Non-blocking, so that a pipe in the file's place is an error and no endless wait.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Unreadable("is not a regular file")
            wanted = PIECE
            while piece := file.read(wanted):
                size += len(piece)
                if size > LARGEST:
                    raise Unreadable(f"is larger than {LARGEST // 2**20} MiB")
                parser.Parse(piece)
                wanted = _next_piece(size - parser.CurrentByteIndex)
            if size == 0:
                raise Unreadable("is empty: whoever writes it was ended before")
            parser.Parse(b"", True)  # noqa: FBT003 - the form of the library
    except OSError as error:
        raise Unreadable(f"cannot be read ({error.strerror or error})") from error
    except (expat.ExpatError, UnicodeError, LookupError, ValueError) as error:
        raise Unreadable(f"is not whole or no XML ({str(error)[:200]})") from error
    return reading.report


def _next_piece(unread: int) -> int:
    """How much to give the parser next, when it still holds `unread` bytes of something that has not ended."""
    if unread > LONGEST_TOKEN:
        raise Unreadable(f"has a tag or a comment of more than {LONGEST_TOKEN // 2**20} MiB")
    return max(PIECE, unread)


def _refuse_doctype(*_: object) -> None:
    raise Unreadable("has a DOCTYPE, which no test report needs; it is refused because entities come with it")


class _Reading:
    """What the parser tells, element by element."""

    def __init__(self) -> None:
        self.report = Report()
        self._path: list[str] = []
        self._suites: list[_Open] = []
        self._case: Case | None = None

    def start(self, raw: str, said: dict[str, str]) -> None:
        name = raw.rpartition("}")[2]
        if not self._path and name not in ("testsuites", "testsuite"):
            raise Unreadable(f"is XML, but no report of JUnit's kind: it begins with <{name[:40]}>")
        if len(self._path) >= DEEPEST:
            raise Unreadable(f"is nested more than {DEEPEST} levels deep")
        self._path.append(name)
        if name == "testsuite":
            if self._suites:
                self._suites[-1].leaf = False
            self._suites.append(_Open(said))
            self.report.unique |= said.get("name") == "pytest"
        elif name == "testcase":
            self._begin(said)
        elif self._case is not None:
            self._mark(self._case, name, said)
        elif name == "error" and self._suites and self._path[-2] == "testsuite":
            self._suites[-1].own_errors += 1

    def end(self, _: str) -> None:
        name = self._path.pop()
        if name == "testcase" and self._case is not None and "testcase" not in self._path:
            self._finish(self._case)
        elif name == "testsuite":
            self._close(self._suites.pop())

    def _begin(self, said: Mapping[str, str]) -> None:
        if self._case is not None:
            raise Unreadable("has a <testcase> within a <testcase>")
        if len(self.report.cases) >= MOST_CASES:
            raise Unreadable(f"has more than {MOST_CASES} test cases")
        full = f"{said.get('classname', said.get('class', ''))}::{said.get('name', '')}"[:LONGEST_NAME]
        case = Case(full)
        for word in (said.get("result", "").lower(), said.get("status", "").lower()):
            if word in SKIPPED_WORDS:
                case.result = "skipped"
            case.result = BAD_WORDS.get(word, case.result)
        case.never_built = any(sign in said.get("name", "").lower() for sign in NEVER_BUILT)
        self._case = case
        if self._suites:
            self._suites[-1].seconds += _seconds(said)

    def _mark(self, case: Case, name: str, said: Mapping[str, str]) -> None:
        if self._path[-2] != "testcase":
            return  # within the output of a test, or the details of a retry
        if name in BAD:
            case.result = "error" if "error" in (case.result, name) else "failed"
            case.never_built |= any(sign in said.get("message", "").lower() for sign in NEVER_BUILT)
        elif name in RERUNS:
            case.reruns += 1
            case.flaky |= name in FLAKY
        elif name == "skipped" and case.result == "passed":
            case.result = "skipped"

    def _finish(self, case: Case) -> None:
        self._case = None
        case.flaky = case.flaky and case.result == "passed"
        case.never_built = case.never_built and case.result in BAD.values()
        self.report.cases.append(case)
        if self._suites:
            suite = self._suites[-1]
            suite.cases += 1
            suite.bad += (case.result in BAD.values()) + case.reruns
            suite.skipped += case.result == "skipped"

    def _close(self, suite: _Open) -> None:
        """Totals of a suite with suites in it repeat theirs. A leaf's may tell of more than its test cases do."""
        said, report = suite.said, self.report
        seconds = _seconds(said) or suite.seconds
        if suite.leaf:
            report.duration += seconds
            # Some count one failure several times; only where no test case shows any was there something else.
            told = 0 if suite.bad else _number(said, "failures") + _number(said, "errors")
            bad = max(suite.own_errors, told)
            skipped = max(0, max(_number(said, "skipped"), _number(said, "disabled")) - suite.skipped)
            report.errors += bad
            report.skipped += skipped
            report.missing += max(0, _number(said, "tests") - suite.cases - bad - skipped)
        else:
            report.errors += suite.own_errors
        began = _instant(said.get("timestamp", ""))
        if began is not None:
            report.ended_at = max(report.ended_at or -math.inf, began + seconds)


def _number(said: Mapping[str, str], name: str) -> int:
    text = said.get(name, "").strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


def _seconds(said: Mapping[str, str]) -> float:
    """`time`, which some write with separators of thousands: `1,234.5`."""
    try:
        value = float(said.get("time", "").replace(",", ""))
    except ValueError:
        return 0.0
    return value if math.isfinite(value) and 0 <= value < 1e9 else 0.0


def _instant(text: str) -> float | None:
    """A timestamp with a zone; without one nobody can tell what it means."""
    try:
        return parse_time(text) if text[:40] == text else None
    except ValueError:
        return None
