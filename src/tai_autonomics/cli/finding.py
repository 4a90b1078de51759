"""One receipt found in an export."""

from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from tai_autonomics.cli.moving import source
from tai_autonomics.cli.verifying import lines_of
from tai_autonomics.errors import NotCanonical, Unknown


class _Named(Struct):
    tenant: str
    seq: int


class _Line(Struct):
    receipt: _Named


_lines: Final = msgspec.json.Decoder(_Line)


def line_in(file: Path, tenant: str, seq: int) -> bytes:
    """The export's line of that receipt. Raises Unknown, NotCanonical for a line before it that is none, OSError."""
    with source(file) as (opened, _):
        for number, line in enumerate(lines_of(opened, lambda _: None), start=1):
            try:
                found = _lines.decode(line).receipt
            except msgspec.DecodeError as error:
                raise NotCanonical(f"{file}:{number}: not a line of an export: {error}") from error
            if (found.tenant, found.seq) == (tenant, seq):
                return line.removesuffix(b"\n")
    raise Unknown(f"{file} has no receipt {seq} of {tenant}")
