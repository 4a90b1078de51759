"""What happened to a quota, a sentence an event."""

from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.quota import QuotaConsumed, QuotaEvent, QuotaReleased, QuotaReset, ThresholdCrossed


def sentence_of(event: QuotaEvent) -> str:
    """What the event says, all of it."""
    match event:
        case QuotaConsumed(quota, amount, used, per, limit, start, end):
            of = "without a limit" if limit is None else f"of {limit}"
            return f"{amount} of {quota} were consumed: {used} {of} are used now, {_window(per, start, end)}."
        case QuotaReleased(quota, amount, used, per, start, end):
            return f"{amount} of {quota} were given back: {used} are used now, {_window(per, start, end)}."
        case QuotaReset(quota, was, used, per, start, end):
            return f"The use of {quota} was set from {was} to {used}, {_window(per, start, end)}."
        case ThresholdCrossed(quota, percent, used, limit):
            return (
                f"With that {percent} % of the limit of {quota} is used, for the first time in this window:"
                f" {used} of {limit}."
            )


def _window(per: str, start: Moment | None, end: Moment | None) -> str:
    bounds = ("" if start is None else f" from {start}") + ("" if end is None else f" to {end}")
    return f"per {per}, in the window{bounds}" if bounds else f"per {per}"
