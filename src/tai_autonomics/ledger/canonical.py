"""
A JSON value to its one byte string, and back: RFC 8785 (JCS), narrowed until sorted orjson gives exactly its bytes.

The profile: no floats (decimals travel as strings), integers within ±(2^53-1), ASCII keys, valid UTF-8, at most 16
containers deep, at most 32 KiB. Reading walks no node in Python where libraries and bytes can prove it:

    floats, depth   a form whose values nest only a few levels and are no floats fits (msgspec)
    integers        strict mode refuses those out of range (orjson, when the bytes are made again)
    keys            bytes that are all ASCII have ASCII keys

What is not proven so is walked. Writing looks at each type once, because orjson writes NaN as null, a UUID as a string.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Generic, TypeAlias, TypeVar

import orjson
from msgspec import Struct, ValidationError
from msgspec.json import Decoder

from tai_autonomics.errors import NotCanonical

JSON: TypeAlias = "str | int | bool | Sequence[JSON] | Mapping[str, JSON] | None"
"""A value of the profile. A tuple is written as a list."""

BYTES_MAX: Final = 32 * 1024
DEPTH_MAX: Final = 16
INTEGER_MAX: Final = 2**53 - 1
SHALLOW_LEVELS: Final = 4
"""How deep free values nest that are proven by type; each level doubles it (4 take 0.1 ms at import, 13 take 90 ms)."""

T = TypeVar("T")

_OPTIONS: Final = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_STRICT_INTEGER
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)


def canonical(value: JSON) -> bytes:
    """
    The canonical bytes of `value` (RFC 8785, section 3.2).

    Raises NotCanonical for a value outside the profile.
    """
    _check_types(value, DEPTH_MAX)
    body = encode(value)
    if not body.isascii():
        _check_keys(value)
    if len(body) > BYTES_MAX:
        raise NotCanonical(f"{len(body)} bytes are more than {BYTES_MAX}")
    return body


def parse(body: bytes) -> dict[str, Any]:
    """The object whose canonical bytes are `body`. Raises NotCanonical for any other bytes."""
    members = decode(body, _OBJECT)
    if encode(members) != body:
        raise NotCanonical("the bytes are not the canonical form of what they say")
    return members


class Form(Struct, Generic[T], frozen=True):
    """
    What bytes are read as. `shallow` proves depth and the absence of floats by its type, `deep` leaves that to a walk.

    They are of one type, but for its free values: those are `Shallow` in one and Any in the other.
    """

    shallow: Decoder[T]
    deep: Decoder[T]


def decode(body: bytes, form: Form[T]) -> T:
    """
    Half a parse: `body` has this form and is within the profile, as far as one can tell before `encode`.

    Raises NotCanonical. Duplicate and unknown members, integers out of range and other spellings of the same value pass
    here; they cannot pass `encode(decode(body, form)) == body`.
    """
    if len(body) > BYTES_MAX:
        raise NotCanonical(f"{len(body)} bytes are more than {BYTES_MAX}")
    try:
        value = form.shallow.decode(body)
    except ValidationError:
        value = _decode_deep(body, form.deep)
    except (ValueError, RecursionError) as error:
        raise NotCanonical(f"not JSON: {error}") from error
    if not body.isascii():
        _check_keys(value)
    return value


def encode(value: object) -> bytes:
    """
    The canonical bytes of a value that `decode` gave. Of any other value they are still to be proven canonical.

    Raises NotCanonical for what cannot be written: an integer out of range, a lone surrogate, a foreign type.
    """
    try:
        body = orjson.dumps(value, option=_OPTIONS)
    except orjson.JSONEncodeError as error:
        raise NotCanonical(str(error)) from error
    return body


def _decode_deep(body: bytes, form: Decoder[T]) -> T:
    try:
        value = form.decode(body)
    except (ValueError, RecursionError) as error:
        raise NotCanonical(f"not of the form expected: {error}") from error
    _check_types(value, DEPTH_MAX)
    return value


def _nested(levels: int) -> Any:
    free: Any = str | int | bool | None
    for _ in range(levels):
        free = str | int | bool | list[free] | dict[str, free] | None
    return free


def _check_types(value: Any, depth_left: int) -> None:
    kind = type(value)
    if kind in _SCALARS:
        return
    if kind not in _CONTAINERS:
        raise NotCanonical(f"a {kind.__name__} has no canonical form")
    if depth_left == 0:
        raise NotCanonical(f"more than {DEPTH_MAX} containers deep")
    for member in value.values() if kind is dict else value:
        if type(member) not in _SCALARS:
            _check_types(member, depth_left - 1)


def _check_keys(value: Any) -> None:
    kind = type(value)
    if kind is dict and not all(map(str.isascii, value)):
        raise NotCanonical("a key is not ASCII")
    if kind in _CONTAINERS:
        for member in value.values() if kind is dict else value:
            _check_keys(member)


_SCALARS: Final = frozenset({str, int, bool, type(None)})
_CONTAINERS: Final = frozenset({dict, list, tuple})
Shallow: Final = _nested(SHALLOW_LEVELS)
"""The type of a value of the profile that nests at most SHALLOW_LEVELS deep."""

_OBJECT: Final[Form[dict[str, Any]]] = Form(
    shallow=Decoder(dict[str, Shallow]),  # type: ignore[valid-type]  # made at run time
    deep=Decoder(dict[str, Any]),
)
