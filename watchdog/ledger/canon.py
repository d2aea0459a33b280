"""The canonical form of the ledger's rows: what is sealed, exported and put into evidence is written like this.

A canonical row is a dict of JSON values in the order of its shape's columns: codes as their words, sentences in full,
floats as they are stored, instants as whole seconds where the column has whole ones. Its line is the JSON array
`[table, value, value, ...]` of its sealed columns. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from watchdog.ledger.codes import REASONS, VERDICTS, Figures

_VERDICT = {code: verdict.value for verdict, code in VERDICTS.items()}
_REASON: dict[int | None, str | None] = {None: None, **{code: reason.value for reason, code in REASONS.items()}}


def _strange(found: Any) -> str:
    """A value of a type that no row of ours has (somebody put bytes into a text column, for one)."""
    return f"{type(found).__name__}: {found!r}"


encode: Callable[[Any], str] = json.JSONEncoder(separators=(",", ":"), check_circular=False, default=_strange).encode
"""JSON on one line, in ASCII, floats in the shortest form that reads back to the same bits."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One table's canonical rows.

    `rank` orders the tables within a seal and is written in the ledger: new tables get the next one. `kinds` has a
    letter a column: s text, i whole number, f number, b truth. Of the columns, the first `sealed` are facts for good;
    the others change later, each time with an event in a seal. `key` are the columns that order rows.
    """

    name: str
    rank: int
    columns: tuple[str, ...]
    kinds: str
    sealed: int
    key: tuple[str, ...]
    dense: bool = False
    """A measurement: much, and the only kind that may be pruned."""
    own: bool = False
    """It belongs to no rollout: sealed in the ledger's own chain, number 0."""


def _shape(
    name: str, rank: int, sealed: str, changing: str = "", *, key: str = "id", dense: bool = False, own: bool = False
) -> Shape:
    words = [word.partition(":") for word in f"{sealed} {changing}".split()]
    columns, kinds = tuple(word[0] for word in words), "".join(word[2] or "s" for word in words)
    return Shape(name, rank, columns, kinds, len(sealed.split()), tuple(key.split()), dense, own)


_ANSWER = "reason value:f bad:f total:f detail silent:b"
_AT = "at:i objective revision:i"
_KEY = "at objective revision"
_EXPOSURE = "percent:f cohort:b audiences"

SHAPES: Mapping[str, Shape] = MappingProxyType(
    {
        shape.name: shape
        for shape in (
            _shape(
                "rollouts",
                1,
                "id:i name service version flag mode text sha256 resolved file engine created_at:f",
            ),
            _shape("objectives", 2, "objective:i name", key="objective"),
            _shape("evaluations", 3, f"{_AT} verdict {_ANSWER}", key=_KEY, dense=True),
            _shape("controls", 4, f"{_AT} verdict {_ANSWER}", key=_KEY, dense=True),
            _shape("steps", 5, f"{_AT} {_ANSWER}", key=_KEY, dense=True),
            _shape("slice_measurements", 6, f"{_AT} {_ANSWER}", key=_KEY, dense=True),
            _shape("slices", 7, "at:i revision:i verdict body", key="at revision"),
            _shape("transitions", 8, "id:i at:f kind source target why by objective"),
            _shape(
                "breaches",
                9,
                "objective at:i detector statistic:f threshold:f bad:f total:f value:f why detected_at:f late:b",
                "closed_at:i unconfirmed:b",
                key="objective at",
            ),
            _shape("exposures", 10, f"id:i at:f kind {_EXPOSURE}"),
            _shape("readings", 11, f"id:i at:f {_EXPOSURE} version latch error"),
            _shape("notifications", 12, "id:i key kind severity summary details at:f"),
            _shape("commands", 13, "id:i verb by reason at:f", "outcome"),
            _shape("reports", 14, "id:i at:f kind format path sha256"),
            _shape("waivers", 15, "id:i name by why at:f until:f"),
            _shape("deployments", 16, "id:i at:f by body sha256"),
            _shape("prunings", 17, "id:i at:f by why through:i rows:i sha256"),
            _shape("preflights", 18, "id:i at:f finished_at:f by passed:b score:i body sha256", own=True),
            _shape(
                "preflight_verdicts",
                19,
                "preflight:i rollout rule waived:i failed:i score:i",
                key="preflight rollout",
                own=True,
            ),
            _shape(
                "drills",
                20,
                "id:i at:f service flag reader by why runs:i within:f",
                "finished_at:f passed:b worst:f report",
                own=True,
            ),
            _shape("causes", 22, "id:i at:f objective breach_at:i kind body"),
            _shape("alert_labels", 21, "id:i episode:i notification:i label by why at:f happened_at:f", own=True),
        )
    }
)
"""Every table whose rows are sealed. A released shape is never changed: its lines are hashed in every ledger."""

NAMES: Mapping[int, str] = MappingProxyType({shape.rank: shape.name for shape in SHAPES.values()})


def answer(
    dense: bool,  # noqa: FBT001 - whether there is a verdict: the tables of evaluations have one
    at: int,
    name: str,
    revision: int,
    figures: Figures,
    texts: Mapping[int | None, str],
) -> list[Any]:
    """The values of a measurement's canonical row; `figures` as `codes` gives them."""
    verdict = [_VERDICT[figures[0]]] if dense else []
    reason, value, bad, total, detail, silent = figures[-6:]
    return [at, name, revision, *verdict, _REASON[reason], value, bad, total, texts[detail], bool(silent)]


def values(shape: Shape, row: Mapping[str, Any]) -> list[Any]:
    """The values of any other row, as it was read or is about to be written."""
    return [_value(kind, row[column]) for column, kind in zip(shape.columns, shape.kinds, strict=True)]


def line(shape: Shape, found: Sequence[Any]) -> bytes:
    """The line of a canonical row's values; those that may change later are not in it."""
    return encode([shape.name, *found[: shape.sealed]]).encode("ascii")


def _value(kind: str, found: Any) -> Any:
    if found is None:
        return None
    try:
        if kind == "f":
            return float(found) + 0.0  # no database is trusted to keep the sign of a zero
        if kind == "b":
            return bool(found)
        return int(found) if kind == "i" else str(found)
    except (TypeError, ValueError):
        return _strange(found)
