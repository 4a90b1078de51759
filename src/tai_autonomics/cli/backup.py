"""`backup`: copy the store while it serves; `backup drill`: see whether that copy would do."""

from typing import Annotated, Final

import msgspec
import typer

from tai_autonomics.cli.loop import complete
from tai_autonomics.cli.options import AsJson, Backups, DataDir, Quiet, StoreUrl, backups_of, settings_of
from tai_autonomics.cli.output import Output, counted, fail
from tai_autonomics.cli.progress import progress
from tai_autonomics.cli.statuses import EPILOG, ExitStatus

RTO_SECONDS: Final = 3_600.0
RPO_SECONDS: Final = 900.0

app = typer.Typer(
    help="Copy the store, while it serves, into a directory of backups.",
    epilog=EPILOG,
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback(epilog=EPILOG)
def backup(
    context: typer.Context,
    backups: Backups = None,
    store: StoreUrl = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Copy the store, while it serves, into a directory of backups; keys and tokens are not in it."""
    if context.invoked_subcommand is not None:
        return
    from tai_autonomics.cli.saving import back_up

    output, settings = Output(json=as_json, quiet=quiet), settings_of(store=store, data_dir=data_dir)
    with progress("copying", total=100, unit="percent", shown=not quiet) as tell:
        made = complete(
            back_up(settings, backups_of(backups, settings), lambda done, pages: tell(100 * done // max(pages, 1)))
        )
    content = made.content
    output.show(
        {
            **msgspec.structs.asdict(content),
            "manifest": str(made.manifest),
            "erasures": made.erasures,
            "seconds": round(made.seconds, 3),
        },
        f"{made.manifest}: {counted(content.ledgers, 'ledger')}, {counted(content.receipts, 'receipt')},"
        f" {content.bytes:,} bytes as of {content.time}, in {made.seconds:.1f} s;"
        f" {counted(made.erasures, 'erasure')} on the list",
    )


@app.command(epilog=EPILOG)
def drill(
    backups: Backups = None,
    rto: Annotated[
        float, typer.Option("--rto", metavar="SECONDS", min=0, help="A restore may take so long.")
    ] = RTO_SECONDS,
    rpo: Annotated[float, typer.Option("--rpo", metavar="SECONDS", min=0, help="So much may be lost.")] = RPO_SECONDS,
    store: StoreUrl = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Restore the newest backup into a temporary place, verify every chain, and measure RTO and RPO."""
    from tai_autonomics.cli import saving, shelf

    output, settings = Output(json=as_json, quiet=quiet), settings_of(store=store, data_dir=data_dir)
    manifest = shelf.newest(backups_of(backups, settings))
    total = shelf.read(manifest).receipts
    with progress("verifying", total=total, unit="receipts", shown=not quiet) as tell:
        done = complete(saving.drill(settings, manifest, tell=tell))
    fit, met = done.restored.fit, done.rto_seconds <= rto and done.rpo_seconds <= rpo
    output.show(
        {
            "manifest": str(manifest),
            "met": met,
            "rto_seconds": round(done.rto_seconds, 3),
            "rpo_seconds": round(done.rpo_seconds, 3),
            "rto_seconds_max": rto,
            "rpo_seconds_max": rpo,
            **msgspec.structs.asdict(fit),
        },
        f"{manifest}: {counted(fit.ledgers, 'ledger')}, {counted(fit.receipts, 'receipt')}, every chain verified",
        f"RTO {done.rto_seconds:.1f} s of {rto:g} s: from the backup to a store that a service can start on",
        f"RPO {done.rpo_seconds:.1f} s of {rpo:g} s: what would be lost if the live store were lost now",
    )
    if met:
        return ExitStatus.YES
    fail("missed: " + ("the restore took too long" if done.rto_seconds > rto else "the newest backup is too old"))
    return ExitStatus.WRONG
