"""The Dockerfile and its helpers, without building: `make image` builds, looks into and runs the real one."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from types import ModuleType

import pytest

from tests.scripted import Reply, ScriptedPrometheus
from tests.servers import free_port

ROOT = Path(__file__).parent.parent
IMAGE = ROOT / "deploy" / "image"
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
INSTRUCTIONS = [
    re.sub(r"\s+", " ", line)
    for line in re.sub(r"\\\n", " ", re.sub(r"(?m)^\s*#.*\n", "", TEXT)).splitlines()
    if line.strip()
]
RUN_STAGE = INSTRUCTIONS[next(at for at, each in enumerate(INSTRUCTIONS) if each.endswith(" AS run")) :]


def module(file: Path) -> ModuleType:
    """A program of the image, which no package holds."""
    found = importlib.util.spec_from_file_location(f"image_{file.stem}", file)
    assert found is not None
    assert found.loader is not None
    loaded = importlib.util.module_from_spec(found)
    found.loader.exec_module(loaded)
    return loaded


pinned, sbom, healthcheck = (module(IMAGE / f"{name}.py") for name in ("pinned", "sbom", "healthcheck"))
secrets = module(ROOT / "scripts" / "image_secrets.py")
LOCKED = pinned.entries((ROOT / "requirements.lock").read_text(encoding="utf-8"))


def only(instruction: str, among: list[str] = RUN_STAGE) -> str:
    """What the one instruction of this kind says."""
    [found] = [each.partition(" ")[2] for each in among if each.startswith(f"{instruction} ")]
    return found


def test_every_stage_begins_with_a_base_that_is_pinned_by_its_digest() -> None:
    assert re.fullmatch(r"BASE=\S+:[\w.-]+@sha256:[0-9a-f]{64}", only("ARG", INSTRUCTIONS[:1]))
    assert {each.split()[1] for each in INSTRUCTIONS if each.startswith("FROM ")} == {"${BASE}"}


def test_it_runs_as_a_number_that_is_not_root() -> None:
    assert only("USER") == "65532:65532"


def test_its_health_is_asked_by_the_small_probe() -> None:
    check = only("HEALTHCHECK")
    command = json.loads(check.partition("CMD ")[2])
    assert f"COPY deploy/image/healthcheck.py {command[-1]}" in RUN_STAGE


def test_process_1_hands_signals_on() -> None:
    assert json.loads(only("ENTRYPOINT"))[:2] == ["/usr/bin/tini", "--"]
    assert only("STOPSIGNAL") == "SIGTERM"


def test_nothing_comes_from_the_net_but_packages_whose_hashes_are_known() -> None:
    assert not [each for each in INSTRUCTIONS if re.match(r"ADD |.*\b(curl|wget|git clone)\b", each)]
    parts = [part for each in INSTRUCTIONS for part in each.split(" && ")]
    installs = [part for part in parts if re.search(r"\binstall -q .*--no-deps", part)]
    assert len(installs) == 3
    assert all("--require-hashes" in part or "--no-index" in part for part in installs)


def test_no_layer_keeps_a_setting_of_the_machine_that_builds_it() -> None:
    named = {each for line in INSTRUCTIONS for each in re.findall(r"/run/secrets/([\w.]+)", line)}
    mounted = {each for line in INSTRUCTIONS for each in re.findall(r"type=secret,id=([\w.]+)", line)}
    assert named <= mounted == {"apt.conf", "apt.list", "pip.conf", "ca"}
    assert not re.search(r"(?m)^(ARG|ENV) .*(?i:token|password|index|proxy)", TEXT)


def test_it_says_what_it_is_and_from_which_commit() -> None:
    labels = next(each for each in RUN_STAGE if each.startswith("LABEL "))
    assert {"title", "version", "revision", "licenses", "created"} <= set(
        re.findall(r"org\.opencontainers\.image\.(\w+)=", labels)
    )


def test_the_context_is_what_is_listed_and_nothing_else() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    allowed = {line[1:] for line in lines if line.startswith("!")}
    assert allowed == {
        *("LICENSE", "README.md", "pyproject.toml", "requirements.lock", "watchdog"),
        *("deploy", "deploy/image"),
    }
    assert "deploy/*" in lines
    copied = {
        source.rstrip("/")
        for line in INSTRUCTIONS
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    }
    assert all(any(source == each or source.startswith(f"{each}/") for each in allowed) for source in copied)


def test_the_program_gets_its_dependencies_and_no_tool_of_the_tests() -> None:
    project = {
        "dependencies": ["requests>=2", "redis"],
        "optional-dependencies": {"postgresql": ["psycopg[binary]>=3"]},
    }
    names = pinned.closure(LOCKED, pinned.direct(project, ["postgresql"]))
    assert {"requests", "certifi", "urllib3", "psycopg", "psycopg-binary"} <= set(names)
    assert not {"pytest", "mypy", "numpy", "pip", "ruff"} & set(names)


def test_what_is_locked_keeps_its_hashes() -> None:
    done = subprocess.run(
        [sys.executable, str(IMAGE / "pinned.py"), "program", "postgresql", "redis", "drill"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    entries = pinned.entries(done.stdout)
    assert len(entries) > 40
    assert all("--hash=sha256:" in entry for entry in entries.values())


def test_a_dependency_that_is_not_locked_is_named() -> None:
    with pytest.raises(ValueError, match=r"has no nothing-of-the-kind: write it anew with `make lock`"):
        pinned.closure(LOCKED, {"requests", "nothing-of-the-kind"})


def test_the_bill_of_materials_names_packages_and_what_they_need() -> None:
    listed = "zlib1g\t1:1.3+b1\tamd64\tzlib\tlibc6 (>= 2.14) | other, gone\t\nlibc6\t2.41\tamd64\tglibc\t\t\n"
    materials = sbom.of_python(distributions()) + sbom.of_debian(listed, "debian-13")
    system = {"type": "operating-system", "bom-ref": "operating-system", "name": "debian", "version": "13"}
    bill = sbom.bill(materials, system, datetime(2026, 11, 1, tzinfo=UTC))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    assert bill["metadata"]["component"]["name"] == "slo-watchdog"
    components = {each["bom-ref"]: each for each in [*bill["components"], bill["metadata"]["component"]]}
    assert len(components) == len(bill["components"]) + 1, "a reference is used twice"
    assert components["deb:zlib1g"]["purl"] == "pkg:deb/debian/zlib1g@1%3A1.3%2Bb1?arch=amd64&distro=debian-13"
    assert components["pypi:pyyaml"]["purl"].startswith("pkg:pypi/pyyaml@")
    needs = {each["ref"]: each["dependsOn"] for each in bill["dependencies"]}
    assert needs["deb:zlib1g"] == ["deb:libc6"]
    assert "pypi:pydantic" in needs["pypi:slo-watchdog"]
    assert all(set(each) <= set(components) for each in needs.values())


@pytest.mark.parametrize(
    ("argument", "listen", "asked"),
    [
        (None, "0.0.0.0:9464", ("127.0.0.1", 9464, "/livez")),
        (None, "[::]:9464", ("::1", 9464, "/livez")),
        (None, "10.0.0.7:80", ("10.0.0.7", 80, "/livez")),
        ("http://127.0.0.1:8798/healthz", "0.0.0.0:9464", ("127.0.0.1", 8798, "/healthz")),
    ],
)
def test_the_probe_asks_where_the_daemon_listens(
    argument: str | None, listen: str, asked: tuple[str, int, str]
) -> None:
    assert healthcheck.target(argument, listen) == asked


def probed(listen: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(IMAGE / "healthcheck.py")],
        env={"WATCHDOG_HEALTH__LISTEN": listen},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def answered(status: int, body: bytes) -> tuple[int, str]:
    """What the probe says of a daemon that answers so."""
    with ScriptedPrometheus(lambda _: Reply(body, status)) as server:
        return probed(server.url.removeprefix("http://"))


def test_the_probe_succeeds_where_the_daemon_lives() -> None:
    assert answered(200, b'{"status":"ok"}') == (0, '{"status":"ok"}\n')


def test_the_probe_fails_and_says_what_stands_still() -> None:
    assert answered(503, b"no tick for 90 s") == (1, "no tick for 90 s\n")


def test_the_probe_fails_where_nobody_answers() -> None:
    status, said = probed(f"127.0.0.1:{free_port()}")
    assert status == 1
    assert "gives no answer" in said


def test_the_probe_says_that_it_was_given_no_address() -> None:
    assert probed("everywhere")[1].startswith("no address to ask: expected host:port in WATCHDOG_HEALTH__LISTEN")


def test_the_mirror_of_this_machine_is_asked_for_the_suite_of_the_image() -> None:
    indexes = (
        "http://mirror.example/debian/ bookworm main Debian Packages\n"
        "http://mirror.example/debian/ bookworm-updates main Debian Packages\n"
        "http://mirror.example/debian-security/ bookworm-security main Debian Packages\n"
        "http://mirror.example/debian/ bookworm contrib Debian Packages\n"
    )
    text, mirror = secrets.sources("trixie", indexes)
    assert mirror == "http://mirror.example/debian/"
    assert [line.split()[2:] for line in text.splitlines()] == [
        ["http://mirror.example/debian-security/", "trixie-security", "main"],
        ["http://mirror.example/debian/", "trixie", "main"],
        ["http://mirror.example/debian/", "trixie-updates", "main"],
    ]
    assert secrets.sources("trixie", "") == ("", "")


def test_proxies_and_the_index_go_along_and_directories_of_this_machine_do_not() -> None:
    proxy = 'Acquire::http::Proxy "http://proxy.example:3128";'
    dumped = f'{proxy}\nAcquire::https::CAInfo "/here/ca";\nAPT::Architecture "amd64";\n'
    assert secrets.apt_conf(dumped, own_sources=False).splitlines() == [
        proxy,
        'Acquire::https::CAInfo "/run/secrets/ca";',
    ]
    listed = "global.index-url='https://index.example/simple'\n:env:.cert='/here/ca'\n"
    assert secrets.pip_conf(listed, {"PIP_FIND_LINKS": "/here/wheels", "PIP_TIMEOUT": "60"}).splitlines() == [
        "[global]",
        "index-url = https://index.example/simple",
        "timeout = 60",
        "cert = /run/secrets/ca",
    ]
