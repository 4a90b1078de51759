"""What a request names, parsed once: ids, keys, times, parts, cursors, query parameters."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import parse_qsl

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from tai_autonomics.domain.identifiers import IDENTIFIER
from tai_autonomics.domain.moments import Moment, moment_of
from tai_autonomics.domain.plans import COUNT_MAX
from tai_autonomics.errors import Malformed
from tai_autonomics.ingress.exchange import TurnedAway

T = TypeVar("T")

# How the types that parse are described in OpenAPI. The patterns are checked below, where a reason can be named.
IDENTIFIER_PATTERN: Final = f"^{IDENTIFIER.pattern}$"
IdText = Annotated[str, Meta(extra_json_schema={"pattern": IDENTIFIER_PATTERN})]
TimeText = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
KeyText = Annotated[str, Meta(extra_json_schema={"pattern": "^[!-~]{1,255}$"})]
ReasonText = Annotated[Raw, Meta(extra_json_schema={"type": "string"})]
Count = Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": COUNT_MAX})]

COMMAND_ID_BYTES_MAX: Final = 400
QUERY_PARAMETERS_MAX: Final = 16
LIST_LIMIT_MAX: Final = 1_000
LIST_LIMIT: Final = 100
_KEY: Final = re.compile(r"[!-~]{1,255}")
_QUOTED_KEY: Final = re.compile(r'"((?:[!#-\[\]-~]|\\["\\])*)"')
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
_CURSOR: Final = re.compile(r"[A-Za-z0-9_-]{1,256}")


def at(pointer: str, parse: Callable[[str], T], text: str) -> T:
    """`parse(text)`, with the pointer in its Malformed."""
    try:
        return parse(text)
    except Malformed as error:
        raise Malformed(error.reason, error.detail, pointer=pointer) from error


def moment(text: str, pointer: str) -> Moment:
    """An RFC 3339 time with an offset, as UTC with six digits. Raises Malformed."""
    if _INSTANT.fullmatch(text) is None:
        detail = "a time is written as RFC 3339 says, with an offset: 2026-11-24T02:01:33Z"
        raise Malformed("malformed_request", detail, pointer=pointer)
    try:
        return moment_of(datetime.fromisoformat(_six_digits(text.upper())))
    except (ValueError, OverflowError) as error:
        raise Malformed("malformed_request", f"no such time: {text}", pointer=pointer) from error
    except Malformed as error:
        raise Malformed(error.reason, error.detail, pointer=pointer) from error


def _six_digits(text: str) -> str:
    # Digits below the microsecond are cut off, as the ledger's times have six.
    whole, dot, rest = text.partition(".")
    if not dot:
        return text
    digits = re.match(r"\d+", rest)
    assert digits is not None
    return f"{whole}.{digits[0][:6]:0<6}{rest[digits.end() :]}"


def amount(value: int, pointer: str) -> int:
    """Raises Malformed."""
    if not 1 <= value <= COUNT_MAX:
        raise Malformed("malformed_request", "an amount is an integer from 1 to 2^53-1", pointer=pointer)
    return value


def request_id(value: str, pointer: str) -> str:
    """An idempotency key given in the body. Raises Malformed."""
    if _KEY.fullmatch(value) is None:
        raise Malformed("malformed_request", "a request_id is 1 to 255 visible ASCII characters", pointer=pointer)
    return value


def idempotency_key(headers: Mapping[bytes, bytes]) -> str | None:
    """
    The Idempotency-Key header: plain, or a quoted string (RFC 8941 section 3.3.3).

    1 to 255 visible ASCII characters. Raises Malformed.
    """
    given = headers.get(b"idempotency-key")
    if given is None:
        return None
    text = given.decode("latin-1").strip(" \t")
    if text.startswith('"'):
        quoted = _QUOTED_KEY.fullmatch(text)
        text = "" if quoted is None else re.sub(r'\\(["\\])', r"\1", quoted[1])
    if _KEY.fullmatch(text) is None:
        raise Malformed("malformed_request", "an Idempotency-Key is 1 to 255 visible ASCII characters, or quoted")
    return text


def key_in(member: str | UnsetType) -> str | None:
    """The key that a body's request_id gives, if it has one. Raises Malformed."""
    return None if member is UNSET else request_id(member, "/request_id")


def key_of(headers: Mapping[bytes, bytes], member: str | UnsetType) -> str | None:
    """The key that header or request_id gives. Raises Malformed when they differ."""
    return one_key(idempotency_key(headers), key_in(member))


def one_key(header: str | None, member: str | None) -> str | None:
    """The key that header or body gives. Raises Malformed when they differ."""
    if header is not None and member is not None and header != member:
        detail = "Idempotency-Key and request_id differ: give one of them"
        raise Malformed("malformed_request", detail, pointer="/request_id")
    return header if header is not None else member


def command_id(source: str, of: str, key: str) -> str:
    """`source:of:key`; a colon in `of` is written %3A, so that no id can be read as another's. Raises Malformed."""
    if ":" in of or "%" in of:
        of = of.replace("%", "%25").replace(":", "%3A")
    text = f"{source}:{of}:{key}"
    if len(text.encode()) > COMMAND_ID_BYTES_MAX:
        raise Malformed("malformed_request", f"the command id would have more than {COMMAND_ID_BYTES_MAX} bytes")
    return text


def parts_of(body: Any, names: tuple[str, ...], bytes_max: int, pointer: str = "") -> tuple[tuple[str, bytes], ...]:
    """The erasable parts of a typed body, exactly as they were received. Raises Malformed."""
    found: tuple[tuple[str, bytes], ...] = ()
    for name in names:
        raw: Raw | UnsetType = getattr(body, name)
        if raw is not UNSET:
            text = bytes(raw)
            if len(text) > bytes_max:
                detail = f"{name} has at most {bytes_max} bytes"
                raise Malformed("malformed_request", detail, pointer=f"{pointer}/{name}")
            if name == "reason" and not text.startswith(b'"'):
                raise Malformed("malformed_request", "a reason is a string", pointer=f"{pointer}/{name}")
            found = (*found, (name, text))
    return found


def asked(members: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """
    What a request's digest covers: the members that were sent, without erasable parts, its own key and defaults.

    So a retry with other metadata, or with a default spelled out, is the same request.
    """
    return {
        name: value
        for name, value in members.items()
        if name not in _NOT_ASKED and (name not in defaults or defaults[name] != value)
    }


_NOT_ASKED: Final = frozenset({"metadata", "reason", "request_id"})


def count(text: str) -> int | None:
    """A non-negative integer of at most 16 digits, or None."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 16 else None


def seq_in_path(text: str) -> int:
    """Raises TurnedAway(not_found)."""
    seq = count(text)
    if seq is None or not 1 <= seq <= COUNT_MAX:
        raise TurnedAway("not_found", "a receipt is found by its seq, or as head")
    return seq


def query_of(query: bytes, known: Collection[str]) -> dict[str, str]:
    """The query's parameters, each known and given once. Raises Malformed."""
    if not query:
        return {}
    try:
        pairs = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=QUERY_PARAMETERS_MAX,
        )
    except ValueError as error:
        raise Malformed("malformed_request", "the query is not a list of name=value") from error
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("malformed_request", "a query parameter is given twice")
    for name in found:
        if name not in known:
            expected = f"known here: {', '.join(known)}" if known else "none is known here"
            raise Malformed("malformed_request", f"no query parameter {name[:64]!r}: {expected}")
    return found


class Page(Struct, frozen=True):
    """Where a list goes on, and how far. `after` is what the last item was, "" at the start."""

    after: str
    limit: int


def page_of(query: Mapping[str, str], of: str) -> Page:
    """`limit` and `cursor` of a list. `of` names the list: a cursor of another one is refused. Raises Malformed."""
    limit = count(query.get("limit", str(LIST_LIMIT)))
    if limit is None or not 1 <= limit <= LIST_LIMIT_MAX:
        raise Malformed("malformed_request", f"limit is 1 to {LIST_LIMIT_MAX}")
    given = query.get("cursor")
    return Page("" if given is None else _opened(given, of), limit)


def cursor_after(of: str, last: str) -> str:
    """Opaque to callers: where the list named `of` goes on after the item `last`."""
    return urlsafe_b64encode(f"{of}\n{last}".encode()).decode("ascii").rstrip("=")


def _opened(cursor: str, of: str) -> str:
    if _CURSOR.fullmatch(cursor) is None:
        raise Malformed("malformed_request", "this cursor is not one of ours")
    try:
        text = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (NotBase64, ValueError) as error:
        raise Malformed("malformed_request", "this cursor is not one of ours") from error
    list_name, newline, last = text.partition("\n")
    if list_name != of or not newline or not last.isprintable() or not last or cursor_after(of, last) != cursor:
        raise Malformed("malformed_request", "this cursor belongs to another list")
    return last
