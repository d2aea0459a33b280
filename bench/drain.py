"""A thousand queued messages through each channel, over real HTTP and SMTP, as fast as the limit of the channel allows.

Time is driven: the sender's clock and the fake's limit are the same number, moved on to when the sender says that it is
due again. What arrived is counted at the fake. The summary of each message holds a mark of its own; a message that a
newer one stands for is in the newer one's list of what it stands for, and counts as told where its mark is.
"""

from __future__ import annotations

import json
import re
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import shop
from bench.figure import Figure
from bench.proc import fast_directory
from tests.answering import Answering, Reply, Request, reply
from tests.mailserver import MailServer, made_certificate
from tests.pagerdutyserver import KEY, PagerDutyServer
from tests.slackserver import TOKEN, SlackServer
from watchdog.ledger import Ledger, Record, open_ledger
from watchdog.model import Notification, Severity
from watchdog.notifiers.alertmanager import Alertmanager
from watchdog.notifiers.base import Notifier
from watchdog.notifiers.email import Email
from watchdog.notifiers.pagerduty import PagerDuty
from watchdog.notifiers.slack import Slack
from watchdog.notifiers.slack_api import SlackApi, SlackHook
from watchdog.notifiers.slack_hook import SlackWebhook
from watchdog.notifiers.webhook import WebhookChannel
from watchdog.notify import Sender

START = 1_800_000_000.0
EACH = 20
"""Messages of one rollout."""
A_SECOND = 5
"""What the receivers that have no published limit take here; more is answered 429 and `Retry-After: 1`."""
MARK = re.compile(r"n\d{4}n")
NOT_FOR = {"alertmanager": ("step",), "email": ("step",)}
"""What a channel does not carry, as its page of the documentation says: it is settled without a request."""


class Clock:
    """The time of the sender, and of the fake's limit."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Fake:
    """The channel, and what its fake has seen: accepted texts by endpoint, how many were refused, seconds of a limit.

    `per` is how many seconds one request costs by the limit; 0 where there is none.
    """

    notifier: Notifier
    taken: Callable[[], list[tuple[str, str]]]
    refused: Callable[[], int]
    per: float


def figures(*, quick: bool) -> Iterator[Figure]:
    """Each channel in turn, its 1,000 messages (200 with --quick) recorded at one moment."""
    count = 200 if quick else 1000
    for name, opened in WAYS.items():
        with tempfile.TemporaryDirectory(prefix="bench-", dir=fast_directory()) as directory:
            yield _drained(name, opened, count, Path(directory))


def _drained(name: str, opened: Callable[[Path, Clock], Iterator[Fake]], count: int, directory: Path) -> Figure:
    clock, began = Clock(), time.monotonic()
    ledger = open_ledger(f"sqlite:///{directory / 'ledger.db'}")
    with contextmanager(opened)(directory, clock) as fake:
        sender = Sender(ledger, [fake.notifier], clock)
        sender.send_due(clock.now)  # the channel is known before anything is recorded
        kinds = record(ledger, count, clock.now)
        _drain(sender, clock)
        channel = fake.notifier.name
        meant = {mark for mark, kind in kinds.items() if kind not in NOT_FOR.get(channel, ())}
        taken = fake.taken()
        counted = Counter((line, mark) for line, text in taken for mark in set(MARK.findall(text)))
        lost = meant - {mark for _, mark in counted}
        doubled = {mark for (_, mark), times in counted.items() if times > 1}
        merged = _merged(ledger, channel)
        seconds, least = clock.now - START, (len(taken) - 1) * fake.per
        sender.stop(5.0)
        refused = fake.refused()
    ledger.close()
    pace = f"{seconds:.0f} s, {seconds / least:.2f} x its limit" if least else "no limit"
    text = f"lost {len(lost)}, doubled {len(doubled)} ({len(taken)} requests taken, {refused} refused; {pace}; "
    text += f"{merged} stood for by newer ones, {count - len(meant)} not for it; {time.monotonic() - began:.0f} s real)"
    details: dict[str, object] = {"seconds": seconds, "least": least, "lost": sorted(lost), "doubled": sorted(doubled)}
    return Figure(f"{count} messages to {name}", "0 lost, 0 doubled", text, not lost and not doubled, details)


def record(ledger: Ledger, count: int, now: float) -> dict[str, str]:
    """That many messages of many rollouts, in one transaction a rollout; mark -> kind."""
    kinds: dict[str, str] = {}
    for first in range(0, count, EACH):
        rule = shop.rollout(f"checkout-{first // EACH}")
        stored = ledger.add_rollout(rule, file=f"{rule.name}.yaml", engine="bench", now=now)
        some = [_message(number, now) for number in range(first, min(first + EACH, count))]
        ledger.record(Record(stored.id, stored.revision, notifications=tuple(some)))
        kinds |= {_mark(number): one.kind for number, one in enumerate(some, first)}
    return kinds


def _message(number: int, now: float) -> Notification:
    """Of a rollout's twenty: fourteen incidents of their own, three times news of one more, a hold, and two steps."""
    place = number % EACH
    kind, objective = "breach", f"objective-{place}" if place < 14 else "objective-14"
    if place == 17:
        kind = "hold"
    elif place > 17:
        kind = "step"
    severity = Severity.INFO if kind == "step" else Severity.CRITICAL
    details: dict[str, object] = {"objective": objective} if kind == "breach" else {}
    return Notification(kind, f"{kind}:{number}", severity, f"{_mark(number)} was found bad", now, details)


def _mark(number: int) -> str:
    return f"n{number:04}n"


def _drain(sender: Sender, clock: Clock) -> None:
    """Rounds until nothing waits, each when the sender wants it."""
    (lane,) = sender.lanes
    deadline = time.monotonic() + 1200
    sender.send_due(clock.now)
    while lane.waiting:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{len(lane.waiting)} messages still wait: {sender.sentence}")
        clock.now = max(clock.now, lane.next_due or 0.0) + 0.001  # wall time is a float: never just before it
        sender.send_due(clock.now)


def _merged(ledger: Ledger, channel: str) -> int:
    stored = (item for rollout in ledger.rollouts() for item in ledger.notifications_of(rollout.id))
    return sum(one.channel == channel and one.superseded_by is not None for item in stored for one in item.deliveries)


# --- the channels -------------------------------------------------------------------------------------------------


def _pagerduty(_directory: Path, clock: Clock) -> Iterator[Fake]:
    with PagerDutyServer(KEY, per_minute=120, clock=clock) as server:
        yield Fake(
            PagerDuty(KEY, server.url),
            lambda: [(asked.path, asked.body.decode()) for asked in server.asked if asked.status == 202],
            lambda: sum(asked.status != 202 for asked in server.asked),
            0.5,
        )


def _slack(_directory: Path, clock: Clock) -> Iterator[Fake]:
    with SlackServer(paced=True, clock=clock, wall=clock) as server:
        yield Fake(
            Slack(SlackApi(TOKEN, url=server.url, timeout=10.0), "#deploys"),
            lambda: _shown(server),
            lambda: len(server.calls) - len(server.messages),
            1.0,
        )


def _slack_webhook(_directory: Path, clock: Clock) -> Iterator[Fake]:
    with SlackServer(paced=True, clock=clock, wall=clock) as server:
        yield Fake(
            SlackWebhook(SlackHook(server.hook_url, timeout=10.0)),
            lambda: _shown(server),
            lambda: len(server.calls) - len(server.messages),
            1.0,
        )


def _shown(server: SlackServer) -> list[tuple[str, str]]:
    """Everything that stands in the channel and its threads."""
    return [("messages", json.dumps(message.blocks)) for message in server.messages]


class Limited:
    """A receiver that takes so many requests a second and keeps them."""

    def __init__(self, clock: Clock, status: int) -> None:
        self.clock = clock
        self.status = status
        self.taken: list[str] = []
        self.refused = 0
        self._recent: deque[float] = deque()
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Reply:
        with self._lock:
            now = self.clock()
            while self._recent and self._recent[0] <= now - 1.0:
                self._recent.popleft()
            if len(self._recent) >= A_SECOND:
                self.refused += 1
                return reply(429, headers={"Retry-After": "1"})
            self._recent.append(now)
            self.taken.append(request.body.decode())
            return reply(self.status)


def _webhook(_directory: Path, clock: Clock) -> Iterator[Fake]:
    receiver = Limited(clock, 202)
    with Answering() as server:
        server.always(receiver)
        notifier = WebhookChannel(f"{server.url}/hook", "a secret of the receiver's")
        yield _limited(notifier, receiver)


def _alertmanager(_directory: Path, clock: Clock) -> Iterator[Fake]:
    receiver = Limited(clock, 200)
    with Answering() as server:
        server.always(receiver)
        yield _limited(Alertmanager(server.url), receiver)


def _limited(notifier: Notifier, receiver: Limited) -> Fake:
    taken = receiver.taken
    return Fake(notifier, lambda: [("", text) for text in taken], lambda: receiver.refused, 1.0 / A_SECOND)


def _email(directory: Path, _clock: Clock) -> Iterator[Fake]:
    with MailServer(made_certificate(directory), security="none") as server:
        notifier = Email(server.settings(), "watchdog@example.com", ["team@example.com"])
        yield Fake(notifier, lambda: [("", str(mail["Subject"]) + _body(mail)) for mail in server.mails], lambda: 0, 0)


def _body(mail: object) -> str:
    part = mail.get_body(("plain",)) if hasattr(mail, "get_body") else None
    return str(part.get_content()) if part is not None else ""


WAYS: dict[str, Callable[[Path, Clock], Iterator[Fake]]] = {
    "PagerDuty at 120 a minute": _pagerduty,
    "Slack by token, 1 a second": _slack,
    "Slack by webhook, 1 a second": _slack_webhook,
    f"a webhook at {A_SECOND} a second": _webhook,
    f"Alertmanager's API at {A_SECOND} a second": _alertmanager,
    "SMTP": _email,
}
