"""Options that several commands share, and the settings that they lead to."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tai_autonomics.settings import Fetched, Loaded, Settings

StoreUrl = Annotated[str | None, typer.Option("--store", metavar="URL", help="The store; else STORE_URL.")]
DataDir = Annotated[Path | None, typer.Option("--data-dir", metavar="DIR", help="Data directory; else TAI_DATA_DIR.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON: one document, or a document a line.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Url = Annotated[str | None, typer.Option("--url", metavar="URL", help="Ask the running service there instead.")]
TokenFile = Annotated[
    Path | None,
    typer.Option("--token-file", metavar="FILE", help="Token for --url; else DIR/admin.token."),
]
Backups = Annotated[
    Path | None,
    typer.Option("--backups", metavar="DIR", help="Where backups are kept; else TAI_BACKUPS_DIR, DIR/backups."),
]
Tenant = Annotated[str, typer.Option("--tenant", "-t", metavar="TENANT", help="Whose ledger.")]
Tenants = Annotated[
    list[str] | None,
    typer.Option("--tenant", "-t", metavar="TENANT", help="Whose ledger (repeatable); without it, every one."),
]
Dev = Annotated[bool, typer.Option("--dev", help="As serve --dev sees it: loopback, and .env is read.")]


def load_settings(
    *,
    store: str | None = None,
    data_dir: Path | None = None,
    host: str | None = None,
    port: int | None = None,
    dev: bool = False,
    serving: bool = False,
) -> "Loaded":
    """The settings in force with these options on top; `serving` as in Settings.load. Raises InvalidSetting."""
    from tai_autonomics.settings import Settings

    given = {
        "STORE_URL": store,
        "TAI_DATA_DIR": None if data_dir is None else str(data_dir),
        "HOST": host,
        "PORT": None if port is None else str(port),
    }
    overrides = {name: value for name, value in given.items() if value is not None}
    return Settings.load(os.environ, dev=dev, dotenv=Path(".env"), overrides=overrides, serving=serving, fetch=_fetch)


def _fetch(name: str) -> "Fetched":
    # Imported only where a secret is kept there: it brings all of wiring along.
    from tai_autonomics.wiring.secrets import fetch

    return fetch(name)


def settings_of(*, store: str | None, data_dir: Path | None) -> "Settings":
    """What a command needs to open the store. Raises InvalidSetting."""
    return load_settings(store=store, data_dir=data_dir).settings


def backups_of(directory: Path | None, settings: "Settings") -> Path:
    """Where backups are kept."""
    return directory or settings.backups_dir or settings.data_dir / "backups"


def warn(loaded: "Loaded") -> None:
    """Tell the operator of variables that nothing reads."""
    for warning in loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)
