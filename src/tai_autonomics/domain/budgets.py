"""
How much of a budget is used in its present window.

Windows are fixed, counted from 1970-01-01T00:00:00Z; one begins with nothing used, and what is used is not given back.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tai_autonomics.domain.moments import Moment, datetime_of, moment_of, plus_seconds
from tai_autonomics.domain.rules import Budget

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class BudgetUse(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """`used` of `max` in one window, which ends at `window_end` and does not hold that moment."""

    used: int
    max: int
    per_seconds: int
    window_start: Moment
    window_end: Moment


def use_at(now: Moment, budget: Budget, use: BudgetUse | None) -> BudgetUse:
    """The use in the window that holds `now`, under the budget in force; another length of window begins anew."""
    start = _window_start(now, budget.per_seconds)
    if use is not None and use.per_seconds == budget.per_seconds and use.window_start == start:
        return replace(use, max=budget.max)
    return BudgetUse(0, budget.max, budget.per_seconds, start, plus_seconds(start, budget.per_seconds))


def spent(use: BudgetUse) -> BudgetUse:
    """The use with one more."""
    return replace(use, used=use.used + 1)


def _window_start(now: Moment, per_seconds: int) -> Moment:
    length = timedelta(seconds=per_seconds)
    return moment_of(EPOCH + (datetime_of(now) - EPOCH) // length * length)
