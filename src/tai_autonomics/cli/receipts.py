"""`receipts`: read, verify, move, replay and erase."""

import asyncio
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from tai_autonomics.cli.ledgers import Place, ledgers
from tai_autonomics.cli.options import AsJson, DataDir, Quiet, StoreUrl, Tenant, Tenants, TokenFile, Url, settings_of
from tai_autonomics.cli.output import Output, counted, fail, rate
from tai_autonomics.cli.progress import progress
from tai_autonomics.cli.statuses import EPILOG, ExitStatus
from tai_autonomics.cli.tree import group
from tai_autonomics.domain.identifiers import parse_tenant_id
from tai_autonomics.errors import BrokenChain, LedgerNewerThanCode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tai_autonomics.application.ports import Store
    from tai_autonomics.application.transfer import Replayed
    from tai_autonomics.cli.verifying import TrustedHeads
    from tai_autonomics.ledger.chain import Verified
    from tai_autonomics.ledger.records import Head
    from tai_autonomics.settings import Settings

LIST_LIMIT: Final = 100
SEQ_MAX: Final = 2**53 - 1

app = group("Receipts: read, verify, move, replay, erase.")

Seq = Annotated[int, typer.Option("--seq", metavar="SEQ", min=1, max=SEQ_MAX, help="Which receipt.")]


@app.command("list", epilog=EPILOG)
def list_receipts(
    tenant: Tenant,
    after: Annotated[int, typer.Option("--after", metavar="SEQ", min=0, max=SEQ_MAX, help="Those after this seq.")] = 0,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=SEQ_MAX, help="So many.")] = LIST_LIMIT,
    type_: Annotated[str | None, typer.Option("--type", metavar="TYPE", help="transition, refusal, …")] = None,
    subject: Annotated[str | None, typer.Option("--subject", metavar="KIND/ID", help="About this subject.")] = None,
    store: StoreUrl = None,
    data_dir: DataDir = None,
    url: Url = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List a tenant's receipts in order, one a line; with --json as an export has them."""
    from tai_autonomics.cli.reading import summary_of

    output, place = (
        Output(json=as_json, quiet=quiet),
        Place(store=store, data_dir=data_dir, url=url, token_file=token_file),
    )
    parse_tenant_id(tenant)

    async def work() -> None:
        async with ledgers(place) as source:
            async for line in source.receipts(tenant, after=after, limit=limit, type=type_, subject=subject):
                if as_json:
                    output.show_bytes(line)
                else:
                    output.show(None, summary_of(line))

    asyncio.run(work())


@app.command(epilog=EPILOG)
def show(
    tenant: Tenant,
    seq: Annotated[str, typer.Option("--seq", metavar="SEQ|head", help="Which receipt; head is the newest.")] = "head",
    store: StoreUrl = None,
    data_dir: DataDir = None,
    url: Url = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show one receipt, with the parts of it that still exist."""
    from tai_autonomics.cli.reading import lines_of

    output, place = (
        Output(json=as_json, quiet=quiet),
        Place(store=store, data_dir=data_dir, url=url, token_file=token_file),
    )
    parse_tenant_id(tenant)
    if seq != "head" and not (seq.isascii() and seq.isdigit() and 1 <= int(seq) <= SEQ_MAX):
        raise typer.BadParameter(f"--seq {seq!r} is neither a receipt's number nor head")

    async def work() -> bytes:
        async with ledgers(place) as source:
            return await source.receipt(tenant, None if seq == "head" else int(seq))

    line = asyncio.run(work())
    if as_json:
        output.show_bytes(line)
    else:
        output.show(None, *lines_of(line))


@app.command(epilog=EPILOG)
def verify(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="An export; - is standard input. Without it, the store.")
    ] = None,
    tenant: Tenants = None,
    head: Annotated[
        list[str] | None,
        typer.Option("--head", metavar="HASH", help="The newest hash that you trust; of several, TENANT=HASH each."),
    ] = None,
    store: StoreUrl = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Verify whole ledgers: every byte, every link, every part that is there; says which head that rests on."""
    from tai_autonomics.cli.verifying import parse_heads

    output, heads = Output(json=as_json, quiet=quiet), parse_heads(head or ())
    if file is None:
        return asyncio.run(_verify_store(settings_of(store=store, data_dir=data_dir), tenant, heads, output))
    if tenant or store:
        raise typer.BadParameter("give FILE, or --tenant and --store, not both")
    return _verify_file(file, heads, output)


def _verify_file(file: Path, heads: "TrustedHeads", output: Output) -> int:
    from tai_autonomics.cli.moving import source
    from tai_autonomics.cli.verifying import lines_of, verify_lines

    started = time.monotonic()
    with (
        source(file) as (opened, size),
        progress("verifying", total=size, unit="bytes", shown=not output.quiet) as tell,
    ):
        try:
            results = verify_lines(lines_of(opened, tell), heads)
        except BrokenChain as error:
            return _broken(error, output)
    if not results:
        fail(f"{file}: no receipts, so nothing can be said")
        return ExitStatus.UNCLEAR
    for verified in results:
        _verified(verified, output)
    if not output.json:
        count = sum(verified.receipts for verified in results)
        output.show(None, f"{counted(count, 'receipt')} in {rate(count, time.monotonic() - started)}")
    return ExitStatus.YES


async def _verify_store(settings: "Settings", tenants: list[str] | None, heads: "TrustedHeads", output: Output) -> int:
    from tai_autonomics.cli.stored import open_store
    from tai_autonomics.cli.verifying import verify_stored
    from tai_autonomics.errors import Unknown

    status = ExitStatus.YES
    async with open_store(settings) as store:
        try:
            found = await _heads(store, tenants)
        except Unknown as error:
            fail(str(error))
            return ExitStatus.WRONG if heads.alone or heads.by_tenant else ExitStatus.UNCLEAR
        trusted = _trusted_of(found, heads)
        total = sum(each.seq for each in found.values())
        done = 0
        with progress("verifying", total=total, unit="receipts", shown=not output.quiet) as tell:
            for name in found:
                before = done
                try:
                    verified = await verify_stored(store, name, trusted.get(name), lambda at: tell(before + at))  # noqa: B023
                except BrokenChain as error:
                    status = _broken(error, output)
                else:
                    done += verified.receipts
                    _verified(verified, output)
        if not found:
            fail("the store holds no ledger, so nothing can be said")
            return ExitStatus.UNCLEAR
    return status


def _trusted_of(found: "dict[str, Head]", heads: "TrustedHeads") -> dict[str, str]:
    if heads.alone is None:
        for tenant in heads.by_tenant.keys() - found.keys():
            raise BrokenChain(tenant=tenant, seq=1, step=8, detail="there is no receipt")
        return heads.by_tenant
    if len(found) != 1:
        raise typer.BadParameter(f"there are {len(found)} ledgers: write --head TENANT=HASH, or name a --tenant")
    return dict.fromkeys(found, heads.alone)


def _verified(verified: "Verified", output: Output) -> None:
    from tai_autonomics.cli.verifying import said_of

    document = {"tenant": verified.tenant, "verified": True, **_without(msgspec.structs.asdict(verified), "tenant")}
    output.show(document, said_of(verified))


def _broken(error: BrokenChain, output: Output) -> ExitStatus:
    if output.json:
        members = {"tenant": error.tenant, "verified": False, "seq": error.seq, "step": error.step}
        output.show({**members, "detail": error.detail})
    fail(f"broken: {error}")
    return ExitStatus.WRONG


def _without(members: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in members.items() if key != name}


async def _heads(store: "Store", tenants: list[str] | None) -> "dict[str, Head]":
    from tai_autonomics.application import transfer
    from tai_autonomics.cli.moving import heads_of

    async def named() -> "AsyncIterator[str]":
        for tenant in dict.fromkeys(tenants or ()):
            yield parse_tenant_id(tenant)

    return await heads_of(store, named() if tenants else transfer.tenants(store))


@app.command(epilog=EPILOG)
def export(
    tenant: Tenants = None,
    to_file: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write it there, whole or not at all; else to stdout."),
    ] = None,
    store: StoreUrl = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write ledgers as JSON Lines, verified on their way out."""
    from tai_autonomics.cli.moving import export_to, target
    from tai_autonomics.cli.stored import open_store

    output, settings = Output(json=as_json, quiet=quiet), settings_of(store=store, data_dir=data_dir)
    into_file = to_file is not None and str(to_file) != "-"
    shown = not quiet and (into_file or not sys.stdout.isatty())
    started = time.monotonic()

    async def work() -> tuple[int, int]:
        async with open_store(settings) as opened:
            found = await _heads(opened, tenant)
            total = sum(each.seq for each in found.values())
            with progress("exporting", total=total, unit="receipts", shown=shown) as tell, target(to_file) as file:
                return len(found), await export_to(opened, found, file, tell)

    count, receipts = asyncio.run(work())
    if into_file:
        seconds = time.monotonic() - started
        output.show(
            {"file": str(to_file), "ledgers": count, "receipts": receipts, "seconds": round(seconds, 3)},
            f"{to_file}: {counted(count, 'ledger')}, {counted(receipts, 'receipt')}, in {rate(receipts, seconds)}",
        )


@app.command("import", epilog=EPILOG)
def import_receipts(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An export; - is standard input.")],
    store: StoreUrl = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Verify an export and append what the store lacks; the service must be stopped. Run it again to go on."""
    from tai_autonomics.cli.moving import import_from, source
    from tai_autonomics.cli.stored import open_store
    from tai_autonomics.cli.verifying import lines_of

    output, settings = Output(json=as_json, quiet=quiet), settings_of(store=store, data_dir=data_dir)
    started = time.monotonic()
    with source(file) as (opened, size), progress("importing", total=size, unit="bytes", shown=not quiet) as tell:

        async def work() -> Any:
            async with open_store(settings, read_only=False) as into:
                return await import_from(into, lines_of(opened, tell))

        done = asyncio.run(work())
    seconds = time.monotonic() - started
    appended, held = sum(each.appended for each in done), sum(each.held for each in done)
    output.show(
        {"ledgers": done, "appended": appended, "held": held, "seconds": round(seconds, 3)},
        f"{counted(len(done), 'ledger')}: {counted(appended, 'receipt')} appended, {held:,} were there already,"
        f" in {rate(appended + held, seconds)}",
    )


@app.command(epilog=EPILOG)
def replay(
    tenant: Tenants = None,
    store: StoreUrl = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Rebuild state from receipts alone and compare it with the live state; writes nothing."""
    output, settings = Output(json=as_json, quiet=quiet), settings_of(store=store, data_dir=data_dir)
    return asyncio.run(_replay(settings, tenant, output))


async def _replay(settings: "Settings", tenants: list[str] | None, output: Output) -> int:
    from tai_autonomics.application import transfer
    from tai_autonomics.cli.stored import open_store

    statuses = {ExitStatus.YES}
    done = 0
    async with open_store(settings) as store:
        found = await _heads(store, tenants)
        total = sum(each.seq for each in found.values())
        with progress("replaying", total=total, unit="receipts", shown=not output.quiet) as tell:
            for name, head in found.items():
                try:
                    replayed = await transfer.replay(store, name)
                except BrokenChain as error:
                    statuses.add(_broken(error, output))
                except LedgerNewerThanCode as error:
                    fail(str(error))
                    statuses.add(ExitStatus.UNCLEAR)
                else:
                    assert replayed is not None, "a ledger that has a head has receipts"
                    statuses.add(_replayed(replayed, output))
                done += head.seq
                tell(done)
    if not found:
        fail("the store holds no ledger, so nothing can be said")
        return ExitStatus.UNCLEAR
    # What is known to be wrong outweighs what nobody can tell.
    return next(status for status in (ExitStatus.WRONG, ExitStatus.UNCLEAR, ExitStatus.YES) if status in statuses)


def _replayed(replayed: "Replayed", output: Output) -> ExitStatus:
    members = ("tenant", "receipts", "head", "agrees")
    said = "agrees with the live one" if replayed.agrees else "DISAGREES with the live one"
    output.show(
        {member: getattr(replayed, member) for member in members},
        f"{replayed.tenant}: {counted(replayed.receipts, 'receipt')} replayed; the state {said}",
    )
    if replayed.agrees:
        return ExitStatus.YES
    fail(f"{replayed.tenant}: the live state is not what its receipts say")
    return ExitStatus.WRONG


@app.command(epilog=EPILOG)
def erase(
    tenant: Tenant,
    seq: Seq,
    part: Annotated[str, typer.Option("--part", metavar="NAME", help="Which part: metadata, reason, …")],
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="TEXT", help="Why; itself an erasable part.")
    ] = None,
    store: StoreUrl = None,
    data_dir: DataDir = None,
    url: Url = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Erase a part of a receipt for good; the receipt stays and its chain still verifies."""
    from tai_autonomics.cli import erasing, served

    output, place = (
        Output(json=as_json, quiet=quiet),
        Place(store=store, data_dir=data_dir, url=url, token_file=token_file),
    )
    parse_tenant_id(tenant)

    async def work() -> served.Erased:
        if place.url is None:
            return await erasing.erase_here(place.settings, tenant, seq=seq, part=part, reason=reason)
        async with served.connect(place.url, place.token_file) as service:
            key = erasing.key_of(seq=seq, part=part)
            return await service.erase(tenant, seq=seq, part=part, reason=reason, key=key)

    erased = asyncio.run(work())
    own_seq = msgspec.json.decode(erased.receipt)["seq"]
    output.show(
        erased,
        f"{tenant}: erased the part {part} of receipt {seq}; receipt {own_seq} {erased.hash}; journal {erased.journal}",
    )
