"""Stories of a rollout, tick by tick, and the messages that people get of them. Pure: no ledger, no channel."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from tests.rollouts import HOUR, NOON, event, passed, rollout, value
from watchdog.control import Control
from watchdog.decide import Decision, Seen, decide, settle
from watchdog.messages import About, Message, compose, open_incidents
from watchdog.model import (
    Breach,
    Command,
    Contributor,
    Contributors,
    Evaluation,
    Exposure,
    FlagReading,
    Notification,
    NotifyRule,
    Phase,
    Reason,
    Rollout,
    Secondary,
    Verdict,
    Waiver,
)
from watchdog.window import Reset, Window

PLAN = "{strategy: progressive, from: 0, to: 100, over: 4h, every: 1h}"
RULE = rollout(event(), value("latency_p95", "on_breach: hold"), event("noise", "on_breach: page"), ramp=PLAN)
NAMES = tuple(objective.name for objective in RULE.objectives)
RAMPING = Control(phase=Phase.RAMPING, started_at=NOON - 2 * HOUR, desired=Exposure(50.0), last_step_at=NOON)
SOAKING = replace(RAMPING, phase=Phase.SOAKING, desired=Exposure(100.0))
ABOUT = About(
    RULE.name,
    RULE.service,
    RULE.version,
    RULE.flag,
    None,
    NotifyRule(),
    "https://watchdog.example",
    "https://wiki.example/runbooks",
    "http://prometheus.example:9090",
)


def reads(percent: float, version: str = "7") -> FlagReading:
    return FlagReading(Exposure(percent), version)


def breach(name: str = "error_rate", at: int = NOON) -> Breach:
    return Breach(name, at, "sequential", 500.0, 400.0, 30.0, 3000.0, why="1% bad (30 bad of 3000)")


def blind(name: str = "error_rate") -> dict[str, Evaluation]:
    lost = Evaluation(NOON, Verdict.UNKNOWN, Reason.UNREACHABLE, detail="connection refused")
    return {other: lost if other == name else passed(NOON) for other in NAMES}


def guarded(flag: str, *names: str) -> Rollout:
    """The rule, where a breach of these objectives switches an emergency flag on."""
    return replace(
        RULE, objectives=tuple(replace(one, emergency=flag) if one.name in names else one for one in RULE.objectives)
    )


def along(flag: str) -> Rollout:
    """The rule, whose rollback takes a flag of the service `search` along."""
    return replace(RULE, also=(Secondary("search", flag),))


@dataclass
class Story:
    """What happens to one rollout. `after` are seconds since noon; every fact that is not given is as it should be."""

    control: Control = RAMPING
    rule: Rollout = RULE
    about: About = ABOUT
    told: list[Notification] = field(default_factory=list)

    def tick(self, after: float = 0.0, **facts: Any) -> Decision:
        decision = decide(self.rule, self.control, self._seen(after, facts))
        return self._follow(decision)

    def settled(self, after: float = 0.0, **facts: Any) -> Decision:
        """What the flag reads right after it was written."""
        return self._follow(settle(self.rule, self.control, self._seen(after, facts)))

    def command(self, verb: str, after: float = 0.0, reason: str = "the shop is closed", **facts: Any) -> Decision:
        return self.tick(after, commands=(Command(1, verb, "ada", reason, NOON + after),), **facts)

    def done(self, after: float, error: str = "") -> None:
        """The deeds were tried: confirmed, or failed with that error."""
        stamps = {"error": error} if error else {"acted_at": NOON + after, "confirmed_at": NOON + after}
        self.control = replace(self.control, deeds=tuple(replace(one, **stamps) for one in self.control.deeds))

    @property
    def messages(self) -> list[Message]:
        """What channels get, in order."""
        found: list[Message] = []
        for number, notification in enumerate(self.told, 1):
            opened = [message.incident for message in open_incidents(found)]
            message = compose(number, notification, self.about, opened=opened)
            if message is not None:
                found.append(message)
        return found

    @property
    def open(self) -> list[str]:
        """The causes of the incidents that are open."""
        prefix = f"slo-watchdog:{self.about.rollout}:"
        return [message.incident.removeprefix(prefix) for message in open_incidents(self.messages)]

    def of(self, kind: str) -> list[Message]:
        return [message for message in self.messages if message.kind == kind]

    @property
    def pages(self) -> list[tuple[str, str]]:
        """What may wake somebody, as (kind, incident's cause)."""
        prefix = f"slo-watchdog:{self.about.rollout}:"
        loud = [message for message in self.messages if message.severity == "critical"]
        return [(message.kind, message.incident.removeprefix(prefix)) for message in loud]

    def _seen(self, after: float, facts: dict[str, Any]) -> Seen:
        slot = NOON + int(after) // 30 * 30
        given: dict[str, Any] = {
            "now": NOON + after + 0.25,
            "slot": slot,
            "live": True,
            "interim": Window(48, 12),
            "final": Window(48, 12),
            "verdicts": {name: passed(slot) for name in NAMES},
            "reading": FlagReading(self.control.desired, "7"),
        }
        return Seen(**(given | facts))

    def _follow(self, decision: Decision) -> Decision:
        self.control = decision.control
        self.told += decision.notifications
        return decision


# --- what happens again and again ------------------------------------------------------------------------------------


def started() -> Story:
    story = Story(Control())
    story.command("start", reading=reads(0.0))
    return story


def stepped() -> Story:
    story = Story()
    story.tick(HOUR)
    return story


def held_and_resumed() -> Story:
    story = Story()
    story.tick(opened=((breach("latency_p95"), False),), open_objectives=frozenset({"latency_p95"}))
    story.command("resume", 60)
    return story


def blinded() -> Story:
    story = Story()
    story.tick(600, verdicts=blind(), unknown_since={"error_rate": NOON})
    story.tick(630)
    return story


def breached() -> Story:
    story = Story()
    story.tick(opened=((breach("noise"), False),), open_objectives=frozenset({"noise"}))
    story.tick(30, open_objectives=frozenset({"noise"}))
    story.tick(330)
    return story


def explained() -> Story:
    """A breach is open when it turns out who contributed most to it."""
    story = Story()
    burning = frozenset({"noise"})
    story.tick(opened=((breach("noise"), False),), open_objectives=burning)
    found = Contributors("noise", NOON, NOON + 1.0, 300.0, (Contributor("route", "/pay", 26.0, 0.87, 900.0, 0.029),))
    story.tick(30, contributed=(found,), open_objectives=burning)
    return story


def rolled_back_late() -> Story:
    story = Story()
    burning = frozenset({"error_rate"})
    story.tick(opened=((breach(), False),), open_objectives=burning)
    for second in (2, 30, 60, 90, 899, 901):
        story.tick(second, reading=reads(50.0), open_objectives=burning)
    story.settled(903, reading=reads(0.0), open_objectives=burning)
    story.tick(930, open_objectives=burning)
    return story


def recovered_late() -> Story:
    story = rolled_back_late()
    story.tick(903 + 1801, open_objectives=frozenset({"error_rate"}))
    story.tick(903 + 1840)
    return story


def drifted() -> Story:
    story = Story()
    story.tick(30, reading=reads(80.0))
    story.tick(60)
    return story


def changed_by_somebody() -> Story:
    story = rolled_back_late()
    story.tick(960, reading=reads(30.0), open_objectives=frozenset({"error_rate"}))
    return story


def with_a_deed() -> Story:
    story = Story(rule=guarded("ops.read-only", "error_rate"))
    story.command("rollback", reading=reads(50.0))
    story.tick(30, reading=reads(50.0), opened=((breach(at=NOON + 30), False),))
    for second in (32, 90, 930):
        story.done(second, error="connection refused")
        story.tick(second, reading=reads(50.0))
    story.done(931)
    story.tick(932, reading=reads(50.0))
    return story


def unreadable() -> Story:
    story = Story()
    for second in (30, 60, 92, 120):
        story.tick(second, reading=None, reading_error="connection refused")
    story.tick(150)
    return story


def window_lost() -> Story:
    story = Story()
    lost = Reset(NOON, "error_rate", "slice failed: error_rate 1% bad, wanted at most 0.1% bad")
    story.tick(interim=Window(48, 0, resets=(lost,)))
    return story


def signed_off() -> Story:
    story = Story(SOAKING)
    story.tick(interim=Window(48, 48, completed_at=NOON))
    story.tick(HOUR, final=Window(48, 48, completed_at=NOON + HOUR))
    return story


def waived() -> Story:
    story = Story(replace(RAMPING, waiver=Waiver("preflight", "ada", "the drill is tomorrow", NOON - HOUR, NOON + 60)))
    story.tick(30)
    story.tick(60)
    story.tick(90)
    return story


def stopped() -> Story:
    story = Story()
    story.command("stop")
    return story
