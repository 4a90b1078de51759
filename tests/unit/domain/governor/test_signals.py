"""What may be measured, how it is written, and how much of it one command holds."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given as over
from hypothesis import strategies as st
from tests.builders import CPU, NOW

from tai_autonomics.domain.governor import Signal, parse_labels, parse_value, split, text_of
from tai_autonomics.errors import Malformed
from tai_autonomics.ledger.canonical import canonical


@pytest.mark.parametrize("text", ["0", "-12.5", "123456789012345678.123456789", "007"])
def test_a_value_is_a_plain_decimal(text: str) -> None:
    assert parse_value(text) == Decimal(text)


@pytest.mark.parametrize("text", ["", "1e3", "NaN", "Infinity", "1.", ".5", "+1", "1" * 19, "0.1234567891", "٣", "1\n"])
def test_anything_else_is_no_value(text: str) -> None:
    with pytest.raises(Malformed, match="malformed_request"):
        parse_value(text)


@pytest.mark.parametrize(
    ("value", "text"), [("1.50", "1.5"), ("100", "100"), ("1E+2", "100"), ("-0.0", "0"), ("0.000000001", "0.000000001")]
)
def test_a_value_has_one_text(value: str, text: str) -> None:
    assert text_of(Decimal(value)) == text


@over(st.decimals(-(10**18) + 1, 10**18 - 1, places=9))
def test_a_value_comes_back_from_its_text(value: Decimal) -> None:
    assert parse_value(text_of(value)) == value
    assert text_of(parse_value(text_of(value))) == text_of(value)


def test_labels_are_kept_as_they_are() -> None:
    assert parse_labels({"region": "eu", "_az.1-b": "ü"}) == {"region": "eu", "_az.1-b": "ü"}


@pytest.mark.parametrize(
    "labels",
    [{"": "x"}, {"1a": "x"}, {"ä": "x"}, {"a" * 65: "x"}, {f"l{n}": "" for n in range(17)}, {"a": '"' * 512}],
)
def test_labels_have_bounds(labels: dict[str, str]) -> None:
    with pytest.raises(Malformed, match="label"):
        parse_labels(labels)


def test_signals_keep_their_order_over_as_few_commands_as_their_receipts_hold() -> None:
    small = [Signal(CPU, Decimal(n), NOW) for n in range(100)]
    commands = split(small)
    assert [signal for command in commands for signal in command] == small
    assert [len(command) for command in commands] == [45, 45, 10]
    assert split([]) == ()


def test_one_large_signal_is_a_command_of_its_own() -> None:
    labels = parse_labels({f"label{n}": "x" * 50 for n in range(16)})
    assert len(msgspec.json.encode(labels)) > 900
    commands = split([Signal(CPU, Decimal(1), NOW, labels)] * 12)
    assert [len(command) for command in commands] == [8, 4]
    assert len(canonical({"labels": labels})) < 1_100
