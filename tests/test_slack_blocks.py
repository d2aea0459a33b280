"""What Slack's readers see: nothing of a message is lost, nothing foreign becomes markup, nothing is too long."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.channels import HOSTILE, NOON, ROLLOUT, record, told
from tests.slackcontract import Refused, check_message, markup, texts, units
from tests.slacking import moved
from watchdog.messages import Link
from watchdog.model import Severity
from watchdog.notifiers.slack_blocks import Form, announcement, reply, stamped, standing
from watchdog.notifiers.slack_text import cut, defused, link, tame

INJECTIONS = [
    "<!channel> <!here> <@U012AB3CD> <#C123|general> <https://evil.example|your bank>",
    "*bold* _italic_ ~struck~ `code` ```block``` :fire: > quoted",
    "&lt;!channel&gt; &amp;",
    "a|b>c<d",
    HOSTILE,
]
DASH, CROSS = "\N{EN DASH}", "\N{MULTIPLICATION SIGN}"
ANYTHING = st.text(st.characters(codec=None), max_size=80) | st.sampled_from(INJECTIONS)


def check(form: Form) -> None:
    check_message({"text": form.text, "blocks": list(form.blocks)})
    check_message({"text": form.plain.text})


def words(form: Form) -> str:
    return "\n".join(text for block in form.blocks for text in texts(block))


# --- a message ----------------------------------------------------------------------------------------------------


def test_a_reply_says_everything_that_the_message_says() -> None:
    form = reply(told(earlier=("an older one",)))
    check(form)
    shown = words(form)
    message = told()
    said = (message.summary, message.done, message.todo, "an older one", ROLLOUT, "checkout 2.14.0", "new-checkout")
    for text in (*said, "CRITICAL", "2027-01-15 08:00 UTC"):
        assert text in shown
        assert text in form.text
    for name, value in message.facts:
        assert f"{name}: {value}" in form.text
        assert name in shown
        assert value in shown
    for each in message.links:
        assert each.url in shown
        assert each.url in form.text


def test_how_loud_it_is_stands_in_words() -> None:
    assert reply(told()).blocks[0]["type"] == "header"
    assert words(reply(told())).startswith("CRITICAL: ")
    assert words(reply(record())).startswith("Warning: ")
    quiet = reply(record(severity=Severity.INFO))
    assert words(quiet).startswith(record().summary)
    assert quiet.blocks[0]["type"] == "section"


def test_a_long_summary_is_a_paragraph_and_no_header() -> None:
    form = reply(told(summary="x" * 200))
    assert form.blocks[0]["type"] == "section"
    assert "x" * 200 in words(form)


def test_an_empty_message_is_one_too() -> None:
    check(reply(told(summary="", done="", todo="", facts=(("", ""),), links=(), service="", version="", flag="")))


def test_what_is_too_long_says_how_much_is_left_out() -> None:
    facts = tuple((f"fact {number}", "v" * 5000) for number in range(100))
    links = tuple(Link(f"link {number}", f"https://x.example/{'y' * 500}") for number in range(30))
    long = told(summary="s" * 100_000, done="d" * 100_000, todo="t" * 100_000, facts=facts, links=links)
    form = reply(replace(long, earlier=tuple("e" * 3000 for _ in range(50))), "n" * 100_000)
    check(form)
    shown = words(form)
    assert re.search(r"(?m)^CRITICAL: s+… \([\d,]+ more characters\)$", shown)
    assert re.search(r"\d+ further facts are left out", shown)
    assert "40 older ones are left out" in shown


@pytest.mark.parametrize("hostile", INJECTIONS)
def test_foreign_text_is_never_markup(hostile: str) -> None:
    message = told(summary=hostile, done=hostile, todo=hostile, rollout=hostile, flag=hostile, earlier=(hostile,))
    message = replace(message, facts=((hostile, hostile), ("label", hostile)), links=())
    form = reply(message, hostile)
    check(form)
    assert not [text for block in form.blocks for text in markup(block)]
    assert not re.search(r"[<>*~`]", form.text)
    assert not re.search(r":[\w+'-]+:", form.text)


def test_a_tame_fact_has_a_bold_name_and_others_have_not() -> None:
    form = reply(told(facts=(("Value", "2.1 % at 10:00"), ("Query", "rate(x[5m]) * 2"))))
    (section,) = [block for block in form.blocks if "fields" in block]
    bold, plain = section["fields"]
    assert bold == {"type": "mrkdwn", "text": "*Value*\n2.1 % at 10:00", "verbatim": True}
    assert plain == {"type": "plain_text", "text": "Query\nrate(x[5m]) * 2", "emoji": False}


def test_links_lead_where_they_say_and_nowhere_else() -> None:
    assert link("status", "https://w.example/a?b=1&c=2#d") == "<https://w.example/a?b=1&amp;c=2#d|status>"
    assert link("a|b>c", "https://w.example/x|y>z") == "<https://w.example/x%7Cy%3Ez|a/b&gt;c>"
    assert link("", "https://w.example/ü ") == "<https://w.example/%C3%BC|link>"
    for bad in ("javascript:alert(1)", "https:///x", "!channel", "", "https://x.example/" + "y" * 2000):
        assert not link("x", bad)


@settings(deadline=None, max_examples=60)
@given(st.builds(dict, summary=ANYTHING, done=ANYTHING, todo=ANYTHING, rollout=ANYTHING, flag=ANYTHING))
def test_any_text_makes_a_message_that_slack_takes(given_texts: dict[str, Any]) -> None:
    facts = ((given_texts["summary"], given_texts["done"]),) * 30
    links = (Link(given_texts["flag"], f"https://x.example/{given_texts['todo']}"),)
    form = reply(told(**given_texts, facts=facts, links=links), given_texts["done"])
    check(form)
    check(form.with_note(given_texts["summary"] * 100))
    check(announcement(told(**given_texts)))


# --- the state ----------------------------------------------------------------------------------------------------


def test_the_state_says_everything_that_the_view_says() -> None:
    view = moved(hold="by a person: look first", waiting=("step 3 until 10:00",), open=(told(),), links=told().links)
    view = replace(view, actual="10%", verdicts=(("a", "pass", "good"), ("b", "fail", "bad"), ("c", "", "")))
    form = standing(view)
    check(form)
    shown = words(form)
    for text in (
        f"{ROLLOUT}: raising exposure step by step",
        "25% asked for, the flag reads 10%",
        "2 of 48 good slices in a row",
        "by a person: look first",
        "step 3 until 10:00",
        told().summary,
        "a: pass. good",
        "b: fail. bad",
        "c: not judged yet",
    ):
        assert text in shown
        assert text in form.text
    assert shown.index("b: fail") < shown.index("a: pass")
    assert told().links[0].url in shown


def test_the_strip_says_in_words_what_it_shows_in_signs() -> None:
    strip = ("unknown", *("pass",) * 58, "idle", "fail")
    form = standing(moved(strip=strip))
    shown = words(form)
    assert f"Last 48 slices, the newest at the end: 46 pass (✓), 1 idle ({DASH}), 1 fail ({CROSS})" in shown
    assert f"{'✓' * 12} {'✓' * 12} {'✓' * 12} {'✓' * 10}{DASH}{CROSS}" in shown
    assert "46 pass (✓)" in form.text
    assert "✓✓" not in form.text  # a screen reader would read every sign


def test_the_same_state_is_the_same_form_whenever_it_is_looked_at() -> None:
    assert standing(moved()).digest == standing(moved(at=NOON + 3600)).digest
    assert standing(moved()).digest != standing(moved(current=3)).digest
    assert standing(moved()).digest != standing(moved(strip=("fail",))).digest
    check(stamped(standing(moved()), NOON))
    assert "Changed 2027-01-15 08:00 UTC" in words(stamped(standing(moved()), NOON))


def test_a_state_with_a_hundred_objectives_is_cut_and_shows_the_bad_ones() -> None:
    verdicts = tuple((f"objective_{number}", "pass", "good " * 40) for number in range(99))
    form = standing(moved(verdicts=(*verdicts, ("the_bad_one", "fail", "bad")), hold="h" * 100_000))
    check(form)
    assert "the_bad_one: fail" in words(form)


def test_nothing_known_yet_is_a_state() -> None:
    form = standing(moved(desired="", actual="", required=0, strip=(), verdicts=(), phase="something_new"))
    check(form)
    assert "something_new" in words(form)


# --- text ---------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.text(st.characters(codec=None) | st.sampled_from("é\u0301👩\u200d💻️"), max_size=300), st.integers(40, 200))
def test_a_cut_text_fits_and_is_a_beginning(text: str, limit: int) -> None:
    short = cut(text, limit)
    assert units(short) <= limit
    if short != text:
        head, _, rest = short.rpartition("…")
        left = re.fullmatch(r" \(([\d,]+) more characters\)", rest)
        assert left is not None
        kept = len(text) - int(left[1].replace(",", ""))
        assert text[:kept].rstrip() == head


def test_an_emoji_is_not_torn_apart() -> None:
    assert cut("x" * 14 + "👩\u200d💻" + "y" * 90, 40).startswith("x" * 14 + "…")


@pytest.mark.parametrize("text", ["error_rate at 2.1 % (10:00)", "+5, -3 = x/y", "Grüße 日本語"])
def test_tame_text_is_left_as_it_is(text: str) -> None:
    assert tame(text)
    assert defused(text) == text


@pytest.mark.parametrize(
    "text", ["*a*", "_a_", "a_ b", "`a`", "~a~", "<a>", "a & b", ":fire:", "a\nb", "#x", "@x", "a|b"]
)
def test_everything_else_is_not_tame(text: str) -> None:
    assert not tame(text)


def test_the_contract_of_these_tests_refuses_what_slack_refuses() -> None:
    plain = {"type": "plain_text", "text": "x"}
    for bad in (
        {"type": "header", "text": {"type": "plain_text", "text": "x" * 151}},
        {"type": "header", "text": {"type": "mrkdwn", "text": "x"}},
        {"type": "section", "text": {"type": "plain_text", "text": ""}},
        {"type": "section", "text": {"type": "plain_text", "text": "\ud800"}},
        {"type": "section", "fields": [plain] * 11},
        {"type": "section", "text": {"type": "mrkdwn", "text": "<!channel>"}},
        {"type": "nonsense"},
    ):
        with pytest.raises(Refused):
            check_message({"text": "x", "blocks": [bad]})
    for body in ({"text": ""}, {"text": "x" * 4001}, {"text": "<!channel>"}, {"text": "a & b"}):
        with pytest.raises(Refused):
            check_message(body)
    with pytest.raises(Refused):
        check_message({"text": "x", "blocks": [{"type": "section", "text": plain}] * 51})
