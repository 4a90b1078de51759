"""How far long work has come: a bar on a terminal, a plain line now and then elsewhere, and nothing for short work."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Literal, Protocol

if TYPE_CHECKING:
    from rich.progress import TaskID

SHORT_SECONDS: Final = 0.5
"""On a terminal, work that ends sooner shows nothing."""
BAR_SECONDS: Final = 0.1
LINE_SECONDS: Final = 10.0
"""Elsewhere: until the first line, and between two."""

Unit = Literal["bytes", "lines", "percent", "receipts"]


class Tell(Protocol):
    def __call__(self, done: int, /) -> None:
        """How much is done by now, of the total."""
        ...


class _Display(Protocol):
    seconds: float

    def show(self, done: int) -> None: ...

    def close(self) -> None: ...


@contextmanager
def progress(doing: str, *, total: int | None, unit: Unit, shown: bool = True) -> Iterator[Tell]:
    """Tell of work while it is done; `total` None is unknown."""
    started = time.monotonic()
    terminal = sys.stderr.isatty()
    due = started + (SHORT_SECONDS if terminal else LINE_SECONDS) if shown else float("inf")
    display: _Display | None = None

    def tell(done: int, /) -> None:
        nonlocal due, display
        now = time.monotonic()
        if now < due:
            return
        if display is None:
            make: Callable[[str, int | None, Unit, float], _Display] = _Bar if terminal else _Lines
            display = make(doing, total, unit, started)
        display.show(done)
        due = now + display.seconds

    try:
        yield tell
    finally:
        if display is not None:
            display.close()


class _Bar:
    seconds = BAR_SECONDS

    def __init__(self, doing: str, total: int | None, unit: Unit, started: float) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self._progress: Progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn() if unit == "bytes" else MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            auto_refresh=False,
        )
        self._progress.start()
        self._task: TaskID = self._progress.add_task(doing, total=total)

    def show(self, done: int) -> None:
        self._progress.update(self._task, completed=done, refresh=True)

    def close(self) -> None:
        self._progress.stop()


class _Lines:
    seconds = LINE_SECONDS

    def __init__(self, doing: str, total: int | None, unit: Unit, started: float) -> None:
        self._doing, self._total, self._unit, self._started = doing, total, unit, started

    def show(self, done: int) -> None:
        seconds = time.monotonic() - self._started
        said = f"{self._doing}: {done:,} {self._unit} in {seconds:.0f} s"
        if self._total and done:
            left = seconds * max(self._total - done, 0) / done
            said += f", {min(100 * done // self._total, 100)} %, about {left:.0f} s left"
        print(said, file=sys.stderr)

    def close(self) -> None:
        """Lines stay."""
