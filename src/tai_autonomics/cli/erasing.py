"""`receipts erase`: a decision with its own receipt, made by the running service, or here while none runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Raw, Struct

from tai_autonomics.cli.output import fail
from tai_autonomics.cli.served import Erased
from tai_autonomics.errors import StoreUnavailable, Unknown
from tai_autonomics.ledger.records import Erased as ErasedPart

if TYPE_CHECKING:
    from tai_autonomics.settings import Settings
    from tai_autonomics.wiring import House

BY: Final = "command-line"
"""`cause.by` of what is decided here, where nobody shows a token."""


class _Refusal(Struct):
    reason: str
    detail: str


class _Refused(Struct):
    refusal: _Refusal


def key_of(*, seq: int, part: str) -> str:
    """The same for the same part, so that saying it twice is harmless: the second answer is the first receipt."""
    return f"erase:{seq}:{part}"


async def erase_here(settings: "Settings", tenant: str, *, seq: int, part: str, reason: str | None) -> Erased:
    """
    Takes the store's write lock.

    Raises StoreUnavailable while a service runs, Unknown for no such part, and where a hold forbids erasing it.
    """
    from tai_autonomics.application.codec import request_digest
    from tai_autonomics.application.corridor import Submission
    from tai_autonomics.domain.tenant import Erase

    asked: dict[str, Any] = {"operation": "erase", "seq": seq, "part": part}
    async with house_here(settings) as house:
        found = await house.queries.committed(tenant, seq)
        if found is None:
            raise Unknown(f"{tenant} has no receipt {seq}")
        if part not in found.parts:
            raise Unknown(f"receipt {seq} of {tenant} commits to no part {part!r}")
        answer = await house.corridor.submit(
            Submission(
                tenant=tenant,
                command=Erase(seq, part, made_at=found.made_at),
                command_id=f"cli:{BY}:{key_of(seq=seq, part=part)}",
                source="cli",
                by=BY,
                request=request_digest(asked),
                parts=() if reason is None else (("reason", msgspec.json.encode(reason)),),
            ),
            timeout_seconds=settings.request_seconds_max,
        )
        if answer.receipt.type == "refusal":
            refusal = msgspec.json.decode(answer.receipt.body, type=_Refused).refusal
            raise Unknown(f"refused: {refusal.reason}: {refusal.detail}")
        if settings.backups_dir is not None:
            _note(settings.backups_dir, ErasedPart(tenant, seq, found.hash, part))
        clean = await house.store.journal_clean()
    return Erased(Raw(answer.receipt.body), answer.receipt.hash, "clean" if clean else "pending")


def _note(directory: Path, erased: ErasedPart) -> None:
    from tai_autonomics.wiring import erasures

    try:
        erasures.note(directory, erased)
    except OSError as error:
        fail(f"not on the list of erasures until the next backup: {error}")


@asynccontextmanager
async def house_here(settings: "Settings") -> "AsyncIterator[House]":
    """What decides, in this process. Raises StoreUnavailable while a service holds the store for itself."""
    from tai_autonomics import wiring

    opened = False
    try:
        async with wiring.house(settings) as house:
            opened = True
            yield house
    except StoreUnavailable as error:
        if opened:
            raise
        raise StoreUnavailable(f"{error} (--url URL --token-file FILE)") from error
