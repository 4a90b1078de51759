"""Lines leave in bulk, in order, and never hold anybody up."""

import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from tai_autonomics.telemetry import lines
from tai_autonomics.telemetry.lines import LineWriter


def dropped_line(count: int) -> bytes:
    return b"dropped %d\n" % count


class Gate(io.BytesIO):
    """A stream that takes nothing until it is opened, and says when somebody stands before it."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.opened = threading.Event(), threading.Event()

    def write(self, content: object) -> int:
        self.reached.set()
        assert self.opened.wait(10)
        return super().write(content)  # type: ignore[arg-type]


class Broken(io.BytesIO):
    """A stream that fails as many times as it is told to."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures
        self.failed = threading.Event()

    def write(self, content: object) -> int:
        if self.failures:
            self.failures -= 1
            self.failed.set()
            raise BrokenPipeError
        return super().write(content)  # type: ignore[arg-type]


def test_every_line_is_written_in_order_when_the_writer_closes() -> None:
    stream = io.BytesIO()
    writer = LineWriter(stream, dropped_line=dropped_line)
    for number in range(1000):
        writer.put(b"%d\n" % number)
    writer.close()
    assert stream.getvalue() == b"".join(b"%d\n" % number for number in range(1000))
    assert writer.dropped == 0


def test_a_line_is_written_without_waiting_for_the_end() -> None:
    reading, writing = os.pipe()
    with open(writing, "wb") as stream, open(reading, "rb") as read:
        writer = LineWriter(stream, dropped_line=dropped_line)
        writer.put(b"first\n")
        assert read.readline() == b"first\n"
        writer.put(b"second\n")
        assert read.readline() == b"second\n"
        writer.close()


def test_a_line_over_the_bound_is_dropped_counted_and_told() -> None:
    stream = Gate()
    writer = LineWriter(stream, dropped_line=dropped_line, lines_max=3)
    writer.put(b"0\n")
    assert stream.reached.wait(10)
    for number in range(1, 10):
        writer.put(b"%d\n" % number)
    assert writer.dropped == 6
    stream.opened.set()
    writer.close()
    assert stream.getvalue() == b"0\n1\n2\n3\ndropped 6\n"


def test_a_stream_that_fails_costs_its_lines_which_are_told_when_it_works_again() -> None:
    stream = Broken(failures=1)
    writer = LineWriter(stream, dropped_line=dropped_line)
    writer.put(b"lost\n")
    assert stream.failed.wait(10)
    writer.put(b"kept\n")
    writer.close()
    assert stream.getvalue() == b"kept\ndropped 1\n"
    assert writer.dropped == 1


def test_what_was_dropped_is_told_once() -> None:
    reading, writing = os.pipe()
    with open(writing, "wb") as stream, open(reading, "rb") as read:
        writer = LineWriter(stream, dropped_line=dropped_line, lines_max=0)
        writer.put(b"dropped\n")
        writer._lines_max = 1
        writer.put(b"first\n")
        assert [read.readline(), read.readline()] == [b"first\n", b"dropped 1\n"]
        writer.put(b"second\n")
        writer.close()
        stream.close()
        assert read.read() == b"second\n"


def test_a_process_that_ends_without_closing_has_written_its_lines() -> None:
    program = (
        "import sys; from tai_autonomics.telemetry.lines import LineWriter;"
        "LineWriter(sys.stdout.buffer, dropped_line=bytes).put(b'last words\\n'); sys.exit(3)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, b"last words\n", b"")


def test_a_closed_writer_leaves_no_thread() -> None:
    writer = LineWriter(io.BytesIO(), dropped_line=dropped_line)
    writer.close()
    assert not writer._thread.is_alive()


def test_a_stream_that_was_closed_raises_nowhere() -> None:
    stream = io.BytesIO()
    writer = LineWriter(stream, dropped_line=dropped_line)
    stream.close()
    writer.put(b"lost\n")
    writer.close()
    assert writer.dropped == 1


def test_a_stream_that_takes_nothing_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "CLOSE_SECONDS_MAX", 0.01)
    stream = Gate()
    writer = LineWriter(stream, dropped_line=dropped_line)
    writer.put(b"0\n")
    writer.close()
    assert stream.getvalue() == b""
    stream.opened.set()


def test_lines_of_many_threads_are_all_written() -> None:
    stream = io.BytesIO()
    writer = LineWriter(stream, dropped_line=dropped_line)
    threads = [threading.Thread(target=put_each, args=(writer.put, name)) for name in b"abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    assert sorted(stream.getvalue().split()) == sorted(b"%c%d" % (name, n) for name in b"abcd" for n in range(500))


def put_each(put: Callable[[bytes], None], name: int) -> None:
    for number in range(500):
        put(b"%c%d\n" % (name, number))
