"""
A checked condition as a tree, read from the bytes that the CEL library gives of it.

The bytes are the public message cel.expr.CheckedExpr (cel-spec, proto/cel/expr/checked.proto and syntax.proto) in the
protobuf wire format, whose field numbers never change. Names in the tree are resolved: `window.avg` is one name.
"""

import struct
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

INT64_SIGN: Final = 1 << 63


class Constant(Struct, frozen=True):
    """A literal. Those that no condition can use (null, bytes, unsigned) have the value None."""

    value: "bool | int | float | str | None"


class Name(Struct, frozen=True):
    """A declared variable."""

    name: str


class Select(Struct, frozen=True):
    """A member of a map; with `tests`, whether it is there: has(…)."""

    operand: "Expression"
    field: str
    tests: bool


class Call(Struct, frozen=True):
    """A function or an operator, such as "_>_"; the receiver of x.f(y) is its first argument."""

    function: str
    arguments: "tuple[Expression, ...]"


class Items(Struct, frozen=True):
    """A list."""

    elements: "tuple[Expression, ...]"


class Unsupported(Struct, frozen=True):
    """A map, a message, or a loop."""


Expression = Constant | Name | Select | Call | Items | Unsupported


def tree_of(serialized: bytes) -> Expression:
    """The tree of a serialized, checked expression: google.protobuf.Any holding a cel.expr.CheckedExpr."""
    checked = _members(serialized)[2]
    return _expression(_only(_members(_only(checked))[4]))


def names_of(expression: Expression) -> frozenset[str]:
    """Every variable that is asked for."""
    return frozenset(part.name for part in parts_of(expression) if isinstance(part, Name))


def parts_of(expression: Expression) -> Iterator[Expression]:
    """The expression and all that it is made of."""
    yield expression
    match expression:
        case Select(operand):
            yield from parts_of(operand)
        case Call(_, inner) | Items(inner):
            for part in inner:
                yield from parts_of(part)
        case Constant() | Name() | Unsupported():
            pass


def _expression(message: bytes) -> Expression:
    members = _members(message)
    match next((number for number in members if number != 2), None):
        case 3:
            return Constant(_constant(_only(members[3])))
        case 4:
            return Name(_text(_members(_only(members[4])), 1))
        case 5:
            select = _members(_only(members[5]))
            return Select(_expression(_only(select[1])), _text(select, 2), 3 in select)
        case 6:
            call = _members(_only(members[6]))
            return Call(_text(call, 2), tuple(_expression(_bytes(each)) for each in call.get(1, []) + call.get(3, [])))
        case 7:
            elements = _members(_only(members[7])).get(1, [])
            return Items(tuple(_expression(_bytes(each)) for each in elements))
        case _:
            return Unsupported()


def _constant(message: bytes) -> bool | int | float | str | None:
    match next(_fields(message), None):
        case 2, int(truth):
            return bool(truth)
        case 3, int(number):
            return number - 2 * INT64_SIGN if number & INT64_SIGN else number
        case 5, bytes(double):
            return float(struct.unpack("<d", double)[0])
        case 6, bytes(text):
            return text.decode()
        case _:
            return None


def _members(message: bytes) -> "dict[int, list[int | bytes]]":
    members: dict[int, list[int | bytes]] = {}
    for number, value in _fields(message):
        members.setdefault(number, []).append(value)
    return members


def _fields(message: bytes) -> "Iterator[tuple[int, int | bytes]]":
    """A message's fields with their numbers, in order; fixed-size numbers as their bytes."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        match key & 7:
            case 0:
                number, at = _varint(message, at)
                yield key >> 3, number
                continue
            case 1:
                end = at + 8
            case 2:
                length, at = _varint(message, at)
                end = at + length
            case 5:
                end = at + 4
            case other:
                raise AssertionError(f"no message of CEL has wire type {other}")
        yield key >> 3, message[at:end]
        at = end


def _varint(message: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = message[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at


def _text(members: "dict[int, list[int | bytes]]", number: int) -> str:
    return _only(members[number]).decode() if number in members else ""


def _only(values: "list[int | bytes]") -> bytes:
    (value,) = values
    return _bytes(value)


def _bytes(value: "int | bytes") -> bytes:
    assert isinstance(value, bytes), "a nested message is length-delimited"
    return value
