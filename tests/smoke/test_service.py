"""Area service: the demo's shop, end to end. For a service of your own, write this file anew; it is left out without
--service.
"""

from __future__ import annotations

import pytest

from .asking import Site, agree

pytestmark = pytest.mark.smoke

FLAG = "new-checkout"
USERS = 20


@pytest.mark.critical
def test_the_shop_is_alive(service: Site) -> None:
    service.get("/healthz")


def test_the_shop_exports_what_its_objectives_ask_for(service: Site) -> None:
    series = list(service.samples())
    wanted = {
        "http_requests_total": 'code="',
        "http_request_duration_seconds_bucket": 'le="0.2"',
    }
    missing = {name: label for name, label in wanted.items() if not any(_is(one, name, label) for one in series)}
    assert not missing, f"{service.url}/metrics lacks {missing}"


def _is(series: str, name: str, label: str) -> bool:
    return series.startswith(f"{name}{{") and label in series


@pytest.mark.critical
def test_the_shop_serves_each_user_as_the_flag_says(service: Site, readers: Site) -> None:
    """From the record through the flag to the answer: what the watchdog steers is what a user gets."""

    def steered() -> dict[str, str | None]:
        asked = {
            f"smoke-{number}": readers.ask(
                "POST", f"/ofrep/v1/evaluate/flags/{FLAG}", json={"context": {"targetingKey": f"smoke-{number}"}}
            )
            for number in range(USERS)
        }
        return {user: readers.parsed(readers.expect(answer, 200))["variant"] for user, answer in asked.items()}

    def served() -> dict[str, str | None]:
        users = (f"smoke-{number}" for number in range(USERS))
        return {
            user: service.ask("GET", "/checkout", headers={"X-User": user}).headers.get("X-Variant") for user in users
        }

    agree(steered, served, "who has the feature (if all differ: is flags.bucketing that of the shop's provider?)")
