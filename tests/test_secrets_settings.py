"""No complaint about settings, an environment or a rollout shows a secret that stands in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.everyone import SECRETS
from tests.leaks import files, found_in
from tests.processes import Installation
from watchdog.config import load_settings
from watchdog.errors import ConfigError

NAME = "checkout-1"


def wrong(directory: Path, text: str, environ: Mapping[str, str] | None = None) -> str:
    """What is said of settings that are wrong."""
    path = directory / "wrong.yaml"
    path.write_text(f"prometheus: {{url: 'http://127.0.0.1:9'}}\n{text}\n")
    with pytest.raises(ConfigError) as caught:
        load_settings(path, dict(environ or {}))
    return str(caught.value)


@pytest.mark.parametrize(
    "written",
    [
        "notify: {{pagerduty: {{routing_key: [{0}]}}}}",
        "notify: {{pagerduty: {{routing_key: {{a: {0}}}}}}}",
        "notify: {{pagerduty: {0}}}",
        "notify: {{slack: {{token: {0}}}}}",
        "notify: {{slack: {{tokn: {0}, channel: x}}}}",
        "notify: {{slack: {{token: {0}, channel: x, webhook_url: {0}}}}}",
        "notify: {{alertmanager: {{url: 'http://user:{0}@am:9093'}}}}",
        "notify: {{alertmanager: {{url: 'http://am:9093', bearer_token: [{0}]}}}}",
        "notify: {{webhook: {{url: 'http://h', secret: 7, secret_file: {0}}}}}",
        "notify: {{on_transition: {{url: 'http://h', style: github, secret: {0}}}}}",
        "notify: {{email: {{smtp: 'h:25', from: a, to: [b], username: u, password: {0}, security: none}}}}",
        "notify: {{email: {{smtp: 'h:25', from: a, to: [b], password: {0}}}}}",
        "alerts: {{token: [{0}]}}",
        "http: {{token: {{a: {0}}}}}",
    ],
)
def test_no_complaint_about_settings_shows_a_secret(tmp_path: Path, written: str) -> None:
    secret = SECRETS["webhook"]
    said = wrong(tmp_path, written.format(secret))
    if "secret_file" in written:
        said = said.replace(f"{tmp_path}/{secret}", "")  # the name of a file, which was meant to be one
    assert found_in({"said": said}) == []


def test_no_complaint_about_the_environment_shows_a_secret(tmp_path: Path) -> None:
    secret = SECRETS["slack"]
    for name in ("NOTIFY__SLACK__TOKEN", "NOTIFY__SLACK__TOKN", "NOTIFY__PAGERDUTY", "NOTIFY__EMAIL__PASSWORD"):
        assert found_in({name: wrong(tmp_path, "", {f"WATCHDOG_{name}": secret})}) == []


def test_no_complaint_about_a_rollout_shows_a_secret_or_keeps_it(tmp_path: Path) -> None:
    site = Installation(tmp_path, "http://127.0.0.1:9")
    secret = SECRETS["pagerduty"]
    site.rollout(NAME, notify=f"{{routing_key: {secret}}}")
    done = site.run("check")
    assert done.status == 2
    assert "routing_key_file" in done.err
    assert found_in({"said": done.out + done.err, **files(tmp_path, "rollouts/")}) == []
