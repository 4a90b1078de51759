"""
A TCP proxy that fails where a test says: at a byte of what goes up to the server, or of what comes down from it.

    cut      both sides are closed after exactly so many bytes
    reset    the same, and the client gets a reset instead of an end
    hold     nothing passes any more, in either direction, until `heal`
"""

import asyncio
import socket
import struct
from types import TracebackType
from typing import Final, Literal, Self

from msgspec import Struct

Direction = Literal["up", "down"]
Action = Literal["cut", "reset", "hold"]

READ_BYTES_MAX: Final = 65_536


class Fault(Struct):
    """Strikes once, when `at` bytes have passed in its direction since it was armed."""

    direction: Direction
    at: int
    action: Action


class _Link:
    """One client and its connection to the server."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client, self.server = client, server
        self._is_closed = False

    def close(self, *, reset: bool) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        if reset:
            line = self.client.get_extra_info("socket")
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        for writer in (self.client, self.server):
            writer.close()


class Proxy:
    """Start and stop it with `async with`; `passed` are the bytes that went each way since `arm` or `record`."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self.port = 0
        self.passed: dict[Direction, bytearray] = {"up": bytearray(), "down": bytearray()}
        self.struck = asyncio.Event()
        self._fault: Fault | None = None
        self._healed = asyncio.Event()
        self._healed.set()
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def record(self) -> None:
        self.passed = {"up": bytearray(), "down": bytearray()}

    def arm(self, direction: Direction, at: int, action: Action) -> None:
        self.record()
        self.struck.clear()
        self._fault = Fault(direction, at, action)

    def heal(self) -> None:
        self._fault = None
        self._healed.set()

    def cut_all(self) -> None:
        for link in tuple(self._links):
            link.close(reset=True)

    def close(self) -> None:
        """Nobody is taken in any more, and who is there is put out."""
        self._server.close()
        self.cut_all()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.close()
            return
        link = _Link(writer, server_writer)
        self._links.add(link)
        try:
            await asyncio.gather(
                self._pump("up", reader, server_writer, link), self._pump("down", server_reader, writer, link)
            )
        finally:
            self._links.discard(link)
            link.close(reset=False)

    async def _pump(
        self, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: _Link
    ) -> None:
        try:
            while read := await reader.read(READ_BYTES_MAX):
                await self._pass(direction, read, writer, link)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        link.close(reset=False)

    async def _pass(self, direction: Direction, read: bytes, writer: asyncio.StreamWriter, link: _Link) -> None:
        await self._healed.wait()
        fault = self._fault
        if fault is None or fault.direction != direction or len(self.passed[direction]) + len(read) < fault.at:
            await self._write(direction, read, writer)
            return
        before = fault.at - len(self.passed[direction])
        await self._write(direction, read[:before], writer)
        self._fault = None
        self.struck.set()
        if fault.action in ("cut", "reset"):
            link.close(reset=fault.action == "reset")
            return
        self._healed.clear()
        await self._healed.wait()
        await self._write(direction, read[before:], writer)

    async def _write(self, direction: Direction, some: bytes, writer: asyncio.StreamWriter) -> None:
        self.passed[direction] += some
        if some:
            writer.write(some)
            await writer.drain()
