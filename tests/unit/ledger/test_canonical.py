"""Canonical bytes: what the profile takes, what it refuses, and that the oracle agrees."""

import json
import math
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from tai_autonomics.errors import NotCanonical
from tai_autonomics.ledger.canonical import BYTES_MAX, DEPTH_MAX, INTEGER_MAX, SHALLOW_LEVELS, canonical, parse

SAMPLES = Path(__file__).parents[2] / "vectors" / "json-canonicalization"
WITHIN = {"arrays", "unicode"}

KEYS = st.text(st.characters(max_codepoint=127), max_size=8)
INTEGERS = st.integers(-INTEGER_MAX, INTEGER_MAX)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = st.none() | st.booleans() | INTEGERS | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=30
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=6)


def nested(levels: int) -> Any:
    """`levels` containers, arrays and objects in turn, an object outermost if `levels` is even."""
    value: Any = []
    for level in range(1, levels):
        value = {"a": value} if level % 2 else [value]
    return value


def refused(body: bytes) -> str:
    with pytest.raises(NotCanonical) as caught:
        parse(body)
    return str(caught.value)


@given(VALUES)
@example('q"b\\s/ \b\t\n\f\r\x00\x1f\x7f\x80 \u2028 \ufb33 \uffff 😂')
@example({"\r": 1, "</script>": 2, "1": 3, "": 4, "\x7f": 5})
def test_the_oracle_gives_the_same_bytes(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@given(OBJECTS)
def test_what_was_written_reads_back_as_it_was(value: dict[str, Any]) -> None:
    assert parse(canonical(value)) == value


@given(OBJECTS)
def test_the_order_of_members_changes_no_byte(value: dict[str, Any]) -> None:
    assert canonical(dict(reversed(value.items()))) == canonical(value)


@given(st.binary(max_size=40) | st.text(alphabet='{}[]",:0123456789.eE-+nul "\\u', max_size=40).map(str.encode))
def test_bytes_that_parse_are_the_bytes_of_what_they_say(body: bytes) -> None:
    try:
        value = parse(body)
    except NotCanonical:
        return
    assert rfc8785.dumps(value) == body


@pytest.mark.parametrize("sample", sorted(path.stem for path in (SAMPLES / "input").iterdir()))
def test_a_published_sample_agrees_or_is_refused_as_outside_the_profile(sample: str) -> None:
    value = json.loads((SAMPLES / "input" / f"{sample}.json").read_bytes())
    expected = (SAMPLES / "output" / f"{sample}.json").read_bytes()
    assert bytes.fromhex((SAMPLES / "outhex" / f"{sample}.txt").read_text()) == expected
    assert rfc8785.dumps(value) == expected
    if sample in WITHIN:
        assert canonical(value) == expected
    else:
        with pytest.raises(NotCanonical):
            canonical(value)


def test_a_tuple_is_written_as_a_list() -> None:
    assert canonical({"a": (1, (2,))}) == b'{"a":[1,[2]]}'


class Coin(Enum):
    HEADS = "heads"


class Word(StrEnum):
    YES = "yes"


class Number(IntEnum):
    ONE = 1


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    "foreign",
    [
        1.5,
        1.0,
        -0.0,
        1e300,
        math.nan,
        math.inf,
        -math.inf,
        INTEGER_MAX + 1,
        -INTEGER_MAX - 1,
        2**63,
        2**64,
        2**70,
        b"bytes",
        {1, 2},
        Decimal(1),
        UUID(int=1),
        datetime(2026, 11, 24, tzinfo=UTC),
        Coin.HEADS,
        Word.YES,
        Number.ONE,
        Text("text"),
        pytest.param(orjson.Fragment(b"1"), id="fragment"),
        "\ud800",
        {1: "a"},
        {"é": 1},
        {"\ud800": 1},
        {None: 1},
    ],
    ids=repr,
)
def test_what_has_no_canonical_form_is_refused_wherever_it_stands(foreign: Any) -> None:
    for value in (foreign, [foreign], {"a": {"b": [0, "é", foreign]}}):
        with pytest.raises(NotCanonical):
            canonical(value)


def test_the_largest_integers_are_written() -> None:
    assert canonical([INTEGER_MAX, -INTEGER_MAX, 0]) == b"[9007199254740991,-9007199254740991,0]"


@pytest.mark.parametrize("levels", range(2, DEPTH_MAX + 1, 2))
def test_sixteen_containers_may_lie_in_each_other(levels: int) -> None:
    assert parse(canonical(nested(levels))) == nested(levels)


@pytest.mark.parametrize("levels", [DEPTH_MAX + 1, DEPTH_MAX + 2, 200, 254, 300])
def test_seventeen_containers_may_not_lie_in_each_other(levels: int) -> None:
    with pytest.raises(NotCanonical, match="more than 16 containers deep"):
        canonical(nested(levels))
    assert "more than 16 containers deep" in refused(rfc8785.dumps({"a": nested(levels - levels % 2)}))


def test_a_value_that_holds_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(NotCanonical):
        canonical(value)


def test_many_containers_side_by_side_are_not_deep() -> None:
    value = {"a": [{"b": [n]} for n in range(100)]}
    assert parse(canonical(value)) == value


def test_brackets_within_strings_are_not_depth() -> None:
    value = {"a": "[" * 100 + "{" * 100}
    assert parse(canonical(value)) == value


def test_bytes_up_to_the_bound_are_taken_and_not_one_more() -> None:
    fits = {"a": "x" * (BYTES_MAX - len('{"a":""}'))}
    body = canonical(fits)
    assert len(body) == BYTES_MAX
    assert parse(body) == fits
    with pytest.raises(NotCanonical, match="32769 bytes"):
        canonical({"a": fits["a"] + "x"})
    assert "32769 bytes" in refused(body[:-2] + b'x"}')


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"a":1',
        b'{"a":"x}',
        b'{"a":1}}',
        b"[1]",
        b"1",
        b"null",
        b'{"a":1} ',
        b'{"a":1}\n',
        b' {"a":1}',
        b'{"a": 1}',
        b'{"a":1,}',
        b'{"a":[1,]}',
        b"{a:1}",
        b"{'a':1}",
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":1}\x00',
        b'{"b":1,"a":1}',
        b'{"a":1,"a":1}',
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":1}}',
        b'{"a":{"b":1,"c":2,"b":3}}',
        b'{"a":1,"\\u0061":1}',
        b'{"\\u0061":1}',
        b'{"a":1.5}',
        b'{"a":1.0}',
        b'{"a":-0}',
        b'{"a":-0.0}',
        b'{"a":01}',
        b'{"a":+1}',
        b'{"a":1e5}',
        b'{"a":1E5}',
        b'{"a":1e999}',
        b'{"a":1e-999}',
        b'{"a":0e0}',
        b'{"a":[1,[2,[3,[4,[5,[6,[1.5]]]]]]]}',
        b'{"a":[1,[2,[3,[4,[5,[6,[1e2]]]]]]]}',
        b'{"a":"\\"","b":1.5}',
        b'{"a":"\\\\","b":1.5,"c":"\\\\"}',
        b'{"a\\"":1.5}',
        b'{"a":"\\",\\"b\\":","c":1e5}',
        b'{"a":9007199254740992}',
        b'{"a":-9007199254740992}',
        b'{"a":9223372036854775807}',
        b'{"a":9223372036854775808}',
        b'{"a":18446744073709551616}',
        b'{"a":1180591620717411303424}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":nan}',
        b'{"a":True}',
        b'{"a":"\\ud800"}',
        b'{"a":"\\udc00\\ud800"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xff"}',
        b'{"a":"\xc0\x80"}',
        b'{"a":"\xc3"}',
        b'{"\xc3\xa9":1}',
        b'{"a":[{"\xc3\xa9":1}]}',
        b'{"a":"\\u00e9"}',
        b'{"a":"\\/"}',
        b'{"a":"\\u000a"}',
        b'{"a":"\\u001F"}',
        b'{"a":"\\x41"}',
        b'{"a":"\n"}',
        b"[" * 30_000,
        b'{"a":' * 6_000,
    ],
    ids=lambda body: repr(body[:40]),
)
def test_bytes_that_are_not_canonical_are_refused(body: bytes) -> None:
    refused(body)


@given(OBJECTS, st.data())
def test_truncated_bytes_are_refused(value: dict[str, Any], data: st.DataObject) -> None:
    body = canonical(value)
    refused(body[: data.draw(st.integers(0, len(body) - 1))])


@pytest.mark.parametrize("levels", [0, SHALLOW_LEVELS, SHALLOW_LEVELS + 1, DEPTH_MAX - 1])
def test_a_float_is_refused_at_every_depth(levels: int) -> None:
    refused(b'{"a":' + b"[" * levels + b"1.5" + b"]" * levels + b"}")
    parse(b'{"a":' + b"[" * levels + b"15" + b"]" * levels + b"}")
