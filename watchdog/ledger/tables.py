"""The names of tables and columns as the ledger's statements use them; types and keys are in `migrations.py`."""

from __future__ import annotations

from sqlalchemy import TableClause, column, table


def _table(name: str, columns: str) -> TableClause:
    return table(name, *(column(word) for word in columns.split()))


_FIGURES = "reason value bad total detail silent"

ROLLOUTS = _table("rollouts", "id name service version flag mode text sha256 resolved file engine created_at")
HEADS = _table("heads", "rollout revision phase started_at last_slot control")
OBJECTIVES = _table("objectives", "rollout objective name")
TEXTS = _table("texts", "id digest text")

EVALUATIONS = _table("evaluations", f"rollout at objective revision verdict {_FIGURES}")
CONTROLS = _table("controls", f"rollout at objective revision verdict {_FIGURES}")
STEPS = _table("steps", f"rollout at objective revision {_FIGURES}")
SLICE_MEASUREMENTS = _table("slice_measurements", f"rollout at objective revision {_FIGURES}")

SLICES = _table("slices", "rollout at revision verdict body")
CHECKPOINTS = _table("checkpoints", "rollout at body")
TRANSITIONS = _table("transitions", "id rollout at kind source target why by objective")
BREACHES = _table(
    "breaches",
    "rollout objective at detector statistic threshold bad total value why closed_at detected_at late unconfirmed",
)
EXPOSURES = _table("exposures", "id rollout at percent cohort kind audiences")
READINGS = _table("readings", "id rollout at percent cohort version latch error audiences")

NOTIFICATIONS = _table("notifications", "id rollout key kind severity summary details at")
CHANNELS = _table("channels", "name since")
DELIVERIES = _table("deliveries", "notification channel attempts sent_at next_try_at given_up error")
COMMANDS = _table("commands", "id rollout verb by reason at outcome")
REPORTS = _table("reports", "id rollout at kind format path sha256")

FLAG_CHANGES = _table(
    "flag_changes",
    "id uid at service flag action by why rollout idem result before after version service_version error prev hash",
)
DRILLS = _table("drills", "id at service flag reader by why runs within touched_at finished_at passed worst report")

ALL: tuple[TableClause, ...] = (
    *(ROLLOUTS, HEADS, OBJECTIVES, TEXTS, EVALUATIONS, CONTROLS, STEPS, SLICE_MEASUREMENTS),
    *(SLICES, CHECKPOINTS, TRANSITIONS, BREACHES, EXPOSURES, READINGS),
    *(NOTIFICATIONS, CHANNELS, DELIVERIES, COMMANDS, REPORTS),
    *(FLAG_CHANGES, DRILLS),
)
"""Every table, for the test that compares them with the migrated schema."""
