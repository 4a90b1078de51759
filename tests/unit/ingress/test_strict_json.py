"""What is not strict JSON is refused, with the pointer to the culprit."""

import json
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tai_autonomics.errors import Malformed
from tai_autonomics.ingress.strict_json import decode, parse, pointer


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    name: str


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    inner: list[Inner]
    free: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


OUTER = msgspec.json.Decoder(Outer)
DEEP = b"[" * 16 + b"]" * 16


def refused(raw: bytes) -> Malformed:
    with pytest.raises(Malformed) as caught:
        parse(raw)
    assert caught.value.reason == "malformed_request"
    return caught.value


@pytest.mark.parametrize(
    ("raw", "culprit"),
    [
        (b"", ""),
        (b'{"a":', ""),
        (b'{"a":1} x', ""),
        (b"\xef\xbb\xbf{}", ""),
        (b'{"a":NaN}', "/a"),
        (b'{"a":[Infinity]}', "/a/0"),
        (b'{"a":-Infinity}', "/a"),
        (b'{"x":{"\\ud800":1}}', "/x"),
        (b'{"a":01}', ""),
        (b'{"a":"\xff"}', ""),
        (b'{"a":"\xed\xa0\x80"}', "/a"),
        (b'{"a":"\x01"}', ""),
        (b"{'a':1}", ""),
        (b'{"a":{"b":1e999}}', "/a/b"),
        (b'{"a":[0,-1e400]}', "/a/1"),
        (b'{"a":"\\ud800"}', "/a"),
        (b'{"a":["x","\\udc00\\ud800"]}', "/a/1"),
        (b'{"a":1,"a":1}', "/a"),
        (b'{"x":[{"a":1,"b":2,"a":3}]}', "/x/0/a"),
        (b'{"a":1,"\\u0061":2}', "/a"),
        (b'{"s":"a:b","s":"c:d"}', "/s"),
        (b'{"a":1234567890123456789}', "/a"),
        (b'{"a":-123456789012345678901234567890}', "/a"),
        (b'{"a":0.1234567891}', "/a"),
        (b'{"a":1234567890123456789.5}', "/a"),
        (b'{"a":1e18}', "/a"),
        (b'{"a":1000000000000000000}', "/a"),
        (b'{"a":-1000000000000000000,"b":"c"}', "/a"),
        (b'{"a":"b","a":"c:d"}', "/a"),
        (b'{"a":1e-10}', "/a"),
        (b'{"a":1e-99999}', "/a"),
        (b'{"a~/b":{"c":1,"c":2}}', "/a~0~1b/c"),
        (b"[" + DEEP + b"]", ""),
        (b'{"a":' + DEEP + b"}", ""),
        (b"[" * 100_000, ""),
        (b'{"a":' * 100_000, ""),
    ],
)
def test_what_two_readers_could_take_differently_is_refused(raw: bytes, culprit: str) -> None:
    assert refused(raw).pointer == culprit


@pytest.mark.parametrize(
    "raw",
    [
        b"{}",
        b" [ 1 , 2 ] ",
        b'{"a":"b:c","d":{"e":":"}}',
        b'{"a":"\\"b\\":1"}',
        b'{"a":"\\ud83d\\ude00","b":"\xf0\x9f\x98\x80"}',
        b'{"a":123456789012345678,"b":0.123456789,"c":1.5e3,"d":-0.0}',
        b'{"1e5":"9.9e999","x":"123456789012345678901234567890"}',
        b'{"true":true,"false":false,"null":null}',
        b'{"a":999999999999999999,"b":-999999999999999999,"c":-0}',
        DEEP,
    ],
)
def test_strict_json_is_read_as_any_reader_reads_it(raw: bytes) -> None:
    assert parse(raw) == json.loads(raw)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=12,
    ),
    st.booleans(),
)
def test_whatever_a_writer_writes_is_read_back(value: object, escaped: bool) -> None:
    try:
        raw = json.dumps(value, ensure_ascii=escaped).encode()
    except UnicodeEncodeError:
        return
    assert parse(raw) == value


@given(
    st.binary(max_size=64)
    | st.text(alphabet='{}[]:,"\\eE.0123456789-nulltruefalse \ud800', max_size=64).map(
        lambda text: text.encode("utf-8", "surrogatepass")
    )
)
def test_no_bytes_raise_anything_else(raw: bytes) -> None:
    try:
        value = parse(raw)
    except Malformed:
        return
    assert value == json.loads(raw)


@pytest.mark.parametrize(
    ("raw", "reason", "culprit"),
    [
        (b'{"inner":[{"name":"a"},{}]}', "missing_field", "/inner/1/name"),
        (b"{}", "missing_field", "/inner"),
        (b'{"inner":[{"name":1}]}', "malformed_request", "/inner/0/name"),
        (b'{"inner":[{"name":"a","x`y ~/":1}]}', "malformed_request", "/inner/0/x`y ~0~1"),
        (b'{"inner":null}', "malformed_request", "/inner"),
        (b'{"inner":[],"free":' + b"[" * 100_000, "malformed_request", ""),
        (b"[]", "malformed_request", ""),
        (b'"x"', "malformed_request", ""),
        (b'{"inner":[{"name":"\xff"}]}', "malformed_request", ""),
    ],
)
def test_what_is_of_another_shape_is_refused_where_it_is(raw: bytes, reason: str, culprit: str) -> None:
    with pytest.raises(Malformed) as caught:
        decode(OUTER, raw)
    assert (caught.value.reason, caught.value.pointer) == (reason, culprit)


def test_a_long_name_is_not_repeated_whole() -> None:
    with pytest.raises(Malformed) as caught:
        decode(OUTER, b'{"' + b"x" * 100_000 + b'":1}')
    assert len(str(caught.value)) < 600


def test_a_pointer_is_escaped() -> None:
    assert pointer("a/b", 3, "m~n") == "/a~1b/3/m~0n"


@pytest.mark.parametrize(
    "raw",
    [
        b"[" + b"1," * 130_000 + b"1]",
        b'{"a":[' + b'"",' * 87_000 + b'""]}',
        b"[" + b"{}," * 87_000 + b"{}]",
        b'["\\n",' + b"1.5," * 60_000 + b"1]",
    ],
)
def test_the_largest_body_is_read_in_a_fraction_of_a_second(raw: bytes) -> None:
    started = time.process_time()
    parse(raw)
    assert time.process_time() - started < 1
