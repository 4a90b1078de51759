"""Where time and chance come from; nobody else takes them."""

import os
import time
from datetime import UTC, datetime


class SystemClock:
    """The Clock of this machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class SystemEntropy:
    """The Entropy of this machine."""

    def bytes(self, count: int) -> bytes:
        return os.urandom(count)

    def ulid(self) -> str:
        from ulid import ULID  # it brings pydantic along where that is installed: 55 ms of a start

        return str(ULID())
