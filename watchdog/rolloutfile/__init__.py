"""A rollout's YAML -> Rollout: strict, everything wrong with it at once, each problem with its file and path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from watchdog.bound import WAIVERS, judge
from watchdog.errors import ConfigError, Problem
from watchdog.model import Cohorts, Mode, NoiseRule, OnBreach, RollbackRule, Rollout, Secondary, WindowRule
from watchdog.quantities import format_duration, parse_duration, parse_percent, parse_share, parse_time, shown
from watchdog.rolloutfile.causes import check_shared, explained_by, read_shared
from watchdog.rolloutfile.detectors import Surroundings
from watchdog.rolloutfile.fields import (
    Findings,
    Section,
    flag,
    grid,
    listing,
    named,
    nullable,
    one_of,
    positive_duration,
    text,
    unknown,
    whole,
)
from watchdog.rolloutfile.internals import bounded
from watchdog.rolloutfile.notifying import read_notify
from watchdog.rolloutfile.objectives import read_objectives
from watchdog.rolloutfile.ramps import Servable, read_ramp
from watchdog.rolloutfile.resolved import freeze, thaw
from watchdog.rolloutfile.yamltext import load_mapping, read_text

NAME = named(
    r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}",
    "letters, digits, dots, underscores and dashes, a letter or digit first, at most 100 (it goes into URLs and paths)",
)
VERSION = named(r"[A-Za-z0-9][A-Za-z0-9._+:/@-]{0,99}", "a version or image tag without blanks, at most 100 characters")


@dataclass(frozen=True, slots=True)
class DaemonFacts:
    """Daemon settings that shape rules: times in seconds, and what its flag services can do.

    `propagation` is the worst case from a flag write to its last reader, `smallest_step` is in percent. `audiences` are
    the names that a ramp may use, `services` those of `also:`.
    """

    scrape_interval: float = 15.0
    tick_deadline: float = 10.0
    write_timeout: float = 5.0
    propagation: float = 0.0
    audiences: frozenset[str] = frozenset()
    supports_audiences: bool = True
    supports_cohort: bool = True
    smallest_step: float = 0.001
    services: frozenset[str] = frozenset()
    noise: NoiseRule | None = None
    """How alerts are counted; None where the receiver for them is closed."""

    @property
    def servable(self) -> Servable:
        """What a ramp can ask of the flag service."""
        return Servable(self.smallest_step, self.supports_cohort, self.supports_audiences, self.audiences)


def load_rollout(path: Path, daemon: DaemonFacts) -> Rollout:
    """The rollout of a file. Raises ConfigError with every problem found, those of `bound.judge` included."""
    return parse_rollout(read_text(path), str(path), daemon)


def parse_rollout(text: str, name: str, daemon: DaemonFacts) -> Rollout:
    """The rollout of a text; `name` stands where a file's name would in the problems of the ConfigError."""
    data, duplicates = load_mapping(text, name)
    findings = Findings(name, duplicates)
    rollout = _read(Section(data, "", findings), daemon)
    if findings.problems or rollout is None:
        raise ConfigError(findings.problems)
    refusals = judge(rollout).refusals
    if refusals:
        raise ConfigError([Problem(f"{name}: {problem.place}", problem.message) for problem in refusals])
    return freeze(rollout, text)


def rollout_from_resolved(resolved: str, text: str, name: str = "") -> Rollout:
    """The frozen rule exactly as it was, from `Rollout.resolved` and its text; no file is looked up.

    `name` is the rollout's, for the ConfigError that is raised when the ledger's row is no such rule.
    """
    return thaw(resolved, text, name)


def _read(root: Section, daemon: DaemonFacts) -> Rollout | None:
    names = {
        key: root.need(key, VERSION if key == "version" else NAME, "", f"{key}: ...")
        for key in ("rollout", "service", "version", "flag")
    }
    mode = root.take("mode", one_of(Mode), Mode.ACT)
    interval = root.take("interval", grid, 30)
    cohorts = _cohorts(root)
    split = cohorts is not None or not root.sound("cohorts")
    explain_by: tuple[str, ...] = root.take("explain_by", explained_by, ())
    around = Surroundings(interval, daemon.scrape_interval, split, daemon.noise, explain_by)
    objectives = read_objectives(root, around)
    window = _window(root.section("window"), interval)
    if not root.has("ramp"):
        root.problem("ramp", "is missing; write for example ramp: {strategy: progressive, over: 7d, every: 1h}")
    section = root.section("ramp")
    ramp = read_ramp(section, interval, daemon.servable) if root.sound("ramp") else None
    also = _also(root, names["flag"], daemon.services)
    notify = read_notify(root, Path(root.findings.file).parent)
    start = ramp.start if ramp is not None else 100.0
    rollback = _rollback(root.section("rollback"), start)
    times = _times(root)
    shared = read_shared(root, cohorts)
    root.close()
    if root.findings.problems or ramp is None:
        return None
    rollout = Rollout(
        names["rollout"],
        names["service"],
        names["version"],
        names["flag"],
        bounded(objectives, rollback.within),
        window,
        ramp,
        rollback,
        mode,
        interval,
        scrape_interval=daemon.scrape_interval,
        cohorts=cohorts,
        also=also,
        notify=notify,
        tick_deadline=daemon.tick_deadline,
        write_timeout=daemon.write_timeout,
        propagation=daemon.propagation,
        on_shared_cause=shared,
        **times,
    )
    check_shared(root, rollout)
    return rollout


def _times(root: Section) -> dict[str, Any]:
    """The keys of the top level that nothing else depends on."""
    return {
        "delay": root.take("delay", parse_duration, 30.0),
        "start_at": root.take("start_at", nullable(parse_time), None),
        "auto_start": root.take("auto_start", flag, False),  # noqa: FBT003
        "false_rollback": root.take("false_rollback", _chance, 0.01),
        "settle": root.take("settle", parse_duration, 900.0),
        "blind_after": root.take("blind_after", positive_duration, 600.0),
        "resume_after": root.take("resume_after", parse_duration, 300.0),
        "waive": _waive(root),
        "late_breach": root.take(
            "late_breach", one_of(OnBreach, (OnBreach.ROLLBACK, OnBreach.HOLD)), OnBreach.ROLLBACK
        ),
    }


def _chance(found: Any) -> float:
    chance = parse_share(found)
    if not 0 < chance < 1:
        raise ValueError(f"found {shown(found)}, expected a chance above 0% and below 100%, for example 1%")
    return chance


def _window(section: Section, interval: int) -> WindowRule:
    slices = section.take("slices", whole(1, 100_000), 48)
    length = section.take("slice", grid, 3600)
    if section.sound("slice") and length % interval:
        section.problem(
            "slice",
            f"is {format_duration(length)}, not a multiple of the interval of {format_duration(interval)}; "
            "a slice is made of whole slots",
        )
    max_gap = section.take("max_gap", parse_duration, 1800.0)
    max_idle = section.take("max_idle", whole(0, 1_000_000), 24)
    section.close()
    return WindowRule(slices, length, max_gap, max_idle)


def _rollback(section: Section, start: float) -> RollbackRule:
    to = section.take("to", parse_percent, 0.0)
    if to > start:
        section.problem("to", f"is {to:g}, above the ramp's from of {start:g}; a rollback never raises exposure")
    within = section.take("within", positive_duration, 900.0)
    verify = section.take("verify", parse_duration, 1800.0)
    section.close()
    return RollbackRule(to, within, verify)


def _matcher(found: Any) -> str:
    matcher = text(found)
    if not matcher.isprintable() or any(sign in matcher for sign in "{}$") or "=" not in matcher:
        raise ValueError(f"found {shown(found)}, expected label matchers without braces such as 'variant=\"on\"'")
    return matcher


def _cohorts(root: Section) -> Cohorts | None:
    if not root.has("cohorts") or root.data["cohorts"] is None:
        return None
    section = root.section("cohorts")
    exposed = section.need("exposed", _matcher, "", "the matcher of who has the feature, for example 'variant=\"on\"'")
    control = section.take("control", nullable(_matcher), None)
    section.close()
    return Cohorts(exposed, control)


def _also(root: Section, flag_name: str, services: frozenset[str]) -> tuple[Secondary, ...]:
    """The flags of other services that go when the rollout's own does."""
    found: list[Secondary] = []
    items: list[Any] = root.take("also", listing, [])
    for index, item in enumerate(items):
        place = f"also[{index}]"
        data = item if isinstance(item, dict) else {"service": item}
        section = Section(data, place, root.findings)
        service = section.need("service", text, "", "the name of a service, a key of services: in watchdog.yaml")
        other = Secondary(service, section.take("flag", NAME, flag_name))
        section.close()
        if section.sound("service") and service and service not in services:
            hint = unknown("service", service, services) if services else f"unknown service {service!r}"
            section.problem("service", f"{hint}; services are defined in watchdog.yaml under services")
        elif other in found:
            section.problem("", f"is the flag {other.flag} of {other.service} again; name each once")
        found.append(other)
    return tuple(found)


def _waive(root: Section) -> dict[str, str]:
    waive = {}
    section = root.section("waive")
    for name in section.data:
        if name not in WAIVERS:
            section.problem(name, unknown("waiver", name, WAIVERS))
        else:
            waive[name] = section.take(name, text, "")
    return waive
