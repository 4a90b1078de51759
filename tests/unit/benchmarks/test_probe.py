"""A probe's figure is the server's: not when we were late to ask or to read, and all of it when the server stalls."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from benchmarks.steady.probe import NANO, SO_TIMESTAMPNS, STAMP, Client, Second, health_of, probing, stamping

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
STALL_SECONDS = 0.3
LATE_SECONDS = 0.2


@contextmanager
def server(answer: Callable[[int], bytes]) -> Iterator[str]:
    """One that answers request n with answer(n), a connection at a time, until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            asked = 0
            try:
                while True:
                    connection, _ = listening.accept()
                    with connection:
                        while connection.recv(4096):
                            connection.sendall(answer(asked))
                            asked += 1
            except OSError:
                return

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def asked(url: str, per_second: int = 20) -> Second:
    client = Client(url)
    try:
        return next(probing(client, per_second))
    finally:
        client.close()


@pytest.mark.long
def test_every_probe_that_a_stall_held_up_counts_from_when_it_was_due() -> None:
    def answer(number: int) -> bytes:
        if number == 5:
            time.sleep(STALL_SECONDS)
        return OK

    with server(answer) as url:
        second = asked(url)
    slow = sorted(each for each in second.latencies_ms if each >= 45)
    assert slow[-1] >= STALL_SECONDS * 1_000
    assert len(slow) >= 4
    assert second.stamped == "by the kernel"


def test_being_late_to_read_is_not_charged(monkeypatch: pytest.MonkeyPatch) -> None:
    complete = Client._receive

    def late(self: Client, connection: socket.socket) -> tuple[bytes, int]:
        connection.settimeout(5)
        time.sleep(LATE_SECONDS)
        return complete(self, connection)

    monkeypatch.setattr(Client, "_receive", late)
    with server(lambda _: OK) as url:
        client = Client(url)
        sent, arrived = client.ask()
        client.close()
    assert time.time_ns() - sent >= LATE_SECONDS * 1e9
    assert arrived - sent < LATE_SECONDS * 1e9 / 2


def test_the_kernel_stamps_already_when_the_first_probe_is_sent() -> None:
    # Nothing says when the kernel has ended the stamps of the tests before: it does so a little after their sockets.
    time.sleep(0.1)
    ours = stamping()
    assert ours is not None
    with ours:
        ours.sendto(b"!", ours.getsockname())
        sent = time.time_ns()
        _, ((_, kind, stamp),), _, _ = ours.recvmsg(1, 64)
        seconds, nanoseconds = STAMP.unpack(stamp)
    assert kind == SO_TIMESTAMPNS
    assert seconds * NANO + nanoseconds <= sent


@pytest.mark.long
def test_an_answer_that_is_not_200_and_a_closed_connection_are_errors() -> None:
    bad = {3: b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"}
    with server(lambda number: bad.get(number, OK)) as url:
        second = asked(url)
    assert second.errors == 1
    assert len(second.latencies_ms) == 19


def test_seconds_together_are_the_health_of_a_run() -> None:
    seconds = [Second(1.0, [1.0] * 49, 1, 0.0, "by the kernel"), Second(2.0, [1.0] * 49 + [9.0], 0, 0.0, "by us")]
    health = health_of(seconds)
    assert health is not None
    assert (health.probes, health.errors, health.p50_ms, health.p99_ms) == (100, 1, 1.0, 9.0)
    assert health.stamped == "by the kernel and by us"
    assert health_of([Second(1.0, [], 50, 0.0, "by us")]) is None
