"""The names of tables and columns as the ledger's statements use them; types and keys are in `migrations.py`."""

from __future__ import annotations

from sqlalchemy import TableClause, column, table


def _table(name: str, columns: str) -> TableClause:
    return table(name, *(column(word) for word in columns.split()))


_FIGURES = "reason value bad total detail silent"

ROLLOUTS = _table("rollouts", "id name service version flag mode text sha256 resolved file engine created_at")
HEADS = _table("heads", "rollout revision phase started_at last_slot control")
OBJECTIVES = _table("objectives", "rollout objective name seal")
TEXTS = _table("texts", "id digest text")

EVALUATIONS = _table("evaluations", f"rollout at objective revision verdict {_FIGURES} seal")
CONTROLS = _table("controls", f"rollout at objective revision verdict {_FIGURES} seal")
STEPS = _table("steps", f"rollout at objective revision {_FIGURES} seal")
SLICE_MEASUREMENTS = _table("slice_measurements", f"rollout at objective revision {_FIGURES} seal")

SLICES = _table("slices", "rollout at revision verdict body seal")
CHECKPOINTS = _table("checkpoints", "rollout at body")
TRANSITIONS = _table("transitions", "id rollout at kind source target why by objective seal")
BREACHES = _table(
    "breaches",
    "rollout objective at detector statistic threshold bad total value why closed_at detected_at late unconfirmed seal",
)
EXPOSURES = _table("exposures", "id rollout at percent cohort kind audiences seal")
READINGS = _table("readings", "id rollout at percent cohort version latch error audiences seal")

NOTIFICATIONS = _table("notifications", "id rollout key kind severity summary details at seal")
CHANNELS = _table("channels", "name since paused_until")
DELIVERIES = _table(
    "deliveries", "notification channel attempts sent_at next_try_at given_up error started_at superseded_by"
)
MEMOS = _table("memos", "channel rollout name value")
COMMANDS = _table("commands", "id rollout verb by reason at outcome seal")
REPORTS = _table("reports", "id rollout at kind format path sha256 seal")

FLAG_CHANGES = _table(
    "flag_changes",
    "id uid at service flag action by why rollout idem result before after version service_version error prev hash",
)
DRILLS = _table(
    "drills", "id at service flag reader by why runs within touched_at finished_at passed worst report seal"
)

ALERT_EPISODES = _table(
    "alert_episodes",
    "id source fingerprint alertname service severity labels annotations group_key url started_at ended_at seen_at "
    "end_seen_at changed_at notified",
)
ALERT_LABELS = _table("alert_labels", "id episode notification label by why at happened_at seal")
ALERT_HEARD = _table("alert_heard", "source at")

PREFLIGHTS = _table("preflights", "id at finished_at by passed score body sha256 seal")
PREFLIGHT_VERDICTS = _table("preflight_verdicts", "preflight rollout rule waived failed score seal")
WAIVERS = _table("waivers", "id rollout name by why at until seal")

DEPLOYMENTS = _table("deployments", "id rollout at by body sha256 seal")
CAUSES = _table("causes", "id rollout at objective breach_at kind body seal")
SEALS = _table("seals", "rollout number at said tags dense sha256")
PRUNINGS = _table("prunings", "id rollout at by why through rows sha256 seal")
LEASES = _table("leases", "rollout holder token since lasts expires_at")
REQUESTS = _table("requests", "who key digest at status headers body")
LOGOUTS = _table("logouts", "login over_at")

ALL: tuple[TableClause, ...] = (
    *(ROLLOUTS, HEADS, OBJECTIVES, TEXTS, EVALUATIONS, CONTROLS, STEPS, SLICE_MEASUREMENTS),
    *(SLICES, CHECKPOINTS, TRANSITIONS, BREACHES, EXPOSURES, READINGS),
    *(NOTIFICATIONS, CHANNELS, DELIVERIES, COMMANDS, REPORTS),
    *(FLAG_CHANGES, DRILLS),
    *(MEMOS, ALERT_EPISODES, ALERT_LABELS, ALERT_HEARD),
    *(PREFLIGHTS, PREFLIGHT_VERDICTS, WAIVERS, LEASES, DEPLOYMENTS, REQUESTS, LOGOUTS),
    *(SEALS, PRUNINGS, CAUSES),
)
"""Every table, for the test that compares them with the migrated schema."""

FACTS = {found.name: found for found in ALL if "seal" in found.c or found is ROLLOUTS}
"""The tables whose rows are sealed, by name."""
