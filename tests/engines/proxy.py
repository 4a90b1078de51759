"""
A TCP proxy that fails where a test says: at a byte of what goes up to the server, or of what comes down from it.

    cut      both sides are closed after exactly so many bytes
    reset    the same, and the client gets a reset instead of an end
    hold     nothing passes any more, in either direction, until `heal`
    mute     nothing comes down any more until `heal`, and what goes up arrives

The bytes count from the arming, on all connections together, or from where `after` ends on any of them. `delay_seconds`
is how much later everything arrives.
"""

import asyncio
import socket
import struct
from types import TracebackType
from typing import Final, Literal, Self

from msgspec import Struct

Direction = Literal["up", "down"]
Action = Literal["cut", "reset", "hold", "mute"]

READ_BYTES_MAX: Final = 65_536


class Fault(Struct):
    """Strikes once, at the `at`th byte of its direction since it was armed, or since `after` passed."""

    direction: Direction
    at: int
    action: Action
    after: bytes = b""


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
        self.strikes = 0
        self.delay_seconds = 0.0
        self._fault: Fault | None = None
        self._open: dict[Direction, asyncio.Event] = {"up": asyncio.Event(), "down": asyncio.Event()}
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._refuses = False
        self.heal()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def record(self) -> None:
        self.passed = {"up": bytearray(), "down": bytearray()}

    def arm(self, direction: Direction, at: int, action: Action, *, after: bytes = b"") -> None:
        """`after` is looked for in what is read at once; without it, bytes count from now on."""
        self.record()
        self.struck.clear()
        self._fault = Fault(direction, at, action, after)

    def heal(self) -> None:
        """Everything passes again; what was cut stays so."""
        self._fault = None
        for opened in self._open.values():
            opened.set()

    def cut_all(self) -> None:
        for link in tuple(self._links):
            link.close(reset=True)

    def refuse(self) -> None:
        """Who is there is put out, and who comes is put out again, until `take`."""
        self._refuses = True
        self.cut_all()

    def take(self) -> None:
        """Whoever comes is taken in again."""
        self._refuses = False

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
        if self._refuses:
            writer.transport.abort()
            return
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
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
                if self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                await self._pass(direction, read, writer, link)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        link.close(reset=False)

    async def _pass(self, direction: Direction, read: bytes, writer: asyncio.StreamWriter, link: _Link) -> None:
        await self._open[direction].wait()
        fault = self._fault
        if fault is None or (before := self._place(fault, direction, read)) is None:
            await self._write(direction, read, writer)
            return
        self._fault = None
        await self._write(direction, read[:before], writer)
        self.strikes += 1
        self.struck.set()
        if fault.action in ("cut", "reset"):
            link.close(reset=fault.action == "reset")
            return
        for closed in ("up", "down") if fault.action == "hold" else ("down",):
            self._open[closed].clear()
        await self._open[direction].wait()
        await self._write(direction, read[before:], writer)

    def _place(self, fault: Fault, direction: Direction, read: bytes) -> int | None:
        """Where in what was read the fault strikes, if it does."""
        if fault.direction != direction:
            return None
        passed = len(self.passed[direction])
        if fault.after and (found := read.find(fault.after)) >= 0:
            fault.at += passed + found + len(fault.after)
            fault.after = b""
        if fault.after or passed + len(read) < fault.at:
            return None
        return max(fault.at - passed, 0)

    async def _write(self, direction: Direction, some: bytes, writer: asyncio.StreamWriter) -> None:
        self.passed[direction] += some
        if some:
            writer.write(some)
            await writer.drain()
