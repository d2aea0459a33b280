"""A machine in memory for the deployment driver: two colours, a front, a clock, and a power cut after any effect.

    machine = Machine()
    machine.die_after = 3
    with pytest.raises(PowerCut):
        machine.driver().switch("green")

The state goes through the text of its file, as it would.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PLACE = ROOT / "deploy" / "pipelines" / "driver"
sys.path.insert(0, str(PLACE))

from bluegreen.errors import Failed  # noqa: E402
from bluegreen.moves import Driver  # noqa: E402
from bluegreen.state import READY, Release, State, parsed, written  # noqa: E402
from bluegreen.target import COLOURS, Target, load  # noqa: E402
from bluegreen.worker import Build, Clock  # noqa: E402

COMMIT = "c0ffee"
EXAMPLE = load(PLACE / "examples" / "nginx.toml")


class PowerCut(BaseException):
    """The driver is gone, as after SIGKILL: nothing of it gets to tidy up."""


def digest(version: int) -> str:
    """A digest for a build of the tests."""
    return f"sha256:{version:064x}"


def build(version: int) -> Build:
    return Build("checkout", digest(version), COMMIT)


class Machine:
    """What there is when the driver is gone: a disk, what runs, and where the traffic goes."""

    def __init__(self, target: Target = EXAMPLE) -> None:
        self.target = target
        self.disk: str | None = None
        self.running: dict[str, str] = {}
        self.link: str | None = None
        self.sick: set[str] = set()
        """Digests that are not well."""
        self.front_is_broken = False
        self.looks: list[str] = []
        """What the next looks at a colour see, before they see what is so."""
        self.time = 1_800_000_000.0
        self.said: list[str] = []
        self.effects = 0
        self.die_after: int | None = None
        self.moves: list[str] = []
        """Each colour that got the traffic."""

    def driver(self, by: str = "kim") -> Driver:
        """A driver that was just started."""
        return Driver(self.target, self, self, Clock(lambda: self.time, self.wait), self.said.append, by)

    def wait(self, seconds: float) -> None:
        self.time += seconds

    def effect(self) -> None:
        """Something that outlives the driver has just happened."""
        self.effects += 1
        if self.effects == self.die_after:
            raise PowerCut

    @property
    def state(self) -> State:
        return State() if self.disk is None else parsed(self.disk)

    def outcome(self) -> dict[str, Any]:
        """All that counts when a command has ended."""
        state = self.state
        colours = {colour: (one.digest, one.state) if (one := state.colours[colour]) else None for colour in COLOURS}
        return {
            "active": state.active,
            "previous": state.previous,
            "colours": colours,
            "intent": state.intent,
            "link": self.link,
            "running": dict(self.running),
        }

    def check(self) -> None:
        """What has to be so at any moment: what is called ready runs, and the traffic goes to something that is."""
        for colour, one in self.state.colours.items():
            assert one is None or one.state != READY or self.running.get(colour) == one.digest, colour
        if self.link is None:
            return
        release = self.state.colours[self.link]
        assert release is not None
        assert release.state == READY

    # The memory.

    def read(self) -> State:
        return self.state

    def write(self, state: State) -> None:
        self.disk = written(state)
        self.effect()

    # The back end.

    def install(self, colour: str, release: Release) -> None:
        assert colour != self.link, "the colour that serves is taken away"
        self.running.pop(colour, None)
        self.effect()
        self.running[colour] = release.digest
        self.effect()

    def remove(self, colour: str) -> None:
        assert colour != self.link, "the colour that serves is taken away"
        self.running.pop(colour, None)
        self.effect()

    def runs(self, colour: str) -> str | None:
        return self.running.get(colour)

    def ailing(self, colour: str, release: Release) -> str:
        if self.looks:
            return self.looks.pop(0)
        if self.running.get(colour) != release.digest:
            return f"{colour} does not answer"
        return f"{colour} answers 500" if release.digest in self.sick else ""

    def point(self, colour: str) -> None:
        self.link = colour
        self.moves.append(colour)
        self.check()
        self.effect()

    def pointed(self) -> str | None:
        return self.link

    def astray(self, colour: str, release: Release) -> str:
        if self.front_is_broken:
            return "the front answers 502"
        return "" if self.link == colour else f"the front answers as {self.link}"


Command = Callable[[Driver], object]


def attempt(machine: Machine, command: Command, die_after: int | None = None) -> bool:
    """Run a command until it ends or the power is cut; whether it ended."""
    machine.effects, machine.die_after = 0, die_after
    try:
        command(machine.driver())
    except PowerCut:
        machine.check()
        return False
    except Failed:
        pass
    machine.check()
    return True
