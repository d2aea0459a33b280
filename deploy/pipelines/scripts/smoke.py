#!/usr/bin/env python3
"""Run the smoke suite against the colour that serves nobody yet, past the switch."""

import os

import installation
import steps


def _step() -> None:
    build = steps.build()
    found = installation.idle(build)
    environ = {
        "SLO_SMOKE_TARGET": steps.setting("SLO_SMOKE_TARGET", "the daemon's address, http://HOST:PORT"),
        "SLO_SMOKE_SERVICE": found.url,
        "SLO_SMOKE_TESTS": steps.optional("SLO_SMOKE_TESTS") or str(steps.ROOT / "tests" / "smoke"),
        "SLO_SMOKE_TEXTFILE": steps.optional("SLO_SMOKE_TEXTFILE") or str(steps.place()),
        "PYTHON": steps.optional("PYTHON") or "python3",
        "PYTEST_ADDOPTS": f"{os.environ.get('PYTEST_ADDOPTS', '')} --junitxml={steps.place('smoke.xml')}".strip(),
    }
    done = steps.call([steps.ROOT / "deploy" / "smoke" / "smoke.sh"], environ=environ)
    print(done.stdout, flush=True)
    steps.summary(f"the smoke tests passed on {found.colour}")


steps.main(_step)
