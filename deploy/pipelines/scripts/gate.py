#!/usr/bin/env python3
"""Ask the watchdog what became of a rollout: `slo-watchdog gate` as an output that other steps can use."""

import steps

DECISIONS = {0: "signed_off", 1: "taken_back", 3: "undecided"}


def _step() -> None:
    rollout = steps.setting("GATE_ROLLOUT", "the rollout's name")
    command = ["slo-watchdog", "gate", rollout, "--for", steps.optional("GATE_FOR") or "final"]
    if config := steps.optional("GATE_CONFIG"):
        command += ["--config", config]
    if timeout := steps.optional("GATE_TIMEOUT"):
        command += ["--wait", "--timeout", timeout]
    done = steps.call(command, accept=tuple(DECISIONS))
    decision = DECISIONS[done.returncode]
    steps.output(decision=decision)
    steps.summary(done.stdout)
    if decision in steps.optional("GATE_FAIL_ON").split():
        raise steps.StepFailed(f"{rollout} is {decision.replace('_', ' ')}, on which this step is to fail")


steps.main(_step)
