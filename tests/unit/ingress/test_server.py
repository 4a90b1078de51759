"""One connection takes no more than its bounds, and a signal ends the process in order."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvloop
from tests.unit.ingress.front import VERIFY, House

from tai_autonomics.errors import InvalidSetting
from tai_autonomics.ingress.server import ServerBounds, listen, serve
from tai_autonomics.ingress.turns import ROOM, Turns

LARGE = b"x" * 30_000_000
GET = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n"
Scenario = Callable[["Running"], Awaitable[None]]


class Running:
    """A server in this process."""

    def __init__(self, house: House, port: int, task: "asyncio.Task[None]", told: list[str]) -> None:
        self.house, self.port, self.task, self.told = house, port, task, told

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def say(self, *pieces: bytes) -> bytes:
        """Everything that comes back until the server hangs up."""
        reader, writer = await self.connect()
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            return await reader.read()
        finally:
            writer.close()


@asynccontextmanager
async def running(house: House | None = None, app: Any = None, **bounds: Any) -> AsyncIterator[Running]:
    behind, told = house or House(), []
    started = asyncio.Event()
    listening = listen("127.0.0.1", 0)

    def draining() -> None:
        behind.drain.begun = True
        told.append("draining")

    task = asyncio.create_task(
        serve(
            app or behind.app,
            listening,
            bounds=ServerBounds(**bounds),
            turns=Turns(),
            refused=behind.ear.answered,
            on_started=started.set,
            on_draining=draining,
        )
    )
    async with asyncio.timeout(20):
        await started.wait()
        yield Running(behind, listening.getsockname()[1], task, told)
        if not task.done():
            os.kill(os.getpid(), signal.SIGTERM)
        await task


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[..., None]:
    def run(scenario: Scenario, house: House | None = None, app: Any = None, **bounds: Any) -> None:
        async def whole() -> None:
            async with running(house, app, **bounds) as server:
                await scenario(server)

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(whole())

    return run


Run = Callable[..., None]


async def large(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """An application whose answer is long."""
    headers = [(b"content-length", str(len(LARGE)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": LARGE})


async def hasty(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """An application that answers before it has read anything."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


# ---- headers


@pytest.mark.parametrize(
    "pieces",
    [
        (b"GET /health HTTP/1.1\r\nx: " + b"a" * 20_000,),
        (b"GET /health HTTP/1.1\r\n" + b"x: y\r\n" * 4_000 + b"\r\n",),
        (b"GET /health HTTP/1.1\r\nx: " + b"a" * 20_000 + b"\r\n\r\n",),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",),
        (b"GET /" + b"a" * 20_000,),
        tuple([b"GET /health HTTP/1.1\r\n"] + [b"x: " + b"a" * 2_000 + b"\r\n"] * 10),
    ],
    ids=["unended", "many", "one", "path", "unended path", "piece by piece"],
)
def test_a_header_that_is_too_large_is_a_431(run: Run, pieces: tuple[bytes, ...]) -> None:
    async def scenario(server: Running) -> None:
        answer = await server.say(*pieces)
        assert answer.startswith(b"HTTP/1.1 431 ")
        assert b'"reason":"headers_too_large"' in answer
        assert b"x-request-id: refused-1\r\n" in answer
        (told,) = server.house.ear.requests
        assert (told.status, told.reason, told.request_id) == (431, "headers_too_large", "refused-1")
        assert (told.method, told.route, told.remote) == ("(none)", "(none)", "127.0.0.1")
        assert told.bytes_out == len(answer)

    run(scenario)


def test_a_header_of_fifteen_kilobytes_is_read(run: Run) -> None:
    async def scenario(server: Running) -> None:
        request = b"GET /health/live HTTP/1.1\r\nconnection: close\r\nx: " + b"a" * 15_000 + b"\r\n\r\n"
        assert (await server.say(request)).startswith(b"HTTP/1.1 200 ")

    run(scenario)


def test_a_header_that_does_not_end_is_a_408(run: Run) -> None:
    async def scenario(server: Running) -> None:
        assert (await server.say(b"GET /health HTTP/1.1\r\nx:")).startswith(b"HTTP/1.1 408 ")

    run(scenario, header_seconds=0.05)


@pytest.mark.parametrize("said", [b"", b"\r\n\r\n"])
def test_a_connection_that_says_nothing_is_closed(run: Run, said: bytes) -> None:
    async def scenario(server: Running) -> None:
        with suppress(ConnectionResetError):
            assert await server.say(said) == b""

    run(scenario, header_seconds=0.05)


@pytest.mark.parametrize(
    "said",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /marketplace HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"POST /marketplace HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        b"POST /marketplace HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\na b: c\r\n\r\n",
    ],
)
def test_what_is_no_request_is_a_400_or_the_end_of_the_connection(run: Run, said: bytes) -> None:
    async def scenario(server: Running) -> None:
        answer = await server.say(said)
        assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 401 ")) or answer == b""

    run(scenario, header_seconds=0.2)


def test_an_idle_connection_is_closed(run: Run) -> None:
    async def scenario(server: Running) -> None:
        assert (await server.say(GET)).startswith(b"HTTP/1.1 200 ")

    run(scenario, idle_seconds=0)


def test_connections_beyond_the_bound_are_closed(run: Run) -> None:
    async def scenario(server: Running) -> None:
        reader, writer = await server.connect()
        writer.write(GET)
        await reader.readuntil(b"}")
        with suppress(ConnectionResetError):
            assert await server.say() == b""
        writer.close()

    run(scenario, connections_max=1)


def test_pipelined_requests_are_answered_in_order_up_to_a_bound(run: Run) -> None:
    async def scenario(server: Running) -> None:
        last = GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
        assert (await server.say(GET * 3 + last)).count(b"HTTP/1.1 200 ") == 4
        assert (await server.say(GET * 500)).count(b"HTTP/1.1 200 ") < 500

    run(scenario)


# ---- bodies and readers


def test_a_body_that_nobody_reads_is_taken_in_and_its_answer_arrives(run: Run) -> None:
    async def scenario(server: Running) -> None:
        head = b"POST /marketplace HTTP/1.1\r\nhost: x\r\nauthorization: Bearer admin\r\nconnection: close\r\n"
        request = head + b"content-length: 10000000\r\n\r\n" + b"x" * 10_000_000
        answer = await server.say(request)
        assert answer.startswith(b"HTTP/1.1 413 ")

    run(scenario)


def test_a_body_that_nobody_wants_and_that_trickles_in_ends_its_connection(run: Run) -> None:
    async def scenario(server: Running) -> None:
        answer = await server.say(b"POST /marketplace HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nabc")
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert b"connection: close" in answer

    run(scenario, House(request_seconds=0.1))


def test_a_body_that_trickles_in_after_its_answer_is_cut(run: Run) -> None:
    async def scenario(server: Running) -> None:
        with suppress(ConnectionResetError):
            await server.say(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nabc")

    run(scenario, app=hasty, header_seconds=0.1)


@pytest.mark.long
def test_a_body_that_the_application_reads_is_not_cut_by_the_header_bound(run: Run) -> None:
    async def scenario(server: Running) -> None:
        head = (
            b"POST /marketplace HTTP/1.1\r\nhost: x\r\nauthorization: Bearer admin\r\ncontent-length: 1000\r\n\r\nabc"
        )
        assert (await server.say(head)).startswith(b"HTTP/1.1 408 ")

    run(scenario, House(request_seconds=0.3), header_seconds=0.05)


@pytest.mark.long
def test_a_reader_that_does_not_read_is_cut(run: Run) -> None:
    async def scenario(server: Running) -> None:
        with socket.socket() as quiet:
            quiet.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            quiet.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(quiet, ("127.0.0.1", server.port))
            await loop.sock_sendall(quiet, GET)
            async with asyncio.timeout(10):
                # Once the server has cut the connection, writing to it fails; nothing is read until then.
                with suppress(ConnectionResetError, BrokenPipeError):
                    while True:
                        await loop.sock_sendall(quiet, b"\r\n")
                        await asyncio.sleep(0.01)

    run(scenario, app=large, stalled_seconds=0.1)


def test_a_reader_that_reads_gets_everything(run: Run) -> None:
    async def scenario(server: Running) -> None:
        answer = await server.say(GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
        assert answer.endswith(LARGE)

    run(scenario, app=large, stalled_seconds=5)


# ---- the end


def post(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer admin\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


BODY = b'{"tenant_id":"acme","entitlement_id":"ent_1"}'


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_at_a_signal_what_is_in_flight_finishes_and_nothing_new_begins(run: Run, number: int) -> None:
    async def scenario(server: Running) -> None:
        corridor = server.house.corridor
        corridor.hold = asyncio.Event()
        call = asyncio.create_task(server.say(post("/marketplace", BODY)))
        while not corridor.waiting:
            await asyncio.sleep(0)
        os.kill(os.getpid(), number)
        await asyncio.sleep(0)
        assert server.house.drain.begun
        async with asyncio.timeout(5):
            while True:
                try:
                    (await server.connect())[1].close()
                except ConnectionError:
                    break
                await asyncio.sleep(0.01)
        corridor.hold.set()
        answer = await call
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"connection: close" in answer
        await server.task

    run(scenario)


@pytest.mark.long
def test_what_does_not_finish_is_told_that_its_outcome_is_unknown(run: Run) -> None:
    async def scenario(server: Running) -> None:
        server.house.corridor.hold = asyncio.Event()
        call = asyncio.create_task(server.say(post("/marketplace", BODY)))
        while not server.house.corridor.waiting:
            await asyncio.sleep(0)
        os.kill(os.getpid(), signal.SIGTERM)
        await server.task
        answer = await call
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"outcome_unknown" in answer

    run(scenario, drain_seconds=1)


@pytest.mark.long
def test_a_second_signal_ends_the_wait(run: Run) -> None:
    async def scenario(server: Running) -> None:
        reader, writer = await server.connect()
        writer.write(post("/marketplace", BODY)[:-5])
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(3):
            await server.task
        writer.close()
        del reader

    run(scenario, drain_seconds=60)


def test_signals_are_handled_as_before_once_it_has_ended(run: Run) -> None:
    before = signal.getsignal(signal.SIGTERM)

    async def scenario(server: Running) -> None:
        assert signal.getsignal(signal.SIGTERM) != before

    run(scenario)
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_port_that_is_taken_is_said_clearly() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            InvalidSetting,
            match=f"HOST and PORT: 127.0.0.1:{port} cannot be listened on: [^(]*; choose another, or port 0",
        ):
            listen("127.0.0.1", port)


def test_a_host_that_is_not_ours_is_said_clearly() -> None:
    with pytest.raises(InvalidSetting, match=r"HOST and PORT: 203\.0\.113\.1"):
        listen("203.0.113.1", 0)


def test_the_body_of_these_tests_is_understood() -> None:
    assert House().post("/marketplace", BODY).status == House().post("/marketplace", VERIFY).status == 200


# ---- turns


def test_a_probe_begins_at_once_and_a_burst_that_came_first_a_few_at_a_time(run: Run) -> None:
    begun: list[str] = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        begun.append(scope["path"])
        await hasty(scope, receive, send)

    async def scenario(server: Running) -> None:
        burst = [await server.connect() for _ in range(50)]
        probe = await server.connect()
        for number, (_, writer) in enumerate(burst):
            writer.write(b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n" % number)
        probe[1].write(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        for reader, writer in [*burst, probe]:
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            writer.close()

    run(scenario, app=app)
    assert begun.index("/health") <= ROOM
    assert sorted(begun) == sorted(["/health", *(f"/{number}" for number in range(50))])
