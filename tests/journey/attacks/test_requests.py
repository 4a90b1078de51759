"""
Requests that two readers could take differently, or that are too much: each is refused, and nothing is written.

Every request carries a good grant and a good token, spoiled in one place, so that a reader that overlooked the spoiling
would write; what is read as it stands is listed too, with why that is safe.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest
from tests.journey.attacks.standing import untouched
from tests.journey.callers import say
from tests.journey.service import Service

pytestmark = pytest.mark.embedded

GRANT: Final = b'{"tenant_id":"acme","entitlement_id":"smuggled","action":"grant","plan":"free"}'
LENGTH: Final = b"content-length: %d\r\n" % len(GRANT)
CHUNKED: Final = b"transfer-encoding: chunked\r\n"
SIZE: Final = b"%x" % len(GRANT)
IN_CHUNKS: Final = SIZE + b"\r\n" + GRANT + b"\r\n0\r\n\r\n"
END: Final = b"connection: close\r\n\r\n"
HEAD: Final = b"POST /marketplace HTTP/1.1\r\nhost: tai\r\nauthorization: Bearer TOKEN\r\n"
TOKEN: Final = b"TOKEN"
"""Stands where the admin's token is put."""
GOOD: Final = HEAD + LENGTH + END + GRANT
IN_PIECES: Final = HEAD + CHUNKED + END


def posted(headers: bytes, body: bytes = GRANT) -> bytes:
    return HEAD + headers + END + body


FRAMINGS: Final[Mapping[str, bytes]] = {
    "a length and chunks": posted(LENGTH + CHUNKED, IN_CHUNKS),
    "chunks and a length": posted(CHUNKED + LENGTH, IN_CHUNKS),
    "a length of 0 and chunks": posted(b"content-length: 0\r\n" + CHUNKED, IN_CHUNKS),
    "a length twice": posted(LENGTH + LENGTH),
    "two lengths": posted(LENGTH + b"content-length: 0\r\n"),
    "two lengths, the shorter first": posted(b"content-length: 0\r\n" + LENGTH),
    "a list of lengths": posted(LENGTH[:-2] + b", %d\r\n" % len(GRANT)),
    "a length with a plus": posted(b"content-length: +%d\r\n" % len(GRANT)),
    "a negative length": posted(b"content-length: -1\r\n"),
    "a hexadecimal length": posted(b"content-length: 0x%x\r\n" % len(GRANT)),
    "a length over 64 bits": posted(b"content-length: %d\r\n" % (2**64 + len(GRANT))),
    "no length where one is named": posted(b"content-length:\r\n"),
    "a length with a space within": posted(b"content-length: 7 9\r\n"),
    "a length after a vertical tab": posted(b"content-length: \x0b%d\r\n" % len(GRANT)),
    "a space before a length's colon": posted(LENGTH.replace(b":", b" :")),
    "a space before the coding's colon": posted(CHUNKED.replace(b":", b" :"), IN_CHUNKS),
    "an unknown coding": posted(b"transfer-encoding: xchunked\r\n", IN_CHUNKS),
    "the identity coding": posted(b"transfer-encoding: identity\r\n", IN_CHUNKS),
    "chunks, then identity": posted(b"transfer-encoding: chunked, identity\r\n", IN_CHUNKS),
    "identity, then chunks": posted(b"transfer-encoding: identity, chunked\r\n", IN_CHUNKS),
    "gzip, then chunks": posted(b"transfer-encoding: gzip, chunked\r\n", IN_CHUNKS),
    "chunks twice": posted(CHUNKED + CHUNKED, IN_CHUNKS),
    "chunks twice in one": posted(b"transfer-encoding: chunked, chunked\r\n", IN_CHUNKS),
    "chunks and identity in two": posted(CHUNKED + b"transfer-encoding: identity\r\n", IN_CHUNKS),
    "identity and chunks in two": posted(b"transfer-encoding: identity\r\n" + CHUNKED, IN_CHUNKS),
    "a quoted coding": posted(b'transfer-encoding: "chunked"\r\n', IN_CHUNKS),
    "a coding with a parameter": posted(b"transfer-encoding: chunked;q=1\r\n", IN_CHUNKS),
    "a coding after a vertical tab": posted(b"transfer-encoding:\x0bchunked\r\n", IN_CHUNKS),
    "a coding with a NUL": posted(b"transfer-encoding: chunked\x00\r\n", IN_CHUNKS),
    "a folded coding": posted(b"transfer-encoding:\r\n chunked\r\n", IN_CHUNKS),
    "a coding's name with an underscore": posted(b"transfer_encoding: chunked\r\n", IN_CHUNKS),
}
CHUNKS: Final[Mapping[str, bytes]] = {
    "line feeds alone": SIZE + b"\n" + GRANT + b"\n0\n\n",
    "no line end after a chunk": SIZE + b"\r\n" + GRANT + b"0\r\n\r\n",
    "a size with 0x": b"0x" + IN_CHUNKS,
    "a size with a plus": b"+" + IN_CHUNKS,
    "a negative size": b"-1\r\n" + GRANT + b"\r\n0\r\n\r\n",
    "a size over 64 bits": b"1" + SIZE.rjust(16, b"0") + b"\r\n" + GRANT + b"\r\n0\r\n\r\n",
    "a space before a size": b" " + IN_CHUNKS,
    "a space after a size": SIZE + b" " + IN_CHUNKS[len(SIZE) :],
    "no size": IN_CHUNKS[len(SIZE) :],
    "a size that is too small": b"%x\r\n" % (len(GRANT) - 1) + GRANT + b"\r\n0\r\n\r\n",
    "a line feed in an extension": SIZE + b";a\nb" + IN_CHUNKS[len(SIZE) :],
    "a carriage return in an extension": SIZE + b";a\rb" + IN_CHUNKS[len(SIZE) :],
    "a length in the trailers": IN_CHUNKS[:-2] + b"content-length: 5\r\n\r\n",
    "a coding in the trailers": IN_CHUNKS[:-2] + CHUNKED + b"\r\n",
    "a trailer without a colon": IN_CHUNKS[:-2] + b"nonsense\r\n\r\n",
}
LINES: Final[Mapping[str, bytes]] = {
    "a folded header": posted(b"x: a\r\n b\r\n" + LENGTH),
    "a folded credential": GOOD.replace(b"Bearer TOKEN", b"Bearer\r\n TOKEN"),
    "a folded first header": GOOD.replace(b"\r\nhost", b"\r\n host"),
    "line feeds alone": (HEAD + LENGTH + END).replace(b"\r\n", b"\n") + GRANT,
    "one line feed alone": posted(b"x: y\n" + LENGTH),
    "a carriage return alone": posted(b"x: y\rz: 1\r\n" + LENGTH),
    "two line feeds at the end": HEAD + LENGTH + b"connection: close\n\n" + GRANT,
    "a NUL in a value": posted(b"x: a\x00b\r\n" + LENGTH),
    "a NUL in a name": posted(b"x\x00: a\r\n" + LENGTH),
    "a space in a name": posted(b"x y: a\r\n" + LENGTH),
    "no name": posted(b": a\r\n" + LENGTH),
    "no colon": posted(b"nonsense\r\n" + LENGTH),
    "a method in small letters": GOOD.replace(b"POST", b"post"),
    "a method that is none": GOOD.replace(b"POST", b"GPOST"),
    "a tab after the method": GOOD.replace(b"POST ", b"POST\t"),
    "a space before the method": b" " + GOOD,
    "another version": GOOD.replace(b"/1.1", b"/1.2"),
    "HTTP/2 without a negotiation": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a tunnel": b"CONNECT tai:80 HTTP/1.1\r\nhost: tai\r\nauthorization: Bearer TOKEN\r\n" + END,
    "a control character in the target": GOOD.replace(b"/marketplace", b"/market\x01place"),
    "a target that is not ASCII": GOOD.replace(b"/marketplace", b"/m\xe4rketplace"),
    "an upgrade with a body": posted(b"upgrade: h2c\r\n" + LENGTH).replace(
        b"connection: close", b"connection: upgrade"
    ),
}
TWICE: Final[Mapping[str, bytes]] = {
    "a credential, the same": posted(b"authorization: Bearer TOKEN\r\n" + LENGTH),
    "a credential, another after it": posted(b"Authorization: Bearer x.y.z\r\n" + LENGTH),
    "a credential, another before it": GOOD.replace(b"authorization", b"authorization: Bearer x.y.z\r\nauthorization"),
    "a credential, empty before it": GOOD.replace(b"authorization", b"authorization:\r\nauthorization"),
    "a host": posted(b"host: evil\r\n" + LENGTH),
    "a type": posted(b"content-type: application/json\r\ncontent-type: text/plain\r\n" + LENGTH),
    "a key": posted(b"idempotency-key: a\r\nidempotency-key: b\r\n" + LENGTH),
    "a request id": posted(b"x-request-id: a\r\nx-request-id: b\r\n" + LENGTH),
    "a trace": posted((b"traceparent: 00-%s-%s-01\r\n" % (b"1" * 32, b"1" * 16)) * 2 + LENGTH),
}
DEEP: Final = 20_000
BOMBS: Final[Mapping[str, bytes]] = {
    "arrays": b"[" * DEEP + b"]" * DEEP,
    "arrays without an end": b"[" * DEEP,
    "objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "both in turn": b'[{"a":' * DEEP + b"1" + b"}]" * DEEP,
    "a number of 200,000 digits": b"9" * 200_000,
    "a fraction of 200,000 digits": b"0." + b"9" * 200_000,
    "an exponent of 200,000 digits": b"1e" + b"9" * 200_000,
    "an exponent of a thousand millions": b"1e1000000000",
    "a member twice": b'{"a":1,"a":1}',
    "thousands of members, the last twice": b"{" + b",".join(b'"%d":1' % n for n in range(20_000)) + b',"19999":1}',
    "a string of escapes without an end": b'"' + b"\\u0000" * 30_000,
    "escaped surrogates": b'"' + b"\\ud800" * 30_000 + b'"',
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("requests")) as started, started.client() as client:
        grant = {"tenant_id": "acme", "entitlement_id": "ent_1", "action": "grant", "plan": "free"}
        assert client.post("/marketplace", json=grant).status_code == 200
        yield started


def answers(service: Service, request: bytes) -> list[tuple[int, str]]:
    """Every answer that comes back, as its status and reason; the connection is closed after the last."""
    answer = say(service, request.replace(TOKEN, service.admin_token.encode()))
    found = re.split(rb"(?=HTTP/1\.1 \d{3} )", answer)[1:]
    assert b"".join(found) == answer
    bodies = [json.loads(each.partition(b"\r\n\r\n")[2] or b"{}") for each in found]
    return [(int(each[9:12]), body.get("reason", "")) for each, body in zip(found, bodies, strict=True)]


@pytest.mark.parametrize("requests", [FRAMINGS, LINES, TWICE], ids=["framings", "lines", "twice"])
def test_what_two_readers_could_take_differently_is_one_400(service: Service, requests: Mapping[str, bytes]) -> None:
    with untouched(service):
        seen = {name: answers(service, request) for name, request in requests.items()}
    assert seen == {name: [(400, "malformed_request")] for name in requests}


def test_chunks_that_are_not_well_formed_are_one_400(service: Service) -> None:
    with untouched(service):
        seen = {name: answers(service, IN_PIECES + chunks) for name, chunks in CHUNKS.items()}
    assert seen == {name: [(400, "malformed_request")] for name in CHUNKS}


def test_a_credential_in_the_trailers_is_none(service: Service) -> None:
    late = IN_CHUNKS[:-2] + b"authorization: Bearer TOKEN\r\n\r\n"
    request = IN_PIECES.replace(b"authorization: Bearer TOKEN\r\n", b"") + late
    with untouched(service):
        assert answers(service, request) == [(401, "unauthenticated")]


def test_two_credentials_in_one_header_are_none(service: Service) -> None:
    with untouched(service):
        for joined in (
            b"Bearer TOKEN, Bearer TOKEN",
            b"Bearer x.y.z, Bearer TOKEN",
            b"Bearer TOKEN,",
            b"Bearer TOKEN x",
        ):
            assert answers(service, GOOD.replace(b"Bearer TOKEN", joined)) == [(401, "unauthenticated")]


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_a_request_in_the_body_of_another_is_a_body(service: Service, method: bytes) -> None:
    inner = GOOD.replace(TOKEN, service.admin_token.encode())
    head = method + b" /health HTTP/1.1\r\nhost: tai\r\nconnection: close\r\n"
    with untouched(service):
        for framed in (
            b"content-length: %d\r\n\r\n" % len(inner) + inner,
            CHUNKED + b"\r\n%x\r\n" % len(inner) + inner + b"\r\n0\r\n\r\n",
        ):
            assert [status for status, _ in answers(service, head + framed)] == [200]


def test_what_follows_a_request_that_closes_is_not_read(service: Service) -> None:
    with untouched(service):
        closing = b"GET /health HTTP/1.1\r\nhost: tai\r\nconnection: close\r\n\r\n"
        assert [status for status, _ in answers(service, closing + GOOD)] == [200]


def test_broken_chunks_after_an_answer_are_not_answered_again(service: Service) -> None:
    """Two answers to one request would be taken for those of two."""
    request = b"GET /health/live HTTP/1.1\r\nhost: tai\r\n" + CHUNKED + b"\r\n"
    with untouched(service):
        for broken in (b"zz\r\n", b"1\r\nab\r\n"):
            assert answers(service, request + broken) in ([(200, "")], [(400, "malformed_request")])


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        (b"POST", b"/marketplace/", (404, "not_found")),
        (b"POST", b"//marketplace", (404, "not_found")),
        (b"POST", b"/MARKETPLACE", (404, "not_found")),
        (b"POST", b"/marketplace%00", (404, "not_found")),
        (b"POST", b"/marketplace%2f", (404, "not_found")),
        (b"POST", b"/marketplace;x", (404, "not_found")),
        (b"POST", b"/health/../marketplace", (404, "not_found")),
        (b"POST", b"/health/%2e%2e/marketplace", (404, "not_found")),
        (b"POST", b"/%2e/marketplace", (404, "not_found")),
        (b"POST", b"/marketplace%3f", (404, "not_found")),
        (b"POST", b"*", (404, "not_found")),
        (b"GET", b"/marketplace", (405, "method_not_allowed")),
        (b"PUT", b"/marketplace", (405, "method_not_allowed")),
        (b"DELETE", b"/v1/tenants/acme", (405, "method_not_allowed")),
        (b"OPTIONS", b"/marketplace", (405, "method_not_allowed")),
        (b"TRACE", b"/marketplace", (405, "method_not_allowed")),
        (b"PATCH", b"/v1/tenants/acme/erasures", (405, "method_not_allowed")),
    ],
)
def test_no_other_way_to_write_a_target_or_a_method_reaches_a_route(
    service: Service, method: bytes, target: bytes, expected: tuple[int, str]
) -> None:
    overriding = b"x-http-method-override: POST\r\nx-original-url: /marketplace\r\nx-rewrite-url: /marketplace\r\n"
    request = posted(overriding + LENGTH).replace(b"POST /marketplace", method + b" " + target)
    with untouched(service):
        assert answers(service, request) == [expected]


# ---- floods of one request


@pytest.mark.parametrize(
    "header",
    [
        b"x: " + b"a" * 17_000 + b"\r\n",
        b"x: y\r\n" * 3_500,
        b"authorization: " + b"Bearer " * 2_500 + b"\r\n",
        b"cookie: a=b\r\n" * 1_500,
        b"a" * 17_000 + b": x\r\n",
    ],
    ids=["one long", "many short", "a long credential", "many cookies", "a long name"],
)
def test_more_header_than_the_bound_is_a_431(service: Service, header: bytes) -> None:
    with untouched(service):
        assert answers(service, posted(header + LENGTH)) == [(431, "headers_too_large")]
        long_target = GOOD.replace(b"/marketplace", b"/marketplace?" + b"a" * 17_000)
        assert answers(service, long_target) == [(431, "headers_too_large")]


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
@pytest.mark.parametrize("path", ["/marketplace", "/pubsub", "/v1/tenants/acme/signals", "/v1/tenants/acme/check"])
def test_a_json_bomb_is_a_400(service: Service, path: str, bomb: bytes) -> None:
    whole, malformed = GRANT[:-1] + b',"metadata":' + bomb + b"}", "malformed_request"
    if path == "/pubsub":
        whole, malformed = b'{"message":{"data":"e30=","messageId":"1"},"subscription":"s","x":' + bomb + b"}", ""
    if path.startswith("/v1"):
        whole = b'{"items":' + bomb + b"}"
    request = (HEAD + b"content-length: %d\r\n" % len(whole) + END + whole).replace(b"/marketplace", path.encode())
    with untouched(service):
        assert answers(service, request) == [(400, malformed or "malformed_envelope")]


# ---- what is read as it stands


READ: Final[Mapping[str, Any]] = {
    # RFC 9110 section 8.6: digits, and nothing says how many.
    "zeros before a length": posted(b"content-length: 00%d\r\n" % len(GRANT)),
    # RFC 9112 section 7: the coding's name is in any case.
    "the coding in capitals": posted(b"Transfer-Encoding: CHUNKED\r\n", IN_CHUNKS),
    # RFC 9112 section 6.1: read, and the connection is closed after it.
    "chunks in HTTP/1.0": (HEAD + CHUNKED + b"\r\n" + IN_CHUNKS).replace(b"/1.1", b"/1.0"),
    # RFC 9112 section 3: a recipient may part the first line at any white space.
    "two spaces after the method": GOOD.replace(b"POST ", b"POST  "),
    # RFC 9112 section 2.2: at least one empty line before a request is passed over.
    "empty lines before it": b"\r\n\r\n" + GOOD,
    # RFC 9112 section 3.2.2: a server takes the absolute form; this one has one name, whatever it is called.
    "a whole URL as the target": GOOD.replace(b"/marketplace", b"http://evil/marketplace"),
    # Nothing here depends on the host that was asked for, so none is a host as good as any.
    "no host": GOOD.replace(b"host: tai\r\n", b""),
    # Percent-encoding is undone once, before the route is found.
    "an encoded letter in the target": GOOD.replace(b"/marketplace", b"/%6darketplace"),
}


@pytest.mark.parametrize("request_", READ.values(), ids=READ)
def test_what_can_be_taken_in_one_way_only_is_read(service: Service, request_: bytes) -> None:
    """It verifies what nobody was granted, in as many bytes as the grant has, so that every length still fits."""
    verify = GRANT.replace(b'"grant","plan":"free"', b'"verify"').replace(b"smuggled", b"none").ljust(len(GRANT))
    assert answers(service, request_.replace(GRANT, verify)) == [(403, "entitlement_inactive")]
