"""`receipts`: read, explain, verify, move, replay, archive and erase."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from tai_autonomics.cli.ledgers import Place, ask, at_place, ledgers
from tai_autonomics.cli.loop import complete
from tai_autonomics.cli.options import AsJson, DataDir, Quiet, StoreUrl, Tenant, Tenants, settings_of
from tai_autonomics.cli.output import Output, counted, rate
from tai_autonomics.cli.progress import progress
from tai_autonomics.cli.statuses import ExitStatus, epilog
from tai_autonomics.cli.tree import group
from tai_autonomics.domain.identifiers import FLEET, parse_ledger, parse_tenant_id

if TYPE_CHECKING:
    from tai_autonomics.application.importing import Imported

LIST_LIMIT: Final = 100
ARCHIVE_RECEIPTS: Final = 100
DAYS_MAX: Final = 36_500
SEQ_MAX: Final = 2**53 - 1

app = group("Receipts: read, explain, verify, move, replay, archive, erase.")

Seq = Annotated[int, typer.Option("--seq", metavar="SEQ", min=1, max=SEQ_MAX, help="Which receipt.")]


@app.command("list", epilog=epilog("receipts list -t acme", "receipts list -t acme --after 100 --limit 50 --json"))
@at_place
def list_receipts(
    tenant: Tenant,
    after: Annotated[int, typer.Option("--after", metavar="SEQ", min=0, max=SEQ_MAX, help="Those after this seq.")] = 0,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=SEQ_MAX, help="So many.")] = LIST_LIMIT,
    type_: Annotated[str | None, typer.Option("--type", metavar="TYPE", help="transition, refusal, …")] = None,
    subject: Annotated[str | None, typer.Option("--subject", metavar="KIND/ID", help="About this subject.")] = None,
    *,
    place: Place,
    output: Output,
) -> None:
    """
    List a tenant's receipts in order, one a line.

    With --json they are as an export has them.
    """
    from tai_autonomics.cli.reading import summary_of

    parse_ledger(tenant)

    async def work() -> None:
        async with ledgers(place) as source:
            async for line in source.receipts(tenant, after=after, limit=limit, type=type_, subject=subject):
                if output.json:
                    output.show_bytes(line)
                else:
                    output.show(None, summary_of(line))

    complete(work())


@app.command(epilog=epilog("receipts show -t acme --seq 17"))
@at_place
def show(
    tenant: Tenant,
    seq: Annotated[str, typer.Option("--seq", metavar="SEQ|head", help="Which receipt; head is the newest.")] = "head",
    *,
    place: Place,
    output: Output,
) -> None:
    """Show one receipt, with the parts of it that still exist."""
    from tai_autonomics.cli.reading import lines_of

    parse_ledger(tenant)
    if seq != "head" and not (seq.isascii() and seq.isdigit() and 1 <= int(seq) <= SEQ_MAX):
        raise typer.BadParameter(f"--seq {seq!r} is neither a receipt's number nor head")
    line = complete(ask(place, lambda source: source.receipt(tenant, None if seq == "head" else int(seq))))
    if output.json:
        output.show_bytes(line)
    else:
        output.show(None, *lines_of(line))


@app.command(epilog=epilog("receipts explain acme 17", "receipts explain acme 17 --file receipts.jsonl"))
@at_place
def explain(
    tenant: Annotated[
        str, typer.Argument(metavar="TENANT", help=f"Whose ledger; {FLEET} is that of all tenants' budgets.")
    ],
    seq: Annotated[int, typer.Argument(metavar="SEQ", min=1, max=SEQ_MAX, help="Which receipt.")],
    file: Annotated[
        Path | None, typer.Option("--file", "-f", metavar="FILE", help="Read it from this export; - is standard input.")
    ] = None,
    *,
    place: Place,
    output: Output,
) -> int:
    """
    Say in plain words what led to a receipt, from the receipt alone.

    It names the gates, the rule, the values of its window and the limits.

    Its bytes are held against its hash; that the hash is the ledger's, `receipts verify` says.
    """
    from tai_autonomics.cli import explaining, finding

    parse_ledger(tenant)
    if file is not None and place.is_named:
        raise typer.BadParameter("give --file, or --store or --url, not both")
    if file is None:
        line = complete(ask(place, lambda source: source.receipt(tenant, seq)))
    else:
        line = finding.line_in(file, tenant, seq)
    explained = explaining.explain(line)
    output.show(explained, *explaining.lines_of(explained))
    return ExitStatus.YES if explained.complete else ExitStatus.UNCLEAR


@app.command(epilog=epilog("receipts verify receipts.jsonl", "receipts verify -t acme --head HASH"))
def verify(
    file: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE]...",
            help="An export; - is standard input. Archives first, in order. Without it, the store.",
            show_default=False,
        ),
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
    """
    Verify whole ledgers, and say which head that rests on.

    Every byte, link and part that is there is checked.
    """
    from tai_autonomics.cli import checking
    from tai_autonomics.cli.verifying import parse_heads

    output, heads = Output(json=as_json, quiet=quiet), parse_heads(head or ())
    if not file:
        return complete(checking.verify_store(settings_of(store=store, data_dir=data_dir), tenant, heads, output))
    if tenant or store:
        raise typer.BadParameter("give FILE, or --tenant and --store, not both")
    return checking.verify_files(file, heads, output)


@app.command(epilog=epilog("receipts export -o receipts.jsonl", "receipts export -t acme | gzip > acme.jsonl.gz"))
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
    """Write ledgers as JSON Lines, verified on their way out. With -o: run it again to go on where one ended early."""
    from tai_autonomics.cli.exporting import export_to, outlet
    from tai_autonomics.cli.moving import heads_named
    from tai_autonomics.cli.stored import open_store

    output, settings = Output(json=as_json, quiet=quiet), settings_of(store=store, data_dir=data_dir)
    into_file = to_file is not None and str(to_file) != "-"
    shown = not quiet and (into_file or not sys.stdout.isatty())

    async def work() -> tuple[int, int, float]:
        async with open_store(settings) as opened:
            started = time.monotonic()
            found = await heads_named(opened, tenant)
            total = sum(head.seq for head in found.values())
            with progress("exporting", total=total, unit="receipts", shown=shown) as tell, outlet(to_file) as to:
                receipts = await export_to(opened, found, to, tell)
            return len(found), receipts, time.monotonic() - started

    ledgers_, receipts, seconds = complete(work())
    if into_file:
        output.show(
            {"file": str(to_file), "ledgers": ledgers_, "receipts": receipts, "seconds": round(seconds, 3)},
            f"{to_file}: {counted(ledgers_, 'ledger')}, {counted(receipts, 'receipt')}, in {rate(receipts, seconds)}",
        )


@app.command("import", epilog=epilog("receipts import receipts.jsonl --store postgresql://tai@db/tai"))
def import_receipts(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An export; - is standard input.")],
    store: StoreUrl = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """
    Verify an export and append what the store lacks.

    The service must be stopped. Run it again to go on.
    """
    from tai_autonomics.cli.moving import import_from, source
    from tai_autonomics.cli.stored import open_store
    from tai_autonomics.cli.verifying import lines_of

    output, settings = Output(json=as_json, quiet=quiet), settings_of(store=store, data_dir=data_dir)

    async def work() -> "tuple[tuple[Imported, ...], float]":
        with source(file) as (opened, size):
            async with open_store(settings, read_only=False) as into:
                started = time.monotonic()
                with progress("importing", total=size, unit="bytes", shown=not quiet) as tell:
                    done = await import_from(into, lines_of(opened, tell))
                return done, time.monotonic() - started

    done, seconds = complete(work())
    appended, held = sum(each.appended for each in done), sum(each.held for each in done)
    output.show(
        {"ledgers": done, "appended": appended, "held": held, "seconds": round(seconds, 3)},
        f"{counted(len(done), 'ledger')}: {counted(appended, 'receipt')} appended, {held:,} were there already,"
        f" in {rate(appended + held, seconds)}",
    )


@app.command(epilog=epilog("receipts replay -t acme"))
def replay(
    tenant: Tenants = None,
    store: StoreUrl = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """
    Rebuild state from receipts alone and compare it with the live.

    Writes nothing.
    """
    from tai_autonomics.cli import checking

    output, settings = Output(json=as_json, quiet=quiet), settings_of(store=store, data_dir=data_dir)
    return complete(checking.replay_store(settings, tenant, output))


@app.command(epilog=epilog("receipts archive --older-than-days 180"))
def archive(
    tenant: Tenants = None,
    archives: Annotated[
        Path | None, typer.Option("--archives", metavar="DIR", help="Where archives are kept; else DIR/archives.")
    ] = None,
    older_than_days: Annotated[
        int | None,
        typer.Option(
            "--older-than-days",
            metavar="N",
            min=30,
            max=DAYS_MAX,
            help="Receipts that are so old; else 90, or what the tenant's retention demands.",
        ),
    ] = None,
    through: Annotated[
        int | None, typer.Option("--through", metavar="SEQ", min=1, max=SEQ_MAX, help="None after it, of one tenant.")
    ] = None,
    at_least: Annotated[
        int, typer.Option("--at-least", metavar="N", min=1, max=SEQ_MAX, help="Leave ledgers with fewer such receipts.")
    ] = ARCHIVE_RECEIPTS,
    write_only: Annotated[
        bool, typer.Option("--write-only", help="Write and verify the files; the next run seals and drops.")
    ] = False,
    store: StoreUrl = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """
    Move old receipts into sealed files, out of the store.

    Run it again to go on.
    """
    from tai_autonomics.cli import archiving

    output, settings = Output(json=as_json, quiet=quiet), settings_of(store=store, data_dir=data_dir)
    if through is not None and len(tenant or ()) != 1:
        raise typer.BadParameter("--through goes with one --tenant")
    wanted = archiving.Wanted(days=older_than_days, through=through, at_least=at_least, write_only=write_only)
    directory = archives or settings.data_dir / "archives"
    return complete(archiving.archive(settings, tenant, directory, wanted, output))


@app.command(epilog=epilog("receipts erase -t acme --seq 17 --part metadata --reason 'request 4711'"))
@at_place
def erase(
    tenant: Tenant,
    seq: Seq,
    part: Annotated[str, typer.Option("--part", metavar="NAME", help="Which part: metadata, reason, …")],
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="TEXT", help="Why; itself an erasable part.")
    ] = None,
    *,
    place: Place,
    output: Output,
) -> None:
    """
    Erase a part of a receipt for good.

    The receipt stays and its chain still verifies.
    """
    from tai_autonomics.cli import erasing, served

    parse_tenant_id(tenant)

    async def work() -> served.Erased:
        if place.url is None:
            return await erasing.erase_here(place.settings, tenant, seq=seq, part=part, reason=reason)
        async with served.connect(place.url, place.token_file) as service:
            key = erasing.key_of(seq=seq, part=part)
            return await service.erase(tenant, seq=seq, part=part, reason=reason, key=key)

    erased = complete(work())
    own_seq = msgspec.json.decode(erased.receipt)["seq"]
    output.show(
        erased,
        f"{tenant}: erased the part {part} of receipt {seq}; receipt {own_seq} {erased.hash}; journal {erased.journal}",
    )
