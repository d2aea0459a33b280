"""Area serving: applications get the flags that the record has, by OFREP and by flagd's sync.

Where the flags are in a service of their own (Unleash, LaunchDarkly, a webhook) nothing is served: --without serving.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from .asking import Site, agree, labelled

pytestmark = pytest.mark.smoke

OFREP = "/ofrep/v1/evaluate/flags"
USERS = 60
"""Callers that are asked about: always the same ones, so that their share is the same at each run."""
TOLERANCE = 30.0
"""Percent by which the share of so few may differ from that of all: one flag of 25,000 has a larger difference."""
STALE = 60.0
"""Seconds for which a document may be unreadable: docs/flags/serving.md."""


def context(user: str) -> dict[str, Any]:
    return {"context": {"targetingKey": user}}


def everything(readers: Site, user: str) -> dict[str, dict[str, Any]]:
    """All flags for one caller, by key."""
    answer = readers.expect(readers.ask("POST", OFREP, json=context(user)), 200)
    return {one["key"]: one for one in readers.parsed(answer)["flags"]}


def served(target: Site) -> list[dict[str, Any]]:
    """The flags on record that are served here: those of other services have their own ways to their readers."""
    found = target.json("/api/v1/flags")["flags"]
    return [one for one in found if one["service"] in ("flags", "emergency")]


def sets(target: Site) -> list[str]:
    """The names of the flag sets."""
    labels = labelled(target.samples(), "slo_watchdog_flags_stale_seconds")
    return [found[1] for found in (re.search('set="(.*)"', each) for each in labels) if found]


@pytest.mark.critical
def test_callers_get_every_flag_that_is_steered(target: Site, readers: Site) -> None:
    told = everything(readers, "smoke-1")
    assert {one["flag"] for one in served(target)} <= told.keys()
    assert not {key: one["errorCode"] for key, one in told.items() if "errorCode" in one}


@pytest.mark.critical
def test_the_share_of_callers_is_the_one_on_record(target: Site, readers: Site) -> None:
    """Nobody at 0 %, everybody at 100 %, in between about as many as are due."""
    flags = [one["flag"] for one in served(target) if not one["cohort"] and not one["audiences"]]

    def recorded() -> dict[str, float]:
        return {flag: float(target.json(f"/api/v1/flags/{flag}")["percent"]) for flag in flags}

    def wrong() -> dict[str, str]:
        before, told, after = recorded(), [everything(readers, f"smoke-{n}") for n in range(USERS)], recorded()
        share = {flag: 100 * sum(one[flag]["value"] is True for one in told) / USERS for flag in flags}
        return {
            flag: f"{percent:g} % on record, {share[flag]:g} % of {USERS} callers"
            for flag, percent in after.items()
            if percent == before[flag] and abs(share[flag] - percent) > (0 if percent in (0, 100) else TOLERANCE)
        }

    agree(wrong, dict, "flags that callers get otherwise than they are on record")


def test_one_flag_and_all_flags_say_the_same(readers: Site) -> None:
    def bulk() -> dict[str, dict[str, Any]]:
        return everything(readers, "smoke-1")

    def single() -> dict[str, dict[str, Any]]:
        asked = (readers.ask("POST", f"{OFREP}/{key}", json=context("smoke-1")) for key in bulk())
        return {told["key"]: told for told in (readers.parsed(readers.expect(each, 200)) for each in asked)}

    agree(bulk, single, "the flags of one caller")


def test_who_has_the_newest_flags_gets_an_empty_answer(readers: Site) -> None:
    def again() -> int:
        tag = readers.expect(readers.ask("POST", OFREP, json=context("smoke-1")), 200).headers["ETag"]
        answer = readers.ask("POST", OFREP, json=context("smoke-1"), headers={"If-None-Match": tag})
        return readers.expect(answer, 200, 304).status_code

    agree(again, lambda: 304, "the status for who has the newest")


def test_flagd_is_given_the_same_flags(target: Site, readers: Site) -> None:
    names = sets(target)
    assert names, "the daemon serves no flag set; leave this area out with --without serving"
    told = everything(readers, "smoke-1")
    for name in names:
        document = readers.json(f"/flagd/{name}.json")
        assert document["flags"].keys() <= told.keys()
        assert all(flag["variants"] for flag in document["flags"].values())


def test_an_unknown_flag_is_told_as_ofrep_wants_it(readers: Site) -> None:
    answer = readers.ask("POST", f"{OFREP}/smoke-test-of-nothing", json=context("smoke-1"))
    assert readers.parsed(readers.expect(answer, 404))["errorCode"] == "FLAG_NOT_FOUND"


@pytest.mark.critical
def test_the_document_can_be_read(target: Site) -> None:
    """While it cannot, callers get the last good one, and nobody hears of a kill."""
    stale = labelled(target.samples(), "slo_watchdog_flags_stale_seconds")
    assert max(stale.values(), default=0) < STALE, f"not readable for seconds: {stale}"
