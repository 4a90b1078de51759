"""
The listening process: uvicorn, with connections of our own, and an end that is an end.

    signal --> draining is told, /health is 503 --> nothing new is accepted --> what is in flight finishes --> return

What one connection may take is bounded in connection.py.
"""

import asyncio
import errno
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from types import FrameType
from typing import Any, Final, cast

import uvicorn

from tai_autonomics.application.ports import Answered
from tai_autonomics.errors import InvalidSetting
from tai_autonomics.ingress.connection import Connection, ServerBounds
from tai_autonomics.ingress.turns import Turns

__all__ = ["ServerBounds", "listen", "serve"]

BACKLOG: Final = 2_048
LAST_WORD_SECONDS: Final = 0.5
"""A request that is cut at the end of the drain can still say that its outcome is unknown."""
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def listen(host: str, port: int, *, setting: str = "HOST and PORT") -> socket.socket:
    """A bound socket; port 0 takes a free one. Raises InvalidSetting, naming `setting`, when it cannot be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (while attempting")[0]
        hint = "choose another, or port 0 for a free one" if error.errno == errno.EADDRINUSE else "choose another"
        raise InvalidSetting(f"{setting}: {host}:{port} cannot be listened on: {reason}; {hint}") from error


async def serve(
    app: Callable[..., Any],
    listening: socket.socket,
    *,
    bounds: ServerBounds,
    turns: Turns,
    refused: Callable[[Answered], None],
    on_started: Callable[[], None],
    on_draining: Callable[[], None],
) -> None:
    """
    Serve until SIGTERM or SIGINT, then finish what is in flight and return.

    `on_draining` is called in the moment of the first signal; a second signal ends the wait. `refused` is told of each
    answer to what never became a request.
    """
    protocol = partial(Connection, bounds=bounds, refusals=count(1), refused=refused, turns=turns)
    config = uvicorn.Config(
        app,
        http=cast("type[asyncio.Protocol]", protocol),
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
        for connection in self._connections():
            connection.abort()

    async def on_tick(self, counter: int) -> bool:
        now = asyncio.get_running_loop().time()
        for connection in self._connections():
            connection.check(now)
        return await super().on_tick(counter)

    def _connections(self) -> tuple[Connection, ...]:
        return cast("tuple[Connection, ...]", tuple(self.server_state.connections))

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
