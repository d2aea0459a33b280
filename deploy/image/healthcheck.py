"""Does the daemon of this container live? Status 0 or 1, and one line that says why.

    python3 -I -S healthcheck.py [http://127.0.0.1:8798/healthz]

Without an address it asks /livez of `health.listen` as the environment has it, which the image sets. Nothing but a
socket: imports are most of what a probe costs.
"""

import os
import socket
import sys

WITHIN = 4.0
"""Seconds for everything, less than the HEALTHCHECK's own 5."""
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - the listener's, not ours


def target(argument: str | None, listen: str) -> tuple[str, int, str]:
    """Host, port and path to ask. ValueError where there is no port."""
    if argument is None:
        address, path = listen, "/livez"
    else:
        address, _, rest = argument.removeprefix("http://").partition("/")
        path = f"/{rest}"
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    return EVERYWHERE.get(host, host), int(port), path


def ask(host: str, port: int, path: str) -> tuple[int, str]:
    """The status and the last line of what it says. OSError, ValueError when that is no answer."""
    with socket.create_connection((host, port), WITHIN) as connection:
        connection.settimeout(WITHIN)
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while piece := connection.recv(4096):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(None, 2)[1]), body.decode(errors="replace").strip()


def main() -> int:
    """Ask once; the exit status."""
    argument = sys.argv[1] if len(sys.argv) > 1 else None
    listen = os.environ.get("WATCHDOG_HEALTH__LISTEN", "")
    try:
        where = target(argument, listen)
    except ValueError:
        print(f"no address to ask: expected host:port in WATCHDOG_HEALTH__LISTEN, found {listen!r}")
        return 1
    try:
        status, said = ask(*where)
    except (OSError, ValueError, IndexError) as problem:
        print(f"{where[0]}:{where[1]}{where[2]} gives no answer: {problem}")
        return 1
    print(said)
    return 0 if status == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
