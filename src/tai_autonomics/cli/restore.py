"""`restore`: bring the store back from a backup."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from tai_autonomics.cli.loop import complete
from tai_autonomics.cli.options import AsJson, Backups, DataDir, Quiet, StoreUrl, backups_of, settings_of
from tai_autonomics.cli.output import Output, counted, fail
from tai_autonomics.cli.progress import progress
from tai_autonomics.cli.statuses import epilog
from tai_autonomics.cli.tree import group

if TYPE_CHECKING:
    from tai_autonomics.settings import Settings

app = group()


@app.command(epilog=epilog("restore --backups /mnt/backups", "restore --replace"))
def restore(
    manifest: Annotated[
        Path | None, typer.Argument(metavar="[MANIFEST]", help="Which backup; without it, the newest.")
    ] = None,
    backups: Backups = None,
    over: Annotated[
        bool, typer.Option("--replace", help="Take the place of a store that holds receipts; it is moved aside.")
    ] = False,
    in_place: Annotated[
        bool,
        typer.Option("--in-place", help="The engine's own means have brought the store back: make it fit as it is."),
    ] = False,
    store: StoreUrl = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """
    Bring the store back from a backup. Every chain is verified; no service may run on it.

    Each ledger's first receipt says that it was restored, and parts that were erased since are erased again. Until all
    of that is done, nothing in the store's place has changed. A store that its engine's own means have brought back is
    made fit by --in-place, which may be repeated when it was cut short.
    """
    output, settings = Output(json=as_json, quiet=quiet), settings_of(store=store, data_dir=data_dir)
    directory = backups_of(backups, settings)
    if not in_place:
        _restore(settings, manifest, directory, over=over, output=output)
    elif manifest is not None or over:
        raise typer.BadParameter("--in-place takes neither a MANIFEST nor --replace")
    else:
        _restore_in_place(settings, directory, output)


def _restore_in_place(settings: "Settings", directory: Path, output: Output) -> None:
    from tai_autonomics.cli import saving

    started = time.monotonic()
    with progress("verifying", total=None, unit="receipts", shown=not output.quiet) as tell:
        fit = complete(saving.restore_in_place(settings, directory, tell=tell))
    seconds = time.monotonic() - started
    output.show(
        {**msgspec.structs.asdict(fit), "seconds": round(seconds, 3)},
        f"fit to serve: {counted(fit.ledgers, 'ledger')}, {counted(fit.receipts, 'receipt')}, every chain verified,"
        f" in {seconds:.1f} s; {counted(fit.erased, 'part')} erased again",
    )


def _restore(settings: "Settings", manifest: Path | None, directory: Path, *, over: bool, output: Output) -> None:
    from tai_autonomics.cli import saving, shelf

    started = time.monotonic()
    chosen = manifest or shelf.newest(directory)
    total = shelf.read(chosen).receipts
    with progress("verifying", total=total, unit="receipts", shown=not output.quiet) as tell:
        done = complete(saving.restore(settings, chosen, over=over, tell=tell, started=started))
    if done.unread is not None:
        fail(f"what was erased since the last backup in the store that was there is not known: {done.unread}")
    fit = done.fit
    output.show(
        {
            "manifest": str(chosen),
            "time": done.content.time,
            **msgspec.structs.asdict(fit),
            "aside": done.aside,
            "seconds": round(done.seconds, 3),
        },
        f"{chosen}: restored {counted(fit.ledgers, 'ledger')}, {counted(fit.receipts, 'receipt')},"
        f" every chain verified, as of {done.content.time}, in {done.seconds:.1f} s;"
        f" {counted(fit.erased, 'part')} erased again",
        *([] if done.aside is None else [f"what was there is {done.aside}: delete it when you need it no more"]),
    )
