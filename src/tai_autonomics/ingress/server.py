"""
The listening process: uvicorn, with the bounds that it does not keep itself, and an end that is an end.

    signal --> draining is told, /health is 503 --> nothing new is accepted --> what is in flight finishes --> return

uvicorn with httptools bounds neither the size of a header nor the time it may take; both are bounded here, and so are
pipelines, readers that do not read, and connections that say nothing.
"""

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from types import FrameType
from typing import Any, ClassVar, Final

import msgspec
import uvicorn
from msgspec import Struct
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tai_autonomics.errors import InvalidSetting
from tai_autonomics.ingress.replies import REASONS, Problem

BACKLOG: Final = 2_048
LAST_WORD_SECONDS: Final = 0.5
"""A request that is cut at the end of the drain can still say that its outcome is unknown."""
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class ServerBounds(Struct, frozen=True, kw_only=True):
    """What one connection, and the end of the process, may take."""

    header_bytes_max: int = 16 * 1024
    header_seconds: float = 10.0
    """From a connection's or a request's first byte to the end of its header; and for a body that nobody reads."""
    idle_seconds: int = 75
    """A connection without a request is closed after this; longer than the idle time of most load balancers."""
    stalled_seconds: float = 10.0
    """A reader that takes less than STALLED_BYTES in this time is cut."""
    pipelined_max: int = 16
    connections_max: int = 8_192
    drain_seconds: float = 5.0
    """What is in flight at the first signal has this long."""


STALLED_BYTES: Final = 16 * 1024


def listen(host: str, port: int, *, setting: str = "HOST and PORT") -> socket.socket:
    """A bound socket; port 0 takes a free one. Raises InvalidSetting, naming `setting`, when it cannot be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InvalidSetting(f"{setting}: {host}:{port} cannot be listened on: {reason}; choose another") from error


async def serve(
    app: Callable[..., Any],
    listening: socket.socket,
    *,
    bounds: ServerBounds,
    on_started: Callable[[], None],
    on_draining: Callable[[], None],
) -> None:
    """
    Serve until SIGTERM or SIGINT, then finish what is in flight and return.

    `on_draining` is called in the moment of the first signal; a second signal ends the wait.
    """
    protocol = type("BoundedProtocol", (_BoundedProtocol,), {"bounds": bounds, "refusals": count(1)})
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        lifespan="off",
        loop="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=bounds.idle_seconds,
        timeout_graceful_shutdown=max(1, round(bounds.drain_seconds)),
    )
    server = _Server(config, on_started=on_started, on_draining=on_draining)
    await server.serve(sockets=[listening])


class _Server(uvicorn.Server):
    """uvicorn's server; it tells when it starts and drains, and does not raise its signal again at the end."""

    def __init__(
        self, config: uvicorn.Config, *, on_started: Callable[[], None], on_draining: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._on_started, self._on_draining = on_started, on_draining

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_draining()
        await super().shutdown(sockets=sockets)
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=LAST_WORD_SECONDS)
        for connection in tuple(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self.handle_exit) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True
        self._on_draining()


class _BoundedProtocol(HttpToolsProtocol):
    """One connection, bounded."""

    bounds: ClassVar[ServerBounds]
    refusals: ClassVar["count[int]"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._header_bytes = 0
        self._in_header = True
        """No whole header has come since the last request."""
        self._arriving = False
        """A request has begun and has not come in whole."""
        self._late: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._refusal = "malformed_request"

    # ---- arriving

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.bounds.connections_max:
            transport.abort()
            return
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        self._settle()
        self._unstall()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_header:
            self._header_bytes += len(data)
        super().data_received(data)
        if self._in_header and self._arriving and self._header_bytes > self.bounds.header_bytes_max:
            self._refuse("headers_too_large")
        elif not self._arriving and self._answering():
            self._settle()
        elif self._late is None:
            self._expect()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._arriving = self._in_header = True
        self._named_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self._named_bytes += len(name) + len(value) + 4
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._named_bytes + len(self.url) > self.bounds.header_bytes_max:
            self._refusal = "headers_too_large"
            raise ValueError(self._refusal)
        self._in_header = False
        self._header_bytes = 0
        super().on_headers_complete()
        if len(self.pipeline) > self.bounds.pipelined_max:
            self._refusal = "overloaded"
            raise ValueError(self._refusal)

    def on_message_complete(self) -> None:
        self._arriving = False
        self._in_header = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._refusal)

    def _expect(self) -> None:
        self._late = self.loop.call_later(self.bounds.header_seconds, self._expire)

    def _settle(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _expire(self) -> None:
        self._late = None
        if self.transport.is_closing():
            return
        if self._answering():
            # The application bounds how long it takes, the body's arrival included.
            self._expect()
        elif self._arriving and self._in_header:
            self._refuse("request_timeout")
        else:
            self.transport.abort()

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete  # type: ignore[redundant-expr]

    def _refuse(self, reason: str) -> None:
        """Answer what never became a request, unless an answer to an earlier one is under way, and hang up."""
        if self.transport.is_closing():
            return
        if not self._answering():
            self.transport.write(_refusal(reason, f"refused-{next(self.refusals):x}"))
        self.transport.close()

    # ---- leaving

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stalled is None:
            self._watch()

    def resume_writing(self) -> None:
        self._unstall()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def _watch(self) -> None:
        size = self.transport.get_write_buffer_size()
        self._stalled = self.loop.call_later(self.bounds.stalled_seconds, self._cut_if_stalled, size)

    def _cut_if_stalled(self, size_before: int) -> None:
        if size_before - self.transport.get_write_buffer_size() < STALLED_BYTES:
            self.transport.abort()
        else:
            self._watch()

    def _unstall(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None


def _refusal(reason: str, request_id: str) -> bytes:
    kind = REASONS[reason]
    problem = Problem(
        type=f"/problems/{reason}",
        title=kind.title,
        status=kind.status,
        detail=kind.title,
        instance=f"urn:request:{request_id}",
        reason=reason,
        next_step=kind.next_step,
    )
    body = msgspec.json.encode(problem)
    head = (
        f"HTTP/1.1 {kind.status} {reason}\r\ncontent-type: application/problem+json\r\n"
        f"content-length: {len(body)}\r\nx-request-id: {request_id}\r\nx-content-type-options: nosniff\r\n"
        "cache-control: no-store\r\nconnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body
