"""Actions that are due and wait for their attempt, as this process sees them: what an operator is told, no more."""

from datetime import datetime
from typing import Final

from tai_autonomics.domain.identifiers import ActionId
from tai_autonomics.domain.moments import Moment, datetime_of, moment_of

LEFT_MAX: Final = 10_000
"""Of those that there was no room for, so many are remembered."""
LEFT_SECONDS: Final = 600.0
"""
One that nobody handed to this process for so long is another instance's, was cancelled, or rests in the store, of which
an instance without room leases no more.
"""


class Queue:
    """Those in hand that wait for their place, and those that found no room and stay due in the store."""

    def __init__(self) -> None:
        self._waiting: dict[ActionId, tuple[Moment, float]] = {}
        """When each row is due, and when it came to hand, in monotonic seconds: whoever asked for it acts before."""
        self._left: dict[ActionId, tuple[Moment, float]] = {}

    def take(self, action: ActionId, due: Moment, monotonic: float) -> None:
        """It is in hand, and waits."""
        self._left.pop(action, None)
        self._waiting[action] = due, monotonic

    def leave(self, action: ActionId, due: Moment, monotonic: float) -> None:
        """There is no room for it."""
        if len(self._left) < LEFT_MAX or action in self._left:
            self._left[action] = due, monotonic

    def end(self, action: ActionId) -> None:
        """It has its place, or needs none any more."""
        self._waiting.pop(action, None)

    def standing(self, now: datetime, monotonic: float) -> tuple[int, float]:
        """How many wait, and for how many seconds the one that has waited longest; 0 for none."""
        moment = moment_of(now)
        self._left = {action: row for action, row in self._left.items() if monotonic - row[1] <= LEFT_SECONDS}
        left = [due for due, _ in self._left.values() if due <= moment]
        longest = max((monotonic - since for _, since in self._waiting.values()), default=0.0)
        due = min((*left, *(due for due, _ in self._waiting.values())), default=moment)
        return len(self._waiting) + len(left), max(longest, (now - datetime_of(due)).total_seconds())
