"""How many ledgers each caller began in the current minute: bounds what one caller can make grow."""

from typing import Final

from tai_autonomics.errors import Overloaded

POLICY: Final = "new_ledgers"
"""How a response names this bound."""


class Newcomers:
    """Counts from the first ledger of a minute to its end, by the monotonic clock."""

    def __init__(self, per_minute_max: int) -> None:
        self._per_minute_max = per_minute_max
        self._minute = 0
        self._begun: dict[str, int] = {}

    def admit(self, caller: str, monotonic_seconds: float) -> None:
        """Raises Overloaded(rate_limited)."""
        minute = int(monotonic_seconds // 60)
        if minute != self._minute:
            self._minute, self._begun = minute, {}
        begun = self._begun.get(caller, 0)
        if begun >= self._per_minute_max:
            wait = 60 - int(monotonic_seconds % 60)
            detail = f"one caller may begin {self._per_minute_max} ledgers a minute on this instance"
            raise Overloaded("rate_limited", detail, retry_after_seconds=wait, policy=POLICY)
        self._begun[caller] = begun + 1
