"""`completion`: what a shell reads to complete command lines, and what it is answered when it asks."""

import sys
from typing import Annotated, Any, Literal

import typer

from tai_autonomics.cli.statuses import epilog
from tai_autonomics.cli.tree import COMPLETE, PROGRAM, group

app = group()

Shell = Annotated[Literal["bash", "zsh", "fish"], typer.Argument(metavar="SHELL", help="bash, zsh or fish.")]


@app.command(
    epilog=epilog(
        "completion bash > ~/.local/share/bash-completion/completions/tai-autonomics",
        "completion zsh > ~/.zfunc/_tai-autonomics",
        "completion fish > ~/.config/fish/completions/tai-autonomics.fish",
    )
)
def completion(context: typer.Context, shell: Shell) -> int:
    """
    Print what completes command lines in your shell.

    bash reads that directory where bash-completion is installed, zsh one that is on its fpath before compinit runs.
    """
    return answer(context.find_root().command, f"source_{shell}")


def answer(command: Any, instruction: str) -> int:
    """Carry out a shell's instruction: source_SHELL or complete_SHELL, the words in the shell's own variables."""
    from typer import completion as library

    # The library makes its shells known on the way to its options, which are not used: they would edit ~/.bashrc.
    library.get_completion_inspect_parameters()
    try:
        return library.shell_complete(command, {}, PROGRAM, COMPLETE, instruction)
    except SystemExit as asked:
        # fish learns from the status whether there is anything to complete.
        return asked.code if isinstance(asked.code, int) else 1
    finally:
        sys.stdout.flush()
