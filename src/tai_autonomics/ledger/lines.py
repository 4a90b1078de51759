"""
What a client gets and an export holds: the stored body, its hash, and the parts that still exist.

    {"receipt":<body>,"hash":"<hex>","parts":{"<name>":{"salt":"<hex>","text":"<the part as a JSON string>"}}}

`parts` is absent when none exist. The body stands there byte for byte, so it can be cut out and hashed. An export is
such lines, each ended by a line feed.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
import orjson
from msgspec import Struct

from tai_autonomics.errors import NotCanonical
from tai_autonomics.ledger.receipt import read
from tai_autonomics.ledger.records import Part

LINE_BYTES_MAX: Final = 2 * 1024 * 1024
"""Of one export line: a body, and parts whose text may grow sixfold as a JSON string."""

_BEFORE: Final = b'{"receipt":'
_BETWEEN: Final = b',"hash":"'
_AFTER: Final = b'"}'
_PARTS: Final = b'","parts":'
_HASH_DIGITS: Final = 64


class Line(Struct, frozen=True):
    """One export line taken apart; nothing of it is verified yet."""

    body: bytes
    hash: str
    parts: tuple[Part, ...]


class _Opening(Struct, frozen=True):
    salt: str
    text: str


def reply(body: bytes, hash: str, parts: Sequence[Part]) -> bytes:
    """The JSON object that shows a receipt; `parts` are its own, in order of name."""
    if not parts:
        return b"".join((_BEFORE, body, _BETWEEN, hash.encode(), _AFTER))
    shown = {part.name: {"salt": part.salt.hex(), "text": part.text.decode()} for part in parts}
    openings = orjson.dumps(shown, option=orjson.OPT_SORT_KEYS)
    return b"".join((_BEFORE, body, _BETWEEN, hash.encode(), _PARTS, openings, b"}"))


def parse_line(text: bytes) -> Line:
    """
    The inverse of `reply`, with or without the line feed after it. Strict: a line is exactly what `reply` writes.

    Raises NotCanonical.
    """
    text = text.removesuffix(b"\n")
    if len(text) > LINE_BYTES_MAX:
        raise NotCanonical(f"a line of {len(text)} bytes is longer than {LINE_BYTES_MAX}")
    # Within a JSON string the quotes would be escaped, and no member of `parts` is named so and has a string.
    cut = text.rfind(_BETWEEN)
    body, rest = text[len(_BEFORE) : cut], text[cut + len(_BETWEEN) :]
    try:
        hash_beside = rest[:_HASH_DIGITS].decode("ascii")
        parts = () if rest[_HASH_DIGITS:] == _AFTER else _parts_of(body, rest[_HASH_DIGITS + len(_PARTS) : -1])
    except ValueError as error:
        raise NotCanonical(f"not a line of an export: {error}") from error
    if reply(body, hash_beside, parts) != text:
        raise NotCanonical("not a line of an export")
    return Line(body, hash_beside, parts)


def _parts_of(body: bytes, openings: bytes) -> tuple[Part, ...]:
    shown = _SHOWN.decode(openings)
    seq = read(body)["seq"]
    return tuple(Part(seq, name, bytes.fromhex(part.salt), part.text.encode()) for name, part in shown.items())


_SHOWN: Final = msgspec.json.Decoder(dict[str, _Opening])
