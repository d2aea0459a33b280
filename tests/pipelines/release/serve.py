"""The service that the tests deploy: it answers with its colour and its version, on a Unix socket or a TCP port.

`/slow` takes the seconds of its query. SIGTERM lets the requests that are under way end.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from pathlib import Path

COLOUR = os.environ["COLOUR"]
VERSION = (Path(__file__).parent / "VERSION").read_text().strip()
IDENTITY = os.environ.get("IDENTITY", "yes") == "yes"


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One request; the connection ends after it, as nginx asks."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        method, path, _ = lines[0].split(" ")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        await reader.readexactly(int(headers.get("content-length", "0")))
        if path.startswith("/slow?seconds="):
            await asyncio.sleep(float(path.partition("=")[2]))
        status = "500 Broken" if path == "/healthz" and VERSION.startswith("broken") else "200 OK"
        body = f"{COLOUR} {VERSION} {method} {path} {headers.get('x-request', '-')}".encode()
        mine = f"X-Colour: {COLOUR}\r\n" if IDENTITY else ""
        writer.write(
            f"HTTP/1.1 {status}\r\n{mine}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        )
        await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        return
    finally:
        writer.close()


async def serve(options: argparse.Namespace) -> None:
    """Until SIGTERM, and then until the last answer is given."""
    under_way: set[asyncio.Task[None]] = set()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(answer(reader, writer))
        under_way.add(task)
        task.add_done_callback(under_way.discard)

    if options.socket:
        server = await asyncio.start_unix_server(accepted, options.socket, backlog=1024)
    else:
        port = dict(zip(("blue", "green"), options.ports, strict=True))[COLOUR]
        server = await asyncio.start_server(accepted, "127.0.0.1", port, backlog=1024)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    server.close()
    while under_way:
        await asyncio.wait(set(under_way))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket")
    parser.add_argument("--ports", type=int, nargs=2, help="of blue and of green")
    asyncio.run(serve(parser.parse_args()))


main()
