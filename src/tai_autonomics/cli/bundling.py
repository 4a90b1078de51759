"""
Writes an audit bundle: the whole ledger passes verification, and what lies in the period, and after it, is kept.

    store --every receipt up to the head--> verified --> before | receipts | later --> manifest --> signature
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
from msgspec import Struct

from tai_autonomics.application.ports import Store
from tai_autonomics.application.transfer import beginning, stored
from tai_autonomics.cli.bundles import (
    BEFORE,
    LATER,
    LINES,
    MANIFEST,
    RECEIPTS,
    VERIFICATION,
    Manifest,
    listed,
    names_in,
    plans_name,
    written,
)
from tai_autonomics.domain.moments import Moment
from tai_autonomics.errors import Unknown
from tai_autonomics.ledger.chain import Chain, Verified
from tai_autonomics.ledger.lines import reply
from tai_autonomics.ledger.records import Head, Part, Receipt

PART: Final = ".part"


class Asked(Struct, frozen=True):
    """Receipts of the tenant from `since` on and before `until`, up to `head`; made `at` by this release."""

    tenant: str
    since: Moment
    until: Moment
    head: Head
    at: Moment
    by: str


@contextmanager
def beside(directory: Path) -> Iterator[Path]:
    """DIR.part, which becomes DIR once the body is done; DIR is there whole or not at all. Raises OSError."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise FileExistsError(17, "it is there already, and not an empty directory", str(directory))
    part = directory.with_name(directory.name + PART)
    try:
        part.mkdir(mode=0o700)
    except FileExistsError as error:
        raise FileExistsError(
            17, "an export that was cut short left it, or one is under way: remove it", str(part)
        ) from error
    try:
        yield part
        if directory.exists():
            directory.rmdir()
        part.rename(directory)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


async def write(store: Store, asked: Asked, directory: Path) -> tuple[Manifest, bytes]:
    """Everything but the signature; the manifest's bytes are what is to be signed. Raises BrokenChain, OSError."""
    with ExitStack() as opened:
        files = {name: opened.enter_context(_new(directory / name)) for name in LINES}
        verified, policies, period = await _verify(store, asked, files)
    missing = []
    (directory / "plans").mkdir(mode=0o700)
    for digest in sorted(policies):
        text = await store.policy(digest)
        if text is None:
            missing.append(digest)
            continue
        put(directory / plans_name(digest), text)
    put(directory / VERIFICATION, _json(_said(asked, verified, period)))
    found = {name: listed(directory / name) for name in names_in(directory)}
    manifest = Manifest(
        1,
        asked.tenant,
        asked.since,
        asked.until,
        asked.at,
        asked.by,
        asked.head,
        len(period),
        found,
        tuple(missing),
    )
    text = written(manifest)
    put(directory / MANIFEST, text)
    return manifest, text


def put(file: Path, text: bytes) -> None:
    """A new file that we alone can read, on disk when this returns. Raises OSError."""
    with _new(file) as opened:
        opened.write(text)


async def _verify(store: Store, asked: Asked, files: dict[str, BinaryIO]) -> tuple[Verified, set[str], range]:
    """The ledger's verification, the plans files that decided in the period, and the period's seqs."""
    begun = await beginning(store, asked.tenant)
    chain, policies, first, last = Chain(asked.tenant, base=begun.base), set[str](), 0, 0
    before: Receipt | None = None
    async for receipt, parts in stored(store, asked.tenant, after=begun.after, first=begun.page):
        policy = chain.extend(receipt.body, hash=receipt.hash, parts=parts)["policy"]
        if receipt.time < asked.since:
            before = receipt
        elif receipt.time < asked.until:
            first, last = first or receipt.seq, receipt.seq
            policies.add(policy)
            _put(files[RECEIPTS], receipt, parts)
        else:
            _put(files[LATER], receipt, ())
        if receipt.seq == asked.head.seq:
            break
    if before is not None:
        _put(files[BEFORE], before, ())
    elif begun.base is not None:
        raise Unknown(
            f"{asked.tenant}: receipts up to {begun.base.seq}, of {begun.base.snapshot.time}, rest in archive files:"
            " nothing here shows that none before the period is missing; begin it after a receipt that is here"
        )
    return chain.close(asked.head.hash), policies, range(first, last + 1) if first else range(0)


def _put(file: BinaryIO, receipt: Receipt, parts: tuple[Part, ...]) -> None:
    file.write(reply(receipt.body, receipt.hash, parts) + b"\n")


def _said(asked: Asked, verified: Verified, period: range) -> dict[str, Any]:
    return {
        "tenant": asked.tenant,
        "ledger": asked.head.ledger,
        "verified": {
            "from": verified.head.seq - verified.receipts + 1,
            "to": verified.head.seq,
            "receipts": verified.receipts,
        },
        "head": {"seq": verified.head.seq, "hash": verified.head.hash, "time": verified.head.time},
        "period": {"first": period.start, "last": period.stop - 1, "receipts": len(period)} if period else None,
        "parts": {"opened": verified.opened, "erased": verified.erased},
        "at": asked.at,
        "by": asked.by,
    }


def _json(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=1) + b"\n"


@contextmanager
def _new(file: Path) -> Iterator[BinaryIO]:
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
        yield opened
        opened.flush()
        os.fsync(opened.fileno())
