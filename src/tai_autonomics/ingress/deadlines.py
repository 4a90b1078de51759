"""
The end of what takes too long, with one timer for all that is in flight.

    begin --> in flight, oldest first --time over--> cancelled, and late --> end

Every request has the same time, so that the oldest is the first to be late.
"""

import asyncio
from typing import Any


class Deadlines:
    """What is at work here is cancelled `seconds` after it began. It costs a fifth of an asyncio.timeout each."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due: dict[asyncio.Task[Any], float] = {}
        """In the order in which they began. There is a timer while there is anything here."""
        self._late: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle

    def begin(self) -> "asyncio.Task[Any]":
        """The present task's time begins; it is cancelled at its end. A task has one time at once."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None
        if not self._due:
            self._timer = loop.call_later(self._seconds, self._sweep, loop)
        self._due[task] = loop.time() + self._seconds
        return task

    def end(self, task: "asyncio.Task[Any]") -> bool:
        """Whether it was late; its cancellation is taken back, and its CancelledError is the caller's to catch."""
        if task in self._late:
            self._late.remove(task)
            task.uncancel()
            return True
        del self._due[task]
        if not self._due:
            self._timer.cancel()
        return False

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for task, due in tuple(self._due.items()):
            if due > now:
                self._timer = loop.call_at(due, self._sweep, loop)
                return
            del self._due[task]
            self._late.add(task)
            task.cancel()
