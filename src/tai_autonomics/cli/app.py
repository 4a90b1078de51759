"""
Runs a command line, and turns what went wrong into one line and an exit status.

    arguments --> the group's module --> its command --> 0, or what it returns
                                          an error   --> one line on stderr, and statuses.status_of
"""

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.main import get_command

from tai_autonomics import __version__
from tai_autonomics.cli.statuses import EPILOG, ExitStatus, status_of
from tai_autonomics.cli.tree import COMPLETE, PROGRAM, Root
from tai_autonomics.errors import InvalidPlans, InvalidSetting, TaiError

app = typer.Typer(
    cls=Root,
    help="The entitlement and autonomic control plane for SaaS vendors.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:  # typer's callbacks are positional
    if asked:
        print(f"{PROGRAM} {__version__}")
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None: ...


def run(arguments: Sequence[str]) -> int:
    """Carry out one command line; its exit status. Prints what went wrong, and raises nothing."""
    for stream in (sys.stdout, sys.stderr):
        if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
            # A terminal that cannot show a character must not end a command.
            reconfigure(errors="backslashreplace")
    try:
        status = _status_of(arguments)
        sys.stdout.flush()
    except OSError as error:
        # What is still buffered would fail again when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _tell(error)
        return status_of(error)
    return status


def _status_of(arguments: Sequence[str]) -> int:
    try:
        if (instruction := os.environ.get(COMPLETE)) is not None:
            # A shell asks which words may come next: imported only then.
            from tai_autonomics.cli.completion import answer

            return answer(get_command(app), instruction)
        return _invoke(arguments)
    except typer.Exit as exit_:
        return exit_.exit_code
    except typer.TyperException as error:
        return _misused(error)
    except BrokenPipeError:
        raise
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # the rim
        _tell(error)
        return status_of(error)


def _invoke(arguments: Sequence[str]) -> int:
    command = get_command(app)
    with command.make_context(PROGRAM, list(arguments)) as context:
        status = command.invoke(context)
    return ExitStatus.YES if status is None else int(status)


def _misused(error: typer.TyperException) -> int:
    """One line for a usage error; the help itself where a group was called without a command."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else PROGRAM
    message = error.format_message().replace("is not a valid int range", "is not a whole number")
    if "\n" in message.strip():
        print(message, file=sys.stderr)
    else:
        print(f"{path}: {message.rstrip('.?')}. See {path} --help", file=sys.stderr)
    return ExitStatus.UNCLEAR


def _tell(error: BaseException) -> None:
    match error:
        case KeyboardInterrupt() | BrokenPipeError():
            return
        case InvalidSetting() | InvalidPlans():
            lines = str(error).splitlines()
        case TaiError():
            lines = [str(error)]
        case OSError(strerror=str(why), filename=str(name)):
            lines = [f"{name}: {why}"]
        case OSError(strerror=str(why)):
            lines = [why]
        case _:
            lines = [f"{type(error).__name__}: {error} (LOG_LEVEL=debug shows where)"]
    if os.environ.get("LOG_LEVEL", "").lower() == "debug":
        traceback.print_exception(error)
    for line in lines:
        print(f"{PROGRAM}: {line}", file=sys.stderr)
