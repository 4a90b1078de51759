"""
GET /health at a rate, as one client with a connection and a process of its own: what the server takes, not the load.

    due --> send (our clock) ... the reply reaches the socket (the kernel's stamp) ... we are given a core and read it

The process shares its core with the load's generator, so it may be late to send and late to read. Neither is charged:
a probe counts from its sending, and ends when the kernel took the reply in (SO_TIMESTAMPNS, the same clock), whenever
we came to read it. One that could not be sent since the one before was unanswered for longer than the pause between two
counts from when it was due: that lateness is the server's. Over https, or where the kernel gives no stamps, the end is
when we read it, and each line says so. Standard library only. Ends at SIGTERM; until then it writes a line a second.
"""

import argparse
import json
import signal
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from benchmarks.quantiles import at

PER_SECOND: Final = 50
ANSWER_SECONDS_MAX: Final = 10.0
STAMPS_SECONDS_MAX: Final = 1.0
REPLY_BYTES_MAX: Final = 1 << 16
SO_TIMESTAMPNS: Final = 35
STAMP: Final = struct.Struct("qq")
NANO: Final = 1_000_000_000


class Second(NamedTuple):
    """What the probes of one second saw; `late_ms` is the longest that we were late to send by ourselves."""

    seconds: float
    latencies_ms: list[float]
    errors: int
    late_ms: float
    stamped: str


class Health(NamedTuple):
    """Of all of a run's probes."""

    probes: int
    errors: int
    p50_ms: float
    p99_ms: float
    stamped: str


class Client:
    """One connection to the service, opened again when it was closed."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None, url
        self._https = parts.scheme == "https"
        self._address = (parts.hostname, parts.port or (443 if self._https else 80))
        self._request = f"GET /health HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()
        self._socket: socket.socket | None = None
        self._stamping: socket.socket | None = None
        self.stamped = "by us"

    def ask(self) -> tuple[int, int]:
        """When it was sent and when it was answered 200, in nanoseconds. Raises OSError for anything else."""
        try:
            self._socket = self._socket or self._connect()
            sent = time.time_ns()
            self._socket.sendall(self._request)
            reply, arrived = b"", 0
            while not _complete(reply):
                piece, arrived = self._receive(self._socket)
                reply += piece
        except OSError:
            self.close()
            raise
        if not reply.startswith(b"HTTP/1.1 200"):
            raise ConnectionError(reply[:64].decode("latin-1"))
        return sent, arrived

    def close(self) -> None:
        for each in (self._socket, self._stamping):
            if each is not None:
                each.close()
        self._socket = self._stamping = None

    def _connect(self) -> socket.socket:
        plain = socket.create_connection(self._address, timeout=ANSWER_SECONDS_MAX)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._https:
            return ssl.create_default_context().wrap_socket(plain, server_hostname=self._address[0])
        self._stamping = self._stamping or stamping()
        if self._stamping is not None:
            plain.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        return plain

    def _receive(self, connection: socket.socket) -> tuple[bytes, int]:
        stamps: list[tuple[int, int, bytes]] = []
        if self._https:
            piece = connection.recv(REPLY_BYTES_MAX)
        else:
            piece, stamps, _, _ = connection.recvmsg(REPLY_BYTES_MAX, 64)
        read = time.time_ns()
        if not piece:
            raise ConnectionError("the connection was closed")
        for _, kind, stamp in stamps:
            if kind == SO_TIMESTAMPNS:
                self.stamped = "by the kernel"
                return piece, _nanoseconds(stamp)
        self.stamped = "by us"
        return piece, read


def stamping() -> socket.socket | None:
    """
    A socket that keeps the kernel's stamps on while it is open; None where it gives none.

    Linux begins to stamp a little after the first socket asks for it, and until then it gives the moment of reading as
    the stamp (net_enable_timestamp, __sock_recv_timestamp). A packet to ourselves is in before it is sent: a later
    stamp is no stamp.
    """
    ours = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        ours.bind(("127.0.0.1", 0))
        ours.settimeout(STAMPS_SECONDS_MAX)
        ours.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        until = time.monotonic() + STAMPS_SECONDS_MAX
        while time.monotonic() < until:
            ours.sendto(b"?", ours.getsockname())
            sent = time.time_ns()
            _, stamps, _, _ = ours.recvmsg(1, 64)
            if any(kind == SO_TIMESTAMPNS and _nanoseconds(stamp) <= sent for _, kind, stamp in stamps):
                return ours
    except OSError:
        pass
    ours.close()
    return None


def _nanoseconds(stamp: bytes) -> int:
    seconds, nanoseconds = STAMP.unpack(stamp)
    return int(seconds * NANO + nanoseconds)


def probing(client: Client, per_second: int) -> Iterator[Second]:
    """Without end, what each second's probes saw."""
    start = due = time.time_ns()
    interval = NANO // per_second
    began = held_until = 0
    while True:
        latencies, errors, late = [], 0, 0.0
        for _ in range(per_second):
            time.sleep(max(0, due - time.time_ns()) / NANO)
            before, asked = began, time.time_ns()
            try:
                sent, arrived = client.ask()
            except OSError:
                errors += 1
                began, arrived = asked, time.time_ns()
            else:
                # Held up by the server's last answer: since it was due, though not from before that was asked for.
                held = held_until > due
                began = max(due, before) if held else sent
                late = max(late, 0.0 if held else (sent - due) / 1e6)
                latencies.append(round((arrived - began) / 1e6, 4))
            held_until = arrived if arrived - began > interval else 0
            due += interval
        yield Second(round((time.time_ns() - start) / NANO, 3), latencies, errors, round(late, 3), client.stamped)


def read(file: Path) -> list[Second]:
    """What the probe wrote, without a last line that was cut."""
    lines = file.read_bytes().splitlines(keepends=True) if file.exists() else []
    return [Second(**json.loads(line)) for line in lines if line.endswith(b"\n")]


def health_of(seconds: list[Second]) -> Health | None:
    """None where nothing was answered."""
    latencies = sorted(each for second in seconds for each in second.latencies_ms)
    if not latencies:
        return None
    errors = sum(second.errors for second in seconds)
    stamped = " and ".join(dict.fromkeys(second.stamped for second in seconds))
    return Health(len(latencies) + errors, errors, at(latencies, 0.5), at(latencies, 0.99), stamped)


def _complete(reply: bytes) -> bool:
    head, ends, body = reply.partition(b"\r\n\r\n")
    if not ends:
        return False
    lengths = [line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    if len(lengths) != 1:
        raise ConnectionError("no length")
    return len(body) >= int(lengths[0])


def _stop(*_: object) -> None:
    raise SystemExit


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("url")
    options.add_argument("--output", type=Path, required=True)
    chosen = options.parse_args()
    signal.signal(signal.SIGTERM, _stop)
    client = Client(chosen.url)
    with chosen.output.open("wb", buffering=0) as output:
        for second in probing(client, PER_SECOND):
            output.write(json.dumps(second._asdict()).encode() + b"\n")


if __name__ == "__main__":
    main()
