#!/usr/bin/env python3
"""Give all traffic to the colour on which this build runs."""

import installation
import steps


def _step() -> None:
    found = installation.idle(steps.build())
    told = installation.switch(found.colour)
    serves = installation.active()
    if serves is None or serves.colour != found.colour:
        raise steps.StepFailed(f"{found.colour} was switched to and does not serve: see the driver's status")
    steps.summary(f"{found.colour} serves, before it {told['previous'] or 'nobody'}")


steps.main(_step)
