"""
JSON at the border, once and strictly, so that nothing inside has to ask again.

    bytes --parse--> the plain value: UTF-8, no duplicate member, no NaN or infinity, bounded depth and numbers
    bytes --decode--> a typed value, or Malformed with the RFC 6901 pointer to the culprit

Two parsers read a body alike or not at all: what differs between them (duplicates, lone surrogates, huge numbers) is
exactly what is refused here.
"""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any, Final, NoReturn, TypeVar

import msgspec
import orjson
from msgspec import Struct

from tai_autonomics.errors import Malformed

T = TypeVar("T")

DEPTH_MAX: Final = 16
DIGITS_BEFORE_POINT_MAX: Final = 18
DIGITS_AFTER_POINT_MAX: Final = 9
EXPONENT_CHARACTERS_MAX: Final = 4
_SHOWN_CHARACTERS_MAX: Final = 128
"""How much of a caller's own text is repeated in a problem."""

_LITERALS: Final = frozenset({bool, type(None)})
_SMALL: Final = 10**DIGITS_BEFORE_POINT_MAX
_UNUSUAL_NUMBER: Final = re.compile(rb"\d[eE]|\.\d{10}|\d{19}")
_NUMBER: Final = re.compile(r"-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?")
_AT: Final = re.compile(r" - at `\$(.*)`\Z", re.DOTALL)
_STEP: Final = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")
_NAMED: Final = re.compile(r"Object (missing required|contains unknown) field `(.*)`\Z", re.DOTALL)


def parse(raw: bytes) -> Any:
    """The value of a strict JSON text (RFC 8259, narrowed as above). Raises Malformed."""
    try:
        value = orjson.loads(raw)
    except (orjson.JSONDecodeError, RecursionError) as error:
        _blame_unreadable(raw, error)
    if _is_flat(value, raw):
        return value
    members = _count_members(value, DEPTH_MAX)
    if not _is_plain(raw, members):
        _blame_unusual(raw)
    return value


def decode(decoder: "msgspec.json.Decoder[T]", raw: bytes) -> T:
    """The typed value. Raises Malformed: missing_field for an absent member, malformed_request for all else."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise _untyped(str(error)) from error
    except (msgspec.DecodeError, UnicodeError, RecursionError, ValueError) as error:
        raise Malformed("malformed_request", f"not JSON: {_shown(str(error))}") from error


def pointer(*steps: str | int) -> str:
    """RFC 6901."""
    return "".join("/" + str(step)[:_SHOWN_CHARACTERS_MAX].replace("~", "~0").replace("/", "~1") for step in steps)


def _is_flat(value: Any, raw: bytes) -> bool:
    """
    One object of strings, literals and small integers, with no colon but its members': what most bodies are.

    A member given twice would leave a colon over; a number that two readers could take differently is no small integer.
    """
    if type(value) is not dict or raw.count(b":") != len(value):
        return False
    for inner in value.values():
        kind = type(inner)
        if kind is not str and kind not in _LITERALS and not (kind is int and -_SMALL < inner < _SMALL):
            return False
    return True


def _count_members(value: Any, depth_left: int) -> int:
    kind = type(value)
    if kind is not dict and kind is not list:
        return 0
    if depth_left == 0:
        raise Malformed("malformed_request", f"nested deeper than {DEPTH_MAX}")
    count = 0
    nested = value
    if kind is dict:
        count = len(value)
        nested = value.values()
    for inner in nested:
        kind = type(inner)
        if kind is dict or kind is list:
            count += _count_members(inner, depth_left - 1)
    return count


def _is_plain(raw: bytes, members: int) -> bool:
    # Without a backslash every quote opens or closes a string, so what lies outside strings can be looked at in C.
    if b"\\" in raw:
        return False
    outside = b"".join(raw.split(b'"')[::2])
    return outside.count(b":") == members and _UNUSUAL_NUMBER.search(outside) is None


class _Flaw(Struct, frozen=True):
    """Stands in the parsed tree where something is wrong, so that its pointer can be found from the root."""

    detail: str
    members: tuple[str, ...] = ()


_OUT_OF_BOUNDS: Final = _Flaw(
    f"a number with more than {DIGITS_BEFORE_POINT_MAX} digits before or {DIGITS_AFTER_POINT_MAX} after the point"
)


def _blame_unusual(raw: bytes) -> None:
    flaws: list[_Flaw] = []
    tree = json.loads(
        raw,
        object_pairs_hook=partial(_object, flaws),
        parse_float=partial(_decimal, flaws),
        parse_int=partial(_integer, flaws),
    )
    if flaws:
        steps, flaw = next(_flawed(tree, ()))
        raise Malformed("malformed_request", flaw.detail, pointer=pointer(*steps, *flaw.members))


def _blame_unreadable(raw: bytes, error: Exception) -> NoReturn:
    """Python's own parser takes NaN, 1e999 and lone surrogates, and so can say where they are."""
    culprit = ""
    with suppress(ValueError, RecursionError):
        tree = json.loads(raw, parse_float=partial(_decimal, []), parse_int=partial(_integer, []), parse_constant=_Flaw)
        culprit = next((pointer(*steps) for steps in _suspects(tree, ())), "")
    raise Malformed("malformed_request", f"not JSON: {_shown(str(error))}", pointer=culprit) from error


def _object(flaws: list[_Flaw], pairs: list[tuple[str, Any]]) -> Any:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    names = [name for name, _ in pairs]
    twice = next(name for index, name in enumerate(names) if name in names[:index])
    return _noted(flaws, _Flaw("a member given twice", (twice,)))


def _integer(flaws: list[_Flaw], text: str) -> Any:
    if len(text.lstrip("-")) > DIGITS_BEFORE_POINT_MAX:
        return _noted(flaws, _Flaw(f"more than {DIGITS_BEFORE_POINT_MAX} digits"))
    return int(text)


def _decimal(flaws: list[_Flaw], text: str) -> Any:
    match = _NUMBER.fullmatch(text)
    assert match is not None
    whole, fraction, exponent = match[1].lstrip("0"), match[2] or "", match[3] or "0"
    if len(exponent) > EXPONENT_CHARACTERS_MAX:
        return _noted(flaws, _Flaw("a number out of range"))
    before, after = len(whole) + int(exponent), len(fraction) - int(exponent)
    if before > DIGITS_BEFORE_POINT_MAX or after > DIGITS_AFTER_POINT_MAX:
        return _noted(flaws, _OUT_OF_BOUNDS)
    return float(text)


def _noted(flaws: list[_Flaw], flaw: _Flaw) -> _Flaw:
    flaws.append(flaw)
    return flaw


def _flawed(value: Any, steps: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], _Flaw]]:
    if isinstance(value, _Flaw):
        yield steps, value
    for step, inner in _entries(value):
        yield from _flawed(inner, (*steps, step))


def _suspects(value: Any, steps: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, _Flaw) or (isinstance(value, str) and not _encodable(value)):
        yield steps
    for step, inner in _entries(value):
        if isinstance(step, str) and not _encodable(step):
            yield steps
        yield from _suspects(inner, (*steps, step))


def _entries(value: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from enumerate(value)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _untyped(message: str) -> Malformed:
    at = _AT.search(message)
    steps = [step[1] or step[2] for step in _STEP.finditer(at[1])] if at else []
    what = message[: at.start()] if at else message
    named = _NAMED.match(what)
    if named is None:
        return Malformed("malformed_request", _shown(what), pointer=pointer(*steps))
    culprit = pointer(*steps, named[2])
    if named[1] == "missing required":
        return Malformed("missing_field", f"{_shown(named[2])} is required", pointer=culprit)
    return Malformed("malformed_request", f"no member {_shown(named[2])!r} is known here", pointer=culprit)


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS_MAX else text[:_SHOWN_CHARACTERS_MAX] + "…"
