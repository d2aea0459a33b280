"""The report as a page: nothing loaded, everything escaped, readable without colour and without eyes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser

import pytest

from tests.report_evidence import SCENES, scene
from tests.report_rule import START, iso
from watchdog.model import Transition, WindowRule
from watchdog.report import Evidence, build, render_html, render_markdown
from watchdog.report.words import lasted, number, share

HOSTILE = "\"><script>alert(1)</script>'| `x` <img src=http://evil.example/ onerror=alert(1)> ${7*7} {{7*7}} **b**\n# h"
VOID = {"meta", "link", "br", "img", "hr", "input", "wbr"}


class Page(HTMLParser):
    """What a browser would find: tags with attributes, in order, and whether they nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@cache
def html(name: str) -> str:
    return render_html(build(scene(name)))


def hostile() -> Evidence:
    whole = scene("undecided")
    own = tuple(replace(o, name=f"{o.name}{HOSTILE}", bad=HOSTILE if o.bad else None) for o in whole.rollout.objectives)
    rule = replace(
        whole.rollout, service=HOSTILE, version=HOSTILE, flag=HOSTILE, name=HOSTILE, text=HOSTILE, objectives=own
    )
    rule = replace(rule, waive={HOSTILE: HOSTILE})
    told = [Transition(t.at, t.kind, t.source, t.target, HOSTILE, HOSTILE) for t in whole.transitions]
    return Evidence(
        rule,
        whole.phase,
        whole.started_at,
        whole.as_of,
        HOSTILE,
        {**whole.status, "hold": {"by": HOSTILE, "why": HOSTILE, "cause": HOSTILE, "since": iso(START)}},
        {**whole.figures, "gaps": [{"from": iso(START), "to": iso(START + 60), "reason": HOSTILE}]},
        transitions=told,
        exposures=whole.exposures,
        not_controlled=(HOSTILE,),
        bad_never_observed=frozenset({HOSTILE}),
        prometheus={"url": HOSTILE, "version": HOSTILE},
    )


@pytest.mark.parametrize("name", SCENES)
def test_the_page_nests_and_its_names_are_unique(name: str) -> None:
    page = Page(html(name))
    names = [attributes["id"] for _, attributes in page.tags if attributes.get("id")]
    assert len(names) == len(set(names))
    wanted = " ".join(attributes.get("aria-labelledby") or "" for _, attributes in page.tags).split()
    assert set(wanted) <= set(names)


@pytest.mark.parametrize("name", SCENES)
def test_the_page_loads_nothing_and_runs_nothing(name: str) -> None:
    page = Page(html(name))
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "embed", "img", "base", "form"}
    for _, attributes in page.tags:
        assert not {key for key in attributes if key.startswith("on") or key in ("src", "href", "style")}
    style = html(name).split("<style>")[1].split("</style>")[0]
    assert "@import" not in style
    assert set(re.findall(r"url\(([^)]*)\)", style)) == {"#fail", "#unknown", "#low", "#held", "#waited"}
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_every_chart_has_a_title_and_a_description() -> None:
    text = html("signed_off")
    charts = re.findall(r'<svg viewBox="[^"]*" role="img" aria-labelledby="([^"]*)"><title[^>]*>([^<]+)', text)
    assert len(charts) == 8
    assert "Target below 0.1% bad. Slots: " in text


def test_every_table_has_headers_with_a_scope() -> None:
    page = Page(html("signed_off"))
    assert all(header.get("scope") in ("col", "row") for header in page.all("th"))
    assert len(page.all("thead")) == len(page.all("table"))


def test_a_slice_is_told_by_its_sign_not_by_its_colour() -> None:
    text = html("signed_off")
    for kind, sign in (("pass", "✓"), ("fail", "✕"), ("idle", "\N{EN DASH}"), ("unknown", "?")):
        assert f'<b class="{kind}">{sign}</b>' in text


def test_outside_text_is_never_markup_in_html() -> None:
    text = render_html(build(hostile()))
    page = Page(text)
    assert not page.all("script")
    assert not page.all("img")
    assert "{{7*7}}" in text
    assert all("onerror" not in attributes for _, attributes in page.tags)


def test_outside_text_is_never_markup_in_markdown() -> None:
    text = render_markdown(build(hostile()))
    outside_code = re.sub(r"(`{3,})[^\n]*\n.*?\n\1|(`+).*?\2", "", text, flags=re.DOTALL)
    assert "<script>" not in outside_code.replace("\\<", "")
    assert "\n# h" not in outside_code
    rows = [line for line in text.splitlines() if line.startswith("| Service |")]
    assert len(rows) == 1
    assert len(re.findall(r"(?<!\\)\|", rows[0])) == 3


def test_control_characters_do_not_reach_the_page() -> None:
    whole = scene("undecided")
    odd = replace(whole, rollout=replace(whole.rollout, text="a\x00b\x1bc"))
    assert "abc" in render_html(build(odd))


def test_long_tables_are_cut_in_print_only_and_say_so() -> None:
    text = html("signed_off")
    waits = len(build(scene("signed_off"))["waits"])
    assert text.count("<td>waited</td>") + text.count("<td>held</td>") == waits
    assert re.search(r'<tr class="print-only"><td colspan="6">… and \d+\Wshorter waits more', text)


def test_a_compressed_timetable_is_not_called_hours() -> None:
    whole = scene("undecided")
    quick = replace(whole, rollout=replace(whole.rollout, window=WindowRule(slices=12, slice=5)))
    text = render_html(build(quick))
    assert "12 good slices of 5\N{NO-BREAK SPACE}s in a row" in text


def test_markdown_has_the_verdict_the_strip_and_the_queries() -> None:
    text = render_markdown(build(scene("signed_off")))
    assert text.startswith("# SIGNED OFF on 5 of 7: checkout 2.14.0 kept its SLOs")
    assert "Mon 23 Nov  ✓✓✓" in text
    assert '```promql\n# bad\nsum(increase(http_requests_total{job="checkout",code=~"5.."}[300s]))' in text
    assert "\n\n\n" not in text


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (lambda: share(0.00041), "0.041 %"),
        (lambda: share(0.99987), "99.987 %"),
        (lambda: share(0.9999999), "99.99999 %"),
        (lambda: share(1.0), "100 %"),
        (lambda: share(0.0010000004, 0.001), "0.10000004 %"),
        (lambda: share(0.95004, 0.95), "95.004 %"),
        (lambda: number(0.20000001, 0.2), "0.20000001"),
        (lambda: number(4837633.0), "4,837,633"),
        (lambda: number(-2.5), "\N{MINUS SIGN}2.5"),
        (lambda: lasted(41.2), "41 s"),
        (lambda: lasted(1.5), "1.5 s"),
        (lambda: lasted(3600), "1 h"),
        (lambda: lasted(9 * 86400 + 7300), "9 d 2 h"),
        (lambda: lasted(3605), "1 h"),
    ],
)
def test_numbers_are_never_rounded_onto_the_limit(said: Callable[[], str], expected: str) -> None:
    assert said().replace("\N{NO-BREAK SPACE}", " ") == expected
