"""Spans of time as they are written on a command line: "30s", "10m", "7d"."""

import typer


def seconds_of(text: str, option: str) -> int:
    """A whole number and its unit (s, m, h, d), as a plans file has it, in seconds."""
    from tai_autonomics.policy.nodes import DURATION, UNIT_SECONDS

    written = DURATION.fullmatch(text)
    if written is None:
        raise typer.BadParameter(f"{option} {text!r} is not a duration such as 30s, 10m, 1h or 7d")
    return int(written[1]) * UNIT_SECONDS[written[2]]
