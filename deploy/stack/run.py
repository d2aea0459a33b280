"""The whole monitoring stack on this machine, without Docker: real servers, all rules, a shop, a rollout under watch.

    make stack          (or: .venv/bin/python deploy/stack/run.py [--root DIR] [--rules DIR] [--for SECONDS] [--json])

Everything listens on loopback ports, keeps its data below build/stack, and ends with this program.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import time
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "demo"))

from monitoring import RULES, SOURCE, USUAL_PORTS, Stack
from screen import Screen
from stage import DemoError

from watchdog.errors import WatchdogError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SHOWN = {
    "prometheus": "all targets, rules and alerts",
    "prometheus-second": "watches the first one",
    "alertmanager": "alerts, silences",
    "inbox": "what Alertmanager has told people",
    "watchdog": "rollouts, flags, API",
    "grafana": "dashboards",
    "shop": "the service under watch",
    "load": "its users",
    "node": "this machine (node exporter)",
    "blackbox": "probes of the shop (blackbox exporter)",
}


def emptied(root: Path) -> None:
    """Empty the directory; DemoError when it holds what no stack has written."""
    if root.exists() and any(root.iterdir()):
        if not (root / "logs").is_dir():
            raise DemoError(f"{root} is not empty and not of an earlier stack: name another directory with --root.")
        shutil.rmtree(root)


def serve(stack: Stack, seconds: float) -> None:
    """Watch over the processes until the time is up, or for ever with 0; DemoError when one ends."""
    until = time.monotonic() + seconds if seconds else float("inf")
    while time.monotonic() < until:
        stack.stage.check()
        time.sleep(min(1.0, max(0.0, until - time.monotonic())))


def tell(stack: Stack, *, as_json: bool) -> None:
    """Print the addresses."""
    if as_json:
        print(json.dumps(stack.described()), flush=True)
        return
    with Screen() as screen:
        pids = stack.stage.pids()
        rows = [(name, stack.url(name), str(pids[name]), what) for name, what in SHOWN.items() if name in pids]
        screen.heading("The stack runs; Ctrl-C ends it")
        screen.table(("what", "address", "pid", "for"), rows)
    print(f"Rules: {stack.rules}. Configuration, data and logs: {stack.root}. To break it: docs/stack.md.")
    print("What is recorded over five minutes appears within six.", flush=True)


def interrupted(number: int, _frame: FrameType | None) -> None:
    """Leave by the same way as Ctrl-C, so that the children are stopped."""
    raise KeyboardInterrupt(signal.Signals(number).name)


def main() -> int:
    """Command line; the exit status."""
    parser = argparse.ArgumentParser(description="The monitoring stack on this machine, without Docker.")
    parser.add_argument("--root", type=Path, default=SOURCE / "build" / "stack", help="working directory, emptied")
    parser.add_argument("--rules", type=Path, default=RULES, help="directory of Prometheus rules")
    parser.add_argument("--for", type=float, default=0.0, dest="seconds", help="end after so many seconds")
    parser.add_argument("--usual-ports", action="store_true", help="Prometheus on 9090 and so on, not on free ports")
    parser.add_argument("--json", action="store_true", help="print the addresses as JSON, when all is up")
    options = parser.parse_args()
    for number in SIGNALS:
        signal.signal(number, interrupted)
    stack: Stack | None = None
    try:
        emptied(options.root)
        stack = Stack(options.root, rules=options.rules, ports=USUAL_PORTS if options.usual_ports else None)
        stack.set_up()
        tell(stack, as_json=options.json)
        serve(stack, options.seconds)
    except (DemoError, WatchdogError) as problem:
        print(f"The stack failed: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as end:
        print(f"Ended by {end}.", file=sys.stderr)
    finally:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        if stack is not None:
            stack.stage.stop_all()
    return 0


if __name__ == "__main__":
    sys.exit(main())
