"""What every request passes and every response has."""

import asyncio
import gzip
from typing import Any

import pytest
from tests.unit.ingress.front import GRANT, VERIFY, House, Response

from tai_autonomics.application.ports import Answered
from tai_autonomics.errors import (
    ClockUntrusted,
    ConcurrentWrite,
    Draining,
    IdempotencyKeyReused,
    KeysUnavailable,
    LedgerNewerThanCode,
    Malformed,
    NotCanonical,
    OutcomeUnknown,
    Overloaded,
    StoreUnavailable,
    Unavailable,
    Unknown,
)

CHECK, USAGE = "/v1/tenants/acme/check", "/v1/tenants/acme/usage"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
HOSTILE = {
    "truncated": b'{"tenant_id":"acme","entitle',
    "empty": b"",
    "duplicate": b'{"tenant_id":"acme","entitlement_id":"e","entitlement_id":"e"}',
    "nan": b'{"tenant_id":"acme","entitlement_id":"e","metadata":NaN}',
    "infinite": b'{"tenant_id":"acme","entitlement_id":"e","metadata":-Infinity}',
    "huge number": b'{"tenant_id":"acme","entitlement_id":"e","metadata":1e999}',
    "deep": b'{"tenant_id":"acme","entitlement_id":"e","metadata":' + b"[" * 100_000,
    "deep and whole": b'{"metadata":' + b"[" * 120_000 + b"]" * 120_000 + b"}",
    "surrogate": b'{"tenant_id":"acme","entitlement_id":"e","metadata":"\\udfff"}',
    "not utf-8": b'{"tenant_id":"acme","entitlement_id":"e","metadata":"\xc3\x28"}',
    "utf-16": '{"tenant_id":"acme"}'.encode("utf-16"),
    "wrong type": b'"tenant_id"',
    "null": b"null",
    "array": b"[" + b"1," * 100_000 + b"1]",
    "two values": b"{}{}",
}


# ---- hostile bodies


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("path", ["/marketplace", CHECK, "/v1/tenants/acme/usage", "/v1/tenants/acme/erasures"])
def test_a_hostile_body_is_a_400_and_nothing_is_written(path: str, body: bytes) -> None:
    house = House()
    response = house.post(path, body)
    assert (response.status, response.headers["content-type"]) == (400, "application/problem+json")
    assert (house.corridor.submissions, house.ear.failures) == ([], [])


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/marketplace", b'{"tenant_id":"acme","entitlement_id":"e","entitlement_id":"e"}', "/entitlement_id"),
        (CHECK, b'{"feature":"a","feature":"a"}', "/feature"),
        (CHECK, b'{"checks":[{"feature":"a","feature":"a"}]}', "/checks/0/feature"),
        (CHECK, b'{"checks":[{}],"checks":[{}]}', "/checks"),
        (USAGE, b'{"operation":"consume","quota":"q","amount":1,"amount":2,"request_id":"r"}', "/amount"),
        (
            USAGE,
            b'{"items":[{"operation":"consume","quota":"q","amount":1,"amount":2,"request_id":"r"}]}',
            "/items/0/amount",
        ),
        ("/v1/tenants/acme/quotas/q/reset", b'{"reason":"a","reason":"b"}', "/reason"),
        ("/v1/tenants/acme/erasures", b'{"seq":1,"seq":1,"part":"metadata"}', "/seq"),
    ],
)
def test_a_member_given_twice_is_refused_on_every_route(path: str, body: bytes, pointer: str) -> None:
    house = House()
    house.post("/marketplace", {**VERIFY, "metadata": 1})
    response = house.post(path, body)
    assert (response.status, response.json["errors"][0]["pointer"]) == (400, pointer)
    assert (len(house.corridor.submissions), house.queries.checks) == (1, [])


@pytest.mark.parametrize("size", [262_145, 10_000_000])
def test_a_body_that_is_too_large_is_a_413(size: int) -> None:
    response = House().post("/marketplace", b"x" * size)
    assert (response.status, response.reason) == (413, "body_too_large")


def test_a_million_element_array_is_a_413_before_it_is_read() -> None:
    house = House()
    response = house.post("/marketplace", b"[" + b"1," * 1_000_000 + b"1]")
    assert (response.status, house.ear.requests[0].bytes_in) == (413, 0)


def test_a_chunked_body_is_cut_at_the_bound() -> None:
    house = House()
    response = house.post("/marketplace", chunks=(b"x" * 100_000,) * 100)
    assert (response.status, response.headers["connection"]) == (413, "close")
    assert house.ear.requests[0].bytes_in == 300_000


def test_a_body_in_pieces_is_one_body() -> None:
    assert House().post("/marketplace", chunks=(b'{"tenant_id":"acme",', b'"entitlement_id":"e"', b"}")).status == 200


def test_a_body_that_is_compressed_is_a_415() -> None:
    response = House().post("/marketplace", gzip.compress(b"{}"), headers={"Content-Encoding": "gzip"})
    assert (response.status, response.reason) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("media", "status"),
    [
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ('application/json;charset="UTF-8"', 200),
        ("application/cloudevents+json", 200),
        ("application/json; charset=utf-16", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/jsonx", 415),
        ("", 415),
    ],
)
def test_a_body_is_json_by_its_type(media: str, status: int) -> None:
    assert House().post("/marketplace", VERIFY, headers={"Content-Type": media}).status == status


def test_a_body_without_a_type_is_taken_for_json() -> None:
    house = House()
    body = b'{"tenant_id":"acme","entitlement_id":"e"}'

    async def scenario() -> list[int]:
        sent: list[int] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message.get("status", 0))

        headers = [(b"authorization", b"Bearer admin")]
        scope = {"type": "http", "method": "POST", "path": "/marketplace", "query_string": b"", "headers": headers}
        await house.app(scope, receive, send)
        return sent

    assert asyncio.run(scenario())[0] == 200


@pytest.mark.parametrize("length", ["-1", "x", "1" * 30])
def test_a_length_that_is_no_number_is_refused(length: str) -> None:
    assert House().post("/marketplace", VERIFY, headers={"Content-Length": length}).status == 400


@pytest.mark.parametrize(
    "name", ["content-type", "content-length", "idempotency-key", "x-request-id", "traceparent", "content-encoding"]
)
def test_a_header_that_must_be_single_is_refused_when_given_twice(name: str) -> None:
    pairs = ((name.encode(), b"1"), (name.encode(), b"2"))
    assert House().post("/marketplace", VERIFY, pairs=pairs).status == 400


def test_another_header_may_come_twice() -> None:
    pairs = ((b"x-forwarded-for", b"a"), (b"x-forwarded-for", b"b"))
    assert House().post("/marketplace", VERIFY, pairs=pairs).status == 200


# ---- slow, gone


def test_a_body_that_does_not_come_is_a_408() -> None:
    response = House(request_seconds=0.01).post("/marketplace", chunks=(b"{",), silent=True)
    assert (response.status, response.reason, response.headers["connection"]) == (408, "request_timeout", "close")


def test_a_decision_that_does_not_come_is_an_unknown_outcome() -> None:
    house = House(request_seconds=0.01)

    async def scenario() -> Response:
        house.corridor.hold = asyncio.Event()
        return await house.acall("POST", "/marketplace", VERIFY)

    response = asyncio.run(scenario())
    assert (response.status, response.reason) == (503, "outcome_unknown")


def test_a_read_that_does_not_come_is_a_store_that_cannot_be_reached() -> None:
    house = House(request_seconds=0.01)

    async def scenario() -> Response:
        house.queries.hold = asyncio.Event()
        return await house.acall("POST", CHECK, {})

    response = asyncio.run(scenario())
    assert (response.status, response.reason) == (503, "store_unavailable")


def test_a_caller_that_hangs_up_gets_nothing_and_is_logged() -> None:
    house = House()
    assert house.post("/marketplace", chunks=(b"{",), hang_up=True).status == 0
    assert house.post("/marketplace", chunks=(), hang_up=True).status == 0
    assert [request.status for request in house.ear.requests] == [499, 499]


def test_a_request_that_the_end_of_the_process_cancels_says_that_its_outcome_is_unknown() -> None:
    house = House()

    async def scenario() -> Response:
        house.corridor.hold = asyncio.Event()
        call = asyncio.create_task(house.acall("POST", "/marketplace", VERIFY))
        while not house.corridor.waiting:
            await asyncio.sleep(0)
        call.cancel()
        return await call

    response = asyncio.run(scenario())
    assert (response.status, response.reason) == (503, "outcome_unknown")


# ---- full, stopping


def test_beyond_the_bound_in_flight_requests_are_turned_away_and_probes_are_not() -> None:
    house = House(requests_at_once_max=1)

    async def scenario() -> list[Response]:
        house.corridor.hold = asyncio.Event()
        first = asyncio.create_task(house.acall("POST", "/marketplace", VERIFY))
        while not house.corridor.waiting:
            await asyncio.sleep(0)
        turned = await house.acall("POST", CHECK, {}, token=None)
        well = await house.acall("GET", "/health", token=None)
        house.corridor.hold.set()
        return [turned, well, await first, await house.acall("POST", CHECK, {})]

    turned, well, first, later = asyncio.run(scenario())
    assert (turned.status, turned.reason, turned.headers["retry-after"]) == (429, "overloaded", "1")
    assert turned.headers["ratelimit-policy"] == '"instance";q=1;qu="concurrent-requests"'
    assert turned.headers["ratelimit"] == '"instance";r=0;t=1'
    assert (well.status, first.status, later.status) == (200, 200, 200)


def test_a_stopping_instance_is_unhealthy_alive_and_takes_nothing_new() -> None:
    house = House()
    house.drain.begun = True
    assert house.get("/health/live", token=None).status == 200
    health = house.get("/health", token=None)
    assert (health.status, health.json["status"], health.json["checks"]["draining"]) == (
        503,
        "unavailable",
        "the process is stopping",
    )
    response = house.post("/marketplace", VERIFY)
    assert (response.status, response.reason, response.headers["retry-after"]) == (503, "draining", "1")


# ---- every answer


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (Malformed("missing_field", "x"), 400, "missing_field"),
        (Unknown("nothing"), 404, "not_found"),
        (IdempotencyKeyReused("x"), 422, "idempotency_key_reused"),
        (Overloaded("rate_limited", "x"), 429, "rate_limited"),
        (Overloaded("overloaded", "x"), 429, "overloaded"),
        (StoreUnavailable("secret path"), 503, "store_unavailable"),
        (ConcurrentWrite("x"), 503, "conflict"),
        (OutcomeUnknown("x"), 503, "outcome_unknown"),
        (Draining("x"), 503, "draining"),
        (LedgerNewerThanCode("x"), 503, "ledger_newer_than_code"),
        (ClockUntrusted("x"), 503, "clock_untrusted"),
        (KeysUnavailable("x"), 503, "keys_unavailable"),
        (Unavailable("x"), 503, "store_unavailable"),
        (NotCanonical("x"), 500, "internal"),
        (ZeroDivisionError("secret"), 500, "internal"),
        (RecursionError("deep"), 500, "internal"),
        (TimeoutError("not the request's"), 503, "outcome_unknown"),
    ],
)
def test_an_error_has_its_status_and_tells_nothing_that_it_should_not(
    error: Exception, status: int, reason: str
) -> None:
    house = House()
    house.corridor.raise_with["acme"] = error
    response = house.post("/marketplace", VERIFY)
    assert (response.status, response.reason) == (status, reason)
    assert b"secret" not in response.body
    assert ("retry-after" in response.headers) == (status in (429, 503))
    assert {"receipt", "hash"}.isdisjoint(response.json)
    assert "receipt-hash" not in response.headers
    assert response.json["instance"] == f"urn:request:{response.headers['x-request-id']}"


def test_our_own_fault_is_told_with_the_requests_id() -> None:
    house = House()
    house.corridor.raise_with["acme"] = ZeroDivisionError("a bug")
    response = house.post("/marketplace", VERIFY)
    what, error = house.ear.failures[0]
    assert (what, error.__notes__) == ("POST /marketplace", [f"request {response.headers['x-request-id']}"])


@pytest.mark.parametrize("sent", ["abc", "A.b_c:d-1", "x" * 128])
def test_a_sane_request_id_is_kept(sent: str) -> None:
    assert House().get("/health", headers={"X-Request-ID": sent}).headers["x-request-id"] == sent


@pytest.mark.parametrize("sent", ["", "a b", "x" * 129, "a\r\nSet-Cookie: x", "é", "<script>"])
def test_any_other_request_id_is_replaced(sent: str) -> None:
    house = House()
    ids = [house.get("/health", headers={"X-Request-ID": sent}).headers["x-request-id"] for _ in range(2)]
    assert ids == ["010101010101-1", "010101010101-2"]


@pytest.mark.parametrize(
    ("sent", "trace"),
    [
        (f"00-{TRACE}-00f067aa0ba902b7-01", TRACE),
        (f"00-{TRACE}-00f067aa0ba902b7-00", TRACE),
        (f"cc-{TRACE}-00f067aa0ba902b7-01-what-comes-later", TRACE),
        (f"00-{TRACE}-00f067aa0ba902b7-01-x", None),
        (f"ff-{TRACE}-00f067aa0ba902b7-01", None),
        (f"00-{TRACE.upper()}-00f067aa0ba902b7-01", None),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE}", None),
        ("", None),
    ],
)
def test_a_valid_trace_is_continued_and_another_is_dropped(sent: str, trace: str | None) -> None:
    house = House()
    house.post("/marketplace", VERIFY, headers={"traceparent": sent})
    assert house.corridor.submissions[0].trace == trace
    assert house.ear.requests[0].trace == (trace or "")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/health", 200), ("GET", "/nope", 404), ("POST", "/marketplace", 401), ("DELETE", "/health", 405)],
)
def test_every_response_has_the_same_headers(method: str, path: str, status: int) -> None:
    response = House().call(method, path, {} if method == "POST" else None, token=None)
    assert response.status == status
    assert response.headers["x-request-id"]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["content-length"] == str(len(response.body))


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/marketplace", "POST"),
        ("OPTIONS", "/marketplace", "POST"),
        ("POST", "/health", "GET, HEAD"),
        ("PUT", "/v1/tenants/acme", "GET, HEAD"),
        ("GET", "/v1/tenants/acme/check", "POST"),
        ("WHATEVER", "/v1/tenants/acme/receipts/head", "GET, HEAD"),
    ],
)
def test_another_method_is_a_405_that_names_those_allowed(method: str, path: str, allow: str) -> None:
    response = House().call(method, path)
    assert (response.status, response.reason, response.headers["allow"]) == (405, "method_not_allowed", allow)


def test_head_is_get_without_its_body() -> None:
    house = House()
    response = house.call("HEAD", "/health", token=None)
    assert (response.status, response.body) == (200, b"")
    assert int(response.headers["content-length"]) == len(house.get("/health").body)


def test_an_unread_body_ends_its_connection_only_when_it_is_long() -> None:
    house = House()
    short = house.post("/marketplace", b"x" * 10_000_000, token=None)
    long = house.post("/marketplace", b"x", token=None, headers={"Content-Length": "999999999"})
    endless = house.post("/marketplace", chunks=(b"x",), token=None, headers={"Transfer-Encoding": "chunked"})
    assert [each.status for each in (short, long, endless)] == [401, 401, 401]
    assert "connection" not in short.headers
    assert long.headers["connection"] == endless.headers["connection"] == "close"


def test_a_request_is_told_with_all_that_is_known_of_it() -> None:
    house = House()
    response = house.post("/marketplace", GRANT, token="acme", headers={"Idempotency-Key": "k"})
    assert house.ear.requests == [
        Answered(
            method="POST",
            route="/marketplace",
            status=200,
            seconds=0.0,
            bytes_in=91,
            bytes_out=len(response.body),
            request_id="010101010101-1",
            remote="127.0.0.1",
            caller="acme-bot",
            tenant="acme",
            command_id="http:acme-bot:k",
            receipt=response.headers["receipt-hash"],
        )
    ]


def test_whose_data_was_asked_for_is_told_of_lists_and_of_what_the_caller_may_not_have_too() -> None:
    house = House()
    for path in ("/v1/tenants", "/v1/actions", "/v1/tenants/bob", "/v1/tenants/bob/receipts/1"):
        house.get(path, token="acme")
    assert [(each.caller, each.tenant, each.status) for each in house.ear.requests] == [
        ("acme-bot", "*", 200),
        ("acme-bot", "*", 200),
        ("acme-bot", "bob", 403),
        ("acme-bot", "bob", 403),
    ]


def test_a_refusal_is_told_with_its_reason() -> None:
    house = House()
    house.corridor.refuse_with["acme"] = {"reason": "stale"}
    house.post("/marketplace", VERIFY)
    house.get("/nope/with/an/id")
    assert [(each.status, each.reason, each.route) for each in house.ear.requests] == [
        (409, "stale", "/marketplace"),
        (404, "not_found", "(none)"),
    ]


def test_lifespan_is_answered_and_websockets_are_refused() -> None:
    house = House()
    sent: list[str] = []

    async def scenario() -> None:
        coming = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

        async def receive() -> dict[str, Any]:
            return coming.pop(0)

        async def send(message: dict[str, Any]) -> None:
            sent.append(message["type"])

        await house.app({"type": "lifespan"}, receive, send)
        await house.app({"type": "websocket"}, receive, send)

    asyncio.run(scenario())
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete", "websocket.close"]
