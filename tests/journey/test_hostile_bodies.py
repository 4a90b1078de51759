"""
Bodies that no honest client sends, over a real socket: each is a clear 4xx, and nothing is written.

Every body is a good one, spoiled in one place, so that a door that overlooked the spoiling would write; the good ones
are shown to be good at the end.
"""

import base64
import gzip
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, Final

import httpx
import pytest
from msgspec import Struct
from tests.journey.ledgers import exported, quarantined
from tests.journey.service import Service

ANSWER_SECONDS_MAX: Final = 5
"""A hostile body is not slow either; generous, because the machine is shared."""
SPOILED = "SPOILED"
"""Stands where a value can be put."""


class Door(Struct, frozen=True):
    """A route with a good body; in `open_body` SPOILED stands for a value, of any kind where the route has such."""

    path: str
    good: bytes
    open_body: bytes
    malformed: str = "malformed_request"
    """Its word for a body that cannot be understood."""
    may_be_empty: bool = False
    takes_any_value: bool = False
    """Whether a value of any JSON type may stand there, so that only the strict reading can refuse."""


ENVELOPE: Final = {
    "message": {"data": base64.b64encode(b'{"tenant_id":"acme","entitlement_id":"ent_1"}').decode(), "messageId": "1"},
    "subscription": "projects/p/subscriptions/s",
}

DOORS: Final = {
    "marketplace": Door(
        "/marketplace",
        b'{"tenant_id":"acme","entitlement_id":"ent_2","action":"grant","plan":"free","metadata":{"a":1}}',
        b'{"tenant_id":"acme","entitlement_id":"ent_2","action":"grant","plan":"free","metadata":{"a":SPOILED}}',
        takes_any_value=True,
    ),
    "usage": Door(
        "/v1/tenants/acme/usage",
        b'{"items":[{"operation":"consume","quota":"api_calls","amount":1,"request_id":"r"}]}',
        b'{"items":[{"operation":"consume","quota":"api_calls","request_id":"r","amount":SPOILED}]}',
    ),
    "bare usage": Door(
        "/v1/tenants/acme/usage",
        b'{"operation":"consume","quota":"api_calls","amount":1,"request_id":"r"}',
        b'{"operation":"consume","quota":"api_calls","request_id":"r","amount":SPOILED}',
    ),
    "check": Door(
        "/v1/tenants/acme/check",
        b'{"checks":[{"entitlement_id":"ent_1","quota":"api_calls","amount":1}],"explain":true}',
        b'{"checks":[{"entitlement_id":"ent_1","quota":"api_calls","amount":SPOILED}],"explain":true}',
    ),
    "bare check": Door(
        "/v1/tenants/acme/check",
        b'{"entitlement_id":"ent_1","quota":"api_calls","amount":1}',
        b'{"entitlement_id":"ent_1","quota":"api_calls","amount":SPOILED}',
    ),
    "reset": Door(
        "/v1/tenants/acme/quotas/api_calls/reset",
        b'{"reason":"month end"}',
        b'{"reason":SPOILED,"request_id":"another"}',
        may_be_empty=True,
    ),
    "erasures": Door(
        "/v1/tenants/acme/erasures",
        b'{"seq":1,"part":"metadata","reason":"asked for"}',
        b'{"seq":SPOILED,"part":"metadata","reason":"asked for"}',
    ),
    "pubsub": Door(
        "/pubsub",
        json.dumps(ENVELOPE).encode(),
        json.dumps({**ENVELOPE, "attributes": "SPOILED"}).encode().replace(b'"SPOILED"', b"SPOILED"),
        malformed="malformed_envelope",
        takes_any_value=True,
    ),
}


def with_value(value: bytes) -> Callable[[Door], bytes]:
    return lambda door: door.open_body.replace(SPOILED.encode(), value)


def first_member(door: Door) -> bytes:
    """`"name":value,` of the body's first member, to be given twice."""
    name, value = next(iter(json.loads(door.good).items()))
    return f"{json.dumps(name)}:{json.dumps(value)},".encode()


def twice(door: Door) -> bytes:
    return b"{" + first_member(door) + door.good[1:]


def twice_escaped(door: Door) -> bytes:
    """The second time its first letter is written as an escape: the same name to every reader that decodes it."""
    member = first_member(door)
    return b'{"\\u%04x' % member[1] + member[2:] + door.good[1:]


BAD_VALUES: Final[Mapping[str, bytes]] = {
    "NaN": b"NaN",
    "Infinity": b"Infinity",
    "minus Infinity": b"-Infinity",
    "1e999": b"1e999",
    "minus 1e999": b"-1e999",
    "1e-999": b"1e-999",
    "an exponent of thousands of digits": b"1e" + b"9" * 5_000,
    "twenty digits": b"12345678901234567890",
    "ten thousand digits": b"9" * 10_000,
    "a leading zero": b"01",
    "a plus": b"+1",
    "hexadecimal": b"0x10",
    "no digit after the point": b"1.",
    "nested seventeen deep": b"[" * 17 + b"]" * 17,
    "nested a hundred thousand deep": b"[" * 100_000 + b"]" * 100_000,
    "objects nested ten thousand deep": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "nested without end": b"[" * 100_000,
    "a nested member twice": b'{"b":{"a":1,"a":1}}',
    "a nested member twice, escaped": b'{"b":[{"a":1,"\\u0061":1}]}',
    "a lone surrogate, escaped": b'"\\ud800"',
    "a lone low surrogate, escaped": b'"\\udc00\\ud800"',
    "a lone surrogate, raw": b'"\xed\xa0\x80"',
    "a lone surrogate as a name": b'{"\\ud800":1}',
    "an overlong slash": b'"\xc0\xaf"',
    "no UTF-8": b'"\xff\xfe"',
    "a raw NUL in a string": b'"a\x00b"',
    "a raw line feed in a string": b'"a\nb"',
    "a NUL in place of a value": b"\x00",
    "single quotes": b"'a'",
    "a comment": b"/* one */ 1",
    "a trailing comma": b"[1,]",
    "nothing": b"",
}
WRONG_TYPES: Final[Mapping[str, bytes]] = {
    "minus zero": b"-0",
    "minus zero point zero": b"-0.0",
    "half": b"0.5",
    "zero": b"0",
    "a negative": b"-1",
    "true": b"true",
    "null": b"null",
    "an array": b"[1]",
    "an object": b"{}",
    "beyond 2^53": b"9007199254740992",
}
BAD_WHOLES: Final[Mapping[str, Callable[[Door], bytes]]] = {
    "empty": lambda door: b"",
    "white space": lambda door: b" \r\n\t",
    "truncated": lambda door: door.good[:-1],
    "truncated in the middle": lambda door: door.good[: len(door.good) // 2],
    "truncated in an escape": lambda door: door.good[:2] + b"\\u00",
    "a member twice": twice,
    "a member twice, escaped": twice_escaped,
    "trailing garbage": lambda door: door.good + b"x",
    "two bodies": lambda door: door.good + door.good,
    "a trailing NUL": lambda door: door.good + b"\x00",
    "a leading NUL": lambda door: b"\x00" + door.good,
    "a byte order mark": lambda door: b"\xef\xbb\xbf" + door.good,
    "UTF-16": lambda door: door.good.decode().encode("utf-16"),
    "UTF-16 without a mark": lambda door: door.good.decode().encode("utf-16-le"),
    "UTF-32": lambda door: door.good.decode().encode("utf-32"),
    "raw gzip": lambda door: gzip.compress(door.good),
    "an array around it": lambda door: b"[" + door.good + b"]",
    "a string": lambda door: json.dumps(door.good.decode()).encode(),
    "a number": lambda door: b"1",
    "null": lambda door: b"null",
    "true": lambda door: b"true",
    "a form": lambda door: b"tenant_id=acme&entitlement_id=ent_2",
    "XML": lambda door: b"<tenant_id>acme</tenant_id>",
    "a hundred thousand elements": lambda door: b"[" + b"1," * 100_000 + b"1]",
}
SPOILINGS: Final[Mapping[str, Callable[[Door], bytes]]] = {
    **BAD_WHOLES,
    **{name: with_value(value) for name, value in BAD_VALUES.items()},
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """acme holds ent_1, granted by receipt 1, which has metadata that can be erased."""
    with Service(tmp_path_factory.mktemp("hostile")) as started, started.client() as client:
        grant = {"tenant_id": "acme", "entitlement_id": "ent_1", "action": "grant", "plan": "professional"}
        assert client.post("/marketplace", json={**grant, "metadata": {"order": "O-1"}}).status_code == 200
        yield started


Written = tuple[list[bytes], list[Any]]


def written(service: Service) -> Written:
    return exported(service.data_dir), quarantined(service.data_dir)


@pytest.fixture
def untouched(service: Service) -> Iterator[None]:
    """Fails when anything was written meanwhile: a receipt, a part, a message in quarantine."""
    before = written(service)
    yield
    assert written(service) == before
    with service.client("") as anyone:
        assert anyone.get("/health").json()["status"] == "ok"


def sent(client: httpx.Client, path: str, body: bytes, **headers: str) -> httpx.Response:
    started = time.monotonic()
    answer = client.post(path, content=body, headers={"content-type": "application/json", **headers})
    assert time.monotonic() - started < ANSWER_SECONDS_MAX
    return answer


def require_problem(answer: httpx.Response, status: int, *reasons: str) -> None:
    problem = answer.json()
    assert (answer.status_code, problem["status"]) == (status, status), answer.text
    assert problem["reason"] in reasons, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"]
    assert problem["type"] == f"/problems/{problem['reason']}"
    assert len(answer.content) < 4_096, "a problem does not give a hostile body back"
    assert not {"receipt", "hash"} & problem.keys()
    assert "receipt-hash" not in answer.headers


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_a_body_that_is_not_strict_json_is_a_400_and_nothing_is_written(service: Service, door: Door) -> None:
    with service.client() as client:
        for name, spoil in SPOILINGS.items():
            body = spoil(door)
            if not (door.may_be_empty and body == b""):
                with naming(f"{door.path} with {name}"):
                    require_problem(sent(client, door.path, body), 400, door.malformed)


@contextmanager
def naming(case: str) -> Iterator[None]:
    """What a failure within is about."""
    try:
        yield
    except Exception as error:
        error.add_note(case)
        raise


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    "door", [door for door in DOORS.values() if not door.takes_any_value], ids=lambda door: door.path
)
def test_a_value_of_the_wrong_type_is_a_400_with_its_pointer(service: Service, door: Door) -> None:
    with service.client() as client:
        for name, value in WRONG_TYPES.items():
            with naming(f"{door.path} with {name}"):
                answer = sent(client, door.path, with_value(value)(door))
                require_problem(answer, 400, "malformed_request")
                pointer = answer.json()["errors"][0]["pointer"]
                assert pointer.rpartition("/")[2] in ("amount", "reason", "seq"), answer.text


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("path", sorted({door.path for door in DOORS.values()}))
def test_a_body_of_megabytes_is_a_413(service: Service, path: str) -> None:
    over = 14 * 1024 * 1024 + 1 if path == "/pubsub" else 10_000_000
    elements = b"[" + b"1," * (over // 2) + b"1]"
    with service.client() as client:
        for body in (b" " * over, elements, b'{"a":"' + b"x" * over + b'"}'):
            require_problem(sent(client, path, body), 413, "body_too_large")
        require_problem(_chunked(client, path, elements), 413, "body_too_large")


def _chunked(client: httpx.Client, path: str, body: bytes) -> httpx.Response:
    """Without a Content-Length, so that the size is only known as it arrives."""
    pieces = (body[start : start + 65_536] for start in range(0, len(body), 65_536))
    return client.post(path, content=pieces, headers={"content-type": "application/json"})


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "deflate", "br", "identity, gzip", "GZIP"])
def test_a_compressed_body_is_a_415_also_when_it_is_not(service: Service, coding: str) -> None:
    with service.client() as client:
        for door in DOORS.values():
            for body in (gzip.compress(door.good), door.good):
                answer = sent(client, door.path, body, **{"content-encoding": coding})
                require_problem(answer, 415, "unsupported_media_type")


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    "media",
    [
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "application/json; charset=latin-1",
        "application/jsonx",
        "",
    ],
)
def test_another_media_type_is_a_415(service: Service, media: str) -> None:
    with service.client() as client:
        for door in DOORS.values():
            answer = sent(client, door.path, door.good, **{"content-type": media})
            require_problem(answer, 415, "unsupported_media_type")


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("items", [0, 1_001, 3_000])
def test_a_list_of_none_or_of_more_than_a_thousand_is_a_400(service: Service, items: int) -> None:
    checks = {"checks": [{}] * items}
    usage = {
        "items": [
            {"operation": "consume", "quota": "q", "amount": 1, "request_id": str(number)} for number in range(items)
        ]
    }
    with service.client() as client:
        for path, body in (("/v1/tenants/acme/check", checks), ("/v1/tenants/acme/usage", usage)):
            answer = sent(client, path, json.dumps(body, separators=(",", ":")).encode())
            require_problem(answer, 400, "malformed_request")


@pytest.mark.parametrize(
    ("within", "over"),
    [
        (b"[" * 14 + b"]" * 14, b"[" * 15 + b"]" * 15),
        (b'{"a":' * 14 + b"1" + b"}" * 14, b'{"a":' * 15 + b"1" + b"}" * 15),
        (b"123456789012345678.123456789", b"1234567890123456789"),
        (b"-0.000000001", b"0.0000000001"),
        (b"1e17", b"1e18"),
    ],
    ids=["arrays", "objects", "digits", "digits after the point", "an exponent"],
)
def test_the_bounds_of_depth_and_of_numbers_are_where_the_page_says(
    service: Service, within: bytes, over: bytes
) -> None:
    """The value stands two deep; sixteen and eighteen are the last that are taken."""
    door = DOORS["marketplace"]
    with service.client() as client:
        require_problem(sent(client, door.path, with_value(over)(door)), 400, "malformed_request")
        body = with_value(within)(door).replace(b'"grant","plan":"free"', b'"verify"').replace(b"ent_2", b"ent_1")
        assert sent(client, door.path, body).status_code == 200


# ---- inside a genuine push envelope


PAYLOAD: Final = DOORS["marketplace"]
PAYLOADS: Final[Mapping[str, bytes]] = {
    **{name: spoil(PAYLOAD) for name, spoil in SPOILINGS.items()},
    "ten megabytes": b'{"a":"' + b"x" * 10_000_000 + b'"}',
    "a million elements": b"[" + b"1," * 999_999 + b"1]",
    "a thousand and one commands": b"[" + b",".join([b'{"tenant_id":"acme","entitlement_id":"ent_1"}'] * 1_001) + b"]",
    "no command": b"[]",
    "a good command, then a spoiled one": b"[" + PAYLOAD.good + b"," + with_value(b"NaN")(PAYLOAD) + b"]",
    "a good command, then a nested member twice": b"["
    + PAYLOAD.good
    + b","
    + with_value(b'{"a":1,"a":1}')(PAYLOAD)
    + b"]",
    "an event around a spoiled command": b'{"specversion":"1.0","id":"1","source":"s","type":"t","data":'
    + with_value(b"1e999")(PAYLOAD)
    + b"}",
}
# As a payload, an array is several commands.
DECIDED_AS_PAYLOAD: Final = "an array around it"


def test_a_hostile_payload_in_a_genuine_envelope_is_quarantined_and_leaves_no_receipt(service: Service) -> None:
    before = written(service)
    shown: dict[str, tuple[str, bytes]] = {}
    with service.client() as client:
        for name, payload in PAYLOADS.items():
            if name != DECIDED_AS_PAYLOAD:
                with naming(f"a payload with {name}"):
                    quarantine = pushed(client, name, base64.b64encode(payload).decode())
                    expected = "body_too_large" if len(payload) > 256 * 1024 else "malformed_request"
                    assert quarantine["reason"] == expected
                    assert quarantine["digest"] == sha256(payload).hexdigest()
                    shown[quarantine["id"]] = (expected, payload)
    ledgers, kept = written(service)
    assert ledgers == before[0]
    assert {each.id: (each.reason, each.payload) for each in kept if each not in before[1]} == shown
    assert len(shown) == len(PAYLOADS) - 1


def test_data_that_is_not_base64_is_quarantined(service: Service) -> None:
    before = written(service)
    hostile = ["****", "dGVzdA", "dGVz\ndA==", "dGVzdA==\u0000", 7, None, ["dGVzdA=="], "\u00e4", {"a": "dGVzdA=="}, ""]
    with service.client() as client:
        for data in hostile:
            with naming(f"data {data!r}"):
                assert pushed(client, f"data {data!r}", data)["reason"] == "malformed_request"
    ledgers, kept = written(service)
    assert (ledgers, len(kept)) == (before[0], len(before[1]) + len(hostile))


def pushed(client: httpx.Client, name: str, data: object) -> dict[str, Any]:
    """Where a message is now that was acknowledged and not decided."""
    message = {"data": data, "messageId": name.encode().hex()}
    answer = sent(client, "/pubsub", json.dumps({**ENVELOPE, "message": message}).encode())
    assert (answer.status_code, answer.json().keys()) == (200, {"quarantined"}), answer.text
    quarantine: dict[str, Any] = answer.json()["quarantined"]
    return quarantine


# ---- and the same, unspoiled


def test_each_of_these_bodies_is_decided_when_it_is_not_spoiled(service: Service) -> None:
    with service.client() as client:
        for door in DOORS.values():
            assert sent(client, door.path, door.good).status_code == 200
            one = b'"month end"' if door.path.endswith("reset") else b"1"
            assert sent(client, door.path, with_value(one)(door)).status_code in (200, 409), door
