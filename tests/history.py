"""Make a past: samples written as OpenMetrics text, turned into Prometheus blocks by promtool.

    history = History()
    history.requests(start, end, rps=50, job="checkout", error_share=lambda t: 0.2 if t > onset else 0.0005)
    data_dir = history.build(tmp_path / "tsdb")

Samples lie `offset` seconds off multiples of the scrape interval: on Prometheus 2.x a range is closed at both ends,
and samples exactly on the grid would count twice. Nine days of three dozen series take about five seconds.
"""

from __future__ import annotations

import math
import random
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

Share = float | Callable[[int], float]
Gaps = Sequence[tuple[float, float]]
Sample = tuple[float, float]

BUCKETS = (("0.05", 0.35), ("0.1", 0.8), ("0.2", 1.0))
"""How the requests that are not slow (> 0.2 s) spread over the lower buckets, cumulative."""


def _at(share: Share, t: int) -> float:
    return share(t) if callable(share) else share


def _lost(t: float, gaps: Gaps) -> bool:
    return any(a <= t < b for a, b in gaps)


class History:
    """Series of the past, collected in memory as text and built into a data directory once."""

    def __init__(self) -> None:
        self._families: dict[str, tuple[str, list[str]]] = {}

    def add(self, metric: str, labels: Mapping[str, str], samples: Iterable[Sample], kind: str = "") -> History:
        """One series: `metric` by its full name, samples as (epoch seconds, value) in time order."""
        kind = kind or ("counter" if metric.endswith("_total") else "gauge")
        family = metric.removesuffix("_total") if kind == "counter" else metric
        if kind == "histogram":
            family = metric.rpartition("_")[0]
        names = ",".join(f'{name}="{value}"' for name, value in labels.items())
        head = f"{metric}{{{names}}} "
        text = "".join([f"{head}{value} {t}\n" for t, value in samples])
        self._families.setdefault(family, (kind, []))[1].append(text)
        return self

    def scrapes(self, start: int, end: int, *, scrape: int = 15, offset: float = 7, gaps: Gaps = ()) -> list[float]:
        """The instants of the scrapes in [start, end), each `offset` s after a multiple of `scrape`, without `gaps`."""
        first = math.ceil((start - offset) / scrape) * scrape + offset
        whole = int(first) if float(first).is_integer() else first
        count = max(0, math.ceil((end - first) / scrape))
        times = [whole + scrape * k for k in range(count)]
        return [t for t in times if not _lost(t, gaps)] if gaps else times

    def gauge(
        self,
        metric: str,
        labels: Mapping[str, str],
        start: int,
        end: int,
        value: Share = 1.0,
        *,
        scrape: int = 15,
        offset: float = 7,
        gaps: Gaps = (),
    ) -> History:
        """A gauge that reads `value` (a number, or a function of the scrape's whole second) at each scrape."""
        times = self.scrapes(start, end, scrape=scrape, offset=offset, gaps=gaps)
        return self.add(metric, labels, [(t, _at(value, int(t))) for t in times], kind="gauge")

    def up(self, start: int, end: int, job: str = "checkout", value: Share = 1.0, **how: object) -> History:
        """`up` of a job (see `gauge` for `scrape`, `offset` and `gaps`)."""
        return self.gauge("up", {"job": job, "instance": f"{job}:8080"}, start, end, value, **how)  # type: ignore[arg-type]

    def counter(
        self,
        metric: str,
        labels: Mapping[str, str],
        start: int,
        end: int,
        per_second: Share,
        *,
        scrape: int = 15,
        offset: float = 7,
        gaps: Gaps = (),
        resets: Sequence[float] = (),
        seed: int | None = None,
        kind: str = "",
    ) -> History:
        """A counter growing by `per_second`; it starts again from 0 at each of `resets`.

        Without `seed` it grows by exactly the expected whole number (fractions are carried on); with one, by a
        Poisson number with that mean. It goes on counting in `gaps`, where only the scrapes are lost.
        """
        chance = random.Random(seed) if seed is not None else None
        restarts = sorted(resets)
        samples: list[Sample] = []
        count, carried = 0, 0.0
        for t in self.scrapes(start, end, scrape=scrape, offset=offset):
            if restarts and t >= restarts[0]:
                restarts.pop(0)
                count = 0
            mean = _at(per_second, int(t)) * scrape
            if chance is not None:
                count += _poisson(chance, mean)
            else:
                carried += mean
                whole = int(carried + 1e-9)
                carried -= whole
                count += whole
            if not gaps or not _lost(t, gaps):
                samples.append((t, count))
        return self.add(metric, labels, samples, kind)

    def requests(
        self,
        start: int,
        end: int,
        *,
        rps: Share = 50.0,
        job: str = "checkout",
        error_share: Share = 0.0,
        variant: str | None = None,
        labels: Mapping[str, str] | None = None,
        metric: str = "http_requests_total",
        seed: int | None = None,
        scrape: int = 15,
        offset: float = 7,
        gaps: Gaps = (),
        resets: Sequence[float] = (),
    ) -> History:
        """`http_requests_total` of a job: code="200" and, for `error_share` of `rps`, code="500" (from the start)."""
        common = {"job": job, "instance": f"{job}:8080", **({"variant": variant} if variant else {}), **(labels or {})}
        for code, wanted in (("200", False), ("500", True)):

            def rate(t: int, *, errors: bool = wanted) -> float:
                share = _at(error_share, t)
                return _at(rps, t) * (share if errors else 1 - share)

            own_seed = None if seed is None else seed * 2 + wanted
            how = {"scrape": scrape, "offset": offset, "gaps": gaps, "resets": resets, "seed": own_seed}
            self.counter(metric, {**common, "code": code}, start, end, rate, **how)  # type: ignore[arg-type]
        return self

    def latency(
        self,
        start: int,
        end: int,
        *,
        rps: Share = 50.0,
        job: str = "checkout",
        slow_share: Share = 0.0,
        variant: str | None = None,
        labels: Mapping[str, str] | None = None,
        metric: str = "http_request_duration_seconds",
        **how: object,
    ) -> History:
        """A histogram with bounds 0.05, 0.1, 0.2, 0.5 and 1: `slow_share` of requests take between 0.2 and 0.5 s."""
        common = {"job": job, "instance": f"{job}:8080", **({"variant": variant} if variant else {}), **(labels or {})}
        shares: list[tuple[str, float, float]] = [(bound, part, 0.0) for bound, part in BUCKETS]
        shares += [(bound, 1.0, 1.0) for bound in ("0.5", "1.0", "+Inf")]
        for bound, quick, slow in shares:

            def rate(t: int, *, quick: float = quick, slow: float = slow) -> float:
                late = _at(slow_share, t)
                return _at(rps, t) * (quick * (1 - late) + slow * late)

            bucket = {**common, "le": bound}
            self.counter(f"{metric}_bucket", bucket, start, end, rate, kind="histogram", **how)  # type: ignore[arg-type]
        self.counter(f"{metric}_count", common, start, end, rps, kind="histogram", **how)  # type: ignore[arg-type]
        return self

    def build(self, data_dir: Path) -> Path:
        """Write the blocks into `data_dir` (created if need be) and return it, ready for a Prometheus."""
        promtool = shutil.which("promtool")
        if promtool is None:
            raise RuntimeError("`promtool` is not on the PATH, and these tests need it: run `apt install prometheus`.")
        data_dir.mkdir(parents=True, exist_ok=True)
        text = data_dir.parent / f"{data_dir.name}.openmetrics"
        with text.open("w") as file:
            for family, (kind, series) in self._families.items():
                file.write(f"# TYPE {family} {kind}\n")
                file.writelines(series)
            file.write("# EOF\n")
        # promtool reads the whole text once for each block: few long blocks instead of one for every two hours.
        how = ["tsdb", "create-blocks-from", "--max-block-duration=2000h", "--quiet", "openmetrics"]
        done = subprocess.run(
            [promtool, *how, str(text), str(data_dir)], capture_output=True, text=True, timeout=300, check=False
        )
        text.unlink()
        if done.returncode != 0:
            raise RuntimeError(f"promtool could not read the history: {done.stderr.strip() or done.stdout.strip()}")
        return data_dir


def _poisson(chance: random.Random, mean: float) -> int:
    """A Poisson number; above 50 the normal approximation, which is close enough and quick."""
    if mean <= 0:
        return 0
    if mean > 50:
        return max(0, round(chance.gauss(mean, math.sqrt(mean))))
    limit, product, count = math.exp(-mean), chance.random(), 0
    while product > limit:
        product *= chance.random()
        count += 1
    return count
