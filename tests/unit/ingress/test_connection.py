"""A connection speaks HTTP/1.1 as the RFCs say, and hands the application whole, bounded requests."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from tests.unit.ingress.test_server import Run, Running, run

assert run  # the fixture: each test runs on asyncio's loop and on uvloop

END = b"connection: close\r\n\r\n"
Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]


class Told:
    """An application that keeps what it is told and answers with the body that it has read."""

    def __init__(self) -> None:
        self.scopes: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []
        self.gone = asyncio.Event()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.gone.set()
                return
            body += message["body"]
            more = message["more_body"]
        self.bodies.append(body)
        if scope["path"] == "/wait":
            assert (await receive())["type"] == "http.disconnect"
            self.gone.set()
            return
        await reply(send, body)


async def reply(send: Send, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": 200, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": body})


# ---- requests


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/a/b?c=d&e=%2F", "/a/b", b"c=d&e=%2F"),
        (b"/a%2Fb%20c", "/a/b c", b""),
        (b"http://host/a?b", "/a", b"b"),
        (b"http://host", "/", b""),
        (b"/a#b", "/a", b""),
        (b"//host/a", "//host/a", b""),
        (b"/?", "/", b""),
    ],
)
def test_a_target_is_split_into_path_and_query(run: Run, target: bytes, path: str, query: bytes) -> None:
    async def scenario(server: Running) -> None:
        assert (await server.say(b"GET " + target + b" HTTP/1.1\r\n" + END)).startswith(b"HTTP/1.1 200 ")
        assert [(scope["path"], scope["query_string"]) for scope in app.scopes] == [(path, query)]

    app = Told()
    run(scenario, app=app)


@pytest.mark.parametrize("target", [b"/\xff", b"\xe4", b"http://[x/", b"nonsense"])
def test_a_target_that_is_none_is_a_400(run: Run, target: bytes) -> None:
    async def scenario(server: Running) -> None:
        assert (await server.say(b"GET " + target + b" HTTP/1.1\r\n" + END)).startswith(b"HTTP/1.1 400 ")

    run(scenario, app=Told())


def test_a_request_that_comes_byte_by_byte_is_whole(run: Run) -> None:
    async def scenario(server: Running) -> None:
        reader, writer = await server.connect()
        for byte in b"POST /abc HTTP/1.1\r\nX-Long: yes\r\ncontent-length: 3\r\n" + END + b"xyz":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        assert (await reader.read()).endswith(b"\r\n\r\nxyz")
        writer.close()
        (scope,) = app.scopes
        assert (scope["method"], scope["path"], scope["headers"][0]) == ("POST", "/abc", (b"x-long", b"yes"))

    app = Told()
    run(scenario, app=app)


def test_a_chunked_body_is_put_together_and_its_trailers_are_dropped(run: Run) -> None:
    async def scenario(server: Running) -> None:
        head = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n" + END
        assert (await server.say(head, b"3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nX-Late: 1\r\n\r\n")).endswith(b"abcdefg")
        assert [name for name, _ in app.scopes[0]["headers"]] == [b"transfer-encoding", b"connection"]

    app = Told()
    run(scenario, app=app)


@pytest.mark.parametrize("endless", [b"0\r\nx: ", b"0\r\n" + b"x: y\r\n" * 10, b"1;x="], ids=["one", "many", "chunk"])
def test_trailers_and_chunk_extensions_that_do_not_end_are_cut(run: Run, endless: bytes) -> None:
    async def scenario(server: Running) -> None:
        with suppress(ConnectionError):
            head = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
            answer = await server.say(head, endless, *[b"y" * 100_000] * 20)
            assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")

    run(scenario, app=Told())


@pytest.mark.parametrize("broken", [b"zz\r\n", b"3\nabc\n0\n\n", b"3\r\nabc\r\n0\r\ncontent-length: 1\r\n\r\n"])
def test_a_chunked_body_that_breaks_off_is_a_400_and_its_application_hears_no_more(run: Run, broken: bytes) -> None:
    async def scenario(server: Running) -> None:
        answer = await server.say(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", broken)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert answer.count(b"HTTP/1.1 ") == 1
        await app.gone.wait()
        assert app.bodies == []

    app = Told()
    run(scenario, app=app)


def test_a_body_that_breaks_off_after_its_answer_is_not_answered_again(run: Run) -> None:
    async def scenario(server: Running) -> None:
        reader, writer = await server.connect()
        writer.write(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.write(b"zz\r\n")
        assert await reader.read() == b""
        writer.close()

    async def hasty(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await reply(send, b"")

    run(scenario, app=hasty)


def test_a_pipelined_body_that_breaks_off_is_not_answered_in_place_of_the_one_before_it(run: Run) -> None:
    async def scenario(server: Running) -> None:
        first = b"GET /wait HTTP/1.1\r\n\r\n"
        assert await server.say(first, b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n") == b""
        await app.gone.wait()

    app = Told()
    run(scenario, app=app)


@pytest.mark.long
def test_a_long_body_waits_for_an_application_that_does_not_read(run: Run) -> None:
    async def scenario(server: Running) -> None:
        with socket.socket() as caller:
            caller.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(caller, ("127.0.0.1", server.port))
            await loop.sock_sendall(caller, b"POST / HTTP/1.1\r\ncontent-length: 100000000\r\n\r\n")
            flood = asyncio.create_task(loop.sock_sendall(caller, b"x" * 100_000_000))
            done, _ = await asyncio.wait([flood], timeout=0.5)
            assert not done
            flood.cancel()
        released.set()

    async def busy(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await released.wait()

    released = asyncio.Event()
    run(scenario, app=busy)


def test_a_caller_that_waits_to_be_told_to_go_on_is_told(run: Run) -> None:
    async def scenario(server: Running) -> None:
        reader, writer = await server.connect()
        writer.write(b"POST / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 3\r\n" + END)
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"abc")
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b"\r\n\r\nabc")
        writer.close()

    run(scenario, app=Told())


def test_an_upgrade_is_not_taken_up_and_the_request_is_answered(run: Run) -> None:
    async def scenario(server: Running) -> None:
        asked = b"GET / HTTP/1.1\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: x\r\n\r\n"
        answer = await server.say(asked + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.count(b"HTTP/1.1") == 1
        assert b"\r\nconnection: close\r\n" in answer

    run(scenario, app=Told())


# ---- one after another


def test_a_connection_is_kept_until_its_caller_is_done(run: Run) -> None:
    async def scenario(server: Running) -> None:
        reader, writer = await server.connect()
        for body in (b"a", b"b"):
            writer.write(b"POST / HTTP/1.1\r\ncontent-length: 1\r\n\r\n" + body)
            answer = await reader.readuntil(b"\r\n\r\n" + body)
            assert b"connection" not in answer
        writer.write(b"GET / HTTP/1.1\r\n" + END)
        assert b"\r\nconnection: close\r\n\r\n" in await reader.read()
        writer.close()

    run(scenario, app=Told())


def test_a_connection_of_http_1_0_ends_with_its_answer(run: Run) -> None:
    async def scenario(server: Running) -> None:
        answer = await server.say(b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
        assert b"\r\nconnection: close\r\n" in answer
        assert app.scopes[0]["http_version"] == "1.0"

    app = Told()
    run(scenario, app=app)


def test_what_follows_a_request_that_asked_to_close_does_not_cost_its_answer(run: Run) -> None:
    async def scenario(server: Running) -> None:
        answer = await server.say(b"GET /a HTTP/1.1\r\n" + END + b"GET /b HTTP/1.1\r\n\r\nnonsense")
        assert answer.count(b"HTTP/1.1 200 ") == 1

    run(scenario, app=Told())


def test_every_answer_has_a_date(run: Run) -> None:
    async def scenario(server: Running) -> None:
        assert b"\r\ndate: " in await server.say(b"GET / HTTP/1.1\r\n" + END)

    run(scenario, app=Told())


def test_the_application_learns_that_its_caller_has_gone(run: Run) -> None:
    async def scenario(server: Running) -> None:
        for said in (b"GET /wait HTTP/1.1\r\n\r\n", b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nabc"):
            app.gone.clear()
            _, writer = await server.connect()
            writer.write(said)
            await writer.drain()
            while not app.scopes:
                await asyncio.sleep(0)
            writer.close()
            await app.gone.wait()
            app.scopes.clear()

    app = Told()
    run(scenario, app=app)


# ---- an application that is at fault


async def failing(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    raise ZeroDivisionError("secret")


async def silent(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Returns without an answer."""


async def in_parts(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"", "more_body": True})


async def splitting(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    await reply(send, b"", (b"x", b"y\nset-cookie: z"))


async def returning(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    await reply(send, b"", (b"x", b"y\rset-cookie: z"))


@pytest.mark.parametrize("app", [failing, silent, in_parts, splitting, returning])
def test_an_application_that_fails_is_a_500_that_tells_nothing(run: Run, app: Any) -> None:
    async def scenario(server: Running) -> None:
        told: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        answer = await server.say(b"GET / HTTP/1.1\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 500 internal\r\n")
        assert b"secret" not in answer
        assert b"cookie" not in answer
        assert len(told) == (0 if app is silent else 1)

    run(scenario, app=app)


async def twice(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    await reply(send, b"one")
    await reply(send, b"two")


def test_a_second_answer_is_told_and_not_sent(run: Run) -> None:
    async def scenario(server: Running) -> None:
        told: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        assert (await server.say(b"GET / HTTP/1.1\r\n" + END)).endswith(b"one")
        assert [str(context["exception"]) for context in told] == ["a response is sent whole, and once"]

    run(scenario, app=twice)


@pytest.mark.long
def test_an_answer_waits_for_a_caller_that_reads_slowly(run: Run) -> None:
    async def scenario(server: Running) -> None:
        reader, writer = await server.connect()
        writer.write(b"GET / HTTP/1.1\r\n\r\n" * 3 + b"GET / HTTP/1.1\r\n" + END)
        await asyncio.sleep(0.2)
        assert len(answered) == 1
        assert (await reader.read()).count(b"HTTP/1.1 200 ") == 4
        writer.close()

    async def long(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await reply(send, b"x" * 20_000_000)
        answered.append(scope)

    answered: list[dict[str, Any]] = []
    run(scenario, app=long)
