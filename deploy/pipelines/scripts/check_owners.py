#!/usr/bin/env python3
"""Check CODEOWNERS: its form always; with GITHUB_TOKEN also that each owner exists and may write."""

import github
import owners
import steps


def _step() -> None:
    found = owners.rules(owners.FILE.read_text(encoding="utf-8"))
    names = sorted({owner for rule in found for owner in rule.owners})
    if not steps.optional("GITHUB_TOKEN"):
        steps.summary(f"CODEOWNERS: {len(found)} rules are well formed; whether their owners exist needs GITHUB_TOKEN")
        return
    repository = github.repository()
    if wrong := [why for name in names if (why := owners.missing(name, repository))]:
        raise steps.StepFailed(f"CODEOWNERS: {'; '.join(wrong)}")
    steps.summary(f"CODEOWNERS: {len(names)} owners exist and may write to {repository}")


steps.main(_step)
