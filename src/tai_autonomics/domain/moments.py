"""Points in time as ready strings: inside the domain nothing is converted, and order as strings is order in time."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, NewType

import msgspec

from tai_autonomics.errors import Malformed

Moment = NewType("Moment", str)
"""RFC 3339 in UTC, always six digits and a Z: "2026-11-24T02:01:33.123456Z"."""

FIRST: Final = Moment("0001-01-01T00:00:00.000000Z")
"""The earliest moment that can be written."""
LAST: Final = Moment("9999-12-31T23:59:59.999999Z")
"""The latest moment that can be written."""
SUMS_KEPT: Final = 1_024
_QUOTED: Final = len('"2026-11-24T02:01:33.123456Z"')
_encode: Final = msgspec.json.Encoder().encode


def moment_of(instant: datetime) -> Moment:
    """
    The moment of an aware instant (RFC 3339 section 5.6).

    Raises Malformed(malformed_request) when it has no offset, or lies outside the years 1 to 9999 in UTC.
    """
    if instant.tzinfo is UTC:
        # As isoformat writes it, in a fifth of the time; at a whole second it leaves the six digits out.
        quoted = _encode(instant)
        if len(quoted) == _QUOTED:
            return Moment(quoted[1:-1].decode("ascii"))
    if instant.utcoffset() is None:
        raise Malformed("malformed_request", "a time has an offset, such as Z or +01:00")
    try:
        return Moment(instant.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z")
    except OverflowError as error:
        raise Malformed("malformed_request", "a time lies in the years 1 to 9999 in UTC") from error


def datetime_of(moment: Moment) -> datetime:
    """The aware instant, in UTC."""
    return datetime.fromisoformat(moment)


@lru_cache(SUMS_KEPT)  # the end of a window is asked for with every check, and is the same all day
def plus_seconds(moment: Moment, seconds: float) -> Moment:
    """The moment that many seconds later (or earlier, when negative); FIRST or LAST where the calendar ends."""
    try:
        return moment_of(datetime_of(moment) + timedelta(seconds=seconds))
    except (OverflowError, Malformed):
        return LAST if seconds > 0 else FIRST
