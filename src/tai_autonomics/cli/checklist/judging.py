"""Carries out every row of every section, in order, and the late ones at the end."""

import time
from collections.abc import Sequence
from typing import TypeVar

import typer
from msgspec.structs import replace

from tai_autonomics.cli.checklist.lines import Found, Line, Outcome, Row, Section, Wrong, failed, left_open
from tai_autonomics.cli.progress import Tell
from tai_autonomics.errors import Malformed, StoreUnavailable

RunT = TypeVar("RunT")


async def judge(sections: Sequence[Section[RunT]], run: RunT, tell: Tell) -> list[Line]:
    """A line for each row, in the order of the sections."""
    rows = [(section, row) for section in sections for row in section.rows]
    judged: dict[str, Line] = {}
    for late in (False, True):
        for section, row in rows:
            if row.late is late:
                judged[row.id] = await _judged(section.title, row, run, judged)
                tell(len(judged))
    return [judged[row.id] for _, row in rows]


async def _judged(section: str, row: Row[RunT], run: RunT, before: dict[str, Line]) -> Line:
    started = time.monotonic()
    lacking: list[tuple[str, Outcome]] = [
        (each, before[each].outcome) for each in row.needs if before[each].outcome != "evidence"
    ]
    if lacking:
        name, outcome = lacking[0]
        found = left_open(f"not judged: the line {name} is {outcome}")
    else:
        found = await _found(row, run)
    seconds = round(time.monotonic() - started, 3)
    return Line(row.id, section, row.says, found.outcome, found.detail, found.evidence, seconds)


async def _found(row: Row[RunT], run: RunT) -> Found:
    try:
        return await row.check(run)
    except Wrong as wrong:
        return failed(str(wrong), **wrong.evidence)
    except (StoreUnavailable, Malformed) as error:
        return failed(str(error))
    except typer.BadParameter:
        raise
    except Exception as error:  # noqa: BLE001  # an answer of no form at all fails its line, and takes no other along
        return failed(f"not judged: {type(error).__name__}: {error}")


def silent(sections: Sequence[Section[RunT]], why: str) -> list[Line]:
    """The lines of a service that does not answer: the first failed, and no other can be judged."""
    rows = [(section, row) for section in sections for row in section.rows]
    first, *others = (Line(row.id, section.title, row.says, "failed", why, {}, 0.0) for section, row in rows)
    return [first, *(replace(each, outcome="open", detail=f"not judged: {why}") for each in others)]
