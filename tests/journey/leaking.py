"""The service with a leak: every request that it answers leaves some bytes behind. Run as `python -m`."""

from typing import Final

from tai_autonomics.__main__ import main
from tai_autonomics.application.ports import Answered
from tai_autonomics.telemetry.metrics import Metrics

LEAKED_BYTES: Final = 20_000
KEPT: Final[list[bytes]] = []

_counted = Metrics.answered


def _counted_and_kept(self: Metrics, request: Answered) -> None:
    # Written to, or the system would give no page for it.
    KEPT.append(b"x" * LEAKED_BYTES)
    _counted(self, request)


if __name__ == "__main__":
    Metrics.answered = _counted_and_kept  # type: ignore[method-assign]
    main()
