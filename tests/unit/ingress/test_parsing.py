"""Names, keys, times and cursors are parsed once, and what is wrong with them is said."""

from base64 import urlsafe_b64encode

import pytest

from tai_autonomics.domain.identifiers import parse_tenant_id
from tai_autonomics.errors import Malformed
from tai_autonomics.ingress import parsing
from tai_autonomics.ingress.exchange import TurnedAway


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-24T02:01:33Z", "2026-11-24T02:01:33.000000Z"),
        ("2026-11-24t02:01:33z", "2026-11-24T02:01:33.000000Z"),
        ("2026-11-24T02:01:33.1Z", "2026-11-24T02:01:33.100000Z"),
        ("2026-11-24T02:01:33.123456789+00:00", "2026-11-24T02:01:33.123456Z"),
        ("2026-11-24T02:01:33+02:30", "2026-11-23T23:31:33.000000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_a_time_with_an_offset_becomes_utc_with_six_digits(text: str, moment: str) -> None:
    assert parsing.moment(text, "/at") == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-24",
        "2026-11-24T02:01:33",
        "2026-11-24 02:01:33Z",
        "2026-11-24T02:01Z",
        "2026-11-24T02:01:33.Z",
        "2026-11-24T02:01:33.1234567890Z",
        "2026-11-24T02:01:33Z\n",
        "2026-13-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-11-24T24:00:01Z",
        "2026-11-24T23:59:60Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "2026-11-24T02:01:33+25:00",
        "٢٠٢٦-11-24T02:01:33Z",
        "1795485693",
    ],
)
def test_what_is_no_time_with_an_offset_is_refused(text: str) -> None:
    with pytest.raises(Malformed) as caught:
        parsing.moment(text, "/at")
    assert (caught.value.reason, caught.value.pointer) == ("malformed_request", "/at")


@pytest.mark.parametrize(
    ("sent", "key"),
    [
        (b"abc", "abc"),
        (b" abc\t", "abc"),
        (b'"abc"', "abc"),
        (b'"a\\"b\\\\c"', 'a"b\\c'),
        (b"a" * 255, "a" * 255),
        (b'"' + b"a" * 255 + b'"', "a" * 255),
    ],
)
def test_an_idempotency_key_is_plain_or_quoted(sent: bytes, key: str) -> None:
    assert parsing.idempotency_key({b"idempotency-key": sent}) == key


@pytest.mark.parametrize(
    "sent", [b"", b'""', b'"', b'"a', b'"a"b', b'"a\\b"', b"a b", b'"a b"', b"\xe4", b"a" * 256, b"a\x7f", b'"a";p=1']
)
def test_what_is_no_idempotency_key_is_refused(sent: bytes) -> None:
    with pytest.raises(Malformed):
        parsing.idempotency_key({b"idempotency-key": sent})


def test_two_keys_that_differ_are_refused_and_one_given_twice_is_one() -> None:
    assert parsing.one_key("a", "a") == parsing.one_key(None, "a") == parsing.one_key("a", None) == "a"
    assert parsing.one_key(None, None) is None
    with pytest.raises(Malformed) as caught:
        parsing.one_key("a", "b")
    assert caught.value.pointer == "/request_id"


def test_a_command_id_can_be_read_in_one_way_only() -> None:
    assert parsing.command_id("http", "me", "a:b") == "http:me:a:b"
    assert parsing.command_id("event", "urn:x%3A", "1") == "event:urn%3Ax%253A:1"
    with pytest.raises(Malformed):
        parsing.command_id("event", "x" * 390, "12345")


def test_a_request_digest_covers_neither_parts_nor_key_nor_defaults() -> None:
    members = {"action": "verify", "tenant_id": "a", "metadata": {"x": 1.5}, "reason": "r", "request_id": "k"}
    assert parsing.asked(members, {"action": "verify"}) == {"tenant_id": "a"}
    assert parsing.asked({"action": "grant"}, {"action": "verify"}) == {"action": "grant"}


@pytest.mark.parametrize("value", [0, -1, 2**53, 10**18])
def test_an_amount_out_of_bounds_is_refused(value: int) -> None:
    with pytest.raises(Malformed):
        parsing.amount(value, "/amount")


@pytest.mark.parametrize("text", ["", "x", "-1", "0", "1.0", "٣", "1" * 17, str(2**53), "9" * 5000])
def test_what_is_no_seq_is_not_found(text: str) -> None:
    with pytest.raises(TurnedAway) as caught:
        parsing.seq_in_path(text)
    assert caught.value.reason == "not_found"


@pytest.mark.parametrize(
    "query", [b"x", b"limit=1&limit=2", b"typo=1", b"limit=%ff", b"\xff=1", b"&".join([b"a=1"] * 20), b"limit=1&&"]
)
def test_a_query_that_is_not_understood_is_refused(query: bytes) -> None:
    with pytest.raises(Malformed):
        parsing.query_of(query, ("limit",))


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "x", "", "1e2", "10" * 20])
def test_a_limit_out_of_bounds_is_refused(limit: str) -> None:
    with pytest.raises(Malformed):
        parsing.page_of({"limit": limit}, "tenants")


def test_a_cursor_leads_on_from_where_its_list_ended() -> None:
    cursor = parsing.cursor_after("receipts/acme", "17")
    assert parsing.page_of({"cursor": cursor, "limit": "5"}, "receipts/acme") == parsing.Page("17", 5)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "!",
        "x" * 257,
        parsing.cursor_after("receipts/other", "17"),
        parsing.cursor_after("tenants", "a"),
        parsing.cursor_after("receipts/acme", "17") + "=",
        parsing.cursor_after("receipts/acme", "17") + "A",
        parsing.cursor_after("receipts/acme", "17")[:-1],
        parsing.cursor_after("receipts/acme", ""),
        urlsafe_b64encode(b"receipts/acme").decode().rstrip("="),
        urlsafe_b64encode(b"\xff\xff").decode().rstrip("="),
    ],
)
def test_a_cursor_that_was_tampered_with_is_refused(cursor: str) -> None:
    with pytest.raises(Malformed):
        parsing.page_of({"cursor": cursor}, "receipts/acme")


def test_a_parsers_refusal_gets_its_pointer() -> None:
    with pytest.raises(Malformed) as caught:
        parsing.at("/tenant_id", parse_tenant_id, "no spaces")
    assert (caught.value.reason, caught.value.pointer) == ("invalid_tenant_id", "/tenant_id")
