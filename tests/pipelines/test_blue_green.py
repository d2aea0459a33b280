"""Blue-green deployment at full traffic: no request fails, whatever the driver does and whenever it is killed."""

from __future__ import annotations

import random
import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.pipelines.site import PIPELINES, Load, Site, nginx
from tests.servers import free_port

SECONDS = 60.0
RATE = 220.0
MORE = 4
"""Times that the load goes on, where few moves were killed under it."""
STAGES = ("asked", "pointing", "pointed")
OVER = ("--reason", "a test of the way back")
"""Both builds are well, so going to the older one needs a reason."""
Move = tuple[float, float, str]
"""When a move of the traffic began and ended, and the colour that lost it."""


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as found:
        yield found


def settled(site: Site) -> dict[str, Any]:
    """Where the traffic goes, which has to be where the driver says that it goes."""
    told = site.do("status")
    assert told["active"] == told["pointed"]
    assert told["interrupted"] is None
    assert told["colours"][told["active"]]["healthy"]
    return told


def cross(site: Site, *words: str) -> Move:
    """Move the traffic."""
    before = settled(site)["active"]
    began = time.time()
    site.do(*words)
    ended = time.time()
    assert settled(site)["active"] != before
    return began, ended, before


def to_and_fro(site: Site, colour: str) -> list[Move]:
    """To a new build, back, there, back and there."""
    words = (("switch",), ("rollback",), ("switch", colour), ("rollback",), ("switch", colour))
    return [cross(site, *one) for one in words]


def interrupt(site: Site, wanted: str) -> str:
    """Kill a move when the state file shows the stage `wanted`, then end or undo it; the stage where it had stopped."""
    before = settled(site)["active"]
    to = "green" if before == "blue" else "blue"
    stage = site.killed("switch", to, *OVER, when=lambda: site.stage == wanted)
    if stage:
        undo = random.random() < 0.5
        site.do(*(("rollback",) if undo else ("switch", to, *OVER)))
        assert settled(site)["active"] == (before if undo else to)
    return stage


def interrupted(site: Site, load: Load, caught: Counter[str]) -> None:
    """Kill moves for as long as the load lasts, at the stage that was caught least."""
    while load.left > 0:
        caught[interrupt(site, min(STAGES, key=lambda stage: caught[stage]))] += 1


def survived(move: Move, counted: dict[str, Any]) -> int:
    """How many slow requests were under way at a move and got their answer from the colour that they had begun on."""
    began, ended, colour = move
    return sum(1 for since, until, by in counted["slow"] if since < began and until > ended and by == colour)


def flawless(counted: dict[str, Any]) -> None:
    """Nobody noticed anything."""
    assert counted["failed"] == 0, counted["failures"]
    assert counted["unannounced"] == 0
    assert sum(counted["answers"].values()) == counted["requests"]
    assert counted["rate"] >= 200


def test_no_request_fails_while_the_traffic_moves_and_the_driver_is_killed(
    site: Site, record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]
) -> None:
    site.deploy("v1")
    site.do("switch")
    caught: Counter[str] = Counter()
    with Load(site, SECONDS, RATE) as load:
        for after in (0.1, 0.2, 0.4):
            site.killed(*site.deploy_words("v2"), after=after)
        assert site.deploy("v2")["colour"] == "green"
        moves = to_and_fro(site, "green")
        assert site.do("drain") == {"colour": "blue", "changed": True}
        assert site.deploy("v3")["colour"] == "blue"
        moves += to_and_fro(site, "blue")
        interrupted(site, load, caught)
        counted = load.result()
    for _ in range(MORE):  # a busy machine has not come to each stage by then
        if all(caught[stage] >= 2 for stage in STAGES):
            break
        with Load(site, SECONDS, RATE) as load:
            interrupted(site, load, caught)
            flawless(load.result())
    figures = {key: value for key, value in counted.items() if key not in ("slow", "seen", "failures")}
    figures |= {"moves": len(moves), "slow": len(counted["slow"]), "killed": dict(caught)}
    record_property("figures", figures)
    with capsys.disabled():
        print(f"\nblue-green: {figures}")
    flawless(counted)
    assert counted["seconds"] >= SECONDS
    assert all(caught[stage] >= 2 for stage in STAGES), caught
    assert [move for move in moves if not survived(move, counted)] == []
    assert len(counted["seen"]) > len(moves)


def test_a_service_that_only_knows_tcp_loses_no_request_either() -> None:
    with Site(tcp=True, drain=1.0) as site:
        site.deploy("v1")
        site.do("switch")
        with Load(site, 10.0, RATE) as load:
            site.deploy("v2")
            moves = to_and_fro(site, "green")
            counted = load.result()
        flawless(counted)
        assert len(counted["seen"]) > len(moves)


def test_the_users_would_notice_a_colour_that_dies(site: Site) -> None:
    site.deploy("v1")
    site.do("switch")
    with Load(site, 2.0, 200) as load:
        site.kill_service("blue")
        counted = load.result()
    assert counted["failed"] > 0


def test_a_build_that_is_not_well_gets_no_traffic(site: Site) -> None:
    site.deploy("v1")
    site.do("switch")
    site.target.write_text(site.target.read_text().replace("within = 15", "within = 1"))
    done = site.driver(*site.deploy_words("broken"))
    assert done.status == 1
    assert "answers 500, expected 2xx" in done.err
    assert site.driver("switch", "green").status == 3
    assert settled(site)["active"] == "blue"


def test_nginx_understands_the_proxy_of_the_compose_example(tmp_path: Path) -> None:
    proxy = (PIPELINES / "driver" / "examples" / "compose" / "proxy.conf").read_text()
    for place in ("/run/colour", "/var/lib/colour"):
        proxy = proxy.replace(place, str(tmp_path))
    for port in ("80", "8081", "8082"):
        proxy = re.sub(rf"listen {port}\b", f"listen 127.0.0.1:{free_port()}", proxy)
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ access_log off;\n{proxy} }}")
    command = [nginx(), "-t", "-p", str(tmp_path), "-c", str(configuration)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


def test_the_choice_outlives_nginx(site: Site) -> None:
    site.deploy("v1")
    site.do("switch")
    site.deploy("v2")
    site.do("switch")
    site.kill_nginx()
    site.start_nginx()
    assert settled(site)["active"] == "green"
