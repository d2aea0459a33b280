"""The fault drill: eight faults, the alerts that each must raise, and everything else, which must stay silent.

What may fire beside is listed with each fault. Everywhere it is what the machine itself suffers from, and the alerts
that count alerts. Slow and failed checkouts come last: they stay in the long ranges of the slow burns, and the first
checkouts after a restart of the shop, or one more error, are then enough for the short ones.
"""

from __future__ import annotations

from tests.processes import wait_for
from tests.stack.fast.drill import Drill
from tests.stack.fast.site import unwritable

ACTIONS = {"RolloutBreach", "RolloutRollingBack", "RolloutWindowReset"}
"""What the watchdog does about a breach, and says itself: information."""


def test_down(drill: Drill) -> None:
    gone = {"ErrorRateDataAbsent", "TestsNotRunning"}
    with drill.fault("down", {"ServiceDown", "AvailabilityBudgetBurn"}, beside=gone) as fault:
        drill.stack.kill("shop")
        fault.seen()
        drill.stack.start("shop")


def test_no_traffic(drill: Drill) -> None:
    with drill.fault("no traffic", {"ServiceTrafficGone"}) as fault:
        drill.stack.break_(traffic=0.0)
        fault.seen()
        drill.stack.break_()


def test_stale_tests(drill: Drill) -> None:
    with drill.fault("stale tests", {"TestsNotRunning"}) as fault:
        drill.stack.break_(tests=0.0)
        fault.seen()
        drill.stack.break_()


def test_prometheus_restarts(drill: Drill) -> None:
    with drill.fault("Prometheus restart", {"PrometheusDown"}) as fault:
        drill.stack.kill("prometheus")
        fault.seen()
        drill.stack.start("prometheus")


def test_alertmanager_down(drill: Drill) -> None:
    """It is also the channel of the daemon, whose messages wait."""
    lost = {"AlertmanagerDown", "PrometheusNotificationsDropped"}
    with drill.fault("Alertmanager down", lost, beside={"SloWatchdogPagesUnsent"}) as fault:
        drill.stack.kill("alertmanager")
        fault.seen(told=False)
        drill.stack.start("alertmanager")
        # Prometheus sends again what fires once a minute.
        wait_for(lambda: "Watchdog" in drill.told() or None, 90, lambda: f"only {drill.told()} came again")


def test_flag_drift(drill: Drill) -> None:
    """What an outsider sets is put back within a second; it drifts for as long as the file cannot be written."""
    drill.start("drill-drift")
    late = {"FlagChangeFailed", "RolloutExposureAbovePlan"}
    with drill.fault("flag drift", {"RolloutFlagDrift", "FlagChangedExternally"}, beside=late) as fault:
        with unwritable(drill.flags):
            drill.edit("drill-drift", 60.0)
            fault.seen()
        drill.order("/rollouts/drill-drift/stop").raise_for_status()


def test_latency(drill: Drill) -> None:
    with drill.fault("latency", {"LatencyBudgetBurn"}) as fault:
        drill.stack.break_(slow=1.0)
        fault.seen()
        drill.stack.break_()


def test_errors(drill: Drill) -> None:
    drill.start("drill-errors")
    with drill.fault("errors", {"ErrorRateBudgetBurn", "RolloutBreach"}, beside=ACTIONS) as fault:
        drill.stack.break_(errors=0.5)
        fault.seen()
        drill.phase("drill-errors", "rolled_back")
        drill.stack.break_()
