"""What the service answers, as a command takes it."""

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import pytest
from tests.unit.cli.exports import CommandLine, ledger, lines

from tai_autonomics.cli import served
from tai_autonomics.errors import Forbidden, Malformed, StoreUnavailable, TaiError, Unauthenticated, Unknown


class Scripted(BaseHTTPRequestHandler):
    """Answers what the test wrote, in order, and keeps what was asked."""

    answers: ClassVar[list[tuple[int, bytes]]] = []
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        status, body = self.answers.pop(0)
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""


@pytest.fixture
def url() -> Iterator[str]:
    Scripted.answers, Scripted.asked = [], []
    with HTTPServer(("127.0.0.1", 0), Scripted) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


def page(*items: bytes, then: str | None) -> tuple[int, bytes]:
    follows = b"null" if then is None else b'"%s"' % then.encode()
    return 200, b'{"items":[' + b",".join(items) + b'],"next":' + follows + b"}"


def test_a_list_goes_on_where_the_page_ended(cli: CommandLine, url: str) -> None:
    (cli.directory / "t").write_text("token")
    first, second, third = (line.rstrip() for line in lines(ledger("acme", 3)))
    Scripted.answers = [page(first, second, then="abc"), page(third, then=None)]
    place = ("--url", url, "--token-file", "t", "--json")
    assert cli("receipts", "list", "-t", "acme", "--limit", "2000", *place) == 0
    assert cli.out.encode() == b"\n".join((first, second, third)) + b"\n"
    assert Scripted.asked == [
        "/v1/tenants/acme/receipts?after=0&limit=1000",
        "/v1/tenants/acme/receipts?limit=1000&cursor=abc",
    ]
    Scripted.answers = [page(b'{"tenant_id":"a"}', then="x"), page(b'{"tenant_id":"b"}', then=None)]
    assert cli("tenants", "list", *place) == 0
    assert [each["tenant_id"] for each in cli.documents] == ["a", "b"]


@pytest.mark.parametrize(
    ("status", "reason", "error"),
    [
        (400, "malformed_request", Malformed),
        (401, "token_expired", Unauthenticated),
        (403, "role_forbidden", Forbidden),
        (403, "tenant_forbidden", Forbidden),
        (403, "compliance_closed", Unknown),
        (404, "not_found", Unknown),
        (422, "idempotency_key_reused", Malformed),
        (429, "overloaded", StoreUnavailable),
        (500, "internal", StoreUnavailable),
        (503, "store_unavailable", StoreUnavailable),
    ],
)
def test_each_problem_is_the_error_that_its_status_says(
    cli: CommandLine, url: str, status: int, reason: str, error: type[TaiError]
) -> None:
    Scripted.answers = [(status, b'{"reason":"%s","detail":"because","more":1}' % reason.encode())]
    with pytest.raises(error, match="because"):
        asyncio.run(ask(cli, url))


@pytest.mark.parametrize("answer", [(502, b"<html>"), (200, b"<html>"), (503, b'{"error":"x"}')])
def test_an_answer_that_is_not_ours_is_said_to_be_none(cli: CommandLine, url: str, answer: tuple[int, bytes]) -> None:
    Scripted.answers = [answer]
    with pytest.raises(StoreUnavailable, match="not as this service does"):
        asyncio.run(ask(cli, url))


async def ask(cli: CommandLine, url: str) -> None:
    token = cli.directory / "t"
    token.write_text("token")
    async with served.connect(url, token) as service:
        await service.tenant("acme")
