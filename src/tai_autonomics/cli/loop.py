"""Runs the work of a command on an event loop, so that Ctrl-C ends it wherever it is."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")


def complete(work: Coroutine[Any, Any, T]) -> T:
    """
    What `work` returns, once everything that it opened is closed.

    asyncio's own handler would cancel the task and wait for it, even while it reads from a pipe where nothing comes.
    """
    before = signal.signal(signal.SIGINT, _interrupt)
    try:
        return asyncio.run(work)
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
