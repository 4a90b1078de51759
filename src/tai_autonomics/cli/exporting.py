"""
Ledgers out of a store, verified. Until a file is whole it is FILE.part, which the next export to FILE goes on with.

    FILE.part --verified--> the first ledgers, as the store has them now?  yes: go on behind them   no: begin anew
"""

import errno
import fcntl
import os
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager, suppress
from itertools import islice, takewhile
from pathlib import Path
from typing import BinaryIO, Final

from msgspec import Struct

from tai_autonomics.application.ports import Store
from tai_autonomics.application.transfer import export, read_ahead
from tai_autonomics.cli.moving import target
from tai_autonomics.cli.progress import Tell
from tai_autonomics.cli.verifying import lines_of
from tai_autonomics.errors import BrokenChain, NotCanonical
from tai_autonomics.ledger.chain import Chain
from tai_autonomics.ledger.lines import parse_line
from tai_autonomics.ledger.receipt import read
from tai_autonomics.ledger.records import Head

TELL_LINES: Final = 500
WRITTEN_BY_ANOTHER: Final = "another export is writing it"


class Outlet(Struct, frozen=True):
    """Where an export goes. An `unfinished` file may hold what an earlier export has written."""

    file: BinaryIO
    unfinished: bool = False


class Written(Struct, frozen=True):
    """What an unfinished export holds: how far each ledger has come, and the plans files that its lines name."""

    chains: dict[str, Chain] = {}
    named: set[str] = set()


@contextmanager
def outlet(file: Path | None) -> Iterator[Outlet]:
    """
    Standard output, or a path that is no regular file, as it is (`target`); else FILE.part, which becomes FILE.

    FILE is there whole or not at all, readable by us alone. FILE.part stays when the export ends early, unless a chain
    was found broken. Raises OSError.
    """
    if file is None or str(file) == "-" or (file.exists() and not file.is_file()):
        with target(file) as opened:
            yield Outlet(opened)
        return
    part = file.with_name(f"{file.name}.part")
    try:
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(part if part.is_symlink() else file)) from error
    with open(descriptor, "r+b") as opened:
        _make_ours(opened, part)
        try:
            yield Outlet(opened, unfinished=True)
            opened.flush()
            os.fsync(opened.fileno())
            part.replace(file)
        except BrokenChain:
            # There is nothing to go on with: it would end here again.
            part.unlink()
            raise
        finally:
            with suppress(OSError):
                opened.flush()
            if os.fstat(opened.fileno()).st_size == 0:
                part.unlink(missing_ok=True)


def _make_ours(opened: BinaryIO, part: Path) -> None:
    """Raises OSError where somebody else has it."""
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OSError(error.errno, WRITTEN_BY_ANOTHER, str(part)) from error
    state = os.fstat(opened.fileno())
    # Whoever had the lock before us may have made it FILE meanwhile.
    if not part.exists() or not os.path.samestat(state, part.lstat()):
        raise OSError(errno.EWOULDBLOCK, WRITTEN_BY_ANOTHER, str(part))
    if not stat.S_ISREG(state.st_mode) or state.st_uid != os.geteuid():
        raise OSError(errno.EEXIST, "it is somebody else's", str(part))
    os.fchmod(opened.fileno(), 0o600)


async def export_to(store: Store, heads: dict[str, Head], to: Outlet, tell: Tell) -> int:
    """
    Write these ledgers, verified on their way out, and each plans file with the first receipt that names it.

    Where an export to the same file ended early and the store is what it was, this one goes on from there. How many
    receipts the file has. Raises BrokenChain.
    """
    written = await _written(store, heads, to.file) if to.unfinished else Written()
    done = sum(chain.receipts for chain in written.chains.values())

    async def write(lines: AsyncIterator[bytes]) -> None:
        nonlocal done
        async for line in lines:
            to.file.write(line)
            done += 1
            if done % TELL_LINES == 0:
                tell(done)

    if written.chains:
        tenant, chain = list(written.chains.items())[-1]
        await write(export(store, tenant, named=written.named, written=chain))
    async with aclosing(read_ahead(store, islice(heads, len(written.chains), None))) as ledgers:
        async for tenant, first in ledgers:
            await write(export(store, tenant, named=written.named, first=first))
    return done


async def _written(store: Store, heads: dict[str, Head], file: BinaryIO) -> Written:
    """What the file holds of an export of these ledgers; emptied, where it holds anything else."""
    written, size = Written(), 0
    with suppress(NotCanonical, BrokenChain):
        for text in takewhile(_is_whole, lines_of(file, lambda _: None)):
            _take(written, text)
            size += len(text)
    if not await _is_beginning(store, heads, written):
        written, size = Written(), 0
    file.truncate(size)
    file.seek(size)
    return written


def _is_whole(line: bytes) -> bool:
    return line.endswith(b"\n")


def _take(written: Written, text: bytes) -> None:
    line = parse_line(text)
    members = read(line.body)
    chain = written.chains.get(members["tenant"]) or Chain(members["tenant"])
    if line.base is not None:
        chain.begin(line.base)
    chain.link(members, line.body, hash=line.hash, parts=line.parts, plans=line.plans)
    written.chains[members["tenant"]] = chain
    written.named.add(members["policy"])


async def _is_beginning(store: Store, heads: dict[str, Head], written: Written) -> bool:
    """
    Whether these are the first of the ledgers, each as the store has it now, but for the end of the last one.

    A ledger that went on meanwhile may have erased a part that stands in the file.
    """
    if not written.chains or list(written.chains) != list(islice(heads, len(written.chains))):
        return False
    *whole, last = written.chains.values()
    if any(chain.hash != heads[chain.tenant].hash for chain in whole):
        return False
    there = await store.receipt(last.tenant, last.seq)
    return there is not None and there.hash == last.hash
