"""`GET /metrics` without a token, on an address of its own, for a sidecar; nothing else is answered there."""

import socket
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Final

import uvicorn

from tai_autonomics.application.ports import Scrape

AT_ONCE_MAX: Final = 16
IDLE_SECONDS: Final = 75

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


async def serve_scrapes(scrape: Scrape, listening: socket.socket) -> None:
    """Serve until the task is cancelled."""

    async def app(scope: MutableMapping[str, Any], receive: object, send: Send) -> None:
        if (scope["method"], scope["path"]) == ("GET", "/metrics"):
            accept = dict(scope["headers"]).get(b"accept", b"").decode("latin-1")
            (body, media), status = scrape(accept), 200
        else:
            (body, media), status = (b"only GET /metrics is answered here\n", "text/plain; charset=utf-8"), 404
        headers = [(b"content-type", media.encode("latin-1")), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        loop="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=AT_ONCE_MAX,
        timeout_keep_alive=IDLE_SECONDS,
    )
    try:
        await _Server(config).serve(sockets=[listening])
    finally:
        listening.close()


class _Server(uvicorn.Server):
    """Ends with its task; the signals are the front door's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
