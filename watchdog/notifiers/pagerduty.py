"""PagerDuty: one incident for each rollout and cause, and a line in the list of changes for each change.

The only module that speaks to `pdpyras`, which is frozen upstream (docs/decisions/pagerduty-client.md). We use its
session: the address, the routing key in the body, the headers. Its retries sleep, and never end for a 429; here every
answer comes back at once, and the sender decides.
"""

from __future__ import annotations

import ssl
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
import urllib3

from watchdog.errors import ConfigError, NotifierError, NotYet, Problem
from watchdog.exchange.wire import Deadline, Wire
from watchdog.messages import Effect, Message
from watchdog.notifiers.base import Memo
from watchdog.notifiers.pace import Pace
from watchdog.notifiers.pagerduty_answers import Key, beginning, broken, refused, unlike_a_key
from watchdog.notifiers.pagerduty_book import TEST, Book, alerts, trial_step
from watchdog.notifiers.pagerduty_events import Event, Step, alert_event, change_event
from watchdog.notifiers.texts import one_line

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", 'The package "pdpyras" is deprecated', UserWarning)
    import pdpyras  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from watchdog.config.notifysettings import PagerDutySettings

URL = "https://events.pagerduty.com"
CALLS_A_MINUTE = 120
"""What PagerDuty allows for one routing key."""
BURST = 10
_PATHS = {"trigger": "/v2/enqueue", "resolve": "/v2/enqueue", "change": "/v2/change/enqueue"}


def open_pagerduty(settings: PagerDutySettings) -> PagerDuty:
    """The channel of these settings. Reaches nothing yet. Raises ConfigError."""
    key = settings.routing_key.get_secret_value() if settings.routing_key is not None else ""
    if problem := unlike_a_key(key):
        raise ConfigError([Problem("notify.pagerduty.routing_key", problem)])
    return PagerDuty(key, settings.url or URL, settings.timeout)


class PagerDuty:
    """Alert and change events to the service of `routing_key`, or of the key that a rollout brings.

    Each call is answered within `timeout` seconds. What PagerDuty was told of an incident is in the memo, so that a
    retry repeats nothing that arrived, an update never makes an incident quieter, and what comes late reopens none.
    """

    name = "pagerduty"
    repeats_known = True

    def __init__(self, routing_key: str, url: str = URL, timeout: float = 10.0) -> None:
        self._key = Key(routing_key, "notify.pagerduty", shared=True)
        parts = urlsplit(url)
        self._url = url
        self._address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._host = parts.hostname or ""
        self._timeout = timeout
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._pace = Pace(60.0 / (CALLS_A_MINUTE - BURST), BURST)
        self._away: dict[str, tuple[float, float]] = {}
        """Keys that were told to stay away: until when, and for how long."""
        self._unwritten: dict[tuple[str, str], str] = {}

    def ready_in(self, message: Message, now: float) -> float:
        """Seconds until the key that the message goes to may be used again."""
        try:
            key = self._key_for(message)
        except NotifierError:
            return 0.0  # `send` tells why
        until, asked = self._away.get(key.mark, (now, 0.0))
        return max(self._pace.ready_in(key.mark, now), min(max(0.0, until - now), asked))

    def send(self, message: Message, memo: Memo, now: float, *, again: bool) -> str:
        """Send the alert events that it needs, then its change event; what has been sent before is not repeated.

        Raises NotifierError, NotYet when the key's pace is used up in between, and LedgerError before anything is sent.
        """
        key = self._key_for(message)
        book = Book(memo, message.rollout, self._unwritten)
        steps, said = _plan(message, book, key)
        for count, step in enumerate(steps):
            wait = self._pace.ready_in(key.mark, now)
            if count and wait:
                raise NotYet(f"PagerDuty: {count} of {len(steps)} events are sent, the rest follows", retry_after=wait)
            event = change_event(message, repeat=again) if step.action == "change" else alert_event(message, step)
            try:
                said.append(self._post(key, step, event, now))
            except NotifierError as error:
                if not error.permanent or step.action != "change" or message.effect is Effect.TELL:
                    raise
                said.append(str(error))  # people have been told; a line missing in a list is worth no page
            if message.kind != TEST:
                book.enter(message, step)
        return "; ".join(said) or "nothing was sent: it is for the record, and changes nothing"

    def close(self) -> None:
        """Nothing is kept open between calls."""

    def _key_for(self, message: Message) -> Key:
        """The rollout's own key, read anew each time, or the daemon's. Raises NotifierError."""
        file = message.rule.routing_key_file if message.rule is not None else None
        if file is None:
            return self._key
        secret = ""
        try:
            with Path(file).open(encoding="utf-8") as opened:
                secret = opened.read(4096).strip()
            problem = unlike_a_key(secret)
        except OSError as error:
            problem = f"cannot be read: {error.strerror}"
        except UnicodeDecodeError:
            problem = "holds no text"
        if problem:
            todo = f"correct notify.routing_key_file of {one_line(message.rollout)}"
            found = f"PagerDuty: the routing key file {file} {problem}; {todo}."
            raise NotifierError(found, permanent=True, everything=True)  # a key, once it is right, takes what waits
        return Key(secret, file, shared=False)

    def _post(self, key: Key, step: Step, event: Event, now: float) -> str:
        """One request, and what came of it in words. Raises NotifierError for whatever is not a 202."""
        began, deadline = time.monotonic(), Deadline(self._timeout)
        self._pace.used(key.mark, now)
        try:
            with self._session(key, deadline) as session:
                try:
                    response = session.post(_PATHS[step.action], json=event)
                except _Answered as answered:
                    response = answered.response
                with response:
                    raw = beginning(response, deadline)
        except (pdpyras.PDClientError, requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise broken(self._address, error, key, deadline, self._timeout) from error
        if response.status_code == 202:
            return f"{step} was accepted (202)"
        refusal = refused(self._address, response.status_code, response.headers, raw, key)
        if response.status_code == 429 and refusal.retry_after is not None:
            self._away[key.mark] = now + (time.monotonic() - began) + refusal.retry_after, refusal.retry_after
        raise refusal

    def _session(self, key: Key, deadline: Deadline) -> Any:
        session = _AtOnce(key.secret)
        session.url = self._url
        session.timeout = deadline.left()
        session.trust_env = False  # a stray netrc must not add credentials; of the environment only proxies count
        if not (self._host == "localhost" or self._host.startswith("127.") or self._host == "::1"):
            session.proxies.update(requests.utils.get_environ_proxies(self._url))
        wire = Wire(deadline, self._tls)
        for scheme in ("http://", "https://"):
            session.mount(scheme, wire)
        return session


class _Answered(Exception):
    """An answer that is not a 202: raised past the retries of the client."""

    def __init__(self, response: requests.Response) -> None:
        self.response = response
        super().__init__(f"status {response.status_code}")


class _AtOnce(pdpyras.EventsAPISession):  # type: ignore[misc]
    """A session of the client that asks once: no retry, no sleep, no redirect, and the body is left to us."""

    max_network_attempts = 0

    def request(self, method: str, url: str, **how: Any) -> Any:
        return super().request(method, url, **{**how, "allow_redirects": False})

    def send(self, request: Any, **how: Any) -> Any:
        return super().send(request, **{**how, "stream": True})

    def postprocess(self, response: requests.Response) -> None:
        if response.status_code != 202:
            raise _Answered(response)


def _plan(message: Message, book: Book, key: Key) -> tuple[list[Step], list[str]]:
    """The events that it still needs, in order, and a sentence for each that it does not."""
    if message.kind == TEST:
        return [trial_step(message.effect, changes=key.takes_changes)], []
    steps, said = alerts(message, book.told(message))
    if message.change and not key.takes_changes:
        said.append("no change event was sent: the routing key is a ruleset's (R...), which takes none")
    elif message.change and book.changed(message):
        said.append("its change event was sent by an earlier attempt")
    elif message.change:
        steps.append(Step("change"))
    return steps, said
