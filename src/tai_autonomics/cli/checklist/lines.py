"""
A line of the sign-off: what the production checklist asks for, and what was found.

    evidence         it is so, and the detail shows it
    failed           it is not so
    open             nobody could tell from here; the detail says what is missing, or the command that shows it
    not applicable   it cannot hold here, and the detail says why
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, Literal, TypeVar

from msgspec import Struct

Outcome = Literal["evidence", "failed", "open", "not applicable"]
OUTCOMES: Final[tuple[Outcome, ...]] = ("evidence", "failed", "open", "not applicable")

RunT = TypeVar("RunT")


class Found(Struct, frozen=True):
    outcome: Outcome
    detail: str
    evidence: dict[str, Any] = {}


class Row(Struct, Generic[RunT], frozen=True):
    """
    A line before it is judged.

    `needs` are lines that must be evidence for this one to mean anything; a `late` row looks back on all others.
    """

    id: str
    says: str
    check: Callable[[RunT], Awaitable[Found]]
    needs: tuple[str, ...] = ()
    late: bool = False


class Section(Struct, Generic[RunT], frozen=True):
    title: str
    rows: tuple[Row[RunT], ...]


class Line(Struct, frozen=True):
    """A row, judged."""

    id: str
    section: str
    line: str
    outcome: Outcome
    detail: str
    evidence: dict[str, Any]
    seconds: float


class Wrong(Exception):
    """Ends a check as failed. Only checks raise it and only judging.py takes it."""

    def __init__(self, detail: str, **evidence: Any) -> None:
        super().__init__(detail)
        self.evidence = evidence


def shown(detail: str, **evidence: Any) -> Found:
    return Found("evidence", detail, evidence)


def failed(detail: str, **evidence: Any) -> Found:
    return Found("failed", detail, evidence)


def left_open(detail: str, **evidence: Any) -> Found:
    return Found("open", detail, evidence)


def not_applicable(detail: str) -> Found:
    return Found("not applicable", detail)
