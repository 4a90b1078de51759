"""
Work in turns: in each turn of the event loop a few requests begin and a few items of long lists are done.

    request, handful of a list --> room in this turn: at once | none: in line, for the next turns

No flood of requests and no long list keeps the loop from whoever else waits for it: a probe, a response, the store.
"""

import asyncio
from asyncio import Future
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from typing import Final, TypeVar

ROOM: Final = 8
"""Requests that begin, and handfuls, in one turn: about a millisecond of work; /health is due within five."""
HANDFUL: Final = 5
"""Items of a list that take a tenth of a millisecond or two to read, to submit or to answer."""

T = TypeVar("T")


class Turns:
    """Of one event loop, for all its connections and lists; first come, first served."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], object]] = deque()
        self._room = ROOM
        self._turning = False

    def take(self) -> bool:
        """Whether this turn had room; whoever hears no may `wait`."""
        if not self._turning:
            self._turning = True
            asyncio.get_running_loop().call_soon(self._turn)
        if not self._room:
            return False
        self._room -= 1
        return True

    def wait(self, work: Callable[[], object]) -> None:
        """Call `work` in the first turn that has room for it. Only after a `take` that answered no."""
        self._waiting.append(work)

    async def of(self, items: Iterable[T]) -> AsyncIterator[T]:
        """The items in order, each handful of them in a turn that has room for it."""
        for number, item in enumerate(items):
            if number and number % HANDFUL == 0 and not self.take():
                found = asyncio.get_running_loop().create_future()
                self.wait(partial(_tell, found))
                await found
            yield item

    def _turn(self) -> None:
        self._turning = bool(self._waiting)
        self._room = ROOM
        try:
            while self._waiting and self._room:
                self._room -= 1
                self._waiting.popleft()()
        finally:
            # Whatever went wrong with one of them, nobody behind it may wait for ever.
            if self._turning:
                asyncio.get_running_loop().call_soon(self._turn)


def _tell(found: "Future[None]") -> None:
    if not found.done():
        found.set_result(None)
