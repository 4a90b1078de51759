"""Where time and chance come from; nobody else takes them."""

import os
import time
from datetime import UTC, datetime
from typing import Final

AWAKE_AND_ASLEEP: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""
The monotonic clock that goes on while the machine is suspended, as the wall clock does: clock_gettime(2).

By Linux's CLOCK_MONOTONIC a minute of sleep would be a step of the wall clock, which SealingClock does not trust, and a
lease that ended meanwhile would not have. macOS has no CLOCK_BOOTTIME; its CLOCK_MONOTONIC goes on.
"""


class SystemClock:
    """The Clock of this machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.clock_gettime(AWAKE_AND_ASLEEP)


class SystemEntropy:
    """The Entropy of this machine."""

    def bytes(self, count: int) -> bytes:
        return os.urandom(count)

    def ulid(self) -> str:
        from ulid import ULID  # it brings pydantic along where that is installed: 55 ms of a start

        return str(ULID())
