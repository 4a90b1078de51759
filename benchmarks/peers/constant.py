"""
Answers every request with the same bytes, as fast as one event loop can: the generators' ceilings are found on it.
"""

import argparse
import asyncio
from typing import Final

import uvloop

BODY: Final = b'{"filler":"' + b"x" * 1_000 + b'"}'
REPLY: Final = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY)


class Constant(asyncio.Protocol):
    """Counts requests by the ends of their heads: no body of ours has an empty line."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(REPLY * data.count(b"\r\n\r\n"))


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Constant, "127.0.0.1", port)
    await server.serve_forever()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--data-dir", help="taken so that every peer is started alike; nothing is kept")
    uvloop.run(serve(options.parse_args().port))


if __name__ == "__main__":
    main()
