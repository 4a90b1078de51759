"""
How much is asked of this instance, by each caller and of each tenant. Nothing of it is kept: a restart counts anew.

    caller --its bucket, which fills by so much a second--> let in while it holds a request, else 429 "caller"
    tenant --its count of the present second--> let in while it is within the rate, else 429 "tenant"
"""

from collections import OrderedDict
from math import ceil
from typing import Final

from msgspec import Struct

from tai_autonomics.application.ports import Clock
from tai_autonomics.errors import Overloaded

CALLERS_MAX: Final = 10_000
"""Buckets in memory. Over it the caller that asked least recently begins with a full one."""


NEVER: Final = -1
"""No second."""


class TenantRates:
    """How much each tenant has asked of this instance in the present second."""

    def __init__(self, per_second_max: int) -> None:
        self._per_second_max = per_second_max
        self._second = 0
        self._asked: dict[str, int] = {}

    def admit(self, tenant: str, count: int, monotonic_seconds: float, *, first_in: int = NEVER) -> int:
        """
        Count `count` commands or questions. Raises Overloaded(rate_limited).

        Only a newer second begins anew: what is asked as of an older one counts in the present one. Returns the second
        whose first request of this tenant it is, for a request that asks for more once its list is read: `first_in`.
        """
        second = int(monotonic_seconds)
        if second > self._second:
            self._second, self._asked = second, {}
        before = self._asked.get(tenant, 0)
        asked = before + count
        # The first of a second is let in whole, or a list that is longer than the rate would never be.
        if asked > self._per_second_max and before and first_in != self._second:
            raise Overloaded("rate_limited", f"one tenant may ask {self._per_second_max} a second of this instance")
        self._asked[tenant] = asked
        return first_in if before else self._second


class CallerRates:
    """
    A token bucket for each caller: `burst` requests at once, `per_second` in the long run.

    Of a bucket only the moment at which it is full again is kept, also when that is over, until CALLERS_MAX others have
    asked since. What a request that was let in asks for besides is owed: the next one waits until it is paid, so that a
    long list is never let in halfway.
    """

    def __init__(self, *, per_second: int, burst: int, callers_max: int = CALLERS_MAX) -> None:
        self._per_second, self._burst, self._callers_max = per_second, burst, callers_max
        self._seconds_each = 1 / per_second
        # Half a request of play, so that what is rounded in a sum refuses none that is within the rate.
        self._until_full_max = (burst - 0.5) * self._seconds_each
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def admit(self, caller: str, monotonic_seconds: float) -> None:
        """Take one request from the caller's bucket. Raises Overloaded(rate_limited), and then takes none."""
        full_at = self._full_at.get(caller, monotonic_seconds)
        if full_at - monotonic_seconds > self._until_full_max:
            self._full_at.move_to_end(caller)
            wait = full_at - monotonic_seconds - self._until_full_max
            detail = f"one caller may ask {self._per_second} a second of this instance, and {self._burst} at once"
            raise Overloaded("rate_limited", detail, retry_after_seconds=max(1, ceil(wait)), policy="caller")
        self._take(caller, 1, max(full_at, monotonic_seconds))

    def owe(self, caller: str, count: int, monotonic_seconds: float) -> None:
        """So many items more are in the request that was let in."""
        self._take(caller, count, max(self._full_at.get(caller, monotonic_seconds), monotonic_seconds))

    def _take(self, caller: str, count: int, full_at: float) -> None:
        self._full_at[caller] = full_at + count * self._seconds_each
        self._full_at.move_to_end(caller)
        if len(self._full_at) > self._callers_max:
            self._full_at.popitem(last=False)


class Rates(Struct, frozen=True):
    """Both, as an exchange finds them, and the clock that says which moment each question is asked at."""

    tenants: TenantRates
    callers: CallerRates
    clock: Clock
