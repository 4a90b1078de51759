"""
An audit bundle: a tenant's receipts of a period, and what shows that they are all of it, on the chain of its head.

    DIR/before.jsonl      the receipt before the period, where there is one: it is older
        receipts.jsonl    the period's, as export lines, with the parts that still exist
        later.jsonl       those after it up to the head, without their parts: what links the period to the head
        plans/DIGEST.yaml the plans files that decided in the period
        verification.json what was verified when it was made: the whole ledger, from its first receipt to the head
        manifest.json     whose, which period, which head, and the SHA-256 of every file above
        manifest.jws      the service's signature of manifest.json (RFC 7515, appendix F), where it has a key
"""

import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from tai_autonomics.errors import Malformed
from tai_autonomics.ledger.records import Head

BEFORE, RECEIPTS, LATER = "before.jsonl", "receipts.jsonl", "later.jsonl"
LINES: Final = (BEFORE, RECEIPTS, LATER)
VERIFICATION, MANIFEST, SIGNATURE = "verification.json", "manifest.json", "manifest.jws"
PURPOSE: Final = "tai-audit-manifest"
MANIFEST_BYTES_MAX: Final = 1024 * 1024
PIECE_BYTES: Final = 1024 * 1024
MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
"""Of this form alone, the order as strings is the order in time."""
PLANS: Final = re.compile(r"plans/([0-9a-f]{64})\.yaml")


class Listed(Struct, frozen=True, forbid_unknown_fields=True):
    """A file of the bundle."""

    sha256: str
    bytes: int


class Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    """`until` is not in the period any more. `plans_missing`: digests that receipts name and the store did not have."""

    v: Literal[1]
    tenant: str
    since: str
    until: str
    made_at: str
    made_by: str
    head: Head
    receipts: int
    files: dict[str, Listed]
    plans_missing: tuple[str, ...] = ()


def plans_name(digest: str) -> str:
    return f"plans/{digest}.yaml"


def listed(file: Path) -> Listed:
    """Raises OSError."""
    hashed, size = sha256(), 0
    with file.open("rb") as opened:
        while piece := opened.read(PIECE_BYTES):
            hashed.update(piece)
            size += len(piece)
    return Listed(hashed.hexdigest(), size)


def written(manifest: Manifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=1) + b"\n"


def manifest_of(text: bytes) -> Manifest:
    """Raises Malformed where it is none, or names a file that no bundle has."""
    try:
        manifest = msgspec.json.decode(text, type=Manifest)
    except msgspec.DecodeError as error:
        raise Malformed("malformed_request", f"{MANIFEST}: {error}") from error
    if any(MOMENT.fullmatch(moment) is None for moment in (manifest.since, manifest.until)):
        raise Malformed("malformed_request", f"{MANIFEST}: its period is not one in UTC with six digits")
    for name in manifest.files:
        if name not in (*LINES, VERIFICATION) and PLANS.fullmatch(name) is None:
            raise Malformed("malformed_request", f"{MANIFEST}: no bundle has a file {name!r}")
    for name in (*LINES, VERIFICATION):
        if name not in manifest.files:
            raise Malformed("malformed_request", f"{MANIFEST}: it does not list {name}")
    return manifest


def names_in(directory: Path) -> Iterator[str]:
    """Every file below the directory, by its name in a manifest."""
    for each in sorted(directory.rglob("*")):
        if each.is_symlink() or not each.is_dir():
            yield each.relative_to(directory).as_posix()
