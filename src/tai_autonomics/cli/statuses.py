"""Exit statuses, and which error ends a command with which."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

from tai_autonomics.errors import (
    BrokenArchive,
    BrokenBackup,
    BrokenBundle,
    BrokenChain,
    HeldBack,
    InvalidPlans,
    InvalidSetting,
    NotCanonical,
    Unavailable,
    Unknown,
)


class ExitStatus(IntEnum):
    """What a caller's script learns; 69 and 78 are those of sysexits.h."""

    YES = 0
    WRONG = 1
    UNCLEAR = 2
    STORE_UNAVAILABLE = 69
    CONFIGURATION = 78
    INTERRUPTED = 130
    """128 + SIGINT, as a shell reports it."""
    PIPE_CLOSED = 141
    """128 + SIGPIPE; whoever read our output has had enough."""


EXIT_STATUS: Final = (
    "0    yes",
    "1    checked and wrong",
    "2    cannot tell, or usage",
    "69   store unavailable",
    "78   configuration",
    "130  interrupted; 141 whoever read the output had enough",
)


def epilog(*examples: str) -> str:
    """What ends a command's help: calls to begin with, and what its exit status says."""
    shown = _section("Examples:", [f"tai-autonomics {each}" for each in examples]) if examples else ""
    return shown + _section("Exit status:", EXIT_STATUS)


def _section(heading: str, lines: Sequence[str]) -> str:
    # A paragraph after \b is not wrapped: whoever pastes a call gets it whole.
    return "\n".join(["\b", heading, *(f"  {line}" for line in lines), "", ""])


EPILOG: Final = epilog()


def status_of(error: BaseException) -> ExitStatus:
    """The status of a command that ended in `error`."""
    match error:
        case InvalidSetting() | InvalidPlans():
            return ExitStatus.CONFIGURATION
        case Unavailable():
            return ExitStatus.STORE_UNAVAILABLE
        case (
            BrokenArchive() | BrokenBackup() | BrokenBundle() | BrokenChain() | HeldBack() | NotCanonical() | Unknown()
        ):
            return ExitStatus.WRONG
        case KeyboardInterrupt():
            return ExitStatus.INTERRUPTED
        case BrokenPipeError():
            return ExitStatus.PIPE_CLOSED
        case _:
            return ExitStatus.UNCLEAR
