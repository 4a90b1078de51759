"""What the service answers, as a command takes it."""

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import pytest
from tests.unit.cli.exports import CommandLine, ledger, lines

from tai_autonomics.cli import served
from tai_autonomics.errors import Forbidden, Malformed, StoreUnavailable, TaiError, Unauthenticated, Unknown
from tai_autonomics.ledger.receipt import seal
from tai_autonomics.ledger.records import GENESIS, Receipt


class Scripted(BaseHTTPRequestHandler):
    """Answers what the test wrote, in order, and keeps what was asked."""

    answers: ClassVar[list[tuple[int, bytes]]] = []
    asked: ClassVar[list[str]] = []
    told: ClassVar[list[bytes]] = []
    sealed: ClassVar[str | None] = None
    """The Receipt-Hash of the answers, if they have one."""

    def do_GET(self) -> None:
        self.asked.append(self.path)
        status, body = self.answers.pop(0)
        self.send_response(status)
        if self.sealed is not None:
            self.send_header("receipt-hash", self.sealed)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.told.append(self.rfile.read(int(self.headers["content-length"])))
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""


@pytest.fixture
def url() -> Iterator[str]:
    Scripted.answers, Scripted.asked, Scripted.told, Scripted.sealed = [], [], [], None
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


def place(cli: CommandLine, url: str) -> tuple[str, ...]:
    (cli.directory / "t").write_text("token")
    return ("--url", url, "--token-file", "t")


def test_actions_are_listed_over_short_and_empty_pages_until_there_are_enough(cli: CommandLine, url: str) -> None:
    members = b'{"requested_at":"t","state":"ready","tenant_id":"a","rule":"r","type":"webhook","action_id":"%d"}'
    one, two, three = (members % number for number in (1, 2, 3))
    Scripted.answers = [page(then="x"), page(one, then="y"), page(two, three, then="z")]
    assert cli("actions", "list", "-t", "acme", "--limit", "2", "--json", *place(cli, url)) == 0
    assert [each["action_id"] for each in cli.documents] == ["1", "2"]
    assert Scripted.asked == [
        "/v1/tenants/acme/actions?limit=2",
        "/v1/tenants/acme/actions?limit=2&cursor=x",
        "/v1/tenants/acme/actions?limit=2&cursor=y",
    ]
    Scripted.answers, Scripted.asked[:] = [page(one, then=None)], []
    assert cli("actions", "list", "--status", "ready", *place(cli, url)) == 0
    assert Scripted.asked == ["/v1/actions?limit=100&state=ready"]
    assert cli.out == "t  ready              a  r  webhook  1\n"


@pytest.mark.parametrize("limit", ["1", "9"])
def test_tenants_that_the_service_cannot_read_are_named_after_the_actions_of_the_others(
    cli: CommandLine, url: str, limit: str
) -> None:
    action = b'{"requested_at":"t","state":"ready","tenant_id":"b","rule":"r","type":"webhook","action_id":"1"}'
    Scripted.answers = [(200, b'{"items":[%s],"next":null,"unreadable":["a","c"]}' % action)]
    assert cli("actions", "list", "--limit", limit, *place(cli, url)) == 69
    assert cli.out == "t  ready              b  r  webhook  1\n"
    assert "cannot read a, c: not listed" in cli.err


def test_a_governor_is_what_the_tenants_document_says_of_it(cli: CommandLine, url: str) -> None:
    governor = b'"governor":{"state":"boot","causes":[],"rules":[],"failures":0}'
    tenant = b'{"tenant_id":"acme","plan":null,"entitlements":[],"quotas":[],"as_of":{"seq":1,"time":"t"}'
    Scripted.answers = [(200, b"%s,%s}" % (tenant, governor)), (200, tenant + b"}")]
    assert cli("governor", "show", "acme", "--json", *place(cli, url)) == 0
    (document,) = cli.documents
    assert document.keys() == {"tenant_id", "as_of", "governor"}
    assert cli("governor", "show", "acme", *place(cli, url)) == 1
    assert "is of a release that shows no governor" in cli.err


def test_what_an_operator_tells_is_posted_and_a_sealed_refusal_is_an_answer(cli: CommandLine, url: str) -> None:
    accepted, refused = ledger("acme", 1)[0], refusal()
    Scripted.sealed = accepted.hash
    members = b'"receipt":%s,"hash":"%s"' % (accepted.body, accepted.hash.encode())
    Scripted.answers = [(200, b'{%s,"parts":{}}' % members)] * 2
    assert cli("governor", "pause", "acme", "--reason", "night", *place(cli, url)) == 0
    assert cli.out.splitlines()[0] == f"acme: receipt 1 {accepted.hash}"
    assert cli("actions", "deny", "acme", "a-1", "--json", *place(cli, url)) == 0
    assert cli.documents == [{"receipt": json.loads(accepted.body), "hash": accepted.hash}]
    problem = b'{"reason":"invalid_transition","detail":"d","receipt":%s,"hash":"%s"}'
    Scripted.answers = [(409, problem % (refused.body, refused.hash.encode()))]
    assert cli("actions", "approve", "acme", "a-1", *place(cli, url)) == 1
    assert cli.out.splitlines() == [
        f"acme: receipt 1 {refused.hash}",
        "refused   invalid_transition: it is settled.",
        "next step nothing to do; the same command id gets this receipt again.",
    ]
    assert Scripted.asked == [
        "/v1/tenants/acme/governor/pause",
        "/v1/tenants/acme/actions/a-1/deny",
        "/v1/tenants/acme/actions/a-1/approve",
    ]
    assert [json.loads(each) for each in Scripted.told] == [{"reason": "night"}, {}, {}]


@pytest.mark.parametrize(("status", "reason", "ends"), [(403, "role_forbidden", 2), (503, "draining", 69)])
def test_what_was_not_decided_is_an_error(cli: CommandLine, url: str, status: int, reason: str, ends: int) -> None:
    Scripted.answers = [(status, b'{"reason":"%s","detail":"because"}' % reason.encode())]
    assert cli("governor", "resume", "acme", *place(cli, url)) == ends
    assert f"{reason}: because" in cli.err


def refusal() -> Receipt:
    return seal(
        tenant="acme",
        ledger="01JD0000000000000000000000",
        seq=1,
        prev=GENESIS,
        time="2026-11-24T02:01:33.123456Z",
        type="refusal",
        subject=("action", "a-1"),
        cause={"kind": "api", "id": "k", "by": "anna"},
        decision={},
        events=[],
        refusal={"reason": "invalid_transition", "detail": "it is settled", "next_step": "nothing to do"},
        policy="0" * 64,
        trace=None,
        commits={},
        command_id="k",
        claims=True,
    )


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
