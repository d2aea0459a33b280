"""Where the suite is pointed to, and which of its tests may run there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from .asking import Site

OPTIONS = {
    "--target": "the daemon's address, http://HOST:PORT (or SLO_SMOKE_TARGET)",
    "--service": "the demo shop's address, for the area `service` (or SLO_SMOKE_SERVICE)",
    "--readers": "where applications read their flags, if that is another address (or SLO_SMOKE_READERS)",
    "--readers-token-file": "what they have to send, serve.token_file (or SLO_SMOKE_READERS_TOKEN_FILE)",
    "--token-file": "http.token_file of the daemon, for --writes (or SLO_SMOKE_TOKEN_FILE)",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("smoke", "the installation to test")
    for name, meaning in OPTIONS.items():
        group.addoption(name, default=os.environ.get(f"SLO_SMOKE_{name[2:].replace('-', '_').upper()}"), help=meaning)
    group.addoption("--writes", action="store_true", help="also what changes something and takes it back: staging only")
    group.addoption(
        "--without", metavar="AREA", action="append", default=[], help="leave an area out, `serving` for example"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "smoke: asks a running installation from outside")
    config.addinivalue_line("markers", "critical: a run that skips it counts as failed")
    config.addinivalue_line("markers", "writes: changes something and takes it back; only with --writes")


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Who runs a directory above does not mean this one: it has to be named."""
    here = Path(__file__).resolve().parent
    named = [(config.invocation_params.dir / arg.partition("::")[0]).resolve() for arg in config.args]
    return None if any(path.is_relative_to(here) for path in named) else True


def pytest_report_header(config: pytest.Config) -> list[str]:
    said = [f"{name[2:]} {config.getoption(name)}" for name in ("--target", "--service") if config.getoption(name)]
    return [f"smoke: {', '.join(said) or 'no --target'}{', with writes' if config.getoption('--writes') else ''}"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take out what was not asked for. It is told as deselected, not skipped: nothing of it was meant to run."""
    areas = {area_of(item) for item in items}
    without: Sequence[str] = config.getoption("--without")
    if unknown := [name for name in without if name not in areas]:
        raise pytest.UsageError(f"--without {unknown[0]}: there is no such area; there are {', '.join(sorted(areas))}")
    out = [
        item
        for item in items
        if area_of(item) in without
        or (area_of(item) == "service" and not config.getoption("--service"))
        or (item.get_closest_marker("writes") and not config.getoption("--writes"))
    ]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]


def area_of(item: pytest.Item) -> str:
    """The area of a test: `test_flags.py` is `flags`."""
    return item.path.stem.removeprefix("test_")


@pytest.fixture(scope="session")
def target(pytestconfig: pytest.Config) -> Site:
    """The daemon, asked as anybody may."""
    return Site(_address(pytestconfig), "the watchdog")


@pytest.fixture(scope="session")
def operator(pytestconfig: pytest.Config) -> Site:
    """The daemon, asked by who holds its token."""
    token = _token(pytestconfig, "--token-file")
    if not token:
        pytest.fail("--writes needs --token-file FILE, the daemon's http.token_file", pytrace=False)
    return Site(_address(pytestconfig), "the watchdog", token)


@pytest.fixture(scope="session")
def readers(pytestconfig: pytest.Config) -> Site:
    """Where applications read their flags."""
    url = pytestconfig.getoption("--readers") or _address(pytestconfig)
    return Site(url, "the flags' address", _token(pytestconfig, "--readers-token-file"))


@pytest.fixture(scope="session")
def service(pytestconfig: pytest.Config) -> Site:
    """The shop whose flag is steered."""
    return Site(pytestconfig.getoption("--service"), "the shop")


def _address(config: pytest.Config) -> str:
    url: str | None = config.getoption("--target")
    if not url:
        pytest.fail("say which installation is meant: --target http://HOST:PORT, or SLO_SMOKE_TARGET", pytrace=False)
    return url


def _token(config: pytest.Config, option: str) -> str:
    file = config.getoption(option)
    try:
        return Path(file).read_text(encoding="utf-8").strip() if file else ""
    except OSError as error:
        pytest.fail(f"{option} {file} cannot be read ({error.strerror})", pytrace=False)
