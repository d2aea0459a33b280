"""What a process may do under a lease: only while the ledger says the same, whatever clocks and networks do."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from watchdog.lease.model import FRESH, RENEW, SURE, Grip, Hold, granted, length

LASTS = 20.0


@dataclass
class Row:
    """The lease as the database has it, by the database's clock: what the ledger's statements do, in Python."""

    holder: str = ""
    token: int = 0
    expires_at: float = 0.0

    def take(self, holder: str, now: float) -> int | None:
        if self.expires_at > now:
            return None
        self.holder, self.token, self.expires_at = holder, self.token + 1, now + LASTS
        return self.token

    def keep(self, holder: str, now: float) -> int | None:
        if self.holder != holder:
            return None
        self.expires_at = now + LASTS
        return self.token


@dataclass
class Contender:
    """A process whose clock runs a little wrong from an instant of its own, and whose questions take their time."""

    name: str
    offset: float
    rate: float
    hold: Hold | None = None
    acted_under: list[int] = field(default_factory=list)

    def clock(self, now: float) -> float:
        return self.offset + self.rate * now

    def asks(self, row: Row, asked_at: float, arrived_at: float, *, answered: bool, now: float) -> None:
        """A question that was asked, that arrived, and whose answer may be lost; it is `now` when that is known."""
        mine = self.hold
        token = row.take(self.name, arrived_at) if mine is None else row.keep(self.name, arrived_at)
        if not answered:
            self.hold = mine.unanswered(self.clock(now)) if mine is not None else None
        elif mine is None:
            self.hold = granted(token, LASTS, self.clock(asked_at)) if token is not None else None
        else:
            self.hold = mine.kept(self.clock(asked_at)) if token == mine.token else None


def admits(row: Row, hold: Hold, holder: str, now: float) -> bool:
    """What the ledger says of a record."""
    return (row.holder, row.token) == (holder, hold.token) and row.expires_at > now


EVENT = st.tuples(
    st.integers(0, 1),  # who
    st.floats(0, 30),  # how long nothing happens before: the process may be stopped meanwhile
    st.floats(0, 8),  # how long the question takes
    st.floats(0, 8),  # and how long the answer
    st.booleans(),  # whether it comes
)
CLOCK = st.tuples(st.floats(-1e6, 1e6), st.floats(0.97, 1.03))


@settings(max_examples=300, deadline=None)
@given(st.tuples(CLOCK, CLOCK), st.lists(EVENT, max_size=40))
def test_whoever_may_do_everything_is_the_one_whose_records_the_ledger_takes(
    clocks: tuple[tuple[float, float], tuple[float, float]], events: list[tuple[int, float, float, float, bool]]
) -> None:
    row, now = Row(), 1000.0
    pair = [Contender(name, *clock) for name, clock in zip("ab", clocks, strict=True)]
    tokens: list[int] = []

    def look() -> None:
        may = [one for one in pair if one.hold is not None and one.hold.grip(one.clock(now)) is Grip.ALL]
        assert len(may) <= 1
        for one in may:
            assert one.hold is not None
            assert admits(row, one.hold, one.name, now)
            tokens.append(one.hold.token)

    for who, pause, there, back, answered in events:
        now += pause
        look()
        arrived, ended = now + there, now + there + back
        pair[who].asks(row, now, arrived, answered=answered, now=ended)
        now = ended
        look()
    assert tokens == sorted(tokens), "a token that was overtaken never comes back"


def test_a_lease_that_is_over_allows_nothing_and_without_a_ledger_only_to_lower() -> None:
    hold = granted(3, LASTS, 100.0)
    over = 100.0 + LASTS * SURE
    assert [hold.grip(at) for at in (100.0, over - 0.001, over, over + 1e6)] == [
        Grip.ALL,
        Grip.ALL,
        Grip.NONE,
        Grip.NONE,
    ]
    cut = hold.unanswered(over + 1)
    assert cut.grip(over - 1) is Grip.ALL, "it is known to be held"
    assert cut.grip(over + 1) is Grip.LOWER
    assert cut.grip(over + 1 + FRESH) is Grip.NONE, "the ledger may answer by now: ask it"
    assert cut.kept(over + 5).grip(over + 6) is Grip.ALL


def test_it_is_prolonged_in_time_and_never_shortened() -> None:
    hold = granted(1, LASTS, 100.0)
    assert not hold.due(100.0 + LASTS * RENEW - 0.001)
    assert hold.due(100.0 + LASTS * RENEW + 0.001)
    assert hold.kept(90.0).until == hold.until


def test_a_lease_is_never_longer_than_an_interval() -> None:
    assert [length(20, interval) for interval in (5, 20, 30)] == [5, 20, 20]
