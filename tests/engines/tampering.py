"""An HTTP proxy in front of a service that changes what the test says, and passes on everything else as it is."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "date", "server"}


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Answered:
    status: int
    headers: dict[str, str]
    body: bytes


Send = Callable[[Asked], Answered]
Tamper = Callable[[Asked, Send], Answered]
"""Answers a request, with or without the service."""


def honest(asked: Asked, send: Send) -> Answered:
    return send(asked)


@dataclass
class Proxy:
    url: str
    tamper: Tamper = field(default=honest)


@contextmanager
def in_front_of(target: str) -> Iterator[Proxy]:
    place = urlsplit(target)
    connections = threading.local()

    def send(asked: Asked) -> Answered:
        if not hasattr(connections, "open"):
            connections.open = HTTPConnection(str(place.hostname), place.port, timeout=30)
        connections.open.request(asked.method, asked.path, asked.body or None, asked.headers)
        response = connections.open.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders() if name.lower() not in HOP_BY_HOP}
        return Answered(response.status, headers, response.read())

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
            answered = proxy.tamper(Asked(self.command, self.path, headers, body), send)
            self.send_response_only(answered.status)
            for name, value in answered.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answered.body)))
            self.end_headers()
            self.wfile.write(answered.body)
            self.wfile.flush()

        do_GET = do_POST = do_DELETE = answer  # noqa: N815  # http.server's names

        def finish(self) -> None:
            super().finish()
            if hasattr(connections, "open"):
                connections.open.close()

        def log_message(self, *_: Any) -> None:
            """Nothing on stderr."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        proxy = Proxy(f"http://127.0.0.1:{server.server_port}")
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            serving.join()


def with_headers(asked: Asked, **headers: str | None) -> Asked:
    """The request with these headers, `_` for `-`; None takes one away."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    kept = {name: value for name, value in asked.headers.items() if name not in given}
    return replace(asked, headers=kept | {name: value for name, value in given.items() if value is not None})
