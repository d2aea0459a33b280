"""The figures of a run: counts, gaps and the window, as `replay --json` shows them."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.rollouts import HOUR, NOON, event, passed, rollout, unknown, value
from watchdog.figures import Tally, figures, window_figures
from watchdog.model import Breach, Evaluation, Exposure, Phase, Reason, Transition
from watchdog.window import Reset, Window

RULE = rollout(event(), value())


def told(found: list[tuple[int, dict[str, Evaluation]]]) -> Tally:
    tally = Tally(RULE)
    for at, evaluations in found:
        tally.add(at, evaluations)
    return tally


def test_verdicts_are_counted_by_objective_with_the_reasons_of_the_unknown_ones() -> None:
    tally = told(
        [
            (NOON + 30, {"error_rate": passed(NOON + 30)}),
            (NOON + 60, {"error_rate": unknown(NOON + 60, Reason.LOW_TRAFFIC)}),
            (NOON + 90, {"error_rate": unknown(NOON + 90), "latency_p95": passed(NOON + 90)}),
        ]
    )
    assert tally.slots == 3
    assert tally.evaluations() == {
        "error_rate": {"pass": 1, "fail": 0, "unknown": 2, "reasons": {"low_traffic": 1, "no_data": 1}},
        "latency_p95": {"pass": 1, "fail": 0, "unknown": 0, "reasons": {}},
    }


def test_a_gap_is_a_run_of_slots_with_one_reason_in_any_objective() -> None:
    def slot(index: int, a: Reason | None, b: Reason | None = None) -> tuple[int, dict[str, Evaluation]]:
        at = NOON + 30 * index
        return at, {
            name: unknown(at, reason) if reason else passed(at)
            for name, reason in (("error_rate", a), ("latency_p95", b))
        }

    no_data, partial, quiet = Reason.NO_DATA, Reason.PARTIAL, Reason.LOW_TRAFFIC
    tally = told(
        [
            slot(1, None),
            slot(2, no_data),
            slot(3, no_data, partial),
            slot(4, None, no_data),
            slot(5, None),
            slot(6, quiet),  # somebody looked
            slot(7, no_data),
        ]
    )
    assert tally.all_gaps() == [
        (NOON + 60, NOON + 120, "no_data"),
        (NOON + 90, NOON + 90, "partial"),
        (NOON + 210, NOON + 210, "no_data"),
    ]


@given(st.lists(st.lists(st.sampled_from([None, Reason.NO_DATA, Reason.PARTIAL]), min_size=2, max_size=2), max_size=40))
def test_gaps_are_maximal_and_hold_every_unmeasured_slot(found: list[list[Reason | None]]) -> None:
    names = ("error_rate", "latency_p95")
    slots = [
        (NOON + 30 * k, {n: unknown(NOON, r) if r else passed(NOON) for n, r in zip(names, reasons, strict=True)})
        for k, reasons in enumerate(found)
    ]
    gaps = told(slots).all_gaps()
    for reason in (Reason.NO_DATA, Reason.PARTIAL):
        mine = sorted((first, last) for first, last, why in gaps if why == reason)
        covered = {at for first, last in mine for at in range(first, last + 1, 30)}
        assert covered == {NOON + 30 * k for k, reasons in enumerate(found) if reason in reasons}
        assert all(later[0] - earlier[1] > 30 for earlier, later in pairwise(mine))


def test_the_window_as_the_contract_words_it() -> None:
    interim = Window(48, 12, 31, None, 2, 7, NOON, (Reset(NOON + HOUR, "error_rate", "0.2% bad"),))
    assert window_figures(RULE, interim, Window(48, 3), None) == {
        "required": 48,
        "current": 12,
        "longest": 31,
        "completed_at": None,
        "idle": 2,
        "unknown_s": 210,
        "resets": [{"at": "2023-11-15T13:00:00Z", "objective": "error_rate", "why": "0.2% bad"}],
        "final": {"current": 3, "completed_at": None},
    }


def test_a_final_sign_off_stays_in_the_figures_whatever_the_window_does_later() -> None:
    assert window_figures(RULE, Window(48), Window(48, 0), NOON)["final"] == {
        "current": 0,
        "completed_at": "2023-11-15T12:00:00Z",
    }


def test_the_figures_have_every_field_of_the_contract() -> None:
    made = figures(
        RULE,
        (NOON, NOON + HOUR),
        Phase.ROLLED_BACK,
        told([(NOON + 30, {"error_rate": unknown(NOON + 30)})]),
        window_figures(RULE, Window(48), Window(48), None),
        breaches=[Breach("error_rate", NOON + 60, "sequential", 500.0, 400.0, why="1% bad")],
        exposure=[(NOON, Exposure(0.0)), (NOON + 30, Exposure(25.0))],
        transitions=[
            Transition(NOON + 30.0, "step", Phase.RAMPING, Phase.RAMPING, "exposure from 0% to 25%"),
            Transition(NOON + 60.0, "rollback", Phase.RAMPING, Phase.ROLLING_BACK, "1% bad"),
        ],
    )
    contract = "rollout from to interval_s phase slots evaluations breaches window gaps exposure transitions"
    assert set(contract.split()) <= set(made)
    assert made["from"] == "2023-11-15T12:00:00Z"
    assert made["breaches"] == [{"objective": "error_rate", "at": "2023-11-15T12:01:00Z", "why": "1% bad"}]
    assert made["gaps"] == [{"from": "2023-11-15T12:00:30Z", "to": "2023-11-15T12:00:30Z", "reason": "no_data"}]
    (change,) = made["transitions"]  # type: ignore[misc]
    assert {key: change[key] for key in ("at", "from", "to", "why")} == {  # type: ignore[has-type]
        "at": "2023-11-15T12:01:00Z",
        "from": "ramping",
        "to": "rolling_back",
        "why": "1% bad",
    }
    assert [point["percent"] for point in made["exposure"]] == [0.0, 25.0]  # type: ignore[attr-defined]
