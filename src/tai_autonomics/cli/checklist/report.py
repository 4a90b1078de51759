"""The sign-off: a page for people, a document for programs."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from tai_autonomics.cli.checklist.lines import OUTCOMES, Line, Outcome
from tai_autonomics.cli.output import printable

STDOUT: Final = "-"


class Report(Struct, frozen=True):
    """`failed` says whether anything did; nothing in it is secret."""

    v: int
    title: str
    about: dict[str, Any]
    began_at: str
    ended_at: str
    failed: bool
    counts: dict[Outcome, int]
    left_behind: list[str]
    lines: list[Line]


def report_of(
    title: str,
    about: dict[str, Any],
    lines: list[Line],
    *,
    began_at: datetime,
    ended_at: datetime,
    left_behind: list[str],
) -> Report:
    counts = counted(lines)
    began, ended = (f"{each.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" for each in (began_at, ended_at))
    return Report(1, title, about, began, ended, counts["failed"] > 0, counts, left_behind, lines)


def counted(lines: Sequence[Line]) -> dict[Outcome, int]:
    return {outcome: sum(line.outcome == outcome for line in lines) for outcome in OUTCOMES}


def summary_of(report: Report) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in report.counts.items())


def as_json(report: Report) -> bytes:
    return msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n"


def as_markdown(report: Report) -> str:
    """A box is ticked where there is evidence, and nowhere else."""
    verdict = "**Something failed.**" if report.failed else "Nothing failed; what is open is a person's to decide."
    page = [
        f"# {report.title}",
        "",
        f"{verdict} {summary_of(report)}. From {report.began_at} to {report.ended_at}.",
        "",
        *(f"- {name}: {_inline(value)}" for name, value in report.about.items()),
        *(f"- left behind: {_inline(each)}" for each in report.left_behind),
    ]
    section = ""
    for line in report.lines:
        if line.section != section:
            section = line.section
            page += ["", f"## {section}", ""]
        box = "x" if line.outcome == "evidence" else " "
        outcome = f"**{line.outcome}**" if line.outcome == "failed" else line.outcome
        page.append(f"- [{box}] {line.line} (`{line.id}`): {outcome}: {_inline(line.detail)}")
    return "\n".join(page) + "\n"


def _inline(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return printable(text).replace("|", "\\|")


def write(place: Path, content: bytes) -> None:
    """Raises OSError."""
    if str(place) == STDOUT:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    else:
        place.write_bytes(content)
