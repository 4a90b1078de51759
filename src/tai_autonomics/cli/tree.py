"""How commands hang together: a group's module is imported when it is called for, so that `serve` starts fast."""

from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_command

from tai_autonomics.cli.statuses import EPILOG

PROGRAM: Final = "tai-autonomics"
COMPLETE: Final = "_TAI_AUTONOMICS_COMPLETE"
"""Set by a shell that asks for completions (the name is the command line library's)."""
MODULES: Final = (
    "serve",
    "token",
    "receipts",
    "tenants",
    "governor",
    "actions",
    "holds",
    "attest",
    "audit",
    "quarantine",
    "backup",
    "restore",
    "plans",
    "policy",
    "simulate",
    "completion",
    "config",
    "doctor",
    "checklist",
)
"""In the order of the help."""


def group(summary: str | None = None) -> typer.Typer:
    """A group of commands; with one command and no `summary`, the command itself."""
    return typer.Typer(
        help=summary,
        epilog=EPILOG,
        no_args_is_help=summary is not None,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )


class _OnDemand(MutableMapping[str, Any]):
    """The commands of the root, each imported when it is asked for."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in MODULES:
            raise KeyError(name)
        if name not in self._made:
            command = get_command(import_module(f"tai_autonomics.cli.{name}").app)
            command.name = name
            self._made[name] = command
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(MODULES)

    def __len__(self) -> int:
        return len(MODULES)


class Root(TyperGroup):
    """`tai-autonomics` itself."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _OnDemand()
