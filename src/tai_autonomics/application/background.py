"""Work that no caller's task runs: kept until it ends, its errors told, all of it ended by `close`."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from tai_autonomics.application.ports import Observer


class Background:
    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def spawn(self, work: Coroutine[Any, Any, None], *, broken: Callable[[BaseException], None] | None = None) -> None:
        """Run it, and tell `broken` or the observer of its error; once closed, do not even begin."""
        if self._closed:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, broken or partial(self._observer.failed, "corridor")))

    async def close(self) -> None:
        """Cancel what is under way, and wait until it has ended."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, broken: Callable[[BaseException], None], task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            broken(error)
