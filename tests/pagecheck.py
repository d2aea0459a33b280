"""A page as a reader without a script, without a mouse or without eyes gets it, and what every page must keep."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise

import requests

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
DRAWING = {"path", "line", "circle", "rect"}
"""May close themselves within an SVG."""


@dataclass
class Form:
    """A form: where it goes, its fields with their values, and the words on its button."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)
    button: str = ""


class Page(HTMLParser):
    """What is in a page; reading it fails where its tags do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.source = text
        self.headings: list[tuple[int, str]] = []
        self.ids: list[str] = []
        self.links: dict[str, str] = {}
        self.forms: list[Form] = []
        self.labels: set[str] = set()
        self.unlabelled: list[str] = []
        self.inline: list[str] = []
        self.unscoped: list[str] = []
        self.landmarks: list[str] = []
        self._open: list[tuple[str, dict[str, str]]] = []
        self._words: list[str] = []
        self._heard: list[tuple[str, list[str]]] = []
        self.feed(text)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    @property
    def text(self) -> str:
        """All that is said, in one line."""
        return " ".join("".join(self._words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._look(tag, given)
        if tag not in VOID:
            self._open.append((tag, given))
        if tag in ("a", "button", "h1", "h2", "h3", "h4", "h5", "h6"):
            self._heard.append((tag, []))
        if tag in ("p", "li", "td", "th", "div", "dt", "dd", "section", "h1", "h2", "h3", "h4", "summary"):
            self._words.append(" ")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID | DRAWING, f"<{tag}/> is not closed by itself"
        self._look(tag, {name: value or "" for name, value in attrs})

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        last, given = self._open.pop()
        assert last == tag, f"</{tag}> closes <{last}>"
        if self._heard and self._heard[-1][0] == tag:
            said = " ".join("".join(self._heard.pop()[1]).split())
            if tag == "a" and "href" in given:
                self.links[said] = given["href"]
            elif tag == "button" and self.forms:
                self.forms[-1].button = said
            elif tag.startswith("h"):
                self.headings.append((int(tag[1]), said))
        if tag == "textarea" and self.forms and "name" in given:
            self.forms[-1].fields.setdefault(given["name"], "")

    def handle_data(self, data: str) -> None:
        if any(tag in ("script", "style", "title") for tag, _ in self._open):
            self.inline += [data] if self._open[-1][0] in ("script", "style") and data.strip() else []
            return
        self._words.append(data)
        for _, words in self._heard:
            words.append(data)
        tag, given = self._open[-1] if self._open else ("", {})
        if tag == "textarea" and self.forms:
            self.forms[-1].fields[given["name"]] = data

    def _look(self, tag: str, given: dict[str, str]) -> None:
        self.inline += [f"{name}={value}" for name, value in given.items() if name == "style" or name.startswith("on")]
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "form":
            self.forms.append(Form(given.get("action", "")))
        if tag == "label":
            self.labels.add(given.get("for", ""))
        if tag in ("input", "select", "textarea") and given.get("type") != "hidden":
            self.unlabelled.append(given.get("id", f"<{tag} name={given.get('name')}>"))
        if tag in ("input", "select") and self.forms and "name" in given:
            self.forms[-1].fields[given["name"]] = given.get("value", "")
        if tag == "option" and "selected" in given and self.forms:
            self.forms[-1].fields[next(reversed(self.forms[-1].fields))] = given["value"]
        if tag == "th" and given.get("scope") not in ("col", "row"):
            self.unscoped.append(str(given))
        if tag in ("main", "nav", "header", "footer"):
            self.landmarks.append(tag)

    def form(self, action: str) -> Form:
        """The one form that goes there."""
        (found,) = [one for one in self.forms if one.action.partition("?")[0] == action]
        return found


def page_of(answer: requests.Response) -> Page:
    """The page of an answer, which keeps what every page must keep."""
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8", answer.text[:300]
    page = Page(answer.text)
    assert page.inline == [], "nothing inline runs or shows under the policy"
    levels = [level for level, _ in page.headings]
    assert levels.count(1) == 1, f"one first heading: {page.headings}"
    steps = [later - earlier for earlier, later in pairwise(levels)]
    assert max(steps, default=0) <= 1, f"a heading is left out: {page.headings}"
    assert all(words for _, words in page.headings), f"an empty heading: {page.headings}"
    assert len(page.ids) == len(set(page.ids)), f"an id twice: {sorted(page.ids)}"
    assert set(page.unlabelled) <= page.labels, f"no label: {set(page.unlabelled) - page.labels}"
    assert page.unscoped == [], "a table's head says what it heads"
    assert {"main", "nav", "header", "footer"} <= set(page.landmarks)
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    named = re.findall(r'aria-(?:labelledby|describedby)="([^"]*)"', page.source)
    missing = {one for names in named for one in names.split()} - set(page.ids)
    assert not missing, f"names something that is not there: {missing}"
    return page
