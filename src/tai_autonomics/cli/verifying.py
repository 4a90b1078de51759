"""Lines of an export, or a store's own receipts, pass ledger/chain.py and are held against heads that are trusted."""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import BinaryIO, Final

import typer
from msgspec import Struct
from msgspec.structs import replace

from tai_autonomics.application.ports import Store
from tai_autonomics.application.transfer import Beginning, stored
from tai_autonomics.cli.output import counted
from tai_autonomics.cli.progress import Tell
from tai_autonomics.domain.identifiers import parse_ledger
from tai_autonomics.errors import BrokenChain
from tai_autonomics.ledger.chain import Chain, Verified, verify
from tai_autonomics.ledger.lines import LINE_BYTES_MAX

TELL_LINES: Final = 500
_HASH: Final = re.compile(r"[0-9a-f]{64}")


class TrustedHeads(Struct, frozen=True):
    """The hashes that the caller trusts: by tenant, or one for whichever single ledger there is."""

    by_tenant: dict[str, str]
    alone: str | None = None


def parse_heads(texts: Sequence[str]) -> TrustedHeads:
    """HASH, or TENANT=HASH for each of several ledgers."""
    by_tenant: dict[str, str] = {}
    alone = None
    for text in texts:
        tenant, equals, hash_ = text.rpartition("=")
        if _HASH.fullmatch(hash_) is None:
            raise typer.BadParameter(f"{hash_!r} is not a receipt's hash, which is 64 lowercase hex digits")
        if not equals:
            alone = hash_
        else:
            by_tenant[parse_ledger(tenant)] = hash_
    if alone is not None and len(texts) > 1:
        raise typer.BadParameter("several heads are written TENANT=HASH")
    return TrustedHeads(by_tenant, alone)


def lines_of(file: BinaryIO, tell: Tell) -> Iterator[bytes]:
    """The lines of an export, none longer than a line may be, so that memory stays bounded."""
    done = 0
    for number, line in enumerate(iter(partial(file.readline, LINE_BYTES_MAX + 2), b""), start=1):
        yield line
        done += len(line)
        if number % TELL_LINES == 0:
            tell(done)


def verify_lines(lines: Iterator[bytes], heads: TrustedHeads) -> tuple[Verified, ...]:
    """One result a ledger; none for no lines. Raises BrokenChain."""
    passed = _Passed(lines, heads)
    try:
        results = verify(passed, heads.by_tenant)
        if heads.alone is not None:
            return _held_against(results, heads.alone)
    except BrokenChain as error:
        raise passed.explained(error) from error
    return results


def _held_against(results: tuple[Verified, ...], head: str) -> tuple[Verified, ...]:
    match results:
        case ():
            return ()
        case (one,) if one.head.hash == head:
            return (replace(one, trusted="given"),)
        case (one,):
            detail = f"the last hash is {one.head.hash}, the trusted head is {head}"
            raise BrokenChain(tenant=one.tenant, seq=one.head.seq, step=8, detail=detail)
        case _:
            raise typer.BadParameter(f"there are {len(results)} ledgers: write --head TENANT=HASH")


class _Passed:
    """The lines, and whether a trusted head was among them: then the ledger only went on after it."""

    def __init__(self, lines: Iterator[bytes], heads: TrustedHeads) -> None:
        hashes = {heads.alone, *heads.by_tenant.values()} - {None}
        self._lines = lines
        self._sought = {f'"hash":"{hash_}"'.encode(): hash_ for hash_ in hashes}
        self._seen: set[str] = set()

    def __iter__(self) -> Iterator[bytes]:
        if not self._sought:
            return self._lines
        return self._seeking()

    def _seeking(self) -> Iterator[bytes]:
        for line in self._lines:
            self._seen.update(str(hash_) for text, hash_ in self._sought.items() if text in line)
            yield line

    def explained(self, error: BrokenChain) -> BrokenChain:
        if error.step != 8 or not any(hash_ in error.detail for hash_ in self._seen):
            return error
        return _went_on(error)


def _went_on(error: BrokenChain) -> BrokenChain:
    return BrokenChain(
        tenant=error.tenant,
        seq=error.seq,
        step=error.step,
        detail=f"{error.detail}, which is an earlier receipt of it: give the newest, or an export that ends there",
    )


async def verify_stored(store: Store, tenant: str, first: Beginning, trusted: str | None, tell: Tell) -> Verified:
    """A ledger as the store has it now, its beginning read already. Raises BrokenChain; step 8 for none."""
    chain = Chain(tenant, base=first.base)
    passed = False
    async for receipt, parts in stored(store, tenant, after=first.after, first=first.page):
        chain.extend(receipt.body, hash=receipt.hash, parts=parts)
        passed = passed or receipt.hash == trusted
        if chain.receipts % TELL_LINES == 0:
            tell(chain.receipts)
    try:
        return chain.close(trusted)
    except BrokenChain as error:
        raise (_went_on(error) if passed else error) from error


def said_of(verified: Verified) -> str:
    """The line for a person: what was verified, and what that rests on."""
    head = verified.head
    trusted = (
        "the head that you gave"
        if verified.trusted == "given"
        else "trusting its last receipt: a cut tail shows only against --head"
    )
    parts = ", ".join(
        f"{sum(counts.values())} {word}"
        for counts, word in ((verified.opened, "opened"), (verified.erased, "erased"))
        if counts
    )
    receipts = counted(verified.receipts, "receipt")
    if verified.after:
        receipts = f"{receipts} after its base, archived receipt {verified.after}"
    said = f"{verified.tenant}: verified {receipts}, head {head.seq} {head.hash}, {trusted}"
    return f"{said}; parts {parts}" if parts else said
