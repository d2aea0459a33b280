"""What is linted, read from files: rules, dashboards, objectives, and the list of waivers."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from watchdog.errors import ConfigError, Problem
from watchdog.model import Rollout
from watchdog.rolloutfile.fields import Findings, text
from watchdog.rolloutfile.standard import rules_directory
from watchdog.rolloutfile.yamltext import load_mapping, read_text
from watchdog.rulelint.dashboards import read_dashboard
from watchdog.rulelint.model import Expression
from watchdog.rulelint.objectives import of_rollout, read_standard
from watchdog.rulelint.rulefiles import read_rules

WAIVERS = "lint.yaml"
_OWN = Path("rules") / WAIVERS
DASHBOARDS = Path("deploy/grafana/dashboards")


@dataclass(frozen=True, slots=True)
class Inputs:
    """What was read. `waivers` are reasons by metric, or by `metric{label}`; `rules` the files of `expressions`.

    The shipped reasons are for the shipped files, so `own_waivers` says whether one that is not needed is worth a word.
    """

    expressions: Sequence[Expression]
    rollouts: Sequence[Rollout] = ()
    rules: Sequence[Path] = ()
    waivers: Mapping[str, str] = field(default_factory=dict)
    own_waivers: bool = True


def read_inputs(
    rules: Sequence[str],
    dashboards: Sequence[str],
    objectives: Sequence[str],
    rollouts: Sequence[Rollout],
    *,
    waivers: Path | None = None,
) -> Inputs:
    """Read everything that the patterns name; none of a kind means the usual place, see `usual`.

    Raises ConfigError with every problem of every file.
    """
    problems: list[Problem] = []
    rule_files = _files(rules, "--rules", problems) if rules else usual()
    board_files = _files(dashboards, "--dashboards", problems) if dashboards else sorted(DASHBOARDS.glob("*.json"))
    standard = _files(objectives, "--objectives", problems) if objectives else _standard()
    found: list[Expression] = []

    def each(files: Sequence[Path], read: Callable[[Path, Findings], list[Expression]]) -> None:
        for path in files:
            findings = Findings(str(path))
            try:
                found.extend(read(path, findings))
            except ConfigError as error:
                problems.extend(error.problems)
            problems.extend(findings.problems)

    each(rule_files, read_rules)
    each(board_files, lambda path, _: read_dashboard(path))
    each(standard, read_standard)
    path = waivers or next((place for place in (_OWN, rules_directory() / WAIVERS) if place.is_file()), None)
    waived = _waivers(path, problems) if path is not None else {}
    if problems:
        raise ConfigError(problems)
    found += [expression for rollout in rollouts for expression in of_rollout(rollout)]
    return Inputs(found, rollouts, rule_files, waived, own_waivers=path in {waivers, _OWN})


def usual() -> list[Path]:
    """The rule files of ./rules/prometheus, else the shipped ones."""
    own = sorted(Path("rules/prometheus").glob("*.yaml"))
    return own or sorted((rules_directory() / "prometheus").glob("*.yaml"))


def _standard() -> list[Path]:
    files = {path.name: path for path in (rules_directory() / "objectives").glob("*.yaml")}
    files |= {path.name: path for path in Path("rules/objectives").glob("*.yaml")}
    return [files[name] for name in sorted(files)]


def _files(patterns: Sequence[str], option: str, problems: list[Problem]) -> list[Path]:
    found: dict[Path, None] = {}
    for pattern in patterns:
        names = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - patterns may be absolute
        matched = [Path(name) for name in names if Path(name).is_file()]
        if not matched:
            problems.append(Problem(option, f"{pattern!r} matches no file; name files, or a pattern in quotes"))
        found |= dict.fromkeys(matched)
    return list(found)


def _waivers(path: Path, problems: list[Problem]) -> dict[str, str]:
    """Reasons by metric; problems go to `problems`."""
    try:
        data, duplicates = load_mapping(read_text(path), str(path))
    except ConfigError as error:
        problems.extend(error.problems)
        return {}
    problems += duplicates
    return dict(_reasons(path, data, problems))


def _reasons(path: Path, data: Mapping[str, object], problems: list[Problem]) -> Iterator[tuple[str, str]]:
    for name, reason in data.items():
        try:
            yield name, text(reason)
        except ValueError as error:
            problems.append(Problem(f"{path}: {name}", f"{error}; write why the metric need not be there"))
