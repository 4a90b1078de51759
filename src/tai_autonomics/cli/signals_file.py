"""
A file of signals, CSV or JSON Lines, in the order in which they came.

    CSV          observed_at,metric,value[,tenant_id][,labels.NAME …]     its first line says which column is which
    JSON Lines   {"observed_at":…,"metric":…,"value":…[,"tenant_id":…][,"labels":{…}]}     as /pubsub takes them
"""

import csv
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Final, NoReturn, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from tai_autonomics.cli.moving import source
from tai_autonomics.domain.governor import Signal, parse_labels, parse_value
from tai_autonomics.domain.identifiers import MetricName, TenantId, parse_name, parse_tenant_id
from tai_autonomics.domain.moments import Moment
from tai_autonomics.errors import InvalidSignals, Malformed
from tai_autonomics.ingress import parsing, strict_json

T = TypeVar("T")
U = TypeVar("U")

SIGNALS_MAX: Final = 1_000_000
LINE_BYTES_MAX: Final = 64 * 1024
NEEDED: Final = ("observed_at", "metric", "value")
TENANT: Final = "tenant_id"
LABEL: Final = "labels."


class Recorded(Struct, frozen=True, gc=False):
    """A signal, which came at its `observed_at`; `tenant` is whose it is, where the file says so."""

    signal: Signal
    at: Moment
    tenant: TenantId | None


class _Line(Struct, frozen=True, forbid_unknown_fields=True):
    observed_at: str
    metric: str
    value: Raw
    labels: dict[str, str] = {}
    tenant_id: str | UnsetType = UNSET
    request_id: str | UnsetType = UNSET
    """As /pubsub takes it; each line counts, also when its key comes again."""


_line: Final = msgspec.json.Decoder(_Line)


def read(file: Path) -> Iterator[Recorded]:
    """
    The file's signals; - is standard input. A file whose first character is { is JSON Lines, any other CSV.

    Raises InvalidSignals, naming the line, and OSError.
    """
    name = "standard input" if str(file) == "-" else str(file)
    with source(file) as (opened, _):
        lines = _lines(opened, name)
        first = next(lines, None)
        if first is None:
            raise InvalidSignals(f"{name}: it is empty")
        signals = (_json if first[1].lstrip().startswith("{") else _csv)(chain((first,), lines), name)
        number = 0
        for number, signal in enumerate(signals, start=1):
            if number > SIGNALS_MAX:
                raise InvalidSignals(f"{name}: more than {SIGNALS_MAX:,} signals: split it")
            yield signal
        if not number:
            raise InvalidSignals(f"{name}: it holds no signal")


def _lines(file: BinaryIO, name: str) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, each with its number from 1."""
    for number, line in enumerate(iter(partial(file.readline, LINE_BYTES_MAX + 1), b""), start=1):
        if len(line) > LINE_BYTES_MAX:
            raise InvalidSignals(f"{name}:{number}: a line has at most {LINE_BYTES_MAX:,} bytes")
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise InvalidSignals(f"{name}:{number}: it is not UTF-8") from error
        if text.strip():
            yield number, text


def _json(lines: Iterable[tuple[int, str]], name: str) -> Iterator[Recorded]:
    for number, text in lines:
        raw = text.encode()
        try:
            strict_json.parse(raw)
            read = strict_json.decode(_line, raw)
        except Malformed as error:
            _refuse(name, number, error.detail, error.pointer.removeprefix("/"))
        value = bytes(read.value).decode(errors="replace")
        tenant = None if read.tenant_id is UNSET else read.tenant_id
        yield _recorded(name, number, read.observed_at, read.metric, value, tenant, read.labels)


def _csv(lines: Iterable[tuple[int, str]], name: str) -> Iterator[Recorded]:
    """A record is one line: what is quoted has no line feed in it."""
    numbered = iter(lines)
    number, text = next(numbered)
    columns = [column.strip() for column in _cells(name, number, text)]
    _check_columns(name, number, columns)
    for number, text in numbered:
        cells = _cells(name, number, text)
        if len(cells) != len(columns):
            _refuse(name, number, f"{len(cells)} cells, where line 1 names {len(columns)} columns")
        row = {column: cell.strip() for column, cell in zip(columns, cells, strict=True)}
        labels = {column.removeprefix(LABEL): cell for column, cell in row.items() if column.startswith(LABEL) and cell}
        yield _recorded(name, number, row["observed_at"], row["metric"], row["value"], row.get(TENANT) or None, labels)


def _cells(name: str, number: int, text: str) -> list[str]:
    try:
        return next(csv.reader([text.rstrip("\r\n")], strict=True))
    except csv.Error as error:
        _refuse(name, number, f"not CSV: {error}")


def _check_columns(name: str, number: int, columns: list[str]) -> None:
    for column in NEEDED:
        if column not in columns:
            _refuse(name, number, f"the first line names the columns, and {column} is not among them")
    for column in columns:
        if column not in (*NEEDED, TENANT) and not column.startswith(LABEL):
            _refuse(name, number, f"no column {column!r} is known here; a label's is {LABEL}NAME")
        if columns.count(column) > 1:
            _refuse(name, number, f"the column {column} is there twice")


def _recorded(
    name: str, number: int, observed_at: str, metric: str, value: str, tenant: str | None, labels: dict[str, str]
) -> Recorded:
    at = _part(name, number, "observed_at", partial(parsing.moment, pointer=""), observed_at)
    signal = Signal(
        MetricName(_part(name, number, "metric", parse_name, metric)),
        _part(name, number, "value", parse_value, value),
        at,
        _part(name, number, "labels", parse_labels, labels),
    )
    return Recorded(signal, at, None if tenant is None else _part(name, number, TENANT, parse_tenant_id, tenant))


def _part(name: str, number: int, member: str, parse: Callable[[U], T], given: U) -> T:
    try:
        return parse(given)
    except Malformed as error:
        _refuse(name, number, error.detail, member)


def _refuse(name: str, number: int, detail: str, member: str = "") -> NoReturn:
    raise InvalidSignals(f"{name}:{number}: {member + ': ' if member else ''}{detail}")
