"""What a client gets and an export holds: written around the stored body, and taken apart strictly."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.vectors.generate import METADATA, commits, part, sealed

from tai_autonomics.errors import NotCanonical
from tai_autonomics.ledger.lines import LINE_BYTES_MAX, Line, parse_line, reply
from tai_autonomics.ledger.records import Base, Part, Snapshot

RECEIPT = sealed()
PARTS = (part(1, "metadata", METADATA), part(1, "reason", b'"because"'))
BARE = reply(RECEIPT.body, RECEIPT.hash, ())
FULL = reply(RECEIPT.body, RECEIPT.hash, PARTS)
BASE = Base(
    Snapshot(7, "L1", "b" * 64, "2026-11-24T02:00:01.000000Z", 2, '{"a":"\\"ü",hash":"\u2028"}'.encode()), "a" * 64
)
PLANS = 'plans:\n  "free":\n    rank: 1  # "ü",hash":"\u2028\n'.encode()


def test_the_body_stands_in_the_reply_byte_for_byte() -> None:
    assert b'{"receipt":' + RECEIPT.body + b',"hash":"' + RECEIPT.hash.encode() + b'"}' == BARE


def test_a_reply_shows_the_parts_that_exist() -> None:
    assert json.loads(FULL) == {
        "receipt": json.loads(RECEIPT.body),
        "hash": RECEIPT.hash,
        "parts": {each.name: {"salt": each.salt.hex(), "text": each.text.decode()} for each in PARTS},
    }


def test_the_order_of_parts_changes_no_byte() -> None:
    assert reply(RECEIPT.body, RECEIPT.hash, PARTS[::-1]) == FULL


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_line_is_taken_apart_into_what_it_was_made_of(end: bytes) -> None:
    assert parse_line(BARE + end) == Line(RECEIPT.body, RECEIPT.hash, ())
    assert parse_line(FULL + end) == Line(RECEIPT.body, RECEIPT.hash, PARTS)


def test_a_line_may_bring_the_plans_file_along() -> None:
    for parts in ((), PARTS):
        line = reply(RECEIPT.body, RECEIPT.hash, parts, plans=PLANS)
        assert parse_line(line) == Line(RECEIPT.body, RECEIPT.hash, parts, PLANS)
        assert json.loads(line)["plans"] == PLANS.decode()


def test_a_line_may_bring_along_where_its_ledger_begins() -> None:
    for parts, plans in (((), None), (PARTS, PLANS)):
        line = reply(RECEIPT.body, RECEIPT.hash, parts, plans=plans, base=BASE)
        assert parse_line(line) == Line(RECEIPT.body, RECEIPT.hash, parts, plans, BASE)
    assert json.loads(line)["base"] == {
        "hash": "b" * 64,
        "ledger": "L1",
        "seq": 7,
        "time": "2026-11-24T02:00:01.000000Z",
        "state_version": 2,
        "state": BASE.snapshot.state.decode(),
        "archive": "a" * 64,
    }


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"seq":7', b'"seq":0'),
        (b'"seq":7', b'"seq":"7"'),
        (b'"time":', b'"when":'),
        (b'"state_version":2', b'"state_version":2,"more":1'),
        (b'"base":{', b'"base":{"archive":"",'),
        (b'"base":', b'"base":null,"was":'),
    ],
)
def test_a_base_that_no_export_writes_is_refused(old: bytes, new: bytes) -> None:
    line = reply(RECEIPT.body, RECEIPT.hash, (), base=BASE)
    beside = line.index(b'"base":')
    assert old in line[beside:]
    with pytest.raises(NotCanonical):
        parse_line(line[:beside] + line[beside:].replace(old, new, 1))


@given(st.text(st.characters(codec="utf-8")))
def test_any_plans_file_comes_back(text: str) -> None:
    line = reply(RECEIPT.body, RECEIPT.hash, PARTS, plans=text.encode())
    assert parse_line(line) == Line(RECEIPT.body, RECEIPT.hash, PARTS, text.encode())


@given(st.dictionaries(st.text(st.characters(max_codepoint=127), max_size=8), st.text(st.characters(codec="utf-8"))))
def test_any_text_and_any_name_of_a_part_comes_back(texts: dict[str, str]) -> None:
    parts = tuple(part(1, name, text.encode()) for name, text in sorted(texts.items()))
    receipt = sealed(commits=commits(*parts), events=[{"type": "T", "hash": "x", "parts": '","parts":{', **texts}])
    assert parse_line(reply(receipt.body, receipt.hash, parts)) == Line(receipt.body, receipt.hash, parts)


@pytest.mark.parametrize("hidden", ['","hash":"', ',"hash":"' + "0" * 64 + '"}', '"}\n'])
def test_a_text_that_looks_like_the_end_of_the_body_is_not_taken_for_it(hidden: str) -> None:
    parts = (part(1, "hash", hidden.encode()),)
    receipt = sealed(events=[{"type": "T", "a": hidden, "hash": "0" * 64}])
    assert parse_line(reply(receipt.body, receipt.hash, parts)) == Line(receipt.body, receipt.hash, parts)
    assert parse_line(reply(receipt.body, receipt.hash, ())) == Line(receipt.body, receipt.hash, ())


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"{}",
        b"null",
        RECEIPT.body,
        BARE + b"\n\n",
        BARE + b"\r\n",
        BARE + b" ",
        b" " + BARE,
        b"\xef\xbb\xbf" + BARE,
        BARE[:-1],
        BARE[:-2],
        BARE[:-3] + b'"}',
        BARE.replace(b'"hash":', b'"hash": '),
        BARE.replace(b'"hash"', b'"digest"'),
        BARE.replace(b'{"receipt":', b'{"Receipt":'),
        BARE[:-3] + b'\xff"}',
        BARE[:-1] + b',"parts":{}}',
        BARE[:-1] + b',"parts":null}',
        BARE[:-1] + b',"more":1}',
        BARE[:-1] + b',"plans":null}',
        BARE[:-1] + b',"plans":1}',
        BARE[:-1] + b',"plans": "x"}',
        BARE[:-1] + b',"plans":"x","more":1}',
        BARE[:-1] + b',"plans":"\\ud800"}',
        BARE[:-1] + b',"plans":"x","parts":' + FULL.partition(b',"parts":')[2],
        FULL[:-1],
        FULL[:-1] + b',"more":1}',
        FULL.replace(b'"salt":"', b'"salt":"0'),
        FULL.replace(b'"salt":"', b'"salt":" '),
        FULL.replace(b'"salt":"', b'"salt":"AA'),
        FULL.replace(b'"salt":"', b'"salt":"zz'),
        FULL.replace(b'"salt":', b'"pepper":1,"salt":'),
        FULL.replace(b'"text":"', b'"text":"\\u0041'),
        FULL.replace(b'"text":"', b'"text":"\\ud800'),
        FULL.replace(b'"text":"', b'"text":"\xff'),
        FULL.replace(b'"text":"', b'"text":1,"text":"'),
        FULL.replace(b'"metadata"', b'"z"'),
        FULL.replace(b'"v":1', b'"v":2'),
    ],
    ids=lambda line: repr(line[-40:]),
)
def test_a_line_that_no_export_writes_is_refused(line: bytes) -> None:
    with pytest.raises(NotCanonical):
        parse_line(line)


def test_a_line_beyond_the_bound_is_refused_unread() -> None:
    with pytest.raises(NotCanonical, match="longer than"):
        parse_line(reply(RECEIPT.body, RECEIPT.hash, (Part(1, "a", b"", b"x" * LINE_BYTES_MAX),)))


@given(st.integers(0, len(FULL) - 1))
def test_a_truncated_line_is_refused(length: int) -> None:
    with pytest.raises(NotCanonical):
        parse_line(FULL[:length])
