"""`python -m tai_autonomics`, and the console script `tai-autonomics`."""

import os
import signal
import sys
from types import FrameType
from typing import NoReturn


def main() -> NoReturn:
    if os.getpid() == 1:
        # A container's first process is ended by no signal that it does not handle: SIGTERM during a start was lost.
        signal.signal(signal.SIGTERM, _end)
    # Only now: what it imports takes longer than all the rest until here.
    from tai_autonomics.cli.app import run

    sys.exit(run(sys.argv[1:]))


def _end(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
