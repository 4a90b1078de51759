"""`python -m tests.fault.instances.ahead …` is the program on a machine whose clock is CLOCK_AHEAD_SECONDS ahead."""

import os
from datetime import datetime, timedelta

from tai_autonomics.__main__ import main
from tai_autonomics.wiring import machine

AHEAD = timedelta(seconds=float(os.environ["CLOCK_AHEAD_SECONDS"]))
_now = machine.SystemClock.now


def _now_ahead(clock: machine.SystemClock) -> datetime:
    return _now(clock) + AHEAD


if __name__ == "__main__":
    machine.SystemClock.now = _now_ahead  # type: ignore[method-assign]
    main()
