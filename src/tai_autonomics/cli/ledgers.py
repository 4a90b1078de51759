"""Where a reading command looks: the store itself, or with --url the service that runs on it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import typer

from tai_autonomics.cli.options import AsJson, DataDir, Quiet, StoreUrl, TokenFile, Url, settings_of
from tai_autonomics.cli.output import Output

if TYPE_CHECKING:
    from tai_autonomics.cli.served import Served
    from tai_autonomics.cli.stored import Stored
    from tai_autonomics.settings import Settings

T = TypeVar("T")


class Place:
    """What the options say of it."""

    def __init__(self, *, store: str | None, data_dir: Path | None, url: str | None, token_file: Path | None) -> None:
        if url is not None and store is not None:
            raise typer.BadParameter("give --store or --url, not both")
        if url is None and token_file is not None:
            raise typer.BadParameter("--token-file goes with --url")
        self.settings: Settings = settings_of(store=store, data_dir=data_dir)
        self.url = url
        self.is_named = url is not None or store is not None
        self.token_file = token_file or self.settings.data_dir / "admin.token"


def _made_of(
    store: StoreUrl = None,
    data_dir: DataDir = None,
    url: Url = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> dict[str, Any]:
    return {
        "output": Output(json=as_json, quiet=quiet),
        "place": Place(store=store, data_dir=data_dir, url=url, token_file=token_file),
    }


_OPTIONS: Final = signature(_made_of).parameters


def at_place(command: Callable[..., T]) -> Callable[..., T]:
    """`command` with the options that make its `place` and `output`, after its own, in place of these two."""
    own = signature(command)

    @wraps(command)
    def run(**given: Any) -> T:
        shared = {name: given.pop(name) for name in _OPTIONS}
        return command(**given, **_made_of(**shared))

    kept = [each for name, each in own.parameters.items() if name not in ("place", "output")]
    run.__signature__ = own.replace(parameters=[*kept, *_OPTIONS.values()])  # type: ignore[attr-defined]
    return run


@asynccontextmanager
async def ledgers(place: Place) -> "AsyncIterator[Stored | Served]":
    """Open for reading, closed at the end."""
    if place.url is not None:
        from tai_autonomics.cli import served

        async with served.connect(place.url, place.token_file) as service:
            yield service
        return
    from tai_autonomics.cli import stored

    async with stored.open_store(place.settings) as store:
        yield stored.Stored(store, place.settings)


async def ask(place: Place, question: "Callable[[Stored | Served], Awaitable[T]]") -> T:
    """The answer to one question."""
    async with ledgers(place) as source:
        return await question(source)
