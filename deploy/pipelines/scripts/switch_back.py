#!/usr/bin/env python3
"""Give the traffic back to what served before this run, where a later step failed. Nothing is done twice."""

import installation
import steps


def _step() -> None:
    if not steps.place("previous.json").exists():
        steps.summary("nothing to switch back: this run deployed nothing")
        return
    before, serves = steps.kept("previous.json", "deploy.py"), installation.active()
    if before is None or serves is None or serves.colour == before["colour"]:
        steps.summary("nothing to switch back: the traffic is where it was")
        return
    installation.back("a later step of the pipeline failed")
    steps.warn(f"{before['colour']} ({before['digest']}) serves again, because a later step failed")


steps.main(_step)
