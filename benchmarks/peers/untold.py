"""
`python -m benchmarks.peers.untold serve …` is the service of which nobody hears anything: no request line, no count.

What it calls its observer for is still found out; only the telling is left out.
"""

from typing import Any, BinaryIO

from tai_autonomics.__main__ import main
from tai_autonomics.application.ports import Observer
from tai_autonomics.settings import Settings
from tai_autonomics.telemetry.observer import Telemetry
from tai_autonomics.wiring import serving
from tai_autonomics.wiring.house import telemetry
from tai_autonomics.wiring.machine import SystemClock

HEARD = tuple(name for name, member in vars(Observer).items() if callable(member) and not name.startswith("_"))


def hear_nothing(*_: Any, **__: Any) -> None: ...


class Untold(Telemetry):
    """Takes everything that an Observer hears, and does nothing with it."""


for each in HEARD:
    setattr(Untold, each, hear_nothing)


def untold(settings: Settings, stream: BinaryIO) -> Telemetry:
    told = telemetry(settings, stream)
    return Untold(told.logs, told.metrics, SystemClock())


if __name__ == "__main__":
    serving.telemetry = untold
    main()
