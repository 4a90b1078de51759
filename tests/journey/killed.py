"""
`python -m tests.journey.killed STEP …` is the program, killed (SIGKILL) where STEP is about to begin or has just ended.

"4:drop:after" kills once the fourth call of `drop` is durable, "1:seal:before" before the first `seal`.
"""

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from tai_autonomics.__main__ import main
from tai_autonomics.application import archiving
from tai_autonomics.application.archiving import Archiving
from tai_autonomics.cli import archiving as files

archiving.DROP_RECEIPTS = 50  # type: ignore[misc]


class Countdown:
    def __init__(self, step: str) -> None:
        number, self.name, self._where = step.split(":")
        self._left = int(number)

    def begins(self) -> None:
        self._reach("before")

    def ends(self) -> None:
        self._reach("after")

    def _reach(self, where: str) -> None:
        if where == self._where:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def counted(verb: Callable[..., Awaitable[Any]], countdown: Countdown) -> Callable[..., Awaitable[Any]]:
    async def called(*arguments: Any, **named: Any) -> Any:
        countdown.begins()
        answer = await verb(*arguments, **named)
        countdown.ends()
        return answer

    return called


def counted_at_once(work: Callable[..., Any], countdown: Countdown) -> Callable[..., Any]:
    def called(*arguments: Any, **named: Any) -> Any:
        countdown.begins()
        answer = work(*arguments, **named)
        countdown.ends()
        return answer

    return called


def strike(step: str) -> None:
    countdown = Countdown(step)
    match countdown.name:
        case "line":
            archiving.reply = counted_at_once(archiving.reply, countdown)
        case "flush":
            files.flush = counted_at_once(files.flush, countdown)
        case "drop":
            archiving.Archiving.drop = counted_drops(countdown)  # type: ignore[method-assign]
        case verb:
            setattr(Archiving, verb, counted(getattr(Archiving, verb), countdown))


def counted_drops(countdown: Countdown) -> Callable[..., Awaitable[int]]:
    """Each of the store's own, of which one `drop` makes many."""
    real = Archiving.drop

    async def drop(work: Archiving, tenant: str, tell: Callable[[int], None]) -> int:
        store = work._store
        store.drop = counted(store.drop, countdown)  # type: ignore[method-assign]
        return await real(work, tenant, tell)

    return drop


if __name__ == "__main__":
    strike(sys.argv.pop(1))
    main()
