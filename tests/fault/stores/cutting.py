"""A TCP proxy on loopback that cuts connections, or holds back what one side says, when a test asks for it."""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self

CHUNK_BYTES = 16 * 1024


class Cutting:
    """Listens on a free port of 127.0.0.1 while it is entered."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._answering = asyncio.Event()
        self._answering.set()
        self.cut_after_bytes: int | None = None
        """Sent by the client from now on; then every connection is cut, in the middle of whatever it was."""
        self.cuts = 0

    @property
    def address(self) -> str:
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    def hold_answers(self) -> None:
        """What the client sends arrives; what is answered does not."""
        self._answering.clear()

    def let_answers(self) -> None:
        self._answering.set()

    def cut(self) -> None:
        """Reset every connection."""
        self.cuts += 1
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there_writer = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, there_writer}
        for task in (
            asyncio.create_task(self._pass(reader, there_writer, asking=True)),
            asyncio.create_task(self._pass(there_reader, writer, asking=False)),
        ):
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, asking: bool) -> None:
        with suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                if asking and self.cut_after_bytes is not None:
                    passed, self.cut_after_bytes = chunk[: self.cut_after_bytes], self.cut_after_bytes - len(chunk)
                    writer.write(passed)
                    if self.cut_after_bytes <= 0:
                        self.cut_after_bytes = None
                        with suppress(OSError):
                            await writer.drain()
                        self.cut()
                        return
                    continue
                if not asking:
                    await self._answering.wait()
                writer.write(chunk)
                await writer.drain()
        writer.transport.abort()
