"""Those who call a started service: tokens of any role and reach, and bytes that no HTTP client would send."""

import socket
from typing import Final

from tests.journey.service import Service
from tests.journey.tokens import minted

ANSWER_SECONDS_MAX: Final = 30


def token(service: Service, *roles: str, tenants: frozenset[str] | None = None, subject: str = "caller") -> str:
    """An hour's token, signed with the service's own key; `tenants` None is all of them."""
    return minted(service.data_dir, *roles, tenants=tenants, subject=subject)


def connect(service: Service) -> socket.socket:
    """A connection that nothing has been said on."""
    host, _, port = service.url.removeprefix("http://").rpartition(":")
    return socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS_MAX)


def read_to_the_end(connection: socket.socket) -> bytes:
    """Everything that comes until the other side hangs up."""
    answer = b""
    try:
        while piece := connection.recv(65536):
            answer += piece
    except ConnectionResetError:
        pass
    return answer


def say(service: Service, request: bytes) -> bytes:
    """The answer to raw bytes."""
    with connect(service) as connection:
        connection.sendall(request)
        return read_to_the_end(connection)


def post(service: Service, path: str, body: bytes, *headers: str) -> bytes:
    """A raw POST of the admin's that closes its connection; more `headers` as whole lines."""
    lines = (
        f"POST {path} HTTP/1.1",
        "host: tai",
        f"authorization: Bearer {service.admin_token}",
        "connection: close",
        f"content-length: {len(body)}",
        *headers,
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
