"""The wall clock is compared with the monotonic one seldom enough to be cheap, and soon enough to be right."""

from datetime import UTC, datetime, timedelta

import pytest

from tai_autonomics.application.clock import SealingClock
from tai_autonomics.domain.moments import moment_of
from tai_autonomics.errors import ClockUntrusted

START = datetime(2026, 11, 24, 12, tzinfo=UTC)
SKEW_SECONDS = 5.0


class CountingClock:
    """Moved by hand; counts how often the monotonic clock was asked."""

    def __init__(self) -> None:
        self.wall, self.seconds, self.asked = START, 100.0, 0

    def advance(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.seconds += seconds

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        self.asked += 1
        return self.seconds


@pytest.fixture
def clock() -> CountingClock:
    return CountingClock()


@pytest.fixture
def sealing(clock: CountingClock) -> SealingClock:
    return SealingClock(clock, skew_seconds_max=SKEW_SECONDS)


def test_every_moment_is_the_wall_clocks_own(clock: CountingClock, sealing: SealingClock) -> None:
    for _ in range(20):
        clock.advance(0.03)
        assert sealing.now() == moment_of(clock.wall)


def test_the_clocks_are_compared_at_most_every_fifty_milliseconds(clock: CountingClock, sealing: SealingClock) -> None:
    clock.asked = 0
    for _ in range(100):
        sealing.now()
        clock.advance(0.001)
    assert clock.asked == 2


@pytest.mark.parametrize("seconds", [SKEW_SECONDS + 0.1, -SKEW_SECONDS - 0.1, 86_400.0, -86_400.0])
def test_a_jump_is_noticed_at_once_right_after_a_comparison(
    clock: CountingClock, sealing: SealingClock, seconds: float
) -> None:
    sealing.now()
    clock.advance(0.001)
    clock.wall += timedelta(seconds=seconds)
    with pytest.raises(ClockUntrusted, match="against the monotonic clock"):
        sealing.now()


def test_a_clock_that_stood_still_is_found_out_when_it_goes_on(clock: CountingClock, sealing: SealingClock) -> None:
    sealing.now()
    clock.seconds += 60
    clock.wall += timedelta(milliseconds=50)
    with pytest.raises(ClockUntrusted):
        sealing.now()


def test_a_newer_receipt_is_looked_at_right_after_a_comparison(clock: CountingClock, sealing: SealingClock) -> None:
    sealing.now()
    sealing.saw(moment_of(START + timedelta(seconds=SKEW_SECONDS + 1)))
    with pytest.raises(ClockUntrusted, match="far behind the newest receipt"):
        sealing.now()
