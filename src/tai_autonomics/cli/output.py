"""What a command prints: text for a person, JSON for a program, or nothing."""

import sys
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct


class Output(Struct, frozen=True):
    """How this command answers. Errors go to stderr in any case."""

    json: bool = False
    quiet: bool = False

    def show(self, document: Any, *lines: str) -> None:
        """`document` as one line of JSON, or the `lines`."""
        if self.quiet:
            return
        if self.json:
            self.show_bytes(msgspec.json.encode(document))
            return
        for line in lines:
            print(printable(line))

    def show_bytes(self, json: bytes) -> None:
        """JSON that is ready, byte for byte, as a line of its own."""
        if not self.quiet:
            sys.stdout.flush()
            sys.stdout.buffer.write(json + b"\n")
            sys.stdout.buffer.flush()


def printable(text: str) -> str:
    """`text` without what could steer a terminal: parts and details are strangers' words."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows as lines, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def fail(message: str) -> None:
    """One line on stderr."""
    print(printable(message), file=sys.stderr)


def counted(count: int, noun: str) -> str:
    """ "1 receipt", "2,000 receipts"."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def rate(count: int, seconds: float) -> str:
    """How long it took and how fast that was."""
    return f"{seconds:.1f} s ({count / seconds:,.0f}/s)" if seconds > 0 else "no time"
