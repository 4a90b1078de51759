"""
Verifies an audit bundle, from its bytes alone.

    1 the manifest is one        2 its files, and no others, are there, with their SHA-256
    3 the chain holds from the receipt before the period to the head, and the period is whole
    4 every plans file is the one that its name says, and none that a receipt names is missing but those listed
    5 the signature is of these bytes, by a key that the caller knows
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from tai_autonomics.cli.bundles import (
    BEFORE,
    LATER,
    LINES,
    MANIFEST,
    MANIFEST_BYTES_MAX,
    PLANS,
    PURPOSE,
    RECEIPTS,
    SIGNATURE,
    Manifest,
    listed,
    manifest_of,
    names_in,
)
from tai_autonomics.cli.verifying import lines_of
from tai_autonomics.errors import BrokenBundle, BrokenChain, Malformed, NotCanonical, Unauthenticated
from tai_autonomics.ledger.chain import Chain, Verified
from tai_autonomics.ledger.lines import Line, parse_line
from tai_autonomics.ledger.receipt import Body, read
from tai_autonomics.ledger.records import Head

if TYPE_CHECKING:
    from tai_autonomics.identity.keys import Keys


class Checked(Struct, frozen=True):
    """A bundle without a fault. `signed_by` is the key's kid; None: nobody has signed it, or no key was at hand."""

    manifest: Manifest
    verified: Verified
    signed_by: str | None
    is_signed: bool


def check(directory: Path, keys: "Keys | None", head: str | None) -> Checked:
    """
    `keys` are those that may have signed it, None: none is known; `head` is the hash that the caller trusts.

    Raises BrokenBundle, BrokenChain, OSError.
    """
    text = _bounded(directory / MANIFEST)
    try:
        manifest = manifest_of(text)
    except Malformed as error:
        raise BrokenBundle(error.detail) from error
    _check_files(directory, manifest)
    verified, policies = _check_chain(directory, manifest, head)
    _check_plans(manifest, policies)
    signature = directory / SIGNATURE
    if not signature.exists() or keys is None:
        return Checked(manifest, verified, None, signature.exists())
    from tai_autonomics.identity import signing

    try:
        kid = signing.verify(text, _bounded(signature).decode("ascii", "replace"), keys.public, purpose=PURPOSE)
    except Unauthenticated as error:
        raise BrokenBundle(f"{SIGNATURE}: {error.detail}") from error
    return Checked(manifest, verified, kid, True)


def _bounded(file: Path) -> bytes:
    with file.open("rb") as opened:
        text = opened.read(MANIFEST_BYTES_MAX + 1)
    if len(text) > MANIFEST_BYTES_MAX:
        raise BrokenBundle(f"{file.name} is larger than {MANIFEST_BYTES_MAX} bytes")
    return text


def _check_files(directory: Path, manifest: Manifest) -> None:
    there = set(names_in(directory)) - {MANIFEST, SIGNATURE}
    for name in sorted(there ^ manifest.files.keys()):
        raise BrokenBundle(f"{name} is {'not in the manifest' if name in there else 'missing'}")
    for name, expected in manifest.files.items():
        if (directory / name).is_symlink():
            raise BrokenBundle(f"{name} is a link")
        if listed(directory / name) != expected:
            raise BrokenBundle(f"{name} is not the file that the manifest lists: its SHA-256 or size differs")


def _check_chain(directory: Path, manifest: Manifest, head: str | None) -> tuple[Verified, set[str]]:
    chain: Chain | None = None
    policies: set[str] = set()
    counts = dict.fromkeys(LINES, 0)
    for name, line, members in _receipts(directory, manifest):
        if chain is None:
            chain = _beginning(manifest, members)
        chain.link(members, line.body, hash=line.hash, parts=line.parts)
        counts[name] += 1
        if name != _place_of(members["time"], manifest):
            raise BrokenBundle(f"{name}: receipt {members['seq']} is of {members['time']}, outside of its period")
        if name == RECEIPTS:
            policies.add(members["policy"])
    if chain is None:
        raise BrokenBundle("there is no receipt in it")
    if counts[BEFORE] > 1:
        raise BrokenBundle(f"{BEFORE} has more than one receipt")
    if counts[RECEIPTS] != manifest.receipts:
        raise BrokenBundle(f"{RECEIPTS} has {counts[RECEIPTS]} receipts, the manifest says {manifest.receipts}")
    if not counts[BEFORE] and chain.seq != chain.receipts:
        raise BrokenBundle(f"the ledger's beginning is missing, and so is the receipt before the period: {BEFORE}")
    verified = chain.close(manifest.head.hash)
    if head is not None and head != manifest.head.hash:
        raise BrokenBundle(f"its head is {manifest.head.hash}, the trusted head is {head}")
    if verified.head != manifest.head:
        raise BrokenBundle("the manifest's head is not the last receipt's")
    return verified, policies


def _receipts(directory: Path, manifest: Manifest) -> Iterator[tuple[str, Line, Body]]:
    for name in LINES:
        with (directory / name).open("rb") as opened:
            for text in lines_of(opened, lambda _: None):
                try:
                    line = parse_line(text)
                    members = read(line.body)
                except NotCanonical as error:
                    raise BrokenChain(tenant=manifest.tenant, seq=0, step=1, detail=f"{name}: {error}") from error
                yield name, line, members


def _beginning(manifest: Manifest, first: Body) -> Chain:
    """What the first receipt follows is not in the bundle, unless it is the ledger's first."""
    if first["seq"] == 1:
        return Chain(manifest.tenant)
    return Chain(manifest.tenant, after=Head(manifest.head.ledger, first["seq"] - 1, first["prev"], ""))


def _place_of(time: str, manifest: Manifest) -> str:
    return BEFORE if time < manifest.since else RECEIPTS if time < manifest.until else LATER


def _check_plans(manifest: Manifest, policies: set[str]) -> None:
    there: set[str] = set()
    for name, file in manifest.files.items():
        if (found := PLANS.fullmatch(name)) is not None:
            if found[1] != file.sha256:
                raise BrokenBundle(f"{name} is another plans file than its name says")
            there.add(found[1])
    for digest in sorted((policies - there) ^ set(manifest.plans_missing)):
        raise BrokenBundle(f"the plans file {digest} is missing, or listed as missing and not")
