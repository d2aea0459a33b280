"""Servers that say back the secrets they were sent, and a search for these in whatever comes out."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from tests.answering import Reply, reply
from tests.everyone import SECRETS, USER, Everyone
from tests.pagerdutyserver import Fault, hang, redirect

OWN_KEY, OWN_HOOK = "0wnTeamsPagerDutyRoutingKey01234", "s3cret-of-the-teams-own-hook"
HTTP, ALERTS, PASSWORD = "s3cret-http-token", "s3cret-alerts-token", "s3cret-prometheus-password"
ALL = (*SECRETS.values(), OWN_KEY, OWN_HOOK, HTTP, ALERTS, PASSWORD)


def looks(secret: str) -> set[str]:
    """A secret as it may be written down: as it is, quoted, or in the encodings of a login."""
    logins = (secret, f"\0{USER}\0{secret}", f"{USER}:{secret}")
    return {secret, quote(secret, safe=""), *(base64.b64encode(one.encode()).decode().rstrip("=") for one in logins)}


def found_in(outputs: Mapping[str, str]) -> list[str]:
    """`where: which secret`, for every secret in any of these."""
    written = {look: secret for secret in ALL for look in looks(secret)}
    return [f"{where}: {secret}" for where, text in outputs.items() for look, secret in written.items() if look in text]


def files(directory: Path, *but: str) -> dict[str, str]:
    """Everything below the directory, the ledger with its companions and the logs among it."""
    there = (path for path in directory.rglob("*") if path.is_file())
    read = {str(path.relative_to(directory)): path.read_bytes().decode("latin-1") for path in there}
    return {name: text for name, text in read.items() if not name.startswith(but)}


def echo(everyone: Everyone, channel: str) -> str:
    """The secrets that a channel is sent, as a careless server would say them back."""
    mine = [secret for name, secret in SECRETS.items() if name.partition(" ")[0] == channel]
    if channel == "slack":
        mine = [everyone.slack.hook_url, mine[1]] if everyone.slack_form == "webhook" else mine[:1]
    return " ".join(mine)


def answers(everyone: Everyone, channel: str, kind: str, said: str = "") -> None:
    """From now on the channel's server is in that kind of trouble, and says that back."""
    said = said or echo(everyone, channel)
    body = json.dumps({"message": f"no: {said}", "status": said, "errors": [said], "error": said}).encode()
    elsewhere = {"Location": f"http://127.0.0.1:1/{quote(said)}?token={quote(said)}"}
    http = {
        "401": reply(401, body),
        "500": reply(500, body),
        "redirect": reply(307, headers=elsewhere),
        "hang": Reply(hang=True),
        "plain text": reply(403, said.encode()),
    }[kind]
    if channel == "pagerduty":
        plain = {"401": Fault(401, body), "500": Fault(500, body), "plain text": Fault(400, said.encode())}
        everyone.pagerduty.always({**plain, "redirect": redirect(elsewhere["Location"]), "hang": hang()}[kind])
    elif channel == "slack":
        everyone.slack.recover()
        everyone.slack.fail("chat.postMessage", *[http] * 20).fail("webhook", *[http] * 20)
    else:
        server = {
            "alertmanager": everyone.alertmanager,
            "webhook": everyone.webhook,
            "on_transition": everyone.pipeline,
        }[channel]
        server.always(http)


@contextmanager
def mail_trouble(everyone: Everyone, kind: str) -> Iterator[None]:
    """Likewise for mail."""
    said = echo(everyone, "email")
    everyone.mail.answers = {"MAIL": f"451 {said}", "DATA": f"554 {said}", "RCPT ops@example.com": f"550 {said}"}
    everyone.mail.logins = {USER: "another"} if kind == "401" else {USER: SECRETS["email"]}
    if kind == "data":
        everyone.mail.answers.pop("MAIL")
        everyone.mail.answers.pop("RCPT ops@example.com")
    if kind == "rcpt":
        everyone.mail.answers.pop("MAIL")
    yield
    everyone.mail.answers = {}
