"""
What one rule of a plan has to do about the signals that a ledger holds, told without the service's own code.

The rule acts when the average of the last three measurements is over `act`, unless an action is in flight, it cools
down, or the budget of the present window is used up. When an action is settled it is asked once more.
"""

from collections import deque
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00Z")
SAMPLES: Final = 3


class Bounds(NamedTuple):
    """`window` is the budget's."""

    act: Decimal
    cooldown: timedelta
    actions_max: int
    window: timedelta


class Model:
    """Fed with receipts in order; `requested` is when it would have asked for an action."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._values: deque[Decimal] = deque(maxlen=SAMPLES)
        self._cooldown_until = self._window_start = EPOCH
        self._used = 0
        self._in_flight = False
        self.requested: list[datetime] = []

    def take(self, receipts: Iterable[dict[str, Any]]) -> None:
        """Bodies of receipts; of their events only what came from outside is read: signals, and ends of actions."""
        for receipt in receipts:
            now = datetime.fromisoformat(receipt["time"])
            for event in receipt["events"]:
                if event["type"] == "SignalObserved":
                    self._values.append(Decimal(event["value"]))
                    self._ask(now)
                elif event["type"] == "ActionSettled":
                    self._in_flight = False
                    self._ask(now)

    def _ask(self, now: datetime) -> None:
        if len(self._values) < SAMPLES or sum(self._values) / SAMPLES <= self._bounds.act:
            return
        if self._in_flight or now < self._cooldown_until or not self._is_within_budget(now):
            return
        self._used += 1
        self._in_flight = True
        self._cooldown_until = now + self._bounds.cooldown
        self.requested.append(now)

    def _is_within_budget(self, now: datetime) -> bool:
        start = EPOCH + (now - EPOCH) // self._bounds.window * self._bounds.window
        if start != self._window_start:
            self._window_start, self._used = start, 0
        return self._used < self._bounds.actions_max
