"""The checkout of the shop: old and new code, and the flag between them."""

from __future__ import annotations

import itertools
import random
import time
import zlib

from faults import FaultFile, drawn
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext

FLAG = "new-checkout"
SLOW_EVERY, SLOW, LOST_EVERY, FLAKY_EVERY = 100, 0.25, 5000, 200
"""Hiccups of a healthy service, old code and new: 1 % of checkouts are slow, 0.02 % fail, 0.5 % of tests are flaky.
They are counted out, not drawn: a healthy build is then healthy in each slice, however short."""
PRICES = {"tea": 450, "cup": 1290, "pot": 3900}
"""In cents."""


class Shop:
    """The checkout, old and new, and the flag between them."""

    def __init__(self, client: OpenFeatureClient, broken_share: float, faults: FaultFile, *, hiccups: bool) -> None:
        self._client = client
        self._broken_share = broken_share
        self._hiccups = hiccups
        self.faults = faults
        self._served, self._tested, self._numbers = itertools.count(1), itertools.count(1), itertools.count(1)
        self.ordered = 0

    def variant(self, user: str) -> str:
        """`on` when the flag gives this user the new code; `off` when it does not or cannot be read."""
        context = EvaluationContext(targeting_key=user)
        return "on" if self._client.get_boolean_value(FLAG, False, context) else "off"  # noqa: FBT003 - the SDK's order

    def checkout(self, user: str, variant: str) -> str:
        """Answer the receipt; LookupError when the new code does not know the account, OSError at a hiccup."""
        _work()
        number = next(self._served)
        faults = self.faults.now
        if (self._hiccups and number % SLOW_EVERY == 0) or drawn(number, faults.slow):
            time.sleep(SLOW)
        if (self._hiccups and number % LOST_EVERY == 0) or drawn(number, faults.errors):
            raise OSError("the payment provider did not answer")
        return self.new_receipt(self.region(user)) if variant == "on" else old_receipt()

    def region(self, user: str) -> str | None:
        """Look up where the account is; for the broken share it is not known, and always for the same users."""
        known = zlib.crc32(f"region:{user}".encode()) % 10_000 >= self._broken_share * 10_000
        return "eu" if known else None

    def new_receipt(self, region: str | None) -> str:
        """Add the region's tax line to the receipt, which is what an account without a region breaks."""
        if region is None:
            raise LookupError("this account has no region")
        return f"{old_receipt()}, tax included ({region})"

    def order(self) -> int:
        """Write an order down and answer its number."""
        self.ordered = next(self._numbers)
        return self.ordered

    def self_test(self) -> bool:
        """Run one test of the suite. Its made-up account has a region, which is how the defect got through."""
        number = next(self._tested)
        flaky = (self._hiccups and number % FLAKY_EVERY == 0) or drawn(number, self.faults.now.failing_tests)
        return self.new_receipt("eu").startswith(old_receipt()) and not flaky


def old_receipt() -> str:
    """Sum of the cart, as it always was."""
    return f"total {sum(PRICES.values()) / 100:.2f}"


def _work() -> None:
    """Stands for the database and the payment: 2 to 15 ms, rarely more."""
    time.sleep(min(0.06, random.lognormvariate(-5.4, 0.5)))
