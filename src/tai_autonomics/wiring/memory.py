"""
Keeps full garbage collections short: what has outlived one is not looked at again for an hour.

A service that holds 100,000 lanes has millions of objects that stay, and Python stops everything to look at all of them
each time their number has grown by a quarter. Nearly all go when nobody refers to them any more, without a collection;
what refers to itself and has outlived one waits for the hourly look.
"""

import gc
from collections.abc import Callable
from typing import Final, Literal

LOOK_SECONDS: Final = 3_600.0


class Settling:
    """Within it, each full collection sets what is left aside. `monotonic` gives seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._looked_at = monotonic()

    def __enter__(self) -> None:
        gc.callbacks.append(self._told)

    def __exit__(self, *_: object) -> None:
        gc.callbacks.remove(self._told)
        gc.unfreeze()

    def _told(self, phase: Literal["start", "stop"], details: dict[str, int]) -> None:
        if details["generation"] < 2:
            return
        if phase == "stop":
            gc.freeze()
        elif self._monotonic() >= self._looked_at + LOOK_SECONDS:
            self._looked_at = self._monotonic()
            gc.unfreeze()
