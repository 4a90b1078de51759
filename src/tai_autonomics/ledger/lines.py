"""
What a client gets and an export holds: the stored body, its hash, and the parts that still exist.

    {"receipt":<body>,"hash":"<hex>","parts":{"<name>":{"salt":"<hex>","text":"<the part as a JSON string>"}},
     "plans":"<the plans file as a JSON string>"}

`parts` is absent when none exist, and `plans` but in an export: there the first receipt that names a plans file brings
it along. The body stands there byte for byte, so it can be cut out and hashed. An export is such lines, each ended by a
line feed.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
import orjson
from msgspec import Struct

from tai_autonomics.errors import NotCanonical
from tai_autonomics.ledger.receipt import read
from tai_autonomics.ledger.records import Part

LINE_BYTES_MAX: Final = 4 * 1024 * 1024
"""Of one export line: a body, parts whose text may grow sixfold as a JSON string, and a plans file, twofold."""

_BEFORE: Final = b'{"receipt":'
_BETWEEN: Final = b',"hash":"'
_AFTER: Final = b'"}'
_PARTS: Final = b',"parts":'
_PLANS: Final = b',"plans":'
_HASH_DIGITS: Final = 64


class Line(Struct, frozen=True):
    """One export line taken apart; nothing of it is verified yet."""

    body: bytes
    hash: str
    parts: tuple[Part, ...]
    plans: bytes | None = None


class _Opening(Struct, frozen=True):
    salt: str
    text: str


class _Beside(Struct, frozen=True):
    """What may follow the hash."""

    parts: dict[str, _Opening] = {}
    plans: str | None = None


def reply(body: bytes, hash: str, parts: Sequence[Part], *, plans: bytes | None = None) -> bytes:
    """
    The JSON object that shows a receipt; `parts` are its own, in order of name.

    `plans` is the file that decided, in UTF-8, where an export brings it along.
    """
    if not parts and plans is None:
        return b"".join((_BEFORE, body, _BETWEEN, hash.encode(), _AFTER))
    beside = [_BEFORE, body, _BETWEEN, hash.encode(), b'"']
    if parts:
        shown = {part.name: {"salt": part.salt.hex(), "text": part.text.decode()} for part in parts}
        beside += [_PARTS, orjson.dumps(shown, option=orjson.OPT_SORT_KEYS)]
    if plans is not None:
        beside += [_PLANS, orjson.dumps(plans.decode())]
    return b"".join((*beside, b"}"))


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
        parts, plans = ((), None) if rest[_HASH_DIGITS:] == _AFTER else _beside(body, rest[_HASH_DIGITS + 2 :])
    except ValueError as error:
        raise NotCanonical(f"not a line of an export: {error}") from error
    if reply(body, hash_beside, parts, plans=plans) != text:
        raise NotCanonical("not a line of an export")
    return Line(body, hash_beside, parts, plans)


def _beside(body: bytes, members: bytes) -> tuple[tuple[Part, ...], bytes | None]:
    """`members` without their opening brace."""
    shown = _SHOWN.decode(b"{" + members)
    seq = read(body)["seq"]
    parts = tuple(Part(seq, name, bytes.fromhex(part.salt), part.text.encode()) for name, part in shown.parts.items())
    return parts, None if shown.plans is None else shown.plans.encode()


_SHOWN: Final = msgspec.json.Decoder(_Beside)
