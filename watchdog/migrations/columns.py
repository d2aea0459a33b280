"""The kinds of columns that the schema is made of."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, ForeignKey, Integer, Text


def rollout_key() -> Column[int]:
    """The rollout that a row belongs to."""
    return Column("rollout", Integer, ForeignKey("rollouts.id"), nullable=False)


def row_id() -> Column[int]:
    """The row's number."""
    return Column("id", Integer, primary_key=True)


def text(name: str, *, null: bool = False) -> Column[str]:
    """Text."""
    return Column(name, Text, nullable=null)


def double(name: str, *, null: bool = False) -> Column[float]:
    """A number."""
    return Column(name, Double, nullable=null)


def instant(name: str, *, null: bool = False) -> Column[int]:
    """A grid instant or another whole number that the program gives."""
    return Column(name, BigInteger, nullable=null, autoincrement=False)


def code(name: str, *, null: bool = False) -> Column[int]:
    """A small whole number."""
    return Column(name, Integer, nullable=null, autoincrement=False)
