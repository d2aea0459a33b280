"""How often somebody may be wrong: failed attempts are counted for each address, in a memory that is bounded."""

from __future__ import annotations

import ipaddress
import threading
from collections import OrderedDict
from collections.abc import Callable

BURST = 20
"""Failed attempts that are free."""
EVERY = 6.0
"""Seconds after which one more is."""
MOST = 4096
"""Addresses that are remembered; the one that failed longest ago is forgotten first."""


class Attempts:
    """Failures by address. `clock` is monotonic. Threads may share it."""

    def __init__(
        self, clock: Callable[[], float], *, burst: int = BURST, every: float = EVERY, most: int = MOST
    ) -> None:
        self._clock = clock
        self._burst, self._every, self._most = burst, every, most
        self._lock = threading.Lock()
        self._until: OrderedDict[str, float] = OrderedDict()

    def wait(self, address: str) -> float:
        """Seconds until this address may try again; 0: now."""
        with self._lock:
            until = self._until.get(network(address), 0.0)
        return max(0.0, until - self._clock() - (self._burst - 1) * self._every)

    def failed(self, address: str) -> None:
        """It tried, and was wrong."""
        now, key = self._clock(), network(address)
        with self._lock:
            self._until[key] = max(self._until.pop(key, 0.0), now) + self._every
            while len(self._until) > self._most:
                self._until.popitem(last=False)

    def __len__(self) -> int:
        return len(self._until)


def network(address: str) -> str:
    """What is counted as one: an IPv4 address, or the /64 that one IPv6 host usually has to itself."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((int(found), 64), strict=False))
