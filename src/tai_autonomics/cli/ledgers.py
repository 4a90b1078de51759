"""Where a reading command looks: the store itself, or with --url the service that runs on it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from tai_autonomics.cli.options import settings_of

if TYPE_CHECKING:
    from tai_autonomics.cli.served import Served
    from tai_autonomics.cli.stored import Stored
    from tai_autonomics.settings import Settings


class Place:
    """What the options say of it."""

    def __init__(self, *, store: str | None, data_dir: Path | None, url: str | None, token_file: Path | None) -> None:
        if url is not None and store is not None:
            raise typer.BadParameter("give --store or --url, not both")
        if url is None and token_file is not None:
            raise typer.BadParameter("--token-file goes with --url")
        self.settings: Settings = settings_of(store=store, data_dir=data_dir)
        self.url = url
        self.token_file = token_file or self.settings.data_dir / "admin.token"


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
