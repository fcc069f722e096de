"""A stand-in for the model server: the same command line and endpoints, without a model.

Its artifact is a folder with a file ``digest``; a file ``crash`` makes it die at once, ``stubborn``
makes it ignore SIGTERM, ``loading`` keeps it from ever being ready. Predictions wait
``x-wait-ms`` and answer ``x-status``; ``x-cut`` hangs up instead of answering.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path


class Server:
    """One stand-in."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.artifact = Path(options.artifact)
        self.in_flight = 0
        self.stopping = asyncio.Event()

    async def run(self) -> None:
        listening = await asyncio.start_server(self.serve, "127.0.0.1", self.options.port)
        port = listening.sockets[0].getsockname()[1]
        beside = Path(f"{self.options.port_file}.new")
        beside.write_text(str(port))
        os.replace(beside, self.options.port_file)
        loop = asyncio.get_running_loop()
        stop = (lambda: None) if self.has("stubborn") else self.stopping.set
        loop.add_signal_handler(signal.SIGTERM, stop)
        await self.stopping.wait()
        listening.close()
        while self.in_flight:
            await asyncio.sleep(0.005)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.in_flight += 1
                try:
                    await self.answer(head, reader, writer)
                finally:
                    self.in_flight -= 1
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def answer(
        self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        first, *lines = head.strip().split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        await reader.readexactly(int(headers.get("content-length", "0")))
        if "x-cut" in headers:
            writer.close()
            raise ConnectionResetError
        path, status = first.split()[1], int(headers.get("x-status", "200"))
        await asyncio.sleep(int(headers.get("x-wait-ms", "0")) / 1000)
        if path == "/ready":
            status = 503 if self.has("loading") else 200
        body = json.dumps(self.health() if path == "/health" else self.prediction()).encode()
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()

    def health(self) -> dict[str, object]:
        return {
            "target": self.options.target,
            "version": self.options.version,
            "artifact_digest": (self.artifact / "digest").read_text(),
            "config": json.loads(Path(self.options.config).read_text()),
        }

    def prediction(self) -> dict[str, object]:
        return {"version": self.options.version, "pid": os.getpid()}

    def has(self, behaviour: str) -> bool:
        return (self.artifact / behaviour).exists()


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("artifact", "target", "version", "port-file", "log", "config"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    if (Path(options.artifact) / "crash").exists():
        sys.stderr.write("the artifact is broken\n")
        sys.exit(1)
    asyncio.run(Server(options).run())


if __name__ == "__main__":
    main()
