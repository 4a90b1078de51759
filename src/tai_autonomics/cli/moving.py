"""Ledgers into a store, as export lines; files and heads that exports, imports and checks share."""

import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from tai_autonomics.application.importing import Import, Imported
from tai_autonomics.application.ports import Store
from tai_autonomics.application.transfer import TENANTS_PAGE
from tai_autonomics.application.transfer import tenants as all_tenants
from tai_autonomics.domain.identifiers import parse_ledger
from tai_autonomics.errors import Unknown
from tai_autonomics.ledger.records import Head

BATCH_LINES: Final = 5_000
BATCH_BYTES: Final = 16 * 1024 * 1024
"""Of an import: what is verified before any of it is stored; a line more may go over it."""


@contextmanager
def source(file: Path) -> Iterator[tuple[BinaryIO, int | None]]:
    """The file, or standard input for -, and its size in bytes where that is known."""
    if str(file) == "-":
        yield sys.stdin.buffer, None
        return
    with file.open("rb") as opened:
        size = os.fstat(opened.fileno()).st_size
        yield opened, size or None


@contextmanager
def target(file: Path | None) -> Iterator[BinaryIO]:
    """
    Standard output for None or -; else a file that is there whole, or not at all, and readable by us alone.

    A path that is no regular file (a pipe, a device) is written as it is.
    """
    if file is None or str(file) == "-":
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    elif file.exists() and not file.is_file():
        with file.open("wb") as opened:
            yield opened
    else:
        try:
            descriptor, beside = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(file)) from error
        try:
            with open(descriptor, "wb") as opened:
                yield opened
                opened.flush()
                os.fsync(descriptor)
            Path(beside).replace(file)
        finally:
            Path(beside).unlink(missing_ok=True)


async def heads_named(store: Store, tenants: Sequence[str] | None) -> dict[str, Head]:
    """The heads of these tenants, or of every one, in their order. Raises Malformed, and Unknown without a ledger."""
    heads: dict[str, Head] = {}
    async for page in _named(tenants) if tenants else all_tenants(store):
        found = await store.heads(page)
        for tenant in page:
            if tenant not in found:
                raise Unknown(f"{tenant} has no ledger")
            heads[tenant] = found[tenant]
    return heads


async def _named(tenants: Sequence[str]) -> AsyncIterator[tuple[str, ...]]:
    names = tuple(parse_ledger(each) for each in dict.fromkeys(tenants))
    for start in range(0, len(names), TENANTS_PAGE):
        yield names[start : start + TENANTS_PAGE]


async def import_from(store: Store, lines: Iterator[bytes]) -> tuple[Imported, ...]:
    """
    Verify the lines and append what the store lacks, batch by batch: what a failed import appended is kept.

    Raises BrokenChain, NotCanonical, LedgerNewerThanCode, StoreUnavailable.
    """
    taking = Import(store)
    for batch in _batches(lines):
        await taking.take(batch)
    return await taking.close()


def _batches(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for line in lines:
        batch.append(line)
        size += len(line)
        if len(batch) == BATCH_LINES or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
