"""
A webhook's receiver on loopback, byte by byte: what a test says is what it answers, also where no framework would.

    async with Receiver(status(500)) as receiver: …    receiver.url, receiver.requests
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from msgspec import Struct

REQUEST_BYTES_MAX = 64 * 1024
TLS_HANDSHAKE = b"\x16"


class Request(Struct):
    """As it came: names of headers in lower case; `server_name` is what the TLS handshake asked for."""

    line: str
    headers: dict[str, str]
    body: bytes
    server_name: str | None = None


Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


def status(code: int, body: bytes = b"", **headers: str) -> Answer:
    """A whole answer; an underscore in a header's name is a hyphen."""
    lines = [f"HTTP/1.1 {code} Said", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await writer.drain()

    return answer


async def silence(writer: asyncio.StreamWriter) -> None:
    """Nothing, as long as the sender waits."""
    await writer.wait_closed()


async def broken_off(writer: asyncio.StreamWriter) -> None:
    """The end of the connection in place of an answer."""


def dripping(before: bytes, each: bytes = b"x", *, seconds: float = 0.02) -> Answer:
    """`before` at once, then a little again and again, without end."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(before)
        while not writer.is_closing():
            writer.write(each)
            await writer.drain()
            await asyncio.sleep(seconds)

    return answer


class Receiver:
    """Takes one request a connection; `connections` counts them."""

    def __init__(self, answer: Answer | None = None, *, tls: ssl.SSLContext | None = None) -> None:
        self.answer: Answer = answer or status(204)
        self.requests: list[Request] = []
        self.connections = 0
        self.arrived = asyncio.Event()
        self._tls = tls
        self._names: list[str | None] = []
        self._tasks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/hooks?x=1"

    async def __aenter__(self) -> Self:
        if self._tls is not None:
            self._tls.sni_callback = lambda _, name, __: self._names.append(name)
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._server.close()
        for writer in self._tasks.values():
            writer.transport.abort()
        await self.closed()

    async def closed(self) -> None:
        """When no connection is left; the test's own time limit bounds it."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.connections += 1
        self._tasks[task] = writer
        task.add_done_callback(self._tasks.pop)
        try:
            await self._exchange(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.readexactly(1)
        if first == TLS_HANDSHAKE:
            await status(400)(writer)
            return
        head = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.requests.append(Request(head[0], headers, body, self._names[-1] if self._names else None))
        self.arrived.set()
        answering = asyncio.ensure_future(self.answer(writer))
        leaving = asyncio.ensure_future(reader.read(REQUEST_BYTES_MAX))
        try:
            # Whoever leaves ends the exchange; who is answered reads on.
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            answering.cancel()
            leaving.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)
