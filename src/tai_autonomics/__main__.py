"""`python -m tai_autonomics`, and the console script `tai-autonomics`."""

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

from tai_autonomics.cli.app import run


def main() -> NoReturn:
    if os.getpid() == 1:
        # A container's first process is ended by no signal that it does not handle: SIGTERM during a start was lost.
        signal.signal(signal.SIGTERM, _end)
    sys.exit(run(sys.argv[1:]))


def _end(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
