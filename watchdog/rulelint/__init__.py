"""Lint of rules, dashboards and objectives: by themselves, and against what Prometheus really has.

`tree`, `labels` and `naming` say what an expression names; `offline` finds what the files alone tell, `online` asks.

Import this where it is used, not at the start of the daemon: it loads the PromQL parser, a library of Rust.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from watchdog.config.settings import Settings
from watchdog.errors import ConfigError
from watchdog.model import Rollout
from watchdog.prometheus import Prometheus
from watchdog.rolloutfile.fields import Findings
from watchdog.rulelint.inputs import Inputs, read_inputs
from watchdog.rulelint.model import Expression, Finding, Pack, make_pack
from watchdog.rulelint.naming import Metric, metrics
from watchdog.rulelint.objectives import of_rollout
from watchdog.rulelint.offline import CHECKS, lint
from watchdog.rulelint.online import ONLINE, WITHIN, lint_online
from watchdog.rulelint.rulefiles import read_rules

__all__ = [
    "CHECKS",
    "ONLINE",
    "WITHIN",
    "Finding",
    "Inputs",
    "Metric",
    "Pack",
    "lint",
    "lint_configuration",
    "lint_online",
    "make_pack",
    "metrics",
    "read_inputs",
]


def lint_configuration(
    settings: Settings,
    rollouts: Sequence[Rollout],
    source: Prometheus,
    now: float,
    *,
    rules: Sequence[Path] = (),
    waivers: Mapping[str, str] | None = None,
) -> list[Finding]:
    """What is wrong with the objectives of these rollouts, and with these rule files, against a Prometheus at `now`.

    Only findings of severity `error` should stand in anybody's way. Without `rules` no file has to be loaded; rules
    that fail to evaluate are warnings then, for they are somebody else's. Raises SourceError when Prometheus cannot be
    reached, ConfigError for a rule file that cannot be read.
    """
    expressions: list[Expression] = []
    problems = []
    for path in rules:
        findings = Findings(str(path))
        expressions += read_rules(path, findings)
        problems += findings.problems
    if problems:
        raise ConfigError(problems)
    expressions += [one for rollout in rollouts for one in of_rollout(rollout)]
    pack = make_pack(expressions, settings.prometheus.scrape_interval)
    inputs = Inputs(expressions, rollouts, rules, waivers or {})
    return [*lint(pack), *lint_online(pack, inputs, source, now)]
