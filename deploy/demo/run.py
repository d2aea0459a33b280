"""The demo: a faulty release that is taken back by itself, then a good one that is signed off, in four minutes.

    make demo          (or: .venv/bin/python deploy/demo/run.py [--serve])

Everything is real: Prometheus, the shop that asks its flag through the OpenFeature SDK, its users, the daemon and
its ledger. Nothing is injected: the first build of the shop has new code that fails for a part of its users, the
second has not. Ends with status 0 only when all of it happened.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import evidence
from installation import BROKEN_SHARE, FAULTY, HEALTHY, PRODUCTION, Installation
from screen import Screen
from stage import HERE, DemoError

from watchdog.errors import WatchdogError

WITHIN = 240.0
"""Seconds for all of it."""
LOW = 5.0
"""Percent: the most that the faulty rollout may have exposed."""
FOLDERS = {FAULTY: "faulty", HEALTHY: "healthy"}
POLL = 0.5
CALM = 6.0
"""Seconds in which all are answered before the second rollout: one slot's range, so that it starts from good slots."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GOOD = {"interim", "signed_off", "recovered"}
BAD = {"breach", "rollback", "rolled_back", "errors_continue", "reset"}


class Demo:
    """The story, told on `screen` while it happens at `site`."""

    def __init__(self, site: Installation, screen: Screen) -> None:
        self.site = site
        self.screen = screen
        self._heard = 0
        self._proofs: dict[str, str] = {}

    def play(self) -> None:
        """Show all of it; DemoError when a part did not happen."""
        self.screen.heading("Start Prometheus, the shop (faulty build), its users and the watchdog")
        self.site.set_up()
        self.screen.say(", ".join(f"{name} pid {pid}" for name, pid in self.site.stage.pids().items()))
        self.settings()
        self.screen.heading(f"{FAULTY}: the new code fails for {BROKEN_SHARE:.0%} of its users")
        self.faulty()
        with ThreadPoolExecutor(1) as pool:
            faulty = pool.submit(self.compared, FAULTY)
            self.healthy()
            self.screen.heading("The reports, and the same rule over what Prometheus still holds: live against replay")
            for rollout, (what, found) in ((FAULTY, faulty.result()), (HEALTHY, self.compared(HEALTHY))):
                if found:
                    raise DemoError(f"the replay of {rollout} says otherwise than its ledger:\n" + "\n".join(found))
                self.screen.say(f"{rollout}: replay and ledger agree on {what}", "green")
        self.outcome()

    def healthy(self) -> None:
        """Show the rollout that is signed off."""
        self.screen.heading(f"{HEALTHY}: the corrected build, the same flag, from 0 % again")
        self.site.stage.stop("shop")
        self.site.start_build(HEALTHY)
        self.site.calm(CALM)
        self.watch(HEALTHY, until="signed_off")
        self.screen.clear()

    def faulty(self) -> None:
        """Show the rollout that is taken back, what saw the fault, and when what happened."""
        since = time.time()
        self.watch(FAULTY, until="rolled_back")
        self.verified(FAULTY)
        self.screen.clear()
        report = self.site.told(FAULTY)
        breach, stamps = report["breaches"][0], report["rollback"]
        if breach["objective"] != "error_rate_exposed":
            raise DemoError(f"{breach['objective']} took {FAULTY} back, expected error_rate_exposed to see it first.")
        found = evidence.timings(stamps, breach["at"], self.site.seen(since), self.site.last_answer("on"))
        span = (found[0].at, evidence.seconds(stamps["acted_at"]))
        split, pooled = (self.site.share(FAULTY, name, span) for name in ("error_rate_exposed", "error_rate"))
        highest = max(point["percent"] for point in report["exposure"])
        self.screen.say(
            f"taken back at {highest:g} % exposure. From onset to flag off {split:.1%} of the requests that ran the new"
            f" code failed, {pooled:.2%} of all requests; each may be 1 %. Only the split objective breached."
        )
        if highest > LOW or {one["objective"] for one in report["breaches"]} != {"error_rate_exposed"}:
            raise DemoError(f"expected a breach of error_rate_exposed alone, at {LOW} % exposure at most.")
        self.moments(found)

    def moments(self, found: list[evidence.Timing]) -> None:
        """Print the incident's timings."""
        began = found[0].at
        rows = [(m.what, f"+{m.at - began:.2f} s", evidence.stamp(m.at), m.source) for m in found]
        self.screen.table(("moment", "after onset", "time", "by"), rows)

    def settings(self) -> None:
        """Print each setting that is not production's."""
        rows = evidence.compressed(*self.site.rules(FAULTY))
        self.screen.heading(
            f"{len(rows)} settings differ from rules/rollouts/{PRODUCTION.name}, so that days fit into minutes"
            " (durations in seconds)"
        )
        self.screen.table(("setting", "here", "production"), rows)

    def compared(self, rollout: str) -> tuple[str, list[str]]:
        """Write a rollout's reports, replay it, verify its evidence: what was compared, and what differs."""
        for kind in ("html", "md", "json"):
            self.site.report(rollout, FOLDERS[rollout], kind)
        live = self.site.written(FOLDERS[rollout])
        found = evidence.differences(live, self.site.replay(rollout, (live["from"], live["to"])))
        self._proofs[rollout] = self.site.proof(rollout, FOLDERS[rollout])
        return evidence.agreement(live), found

    def outcome(self) -> None:
        """Say where the reports are; DemoError when one is not what it must be, or all took too long."""
        self.screen.heading("Outcome")
        for rollout, phase in ((FAULTY, "rolled_back"), (HEALTHY, "signed_off")):
            folder = FOLDERS[rollout]
            found = self.site.written(folder)["phase"]
            if found != phase:
                raise DemoError(f"the report of {rollout} says {found}, expected {phase}.")
            self.screen.say(f"{rollout} {phase}: {self.site.root / folder / 'report.html'} (and .md, .json)", "green")
            self.screen.say(f"every verdict computed again from the evidence alone: {self._proofs[rollout]}", "green")
        if self.screen.elapsed > WITHIN:
            raise DemoError(f"all of it happened, but in {self.screen.elapsed:.0f} s, not within {WITHIN:g} s.")
        self.screen.say("all of it happened", "bold green")

    def watch(self, rollout: str, *, until: str) -> dict[str, Any]:
        """Start a rollout and follow it to its end; DemoError when that is another one, or late."""
        self.site.command("start", str(self.site.rollout_file(rollout)), "--reason", "demo")
        self._heard = 0
        while True:
            status = self.site.status(rollout)
            self.tell(rollout)
            self.screen.show(status)
            if status["phase"] == until:
                return status
            if status["phase"] in ("rolled_back", "signed_off", "stopped"):
                raise DemoError(f"{rollout} ended {status['phase']}, expected {until}: {last_word(status)}.")
            if status.get("hold"):
                raise DemoError(f"{rollout} is held and would wait for a person: {status['hold']['why']}.")
            if self.screen.elapsed > WITHIN:
                raise DemoError(f"{rollout} is not {until} after {WITHIN:g} s: {last_word(status)}.")
            self.site.stage.check()
            time.sleep(POLL)

    def tell(self, rollout: str) -> None:
        """Print the transitions that are new, each with its sentence."""
        transitions = self.site.transitions(rollout)
        for transition in transitions[self._heard :]:
            kind = transition["kind"]
            style = "red" if kind in BAD else "green" if kind in GOOD else ""
            why = transition["why"]
            self.screen.say(why if why.startswith(kind) else f"{kind}: {why}", style)
        self._heard = len(transitions)

    def verified(self, rollout: str) -> None:
        """Wait until the watchdog has seen the errors end and has watched as long as the rule asks."""
        rule = self.site.rules(rollout)[0]
        self.site.stage.wait("the breach to be over", lambda: self._recovered(rollout), within=60.0)
        confirmed = evidence.seconds(self.site.status(rollout)["rollback"]["confirmed_at"])
        over = confirmed + rule.rollback.verify + rule.delay + 2 * rule.interval
        self.site.stage.wait("the end of `verify`", lambda: time.time() > over, within=60.0)

    def _recovered(self, rollout: str) -> bool:
        status = self.site.status(rollout)
        self.screen.show(status)
        self.tell(rollout)
        return bool((status["rollback"] or {}).get("recovered_at"))


def last_word(status: dict[str, Any]) -> str:
    """Quote what a status gives as the reason for where it is."""
    waiting = "; ".join(status.get("waiting") or ())
    resets = [f"{reset['objective']}: {reset['why']}" for reset in status["window"]["resets"]]
    return waiting or (f"newest reset {resets[-1]}" if resets else f"phase {status['phase']}, no reset")


def serve(site: Installation, screen: Screen) -> None:
    """Print the addresses and leave everything running until SIGINT or SIGTERM."""
    screen.heading("Left running; Ctrl-C ends it")
    rows = [(name, site.url(name)) for name in ("watchdog", "prometheus", "shop", "load")]
    screen.table(("what", "address"), rows)
    try:
        while True:
            site.stage.check()
            time.sleep(1.0)
    except KeyboardInterrupt:
        screen.say("ends")


def interrupted(number: int, _frame: FrameType | None) -> None:
    """Leave by the same way as Ctrl-C, so that the children are stopped."""
    raise KeyboardInterrupt(signal.Signals(number).name)


def main() -> int:
    """Command line; the exit status."""
    parser = argparse.ArgumentParser(description="A faulty rollout rolled back by itself, a good one signed off.")
    parser.add_argument("--serve", action="store_true", help="leave everything running afterwards")
    parser.add_argument(
        "--root", type=Path, default=HERE.parents[1] / "build" / "demo", help="working directory, emptied"
    )
    options = parser.parse_args()
    for number in SIGNALS:
        signal.signal(number, interrupted)
    shutil.rmtree(options.root, ignore_errors=True)
    site = Installation(options.root)
    try:
        with Screen() as screen:
            Demo(site, screen).play()
            screen.clear()
            if options.serve:
                serve(site, screen)
    except (DemoError, WatchdogError) as problem:
        print(f"\nThe demo failed: {problem}", file=sys.stderr)
        if site.stage.started:
            print(f"Logs: {site.root / 'logs'}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as end:
        print(f"\nEnded by {end}.", file=sys.stderr)
        return 130
    finally:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        site.stage.stop_all()
    return 0


if __name__ == "__main__":
    sys.exit(main())
