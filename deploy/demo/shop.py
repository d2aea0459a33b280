"""A small shop: one checkout, two versions of its code, and a feature flag that chooses for each request.

It asks `new-checkout` through the OpenFeature SDK with flagd's own provider reading the flag file, or asking a flagd,
the way any OpenFeature service does, and knows nothing of the watchdog. `--broken-share 0.15` starts the build whose
new code cannot serve accounts without a region, 15 % of all; the old code of the same build serves them.

    python deploy/demo/shop.py --port 8080 --flags flags.json [--ops ops.json] [--broken-share 0.15]
    python deploy/demo/shop.py --port 8080 --flagd flagd:8013

`GET /checkout` with an `X-User` header (or `?user=`) answers 200 or 500 and says in `X-Variant` which code
served it, `POST /order` writes an order down, `GET /orders` counts them; `POST /login` takes a password (200 or 401),
`POST /assistant` a question, and `/staff` lets nobody in (403); `/healthz` says that the process answers; `/metrics` is
for Prometheus. What `--faults` names is a file of switches that break it (`faults.py`). With `--ops` each request
first asks the emergency flags of that second file (`doors.py`). SIGTERM ends it, status 0.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import prometheus_client
from checkout import Shop
from doors import Doors
from faults import FaultFile
from meters import Metrics
from openfeature import api
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from pages import ShopServer

FLAG_POLL_MS = 100
"""How often the provider looks at the flag file: the worst case until a kill is served."""
TESTS_A_SECOND = 100
MOST_FILES = 1024
"""File descriptors that it allows itself; the usual limit of a process."""
ANSWER_WITHIN_MS = 500
"""How long a flagd may take for an answer, and for its first one after the shop's start."""
DOMAIN = "ops"
"""OpenFeature's name for the emergency set, which is a file of its own: a bad write to the other cannot block it."""


def _run_tests(shop: Shop, metrics: Metrics, ended: threading.Event) -> None:
    with ExitStack() as held:
        while not ended.wait(0.1):
            faults = shop.faults.now
            for _ in range(TESTS_A_SECOND // 10 if faults.tests else 0):
                metrics.tests.labels("passed" if shop.self_test() else "failed").inc()
            if not faults.open_files:
                held.close()
            else:
                _hold_files(held, faults.open_files)


def _hold_files(held: ExitStack, share: float) -> None:
    """Have that share of the permitted descriptors open."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    for _ in range(round(share * limit) - sum(1 for _ in Path("/proc/self/fd").iterdir())):
        held.callback(os.close, os.open(os.devnull, os.O_RDONLY))


def limit_files() -> None:
    """Permit this process MOST_FILES, or fewer where it may not have so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if soft == resource.RLIM_INFINITY else min(soft, MOST_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def provider_of(file: Path) -> FlagdProvider:
    """Flagd's provider for one flag file. One OpenFeature domain has one provider: two files are two domains."""
    return FlagdProvider(resolver_type=ResolverType.FILE, offline_flag_source_path=str(file), deadline_ms=FLAG_POLL_MS)


def asking(flagd: str) -> FlagdProvider:
    """Flagd's provider for a flagd at host:port, which has all sets."""
    host, _, port = flagd.rpartition(":")
    return FlagdProvider(resolver_type=ResolverType.RPC, host=host, port=int(port), deadline_ms=ANSWER_WITHIN_MS)


def serve(options: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    api.set_provider(asking(options.flagd) if options.flagd else provider_of(options.flags))
    limit_files()
    shop = Shop(api.get_client(), options.broken_share, FaultFile(options.faults), hiccups=options.hiccups)
    doors = Doors(None)
    if options.flagd or options.ops is not None:
        api.set_provider(asking(options.flagd) if options.flagd else provider_of(options.ops), DOMAIN)
        doors = Doors(api.get_client(DOMAIN))
    metrics = Metrics(options.version)
    server = ShopServer((options.host, options.port), shop, doors, metrics)
    threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
    tests = threading.Thread(target=_run_tests, args=(shop, metrics, ended))
    tests.start()
    print(f"shop {options.version} serves on {options.host}:{server.server_address[1]}", flush=True)
    ended.wait()
    server.shutdown()
    server.server_close()
    tests.join()
    api.shutdown()
    print("shop ends", flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="The shop of the demo.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at")
    parser.add_argument("--port", type=int, default=8080, help="0 takes a free one and prints it")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--flags", type=Path, help="flagd's flag file")
    where.add_argument("--flagd", help="host:port of a flagd, in place of the files")
    parser.add_argument("--ops", type=Path, help="the emergency flags' file; without it they are not asked")
    parser.add_argument("--broken-share", type=float, default=0.0, help="share of users that the new code fails")
    parser.add_argument("--hiccups", action="store_true", help="fail and be slow now and then, as healthy services are")
    parser.add_argument("--faults", type=Path, help="file of switches that break the shop; it need not exist")
    parser.add_argument("--version", default="1.0.0")
    options = parser.parse_args()
    for file in (options.flags, options.ops):
        if file is not None and not file.is_file():
            sys.exit(f"shop: there is no flag file {file}; create it with: slo-watchdog flags init")
    serve(options)


if __name__ == "__main__":
    main()
