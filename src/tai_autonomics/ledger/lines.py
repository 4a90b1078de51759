"""
What a client gets and an export holds: the stored body, its hash, and the parts that still exist.

    {"receipt":<body>,"hash":"<hex>","parts":{"<name>":{"salt":"<hex>","text":"<the part as a JSON string>"}},
     "plans":"<the plans file as a JSON string>",
     "base":{"hash":"<hex>","ledger":"<ULID>","seq":500,"time":"<RFC 3339>","state_version":2,
             "state":"<the state as a JSON string>","archive":"<hex>"}}

`parts` is absent when none exist, and `plans` and `base` but in an export: there the first receipt that names a plans
file brings it along, and the first of a ledger whose earlier receipts are archived brings along where it begins. The
body stands there byte for byte, so it can be cut out and hashed. An export is such lines, each ended by a line feed.
"""

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
import orjson
from msgspec import Meta, Struct

from tai_autonomics.errors import NotCanonical
from tai_autonomics.ledger.receipt import read
from tai_autonomics.ledger.records import Base, Part, Snapshot

STATE_BYTES_MAX: Final = 4 * 1024 * 1024
"""Of a base's state: as a JSON string it may grow twofold."""
LINE_BYTES_MAX: Final = 4 * 1024 * 1024 + 2 * STATE_BYTES_MAX
"""Of one export line: a body, parts whose text may grow sixfold as a JSON string, a plans file, twofold, and a base."""

_BEFORE: Final = b'{"receipt":'
_BETWEEN: Final = b',"hash":"'
_AFTER: Final = b'"}'
_PARTS: Final = b',"parts":'
_PLANS: Final = b',"plans":'
_BASE: Final = b',"base":'
_HASH_DIGITS: Final = 64


class Line(Struct, frozen=True):
    """One export line taken apart; nothing of it is verified yet."""

    body: bytes
    hash: str
    parts: tuple[Part, ...]
    plans: bytes | None = None
    base: Base | None = None


class _Opening(Struct, frozen=True):
    salt: str
    text: str


class _Base(Struct, frozen=True):
    """In the order of the line: `hash` first, so that no comma before it makes it look like the receipt's."""

    hash: str
    ledger: str
    seq: Annotated[int, Meta(ge=1)]
    time: str
    state_version: int
    state: str
    archive: str


class _Beside(Struct, frozen=True):
    """What may follow the hash."""

    parts: dict[str, _Opening] = {}
    plans: str | None = None
    base: _Base | None = None


def reply(
    body: bytes, hash: str, parts: Sequence[Part], *, plans: bytes | None = None, base: Base | None = None
) -> bytes:
    """
    The JSON object that shows a receipt; `parts` are its own, in order of name.

    `plans` is the file that decided, in UTF-8, where an export brings it along; so is `base`, its state in UTF-8.
    """
    if not parts and plans is None and base is None:
        return b"".join((_BEFORE, body, _BETWEEN, hash.encode(), _AFTER))
    beside = [_BEFORE, body, _BETWEEN, hash.encode(), b'"']
    if parts:
        shown = {part.name: {"salt": part.salt.hex(), "text": part.text.decode()} for part in parts}
        beside += [_PARTS, orjson.dumps(shown, option=orjson.OPT_SORT_KEYS)]
    if plans is not None:
        beside += [_PLANS, orjson.dumps(plans.decode())]
    if base is not None:
        beside += [_BASE, orjson.dumps(msgspec.structs.asdict(_shown_base(base)))]
    return b"".join((*beside, b"}"))


def parse_line(text: bytes) -> Line:
    """
    The inverse of `reply`, with or without the line feed after it. Strict: a line is exactly what `reply` writes.

    Raises NotCanonical.
    """
    text = text.removesuffix(b"\n")
    if len(text) > LINE_BYTES_MAX:
        raise NotCanonical(f"a line of {len(text)} bytes is longer than {LINE_BYTES_MAX}")
    # Within a JSON string the quotes would be escaped; no member of `parts` is named so and has a string, and that of
    # `base` has no comma before it.
    cut = text.rfind(_BETWEEN)
    body, rest = text[len(_BEFORE) : cut], text[cut + len(_BETWEEN) :]
    try:
        hash_beside = rest[:_HASH_DIGITS].decode("ascii")
        line = Line(body, hash_beside, ())
        if rest[_HASH_DIGITS:] != _AFTER:
            line = _with_beside(line, rest[_HASH_DIGITS + 2 :])
    except ValueError as error:
        raise NotCanonical(f"not a line of an export: {error}") from error
    if reply(line.body, line.hash, line.parts, plans=line.plans, base=line.base) != text:
        raise NotCanonical("not a line of an export")
    return line


def _with_beside(line: Line, members: bytes) -> Line:
    """`members` without their opening brace."""
    shown = _SHOWN.decode(b"{" + members)
    seq = read(line.body)["seq"]
    parts = tuple(Part(seq, name, bytes.fromhex(part.salt), part.text.encode()) for name, part in shown.parts.items())
    plans = None if shown.plans is None else shown.plans.encode()
    return Line(line.body, line.hash, parts, plans, None if shown.base is None else _base_of(shown.base))


def _shown_base(base: Base) -> _Base:
    at = base.snapshot
    return _Base(at.hash, at.ledger, at.seq, at.time, at.state_version, at.state.decode(), base.archive)


def _base_of(shown: _Base) -> Base:
    state = shown.state.encode()
    return Base(Snapshot(shown.seq, shown.ledger, shown.hash, shown.time, shown.state_version, state), shown.archive)


_SHOWN: Final = msgspec.json.Decoder(_Beside)
