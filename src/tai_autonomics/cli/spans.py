"""Spans of time as they are written on a command line: "30s", "10m", "7d"; or since or until when."""

from typing import Final

import typer

from tai_autonomics.domain.moments import Moment, moment_of, plus_seconds
from tai_autonomics.errors import Malformed

_OR_A_TIME: Final = ", nor a time such as 2026-11-24T09:00:00Z"


def seconds_of(text: str, option: str, otherwise: str = "") -> int:
    """A whole number and its unit (s, m, h, d), as a plans file has it, in seconds."""
    from tai_autonomics.policy.nodes import DURATION, UNIT_SECONDS

    written = DURATION.fullmatch(text)
    if written is None:
        raise typer.BadParameter(f"{option} {text!r} is not a duration such as 30s, 10m, 1h or 7d{otherwise}")
    return int(written[1]) * UNIT_SECONDS[written[2]]


def since_of(text: str, option: str) -> Moment:
    """A time with an offset (RFC 3339), or how long ago, as 7d."""
    return _when(text, option, -1)


def until_of(text: str, option: str) -> Moment:
    """A time with an offset (RFC 3339), or for how long from now on, as 30d."""
    return _when(text, option, 1)


def _when(text: str, option: str, sign: int) -> Moment:
    from tai_autonomics import wiring
    from tai_autonomics.ingress.parsing import moment

    if text[:1].isdigit() and "-" in text:
        try:
            return moment(text, "")
        except Malformed as error:
            raise typer.BadParameter(f"{option} {text!r}: {error.detail}") from error
    return plus_seconds(moment_of(wiring.SystemClock().now()), sign * seconds_of(text, option, _OR_A_TIME))
