"""
Counts, in this instance, what tenants ask while an action throttles them. Nothing of it is kept: a restart counts anew.
"""

from collections import OrderedDict

from tai_autonomics.domain.budgets import BudgetUse
from tai_autonomics.domain.governor import Throttled, asked_more, throttle_use
from tai_autonomics.domain.moments import Moment


class Throttles:
    """One use for each tenant that asked lately; over `tenants_max` the one that asked least recently counts anew."""

    def __init__(self, *, tenants_max: int = 100_000) -> None:
        self._tenants_max = tenants_max
        self._uses: OrderedDict[str, BudgetUse] = OrderedDict()

    def ask(self, tenant: str, throttle: Throttled, now: Moment, count: int = 1) -> BudgetUse:
        """Count that so many are asked now; what was asked before them in the window."""
        use = throttle_use(now, throttle, self._uses.get(tenant))
        self._uses[tenant] = asked_more(use, count)
        self._uses.move_to_end(tenant)
        if len(self._uses) > self._tenants_max:
            self._uses.popitem(last=False)
        return use
