"""`quarantine`: the messages that were acknowledged and not decided in whole."""

from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from tai_autonomics.cli.loop import complete
from tai_autonomics.cli.options import AsJson, DataDir, Quiet, StoreUrl, settings_of
from tai_autonomics.cli.output import Output, counted
from tai_autonomics.cli.statuses import epilog
from tai_autonomics.cli.tree import group
from tai_autonomics.errors import StoreUnavailable, Unknown

if TYPE_CHECKING:
    from tai_autonomics.application.ports import Store
    from tai_autonomics.ledger.records import Quarantined
    from tai_autonomics.settings import Settings

PAGE_MESSAGES: Final = 16
"""Read at once; one may have 10 MB."""
SHOWN_BYTES_MAX: Final = 2_000
"""Of a payload, for a person; JSON has all of it."""

app = group("Messages in quarantine: list, show, redrive, discard.")


@app.command("list", epilog=epilog("quarantine list"))
def list_messages(
    store: StoreUrl = None, data_dir: DataDir = None, as_json: AsJson = False, quiet: Quiet = False
) -> None:
    """List the messages, each with why it rests and its next delivery."""
    from tai_autonomics.cli.stored import open_store

    output, settings = Output(json=as_json, quiet=quiet), settings_of(store=store, data_dir=data_dir)

    async def work() -> None:
        async with open_store(settings) as opened:
            async for message in _every(opened):
                output.show(_document(message), f"{message.time}  {message.reason:<22}  {_when(message)}  {message.id}")

    complete(work())


@app.command(epilog=epilog("quarantine show 17 --json"))
def show(
    id: Annotated[str, typer.Argument(metavar="ID", help="Which message.")],
    store: StoreUrl = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """
    Show a message and what it carries.

    In JSON the payload is `data`, in base64 as Pub/Sub has it.
    """
    from tai_autonomics.cli.stored import open_store

    output, settings = Output(json=as_json, quiet=quiet), settings_of(store=store, data_dir=data_dir)

    async def work() -> "Quarantined":
        async with open_store(settings) as opened:
            return await _held(opened, id)

    message = complete(work())
    output.show({**_document(message), "data": b64encode(message.payload).decode()}, *lines_of(message))


@app.command(epilog=epilog("quarantine redrive 17", "quarantine redrive --all"))
def redrive(
    id: Annotated[str | None, typer.Argument(metavar="ID", help="Which message.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every message.")] = False,
    store: StoreUrl = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """
    Mark a message, or all, for another delivery. The next start of the service delivers.

    Only while no service runs on the store. A running one delivers by itself what time can cure: tenants over their
    limit, conflicts, ledgers of a newer release, our own errors. It never does what was not understood.
    """
    _one_or_all(id, every)
    output, settings = Output(json=as_json, quiet=quiet), settings_of(store=store, data_dir=data_dir)
    marked = complete(_mark(settings, id))
    output.show({"marked": marked}, f"{counted(marked, 'message')} marked: the next start of the service delivers")


@app.command(epilog=epilog("quarantine discard 17"))
def discard(
    id: Annotated[str | None, typer.Argument(metavar="ID", help="Which message.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every message.")] = False,
    store: StoreUrl = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """
    Drop a message, or all, for good: nobody will decide it. `show` it first, or keep what `show --json` prints.

    On the embedded store only while no service runs.
    """
    _one_or_all(id, every)
    output, settings = Output(json=as_json, quiet=quiet), settings_of(store=store, data_dir=data_dir)

    async def work() -> int:
        dropped = 0
        async with _writing(settings, "discard needs the service stopped") as opened:
            async for message in _every(opened) if id is None else _one(opened, id):
                await opened.release_quarantined(message.id)
                dropped += 1
        return dropped

    dropped = complete(work())
    output.show({"discarded": dropped}, f"{counted(dropped, 'message')} discarded")


def _one_or_all(id: str | None, every: bool) -> None:
    if (id is None) is not every:
        raise typer.BadParameter("give an ID or --all")


async def _mark(settings: "Settings", id: str | None) -> int:
    """How many are due now. Raises Unknown, and StoreUnavailable while a service runs."""
    from tai_autonomics import wiring
    from tai_autonomics.domain.moments import moment_of

    now, marked = moment_of(wiring.SystemClock().now()), 0
    hint = "redrive needs the service stopped; while it runs, it redrives by itself what time can cure"
    async with _writing(settings, hint) as store:
        async for message in _every(store) if id is None else _one(store, id):
            await store.put_off_quarantined(message.id, reason=message.reason, redrives=0, redrive_at=now)
            marked += 1
    return marked


@asynccontextmanager
async def _writing(settings: "Settings", hint: str) -> "AsyncIterator[Store]":
    """The store, to write to. Raises StoreUnavailable, with the hint, while a service holds it for itself."""
    from tai_autonomics import wiring
    from tai_autonomics.cli.stored import open_store

    # A reader first: a place without a store is not made into one.
    async with open_store(settings):
        pass
    try:
        store = await wiring.open_store(settings)
    except StoreUnavailable as error:
        raise StoreUnavailable(f"{error} ({hint})") from error
    async with aclosing(store):
        yield store


async def _every(store: "Store") -> "AsyncIterator[Quarantined]":
    after = ""
    while page := await store.quarantined(after, PAGE_MESSAGES):
        for message in page:
            yield message
        after = page[-1].id


async def _one(store: "Store", id: str) -> "AsyncIterator[Quarantined]":
    yield await _held(store, id)


async def _held(store: "Store", id: str) -> "Quarantined":
    message = await store.quarantined_one(id)
    if message is None:
        raise Unknown(f"no message {id} is in quarantine")
    return message


def lines_of(message: "Quarantined") -> list[str]:
    """The message for a person."""
    text, size = message.payload[:SHOWN_BYTES_MAX].decode(errors="replace"), len(message.payload)
    lines = [
        f"message    {message.message_id} of {message.subscription}",
        f"id         {message.id}",
        f"came       {message.time}, by {message.by}",
        f"reason     {message.reason}",
        f"redriven   {counted(message.redrives, 'time')}; next: {_when(message).strip()}",
        f"digest     {message.digest}",
        f"payload    {text}",
    ]
    return (
        lines if size <= SHOWN_BYTES_MAX else [*lines, f"           … {counted(size - SHOWN_BYTES_MAX, 'byte')} more"]
    )


def _when(message: "Quarantined") -> str:
    return f"{message.redrive_at or 'when you redrive it':<27}"


def _document(message: "Quarantined") -> dict[str, Any]:
    """Everything but the payload, of which it has the size."""
    document: dict[str, Any] = msgspec.structs.asdict(message)
    del document["payload"]
    return {**document, "payload_bytes": len(message.payload)}
