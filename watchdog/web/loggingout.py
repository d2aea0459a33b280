"""Logouts at other processes that share our session key: heard of while the application serves, every few seconds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress

import structlog

from watchdog.access import Gate

LOOK = 2.0
"""Seconds between two looks: for so long a cookie that was logged out elsewhere may still be good here."""
FIRST = 5.0
"""Seconds that the start waits for the first look, so that a restart forgets no logout."""
log = structlog.get_logger()


@asynccontextmanager
async def hearing_of_logouts(gate: Gate) -> AsyncIterator[None]:
    """Look for as long as the block lasts; where nobody else believes our cookies there is nothing to look for."""
    if not gate.sessions.logouts.shared:
        yield
        return
    pool = ThreadPoolExecutor(1, "http-logouts")
    known = asyncio.Event()
    looking = asyncio.create_task(_look(gate, pool, known))
    looking.add_done_callback(_complain)
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST):
                await known.wait()
        yield
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        pool.shutdown(wait=False, cancel_futures=True)


async def _look(gate: Gate, pool: ThreadPoolExecutor, known: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    while True:
        await loop.run_in_executor(pool, gate.look)
        known.set()
        await asyncio.sleep(LOOK)


def _complain(looking: asyncio.Task[None]) -> None:
    """Say what ended the looks, an error of ours: a ledger that fails does not."""
    if not looking.cancelled() and (error := looking.exception()) is not None:
        log.error("logouts", why="no logout elsewhere is known here until a restart", exc_info=error)
