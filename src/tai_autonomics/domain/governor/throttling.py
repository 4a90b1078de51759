"""
What is left of a throttle: how many checks and consumes of its tenant were asked in the present window.

Windows are a budget's, fixed and counted from 1970. Who answers keeps the count, each instance its own (docs/adr/0014);
what a throttle is, and until when, the ledger says.
"""

from msgspec.structs import replace

from tai_autonomics.domain.budgets import BudgetUse, use_at
from tai_autonomics.domain.governor.states import Throttled
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.rules import Budget


def throttle_use(now: Moment, throttle: Throttled, use: BudgetUse | None) -> BudgetUse:
    """What was asked in the window that holds `now`; a clock that goes back stays in the window that it was in."""
    if use is not None and use.per_seconds == throttle.per_seconds and now < use.window_end:
        return replace(use, max=throttle.requests)
    return use_at(now, Budget(throttle.requests, throttle.per_seconds), None)


def asked_more(use: BudgetUse, count: int) -> BudgetUse:
    """The use after so many more, of which those beyond the bound are refused and not counted."""
    return replace(use, used=max(use.used, min(use.used + count, use.max)))
