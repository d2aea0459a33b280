"""The runbooks are what the rules, the metrics and the commands are: nobody looks for something that is not there."""

from __future__ import annotations

import itertools
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import typer

from tests import alertpack
from tests.runbookpages import RUNBOOKS, SECTIONS, Page, pages
from watchdog.cli import app

ROOT = Path(__file__).parent.parent
PAGES = pages()
INDEX = Page(RUNBOOKS / "README.md")
RULES = list(alertpack.rules())
ALERTS = {rule["alert"] for rule in RULES if "alert" in rule}
ALIKE_AT_MOST = 0.15
"""Share of a page's runs of five words that another page may have, too. The largest when this was written: 0.06."""
FOREIGN = ("prometheus_", "alertmanager_", "node_", "process_", "probe_", "scrape_")
"""Metrics of exporters and of Prometheus itself: that they are exported is seen where the whole stack runs."""
TOOLS = {"promtool", "amtool"}
KNOWN_TOOLS = TOOLS | {
    *("slo-watchdog", "curl", "journalctl", "systemctl", "ps", "df", "du", "ss", "ls", "cat", "date", "chronyc", "dig"),
    *("openssl", "dmesg", "top", "lsof", "prlimit", "redis-cli", "jq", "timedatectl", "fuser", "free", "grep", "kill"),
    *("sqlite3", "sudo", "vmstat", "psql", "find", "nc", "coredumpctl", "nproc", "mv", "cp", "timeout", "iostat"),
}
_SENTENCE = re.compile(r"(?<=[.?:])\s+")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]*)\)")
_FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
_QUANTITY = re.compile(r"(?<![\w.:-])(\d+(?:\.\d+)?)\s?(%|min\b|percent|points|[smhd]\b)")
_NAMED = re.compile(r"`(slo:[a-z_]+:[a-z]+)`\s+\(([^)]+)\)")
every_text = pytest.mark.parametrize("page", [*PAGES, INDEX], ids=lambda page: page.name)
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


# --- pages and alerts ------------------------------------------------------------------------------------------------


def test_every_alert_has_a_page_and_every_page_an_alert() -> None:
    assert {page.name for page in PAGES} == ALERTS
    assert len(ALERTS) >= 36


def test_every_alert_links_to_its_page() -> None:
    for rule in RULES:
        if "alert" not in rule:
            continue
        base, _, name = rule["annotations"]["runbook_url"].rpartition("/")
        assert (base, name) == ("/runbooks", rule["alert"])


def test_facts_and_index_are_what_the_rules_say() -> None:
    """Severity, `for` and thresholds are generated; this fails when a source changed and a page did not."""
    checked = subprocess.run(
        [sys.executable, "scripts/runbooks.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


@each_page
def test_a_page_has_all_sections_in_order(page: Page) -> None:
    assert page.text.startswith(f"# {page.name}\n")
    assert tuple(page.sections) == SECTIONS
    for heading, text in page.sections.items():
        assert len(text.split()) >= 8, f"{heading} says nearly nothing"
    assert page.facts
    assert page.facts in page.sections["Meaning"]


# --- queries ---------------------------------------------------------------------------------------------------------


@each_page
def test_every_query_parses_and_its_answer_is_explained(page: Page) -> None:
    assert page.queries
    for query in page.queries:
        promql_parser.parse(query.expr)
        told = " ".join(part for part in _SENTENCE.split(query.said) if not part.endswith("?"))
        assert len(told.split()) >= 3, f"nothing says how to read {query.expr}"
    assert any(query.sample for query in page.queries), "no query has an example of its answer"


@cache
def exported() -> set[str]:
    """Every metric that is documented, and every recording."""
    docs = ROOT / "docs"
    tables = [docs / "metrics.md", docs / "noise.md", docs / "flags" / "serving.md", docs / "rules.md"]
    named = {name for page in tables for name in re.findall(r"^\| `([a-zA-Z_]+)`", page.read_text(), re.MULTILINE)}
    return named | {rule["record"] for rule in RULES if "record" in rule}


@every_text
def test_every_metric_of_a_query_exists(page: Page) -> None:
    there = exported()
    for metric in set[str]().union(*(query.metrics for query in page.queries)):
        series = re.sub(r"_(sum|count|bucket)$", "", metric)
        assert metric in there or series in there or metric.startswith(FOREIGN), metric


# --- commands --------------------------------------------------------------------------------------------------------


@cache
def program() -> Any:
    return typer.main.get_command(app)


def parsed(command: str) -> None:
    """Parses a command as the program would, without running it; fails with the program's own words."""
    words = shlex.split(command.replace("...", "x"), comments=True)
    words = words[1 : next((at for at, word in enumerate(words) if word in ("|", ">", "&&", ";")), None)]
    group = program()
    name = "slo-watchdog"
    while hasattr(group, "commands"):
        assert words, f"{command}: names no command"
        name = words.pop(0)
        assert name in group.commands, f"{command}: there is no command {name}"
        group = group.commands[name]
    group.make_context(name, words)


@every_text
def test_every_command_exists_with_its_options(page: Page) -> None:
    for command in page.commands:
        try:
            parsed(command)
        except Exception as error:  # noqa: BLE001 - the parser's own errors, told with the command
            pytest.fail(f"{command}: {error}")


def test_every_tool_is_a_known_one_and_has_its_options() -> None:
    """`promtool` and `amtool` say themselves which options they have."""
    helps: dict[tuple[str, ...], str] = {}
    for page in (*PAGES, INDEX):
        for console in page.consoles:
            words = shlex.split(console, comments=True)
            assert words[0] in KNOWN_TOOLS, f"{page.name}: {console}"
            if words[0] not in TOOLS:
                continue
            verbs = tuple(itertools.takewhile(lambda word: re.fullmatch(r"[a-z-]*[a-z]", word), words[1:4]))
            if (words[0], *verbs) not in helps:
                asked = subprocess.run(
                    [words[0], *verbs, "--help"], capture_output=True, text=True, check=False, timeout=20
                )
                assert asked.returncode == 0, f"{page.name}: {console}: {asked.stderr}"
                helps[words[0], *verbs] = asked.stdout + asked.stderr
            for option in (word.partition("=")[0] for word in words if word.startswith("--")):
                assert option in helps[words[0], *verbs], f"{page.name}: {console} has no option {option}"


def test_every_line_of_the_log_is_one_that_the_program_writes() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "watchdog").rglob("*.py"))
    written = set(re.findall(r"(?:\blog\.\w+|_tell)\(\s*\"([^\"]+)\"", sources))
    named = {event for page in PAGES for event in re.findall(r'"event": "([^"]+)"', page.text)}
    assert named
    assert named - written == set()


@each_page
def test_every_address_of_the_daemon_exists(page: Page) -> None:
    there = re.findall(r"`(?:GET|POST) (/[^`]*)`", (ROOT / "docs" / "http.md").read_text())
    known = [re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path))) for path in there]
    for path in re.findall(r":8799(/[\w/.-]*)", page.text):
        assert any(one.fullmatch(path) for one in known), path


# --- links, thresholds, text -----------------------------------------------------------------------------------------


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _FENCED.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", sorted(RUNBOOKS.glob("*.md")), ids=lambda path: path.stem)
def test_every_link_and_anchor_resolves(path: Path) -> None:
    for target in _LINK.findall(_FENCED.sub("", path.read_text())):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        linked = (path.parent / file).resolve() if file else path
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


@each_page
def test_numbers_of_the_meaning_are_those_of_the_rule(page: Page) -> None:
    """A threshold, range or `for` that changed makes the old number in the text a failure."""
    rules = [rule for rule in RULES if rule.get("alert") == page.name]
    exprs = " ".join(rule["expr"] for rule in rules)
    built_on = [rule for rule in RULES if rule.get("record", "-") in exprs]
    sources = [page.facts, exprs, *(rule.get("for", "") for rule in rules), *(rule["expr"] for rule in built_on)]
    allowed = {quantity for source in sources for quantity in quantities(re.sub(r"[\[\]`:]", " ", source))}
    said = page.sections["Meaning"].replace(page.facts, "")
    assert quantities(_FENCED.sub("", said)) - allowed == set()


def quantities(text: str) -> set[str]:
    return {f"{float(number):g}{'m' if unit == 'min' else unit}" for number, unit in _QUANTITY.findall(text)}


@each_page
def test_a_threshold_that_is_named_with_its_value_has_that_value(page: Page) -> None:
    """`slo:name:unit` (value) is checked wherever it stands."""
    facts = dict(re.findall(r"`(slo:[a-z_]+:[a-z]+)(?:\{[^`]*)?` is ([^:]+):", page.facts))
    for name, value in _NAMED.findall(page.prose):
        assert facts.get(name) == value, f"{name} ({value})"


def shingles(page: Page) -> set[tuple[str, ...]]:
    """Runs of five words of what people wrote."""
    words = re.findall(r"[\w:]+", page.prose.lower())
    return {tuple(words[at : at + 5]) for at in range(len(words) - 4)}


def test_no_two_pages_share_most_of_their_text() -> None:
    found = {page.name: shingles(page) for page in PAGES}
    shared = [
        (len(found[one] & found[other]) / min(len(found[one]), len(found[other])), one, other)
        for one, other in itertools.combinations(found, 2)
    ]
    assert max(shared)[0] <= ALIKE_AT_MOST, sorted(shared)[-5:]
