"""
Where backups are kept: for each a file and its manifest, and one list of every erasure so far.

    tai-20261124T023000.123456Z.db     the copy (of PostgreSQL: .dump)
    tai-20261124T023000.123456Z.json   its manifest, written last: without it there is no backup
    erasures.jsonl                     the list (wiring/erasures.py); survives the loss of the live store
"""

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from tai_autonomics.cli.moving import target
from tai_autonomics.errors import BrokenBackup

CHUNK_BYTES: Final = 1024 * 1024
MANIFEST_BYTES_MAX: Final = 64 * 1024


class Manifest(Struct, frozen=True, kw_only=True):
    """What a backup holds: everything that was durable at `time`. `newest` is its newest receipt's time."""

    v: int = 1
    store: str
    schema: int
    time: str
    newest: str | None
    ledgers: int
    receipts: int
    file: str
    bytes: int
    sha256: str


def make(directory: Path) -> None:
    """The directory, for our eyes alone, where it is not there yet."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)


def name_of(time: str) -> str:
    """The name of a backup of that time, without a suffix; the order of names is the order of times."""
    return "tai-" + time.replace("-", "").replace(":", "")


def every(directory: Path) -> list[Path]:
    """The manifests of all backups, oldest first."""
    return sorted(directory.glob("tai-*.json"))


def newest(directory: Path) -> Path:
    """The manifest of the newest backup. Raises BrokenBackup when there is none."""
    if not (found := every(directory)):
        raise BrokenBackup(f"{directory}: no backup is there")
    return found[-1]


def read(manifest: Path) -> Manifest:
    """Raises BrokenBackup, OSError."""
    try:
        with manifest.open("rb") as opened:
            read_ = msgspec.json.decode(opened.read(MANIFEST_BYTES_MAX), type=Manifest)
    except msgspec.DecodeError as error:
        raise BrokenBackup(f"{manifest} is not a backup's manifest: {error}") from error
    if read_.v != 1 or Path(read_.file).name != read_.file:
        raise BrokenBackup(f"{manifest} is not a manifest that this release reads")
    return read_


def write(manifest: Path, content: Manifest) -> None:
    with target(manifest) as file:
        file.write(msgspec.json.format(msgspec.json.encode(content)) + b"\n")


def digest(file: Path) -> str:
    found = sha256()
    with file.open("rb") as opened:
        while chunk := opened.read(CHUNK_BYTES):
            found.update(chunk)
    return found.hexdigest()


def fetch(manifest: Path, content: Manifest, to: Path) -> None:
    """Copy the backup's file to `to`, which is not there yet. Raises BrokenBackup when it is another one."""
    found, file = sha256(), manifest.with_name(content.file)
    to.touch(mode=0o600, exist_ok=False)
    with file.open("rb") as source, to.open("wb") as copy:
        while chunk := source.read(CHUNK_BYTES):
            found.update(chunk)
            copy.write(chunk)
    _compare(file, found.hexdigest(), content)


def checked(manifest: Path, content: Manifest) -> Path:
    """The backup's file where it lies. Raises BrokenBackup when it is another one."""
    file = manifest.with_name(content.file)
    _compare(file, digest(file), content)
    return file


def _compare(file: Path, found: str, content: Manifest) -> None:
    if found != content.sha256:
        raise BrokenBackup(f"{file} is not the file that its manifest names: its SHA-256 is {found}")


def prune(directory: Path, outdated: Iterable[Path]) -> None:
    """
    Delete these backups, never the newest; the list of erasures stays. Cut short, it may be repeated.

    Raises BrokenBackup, OSError.
    """
    for manifest in outdated:
        assert manifest != newest(directory), "the newest backup stays"
        # The manifest last: without it nobody would know of the file.
        manifest.with_name(read(manifest).file).unlink(missing_ok=True)
        manifest.unlink()
