"""
A JSON value to its one byte string, and back: RFC 8785 (JCS), narrowed until sorted orjson gives exactly its bytes.

The profile: no floats (decimals travel as strings), integers within ±(2^53-1), ASCII keys, valid UTF-8, at most 16
containers deep, at most 32 KiB. No node is visited in Python where the libraries or the bytes prove it:

    floats     the reader refuses each one (msgspec calls its float hook)
    integers   the writer refuses those out of range (orjson's strict mode)
    keys       bytes that are all ASCII have ASCII keys
    depth      nothing is deeper than it has openers, counting even those within strings

What is not proven so is walked.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn, TypeAlias, TypeVar

import msgspec
import orjson

from tai_autonomics.errors import NotCanonical

JSON: TypeAlias = "str | int | bool | Sequence[JSON] | Mapping[str, JSON] | None"
"""A value of the profile. A tuple is written as a list; a value that holds one costs a walk, so prefer lists."""

BYTES_MAX: Final = 32 * 1024
DEPTH_MAX: Final = 16
INTEGER_MAX: Final = 2**53 - 1

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
    body = encode(value)
    # orjson writes NaN as null, UUIDs as strings, fragments unseen: only what reads back as itself is proven.
    read_back: object = decode(body, _ANY)
    if read_back != value:
        _walk(value, DEPTH_MAX)
    return body


def parse(body: bytes) -> dict[str, Any]:
    """The object whose canonical bytes are `body`. Raises NotCanonical for any other bytes."""
    members = decode(body, _OBJECT)
    if encode(members) != body:
        raise NotCanonical("the bytes are not the canonical form of what they say")
    return members


def reader(form: type[T]) -> msgspec.json.Decoder[T]:
    """A decoder of `form` that refuses floats, for `decode`. What `form` does not know is skipped."""
    return msgspec.json.Decoder(form, float_hook=_refuse_float)


def decode(body: bytes, form: msgspec.json.Decoder[T]) -> T:
    """
    Half a parse: `body` has this form and is within the profile, as far as one can tell before `encode`.

    Raises NotCanonical. Duplicate keys, skipped members, integers out of range, other spellings of the same value
    pass here; they cannot pass `encode(decode(body, form)) == body`.
    """
    if len(body) > BYTES_MAX:
        raise NotCanonical(f"{len(body)} bytes are more than {BYTES_MAX}")
    try:
        value = form.decode(body)
    except (ValueError, RecursionError) as error:
        raise NotCanonical(f"not JSON of the form expected: {error}") from error
    if not body.isascii() or body.count(b"{") + body.count(b"[") > DEPTH_MAX:
        _walk(value, DEPTH_MAX)
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


def _refuse_float(text: str) -> NoReturn:
    raise ValueError(f"{text[:40]} is a float")


def _walk(value: object, depth_left: int) -> None:
    match value:
        case None | bool() | int() | str():
            return
        case dict() | list() | tuple() if depth_left == 0:
            raise NotCanonical(f"more than {DEPTH_MAX} containers deep")
        case dict():
            for key, member in value.items():
                if not key.isascii():
                    raise NotCanonical(f"the key {key!r} is not ASCII")
                _walk(member, depth_left - 1)
        case list() | tuple():
            for item in value:
                _walk(item, depth_left - 1)
        case _:
            raise NotCanonical(f"a {type(value).__name__} has no canonical form")


_ANY: Final = reader(Any)
_OBJECT: Final = reader(dict[str, Any])
