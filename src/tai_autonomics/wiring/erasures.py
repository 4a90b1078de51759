"""
The list of every erasure so far, kept with the backups: what keeps erased parts erased when an older backup comes back.

A line each, in erasures.jsonl, which only ever grows. The service adds to it beside a backup that does, so whoever
writes holds a lock on the directory. A line counts once it ends: a last one that does not was never promised.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from tai_autonomics.errors import BrokenBackup
from tai_autonomics.ledger.records import Erased

NAME: Final = "erasures.jsonl"


def read(directory: Path) -> tuple[Erased, ...]:
    """Every erasure so far, oldest first; none where there is no list. Raises BrokenBackup, OSError."""
    file = directory / NAME
    text = file.read_bytes() if file.exists() else b""
    try:
        lines = text[: text.rfind(b"\n") + 1].splitlines()
        return tuple(dict.fromkeys(msgspec.json.decode(line, type=Erased) for line in lines))
    except msgspec.DecodeError as error:
        raise BrokenBackup(f"{file} is not a list of erasures: {error}") from error


def add(directory: Path, more: Iterable[Erased]) -> tuple[Erased, ...]:
    """The list, with those that it lacks added, durable on return. Raises BrokenBackup, OSError."""
    with _locked(directory):
        before = read(directory)
        every = tuple(dict.fromkeys((*before, *more)))
        if lacking := every[len(before) :]:
            _append(directory, lacking)
    return every


def note(directory: Path, erased: Erased) -> None:
    """Add one that is new, or hardly ever is not; durable on return. Raises OSError."""
    with _locked(directory):
        _append(directory, (erased,))


def is_begun(directory: Path) -> bool:
    return (directory / NAME).exists()


def begin(directory: Path) -> None:
    """A list that names nothing is a list too. Raises OSError."""
    with _locked(directory):
        _append(directory, ())


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _append(directory: Path, some: Iterable[Erased]) -> None:
    descriptor = os.open(directory / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with open(descriptor, "r+b") as file:
        file.truncate(file.read().rfind(b"\n") + 1)
        file.seek(0, os.SEEK_END)
        file.writelines(msgspec.json.encode(each) + b"\n" for each in some)
        file.flush()
        os.fsync(descriptor)
