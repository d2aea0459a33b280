"""A server that does not answer: each statement is waited for a while and no longer.

The timeouts of the system take minutes when a network swallows what is sent, and a server that hangs keeps its
connections open. A rollback waits for neither.
"""

from __future__ import annotations

from typing import Any, TypeVar

import psycopg
from psycopg.pq import TransactionStatus

PATIENCE = 5.0
"""Seconds without a word from the server within one statement, after which its connection is given up."""
RV = TypeVar("RV")

KEEPALIVE = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 5000}
"""For connections that wait in the pool: a dead one is found before it is used."""


class PatientConnection(psycopg.Connection[Any]):
    """A connection whose server must answer."""

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """As psycopg's, for `PATIENCE` seconds at most; the connection is closed when they are over."""
        try:
            return super().wait(gen, interval, PATIENCE if timeout is None else timeout)
        except psycopg.OperationalError as error:
            if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise
            self.pgconn.finish()
            raise psycopg.OperationalError(f"the server has not answered for {PATIENCE:g} s") from error


def connect(*args: Any, **kwargs: Any) -> PatientConnection:
    """Open one, as `psycopg.connect` does."""
    return PatientConnection.connect(*args, **{**KEEPALIVE, **kwargs})
