"""
The clock that seals: the only time that governors see.

A wall clock may jump. Where the store has a clock, it is the judge: one that is further from it than the allowed skew
seals nothing. Where the store has none, one that moved against the monotonic clock by more than
the allowed skew, or that lies that far behind the newest receipt, seals nothing: one receipt from the year 2099 would
pin its ledger there. However long a clock keeps pace after a step, nothing here can tell whether the step set it right:
it is trusted when the step is undone, or from a start on, which is a person's word for it.

A wall clock that is found to be right is trusted for the next 50 ms that it shows: whatever it shows outside of them is
compared again.
"""

from datetime import datetime, timedelta
from typing import Final

from tai_autonomics.application.ports import Clock
from tai_autonomics.domain.moments import Moment, datetime_of, moment_of
from tai_autonomics.errors import ClockUntrusted

TRUSTED_FOR: Final = timedelta(milliseconds=50)


class SealingClock:
    """Tells the time while it can be trusted."""

    def __init__(self, clock: Clock, *, skew_seconds_max: float) -> None:
        self._clock = clock
        self._skew_seconds_max = skew_seconds_max
        self._wall_start = clock.now()
        self._monotonic_start = clock.monotonic()
        self._floor = Moment("")
        self._ahead_of_store = 0.0
        self._trusted_from = self._trusted_to = self._wall_start

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self._clock.monotonic()

    def saw(self, newest: str) -> None:
        """Take note of the newest receipt's time: a clock further behind it than the skew is not trusted."""
        floor = moment_of(datetime_of(Moment(newest)) - timedelta(seconds=self._skew_seconds_max))
        self._floor = max(self._floor, floor)
        self._trusted_to = self._trusted_from

    def compare_with_store(self, store: datetime, asked: float) -> None:
        """
        The store's clock showed `store` at some moment since `asked` (monotonic seconds).

        Only what no such moment can explain counts as a difference. From a clock that agrees, steps are measured anew:
        one that was set right is trusted again.
        """
        wall, monotonic = self._clock.now(), self._clock.monotonic()
        ahead, took = (wall - store).total_seconds(), monotonic - asked
        self._ahead_of_store = ahead if ahead < 0 else max(ahead - took, 0.0)
        if abs(self._ahead_of_store) <= self._skew_seconds_max:
            self._wall_start, self._monotonic_start = wall, monotonic
        self._trusted_from = self._trusted_to = wall

    def now(self) -> Moment:
        """Raises ClockUntrusted."""
        wall = self._clock.now()
        moment = moment_of(wall)
        if not self._trusted_from <= wall < self._trusted_to:
            self._compare(wall, moment)
        return moment

    def _compare(self, wall: datetime, moment: Moment) -> None:
        if abs(self._ahead_of_store) > self._skew_seconds_max:
            raise ClockUntrusted(f"the clock is {self._ahead_of_store:+.1f} s from the store's")
        moved = (wall - self._wall_start).total_seconds() - (self._clock.monotonic() - self._monotonic_start)
        if abs(moved) > self._skew_seconds_max:
            raise ClockUntrusted(
                f"the clock moved {moved:+.1f} s against the monotonic clock since the start:"
                " restart if it is right now, else set it right"
            )
        if moment < self._floor:
            raise ClockUntrusted(f"the clock says {moment}, far behind the newest receipt")
        self._trusted_from, self._trusted_to = wall, wall + TRUSTED_FOR

    def next_time(self, now: Moment, head_time: str) -> Moment:
        """The later of both, the time of a receipt after one of `head_time`. Raises ClockUntrusted."""
        if now >= head_time:
            return now
        ahead = (datetime_of(Moment(head_time)) - datetime_of(now)).total_seconds()
        if ahead > self._skew_seconds_max:
            raise ClockUntrusted(f"the ledger's newest receipt is {ahead:.1f} s ahead of the clock")
        return Moment(head_time)
