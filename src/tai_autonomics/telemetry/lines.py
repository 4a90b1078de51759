"""
Lines on their way out: put on the event loop, written in bulk by a thread, dropped and counted over the bound.

    put --bounded buffer--> thread, at most every 50 ms --one write--> stream
"""

import atexit
import threading
from collections import deque
from collections.abc import Callable
from typing import BinaryIO, Final

LINES_MAX: Final = 10_000
GATHER_SECONDS: Final = 0.05
CLOSE_SECONDS_MAX: Final = 2.0


class LineWriter:
    """Never blocks and never raises in `put`: a stream that is full, slow or broken costs lines, not requests."""

    def __init__(self, stream: BinaryIO, *, dropped_line: Callable[[int], bytes], lines_max: int = LINES_MAX) -> None:
        self._stream = stream
        self._dropped_line = dropped_line
        self._lines_max = lines_max
        self._lines: deque[bytes] = deque()
        # Two counts, because each is written by one thread alone.
        self._over_bound = 0
        self._unwritten = 0
        self._told = 0
        self._has_lines = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-lines", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    @property
    def dropped(self) -> int:
        """Lines lost since the start."""
        return self._over_bound + self._unwritten

    def put(self, line: bytes) -> None:
        """Takes a line, which ends with a newline."""
        if len(self._lines) >= self._lines_max:
            self._over_bound += 1
            return
        self._lines.append(line)
        if not self._has_lines.is_set():
            self._has_lines.set()

    def close(self) -> None:
        """Writes what is there; a stream that takes nothing for 2 s is left alone."""
        atexit.unregister(self.close)
        self._closing.set()
        self._has_lines.set()
        self._thread.join(CLOSE_SECONDS_MAX)

    def _run(self) -> None:
        closing = False
        while not closing:
            self._has_lines.wait()
            closing = self._closing.wait(GATHER_SECONDS)
            self._has_lines.clear()
            self._write_all()

    def _write_all(self) -> None:
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        lost = self.dropped - self._told
        said = [self._dropped_line(lost)] if lost else []
        try:
            self._stream.write(b"".join([*lines, *said]))
            self._stream.flush()
        except (OSError, ValueError):
            # A closed pipe or a full disk: there is nowhere to say so but in the count.
            self._unwritten += len(lines)
        else:
            self._told += lost
