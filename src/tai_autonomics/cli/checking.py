"""Verify and replay, ledger by ledger; each result is told as it becomes known."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, aclosing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec
import typer

from tai_autonomics.application import transfer
from tai_autonomics.application.ports import Store
from tai_autonomics.cli.moving import heads_named, source
from tai_autonomics.cli.output import Output, counted, fail, rate
from tai_autonomics.cli.progress import Tell, progress
from tai_autonomics.cli.statuses import ExitStatus
from tai_autonomics.cli.stored import open_store
from tai_autonomics.cli.verifying import TrustedHeads, lines_of, said_of, verify_lines, verify_stored
from tai_autonomics.errors import BrokenChain, LedgerNewerThanCode, Unknown
from tai_autonomics.ledger.chain import Verified
from tai_autonomics.ledger.records import Head

if TYPE_CHECKING:
    from tai_autonomics.settings import Settings


def verify_files(files: Sequence[Path], heads: TrustedHeads, output: Output) -> ExitStatus:
    """An export, or archives and what goes on behind them, in one pass and in memory that does not grow with it."""
    with ExitStack() as opened:
        sources = [opened.enter_context(source(file)) for file in files]
        sizes = [size for _, size in sources]
        total = None if None in sizes else sum(size or 0 for size in sizes)
        tell = opened.enter_context(progress("verifying", total=total, unit="bytes", shown=not output.quiet))
        started = time.monotonic()
        try:
            results = verify_lines(_lines_of_all(sources, tell), heads)
        except BrokenChain as error:
            return _broken(error, output)
    if not results:
        return _nothing_to_say(str(files[0]))
    for verified in results:
        _verified(verified, output)
    if not output.json:
        count = sum(verified.receipts for verified in results)
        output.show(None, f"{counted(count, 'receipt')} in {rate(count, time.monotonic() - started)}")
    return ExitStatus.YES


def _lines_of_all(sources: Sequence[tuple[BinaryIO, int | None]], tell: Tell) -> Iterator[bytes]:
    before = 0
    for opened, size in sources:
        yield from lines_of(opened, partial(_further, tell, before))
        before += size or 0


async def verify_store(
    settings: "Settings", tenants: list[str] | None, heads: TrustedHeads, output: Output
) -> ExitStatus:
    """Ledgers as the store has them now; a broken one does not keep the others from being verified."""
    status = ExitStatus.YES
    async with open_store(settings) as store:
        try:
            found = await heads_named(store, tenants)
        except Unknown as error:
            # A ledger that is gone is a broken one, if there is a head of it to trust.
            fail(str(error))
            return ExitStatus.WRONG if heads.alone or heads.by_tenant else ExitStatus.UNCLEAR
        trusted = _trusted_of(found, heads)
        total = sum(head.seq for head in found.values())
        done = 0
        with progress("verifying", total=total, unit="receipts", shown=not output.quiet) as tell:
            async with aclosing(transfer.read_ahead(store, found)) as ledgers:
                async for tenant, first in ledgers:
                    further = partial(_further, tell, done)
                    try:
                        verified = await verify_stored(store, tenant, first, trusted.get(tenant), further)
                    except BrokenChain as error:
                        status = _broken(error, output)
                    else:
                        _verified(verified, output)
                    done += found[tenant].seq
    return status if found else _nothing_to_say("the store")


def _further(tell: Tell, before: int, done: int) -> None:
    tell(before + done)


def _trusted_of(found: dict[str, Head], heads: TrustedHeads) -> dict[str, str]:
    if heads.alone is not None:
        if len(found) != 1:
            raise typer.BadParameter(f"there are {len(found)} ledgers: write --head TENANT=HASH, or name a --tenant")
        return dict.fromkeys(found, heads.alone)
    for tenant in heads.by_tenant.keys() - found.keys():
        raise BrokenChain(tenant=tenant, seq=1, step=8, detail="there is no receipt")
    return heads.by_tenant


async def replay_store(settings: "Settings", tenants: list[str] | None, output: Output) -> ExitStatus:
    """State from receipts alone, beside the state that the store's snapshots lead to."""
    statuses = set()
    async with open_store(settings) as store:
        found = await heads_named(store, tenants)
        total = sum(head.seq for head in found.values())
        done = 0
        with progress("replaying", total=total, unit="receipts", shown=not output.quiet) as tell:
            async with aclosing(transfer.read_ahead(store, found)) as ledgers:
                async for tenant, first in ledgers:
                    statuses.add(await _replay(store, tenant, first, output))
                    done += found[tenant].seq
                    tell(done)
    if not found:
        return _nothing_to_say("the store")
    # What is known to be wrong outweighs what nobody can tell.
    return next(status for status in (ExitStatus.WRONG, ExitStatus.UNCLEAR, ExitStatus.YES) if status in statuses)


async def _replay(store: Store, tenant: str, first: transfer.Beginning, output: Output) -> ExitStatus:
    try:
        replayed = await transfer.replay(store, tenant, first=first)
    except BrokenChain as error:
        return _broken(error, output)
    except LedgerNewerThanCode as error:
        fail(str(error))
        return ExitStatus.UNCLEAR
    assert replayed is not None, "a ledger that has a head has receipts"
    members = {name: getattr(replayed, name) for name in ("tenant", "receipts", "head", "agrees")}
    said = "agrees with" if replayed.agrees else "is not"
    output.show(members, f"{tenant}: {counted(replayed.receipts, 'receipt')} replayed; the state {said} the live one")
    if replayed.agrees:
        return ExitStatus.YES
    fail(f"{tenant}: the live state is not what its receipts say")
    return ExitStatus.WRONG


def _verified(verified: Verified, output: Output) -> None:
    members = msgspec.structs.asdict(verified)
    output.show({"tenant": members.pop("tenant"), "verified": True, **members}, said_of(verified))


def _broken(error: BrokenChain, output: Output) -> ExitStatus:
    if output.json:
        members = {"tenant": error.tenant, "verified": False, "seq": error.seq, "step": error.step}
        output.show({**members, "detail": error.detail})
    fail(f"broken: {error}")
    return ExitStatus.WRONG


def _nothing_to_say(place: str) -> ExitStatus:
    fail(f"{place}: no receipts, so nothing can be said")
    return ExitStatus.UNCLEAR
