"""What is in an image: every file of every layer, so also what a later layer hides."""

import json
import re
import tarfile
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath
from typing import IO, Final

from msgspec import Struct
from tests.engines.containers import IMAGE, image, said

PRIVATE_KEY: Final = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=\s]{40,}")
"""With its key: a library has the line alone, as it looks for it."""


class Entry(Struct, frozen=True):
    path: PurePosixPath
    mode: int
    size: int
    is_file: bool
    holds_key: bool


@cache
def entries() -> tuple[Entry, ...]:
    image()
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "image.tar"
        said("save", "--output", str(archive), IMAGE)
        with tarfile.open(archive) as opened:
            manifest = opened.extractfile("manifest.json")
            assert manifest is not None
            (described,) = json.load(manifest)
            return tuple(entry for name in described["Layers"] for entry in _of_layer(opened.extractfile(name)))


def _of_layer(layer: IO[bytes] | None) -> Iterator[Entry]:
    assert layer is not None
    with tarfile.open(fileobj=layer) as opened:
        for each in opened:
            content = opened.extractfile(each) if each.isfile() and each.size < 1_000_000 else None
            yield Entry(
                path=PurePosixPath("/", each.name),
                mode=each.mode,
                size=each.size if each.isfile() else 0,
                is_file=each.isfile(),
                holds_key=content is not None and PRIVATE_KEY.search(content.read()) is not None,
            )
