"""Where time comes from."""

import time

import pytest

from tai_autonomics.application.clock import SealingClock
from tai_autonomics.domain.moments import moment_of
from tai_autonomics.wiring.machine import SystemClock


class Machine:
    """The clocks of a machine that can be suspended: all but CLOCK_MONOTONIC go on."""

    def __init__(self) -> None:
        self.awake, self.asleep = 1_000.0, 0.0

    def clock_gettime(self, clock: int) -> float:
        return self.awake + (0.0 if clock == time.CLOCK_MONOTONIC else self.asleep)


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="this system has no CLOCK_BOOTTIME")
def test_the_time_that_a_machine_slept_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, clock = Machine(), SystemClock()
    monkeypatch.setattr(time, "clock_gettime", machine.clock_gettime)
    monkeypatch.setattr(time, "monotonic", lambda: machine.clock_gettime(time.CLOCK_MONOTONIC))
    before = clock.monotonic()
    machine.asleep += 3_600
    assert clock.monotonic() - before == 3_600


def test_the_clocks_of_this_machine_keep_pace() -> None:
    clock = SystemClock()
    sealing = SealingClock(clock, skew_seconds_max=1)
    first = sealing.monotonic()
    assert sealing.now() <= moment_of(clock.now())
    assert sealing.monotonic() >= first
