"""The pytest plugin: options, and nothing else unless `--slo-suite` is given. See docs/tests-as-a-metric.md."""

from __future__ import annotations

import os
from functools import partial

import pytest

INERT = (
    "help",
    "version",
    "markers",
    "collectonly",
    "setuponly",
    "setupplan",
    "showfixtures",
    "show_fixtures_per_test",
    "cacheshow",
)
"""Options with which pytest runs no test, so that there is nothing to count."""
SEEN = pytest.StashKey[bool]()
"""Set once pytest has been configured: from there on somebody else looks after the run."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of which only the first turns anything on."""
    group = parser.getgroup("slo-watchdog", "results of this run as metrics")
    group.addoption("--slo-suite", metavar="NAME", help="count this run under that name; without it nothing is counted")
    group.addoption("--slo-textfile", metavar="DIR", help="node exporter's --collector.textfile.directory")
    group.addoption("--slo-pushgateway", metavar="URL", help="or a Pushgateway")
    group.addoption("--slo-job", metavar="NAME", help="the service that is tested: label `job` (default: the suite)")
    group.addoption(
        "--slo-label", metavar="NAME=VALUE", action="append", default=[], help="one more label; may be repeated"
    )
    group.addoption(
        "--slo-critical",
        metavar="MARKER",
        action="append",
        default=[],
        help="a run that skips a test of this marker counts as failed (default: critical); may be repeated",
    )
    group.addoption(
        "--slo-flaky",
        choices=("passed", "failed"),
        default="passed",
        help="what a test counts as that passes only when it is run again (default: passed)",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Be there when a conftest.py cannot be imported or the command line is wrong: pytest ends before it begins."""
    if early_config.known_args_namespace.slo_suite is not None:
        early_config.add_cleanup(partial(_never_began, early_config))


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Watch the run; in a worker of xdist only mark what is critical."""
    option = config.option
    given = [name for name in ("slo_textfile", "slo_pushgateway") if getattr(option, name)]
    if option.slo_suite is None:
        if given:
            raise pytest.UsageError(f"--{given[0].replace('_', '-')} needs --slo-suite NAME, under which it counts")
        return
    config.stash[SEEN] = True
    if any(getattr(option, name, False) for name in INERT):
        return
    from watchdog.errors import ConfigError  # noqa: PLC0415 - only where something is counted
    from watchdog.testresults import recorder  # noqa: PLC0415

    if hasattr(config, "workerinput"):
        config.pluginmanager.register(recorder.Marks(option.slo_critical), "slo-watchdog-marks")
        return
    try:
        found = recorder.recorder_of(config)
    except ConfigError as error:
        raise pytest.UsageError(*(f"slo-watchdog: {problem}" for problem in error.problems)) from error
    config.pluginmanager.register(recorder.Marks(option.slo_critical), "slo-watchdog-marks")
    config.pluginmanager.register(found, "slo-watchdog-recorder")
    config.add_cleanup(found.close)


def _never_began(config: pytest.Config) -> None:
    # A worker cannot be told from its controller this early; only the environment says it.
    if SEEN in config.stash or "PYTEST_XDIST_WORKER" in os.environ:
        return
    if any(getattr(config.known_args_namespace, name, False) for name in INERT):
        return
    from watchdog.testresults import recorder  # noqa: PLC0415 - only where something is counted

    recorder.never_began(config)
