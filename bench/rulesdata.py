"""What 1,000 services leave in a Prometheus: days in blocks made by promtool, the newest minutes in its head.

A server keeps its newest two or three hours in memory and only what is older in blocks, so blocks that reach to the
present would make every look at a current value read the disk. The newest minutes therefore come in by scrapes of pages
whose samples carry their times.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.served import Page, Served
from tests.servers import binary

HOUR, DAY = 3600, 86_400
RAW = 30
"""Seconds between raw samples."""
RANGES = {"increase5m": (300, 1), "increase1d": (240, 288)}
"""How ranges are recorded that others are made of: seconds between two samples, and the five minutes in each."""
NEWEST = 50 * 60
"""Seconds before the end that come in by scrapes: a head takes nothing that is an hour older than its newest sample."""
AHEAD = 560
"""Seconds of raw samples that lie in the future when they come in: they last until the rules have been measured, and a
server takes none that are ten minutes ahead."""
JOBS_A_PAGE = 50
NO_INSTANCE = (
    "metric_relabel_configs: "
    "[{source_labels: [__name__], regex: 'environment_job:.*', target_label: instance, replacement: ''}]"
)
"""A scrape gives every series an instance; what rules record for a whole job has none."""
RECORDED = (
    "environment_job:http_requests",
    "environment_job:http_request_errors",
    "environment_job:timed_http_requests",
    "environment_job:slow_http_requests",
    "environment_job:smoke_tests",
    "environment_job:failed_smoke_tests",
    "environment_job_instance:probes",
    "environment_job_instance:failed_probes",
)
BOUNDS = ("0.05", "0.1", "0.2", "0.5", "1", "+Inf")


def recorded(jobs: Sequence[str], start: int, end: int) -> Iterator[str]:
    """The recorded five minutes and days of a span, a gauge each."""
    for operation, (every, held) in RANGES.items():
        times = range(start - start % every + every, end, every)
        for name in RECORDED:
            metric = f"{name}:{operation}"
            yield f"# TYPE {metric} gauge\n"
            value = held * (15 if "failed" in name or "errors" in name or "slow" in name else 15_000)
            for job in jobs:
                instance = f',instance="{job}:8080"' if "instance" in name else ""
                head = f'{metric}{{environment="production",job="{job}"{instance}}} {value} '
                yield "".join([f"{head}{t}\n" for t in times])


def raw(jobs: Sequence[str], start: int, end: int) -> Iterator[str]:
    """The last hour as it was scraped: counters, the histogram, probes, tests and what a process tells of itself."""
    times = range(start, end, RAW)
    counters = {
        "http_requests": [('code="200"', 1497), ('code="500"', 1), ('code="403"', 2)],
        "smoke_tests": [('result="passed"', 4), ('result="failed"', 0)],
        "auth_attempts": [('result="succeeded"', 60), ('result="failed"', 1)],
        "service_spend": [("", 1)],
        "prompt_injection_detections": [("", 0)],
    }
    for family, parts in counters.items():
        yield f"# TYPE {family} counter\n"
        for job in jobs:
            for more, step in parts:
                yield _line(f"{family}_total", job, more, times, step)
    yield "# TYPE http_request_duration_seconds histogram\n"
    for job in jobs:
        for rank, bound in enumerate(BOUNDS):
            step = (500, 1200, 1490, 1498, 1500, 1500)[rank]
            yield _line("http_request_duration_seconds_bucket", job, f'le="{bound}"', times, step)
    gauges = {"up": 1, "probe_success": 1, "process_open_fds": 40, "process_max_fds": 1024}
    gauges |= {"process_start_time_seconds": start, "service_spend_daily_budget": 5000}
    for family, value in gauges.items():
        yield f"# TYPE {family} gauge\n"
        for job in jobs:
            yield _line(family, job, "", times, 0, value)


def _line(metric: str, job: str, more: str, times: range, step: int, base: int = 0) -> str:
    labels = f'environment="production",job="{job}",instance="{job}:8080"{"," if more else ""}{more}'
    head = f"{metric}{{{labels}}} "
    return "".join([f"{head}{base + step * k} {t}\n" for k, t in enumerate(times)])


def blocks(directory: Path, data: Path, text: Iterator[str]) -> None:
    """Let promtool make blocks of OpenMetrics text."""
    data.mkdir(exist_ok=True)
    file = directory / "samples.openmetrics"
    with file.open("w", encoding="ascii") as to:
        to.writelines(text)
        to.write("# EOF\n")
    how = ["tsdb", "create-blocks-from", "--max-block-duration=2000h", "--quiet", "openmetrics", str(file), str(data)]
    done = subprocess.run([binary("promtool"), *how], capture_output=True, text=True, timeout=900, check=False)
    file.unlink()
    if done.returncode:
        raise RuntimeError(f"promtool made no blocks: {done.stderr or done.stdout}")


class Backlog(Served):
    """Pages that hand out the newest minutes once, with their times, and nothing afterwards."""

    def __init__(self, jobs: Sequence[str], start: int) -> None:
        now = int(time.time())
        parts = [jobs[at : at + JOBS_A_PAGE] for at in range(0, len(jobs), JOBS_A_PAGE)]
        self._given: set[int] = set()
        super().__init__(_once(self._part(number, part, start, now)) for number, part in enumerate(parts))
        self.scrapes = "".join(
            f"- job_name: backlog-{number}\n  honor_labels: true\n  scrape_timeout: 20s\n  scrape_interval: 20s\n"
            f"  static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n  {NO_INSTANCE}\n"
            for number, port in enumerate(self.ports)
        )

    def _part(self, number: int, jobs: Sequence[str], start: int, now: int) -> Callable[[], Iterator[str]]:
        def text() -> Iterator[str]:
            if number not in self._given:
                yield from recorded(jobs, start, now)
                yield from raw(jobs, start, now + AHEAD)
            yield "# EOF\n"
            self._given.add(number)

        return text

    def wait(self, within: float = 180.0) -> None:
        """Until every page was taken. RuntimeError when that takes longer (seconds)."""
        until = time.monotonic() + within
        while len(self._given) < len(self._servers):
            if time.monotonic() > until:
                raise RuntimeError(f"only {len(self._given)} of {len(self._servers)} pages were scraped")
            time.sleep(0.5)


def _once(text: Callable[[], Iterator[str]]) -> type[Page]:
    class Once(Page):
        def do_GET(self) -> None:  # noqa: N802 - the base class's name
            self.send_response(200)
            self.send_header("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
            self.end_headers()
            for part in text():
                self.wfile.write(part.encode("ascii"))

    return Once
