"""
`backup`: copy the store while it serves.

`backup drill` shows whether that copy would do; `backup prune` deletes those that are not needed any more.
"""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from tai_autonomics.cli.loop import complete
from tai_autonomics.cli.options import AsJson, Backups, DataDir, Quiet, StoreUrl, backups_of, settings_of
from tai_autonomics.cli.output import Output, counted, fail
from tai_autonomics.cli.progress import progress
from tai_autonomics.cli.statuses import EPILOG, ExitStatus, epilog

if TYPE_CHECKING:
    from tai_autonomics.settings import Settings

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


@app.callback(epilog=epilog("backup", "backup --backups /mnt/backups"))
def backup(
    context: typer.Context,
    backups: Backups = None,
    erasures_only: Annotated[
        bool,
        typer.Option("--erasures-only", help="Copy nothing: bring the list of erasures up to date, for any store."),
    ] = False,
    store: StoreUrl = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Copy the store, while it serves, into a directory of backups; keys and tokens are not in it."""
    if context.invoked_subcommand is not None:
        return
    output, settings = Output(json=as_json, quiet=quiet), settings_of(store=store, data_dir=data_dir)
    directory = backups_of(backups, settings)
    if erasures_only:
        _list_erasures(settings, directory, output)
    else:
        _back_up(settings, directory, output)


def _list_erasures(settings: "Settings", directory: Path, output: Output) -> None:
    from tai_autonomics.cli import saving

    named, listed = complete(saving.list_erasures(settings, directory))
    output.show(
        {"directory": str(directory), "named": named, "erasures": listed},
        f"{directory}: {counted(listed, 'erasure')} on the list; the store names {named:,}",
    )


def _back_up(settings: "Settings", directory: Path, output: Output) -> None:
    from tai_autonomics.cli.saving import back_up

    with progress("copying", total=100, unit="percent", shown=not output.quiet) as tell:
        made = complete(back_up(settings, directory, lambda done, pages: tell(100 * done // max(pages, 1))))
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


@app.command(epilog=epilog("backup drill", "backup drill --rto 600 --rpo 60 --json"))
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
    """
    Restore the newest backup aside, and measure RTO and RPO.

    Every chain is verified, in a temporary place.
    """
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


@app.command(epilog=epilog("backup prune --keep-days 30"))
def prune(
    keep: Annotated[
        int | None, typer.Option("--keep", metavar="N", min=1, help="Keep the newest N, whatever their age.")
    ] = None,
    keep_days: Annotated[
        int | None, typer.Option("--keep-days", metavar="N", min=1, help="Keep those of the last N days.")
    ] = None,
    backups: Backups = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Delete older backups: what neither option keeps. Never the newest, never the list of erasures."""
    from tai_autonomics.cli import saving, shelf

    if keep is None and keep_days is None:
        raise typer.BadParameter("say what to keep: --keep N, --keep-days N, or both")
    output, settings = Output(json=as_json, quiet=quiet), settings_of(store=None, data_dir=data_dir)
    directory = backups_of(backups, settings)
    age = None if keep_days is None else timedelta(days=keep_days)
    outdated = saving.outdated(directory, keep=keep or 1, age=age)
    kept = len(shelf.every(directory)) - len(outdated)
    shelf.prune(directory, outdated)
    output.show(
        {"deleted": [str(each) for each in outdated], "kept": kept},
        f"{directory}: deleted {counted(len(outdated), 'backup')}, kept {kept:,}",
    )
