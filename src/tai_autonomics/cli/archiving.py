"""
`receipts archive`: a file for each ledger that has enough old receipts, and then those receipts out of the store.

    DIR/acme.0000000000000001-0000000000000500.jsonl     receipts 1 to 500 of acme, for our eyes alone

A file that is there already was left by a run that was cut short, or wrote files only: it is verified and gone on with.
Receipts are dropped when their file was read back from its directory twice: before it is sealed, and after. What a
tenant's retention keeps stays in the store.
"""

import asyncio
from collections.abc import Callable, Sequence
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from tai_autonomics.application import archiving
from tai_autonomics.application.archiving import HORIZON_DAYS, Archived, Archiving, days_before
from tai_autonomics.cli.erasing import BY
from tai_autonomics.cli.exporting import outlet
from tai_autonomics.cli.moving import heads_named
from tai_autonomics.cli.output import Output, counted, fail
from tai_autonomics.cli.progress import progress
from tai_autonomics.cli.shelf import digest, make
from tai_autonomics.cli.statuses import ExitStatus
from tai_autonomics.cli.verifying import lines_of
from tai_autonomics.domain.moments import Moment, plus_seconds
from tai_autonomics.errors import BrokenArchive, BrokenChain, HeldBack, LedgerNewerThanCode, NotCanonical
from tai_autonomics.ledger.records import Base
from tai_autonomics.stores.sqlite.backup import flush

if TYPE_CHECKING:
    from tai_autonomics.settings import Settings
    from tai_autonomics.wiring import House


ARCHIVE_DAYS: Final = 90


class Wanted(Struct, frozen=True):
    """
    Which receipts: those that are `days` old, none after `through`, and only where they are `at_least` so many.

    `days` None: ARCHIVE_DAYS, or as many as the tenant's retention demands, if that is more.
    """

    days: int | None
    through: int | None
    at_least: int
    write_only: bool


class Done(Struct, frozen=True):
    """What became of one ledger: which receipts the file holds, and how many were dropped now."""

    tenant: str
    file: str
    first_seq: int
    through_seq: int
    hash: str
    archive_digest: str
    dropped: int


class Archivist:
    """Archives ledgers of an open house into a directory."""

    def __init__(self, house: "House", settings: "Settings", directory: Path, wanted: Wanted) -> None:
        self._store = house.store
        self._directory, self._wanted = directory, wanted
        self._archiving = Archiving(
            house.store,
            house.corridor,
            house.plans,
            house.sealing_clock,
            by=BY,
            timeout_seconds=settings.request_seconds_max,
        )
        self._now = house.sealing_clock.now()
        self._before = days_before(self._now, wanted.days or ARCHIVE_DAYS)
        self._horizon = days_before(self._now, HORIZON_DAYS)

    async def archive(self, tenant: str, tell: Callable[[int], None]) -> Done | None:
        """
        None where there is nothing to do. May be repeated wherever it was cut short.

        Raises BrokenArchive, BrokenChain, HeldBack, NotCanonical, Unavailable, OSError.
        """
        finished = await self._finish(tenant, tell)
        base = (await self._store.bases((tenant,))).get(tenant)
        file = self._file(tenant, f"{_number(1 if base is None else base.seq + 1)}-*")
        if file is None and (file := await self._write(tenant, base)) is None:
            return finished
        # Also where another run wrote it, or somebody brought it here.
        for place in (file, self._directory):
            await asyncio.to_thread(flush, place)
        archived = await asyncio.to_thread(_read, tenant, file)
        await self._archiving.check(archived, before=self._horizon)
        if self._wanted.write_only:
            return _done(tenant, file, archived.first, archived.base, 0)
        await self._archiving.seal(archived)
        await asyncio.to_thread(_require_same, file, archived.base)
        await self._archiving.begin(archived)
        return _done(tenant, file, archived.first, archived.base, await self._archiving.drop(tenant, tell))

    async def _finish(self, tenant: str, tell: Callable[[int], None]) -> Done | None:
        """Drop what a run that was cut short has archived, while its file is there."""
        base = await self._archiving.left(tenant)
        if base is None or self._wanted.write_only:
            return None
        file = self._file(tenant, f"*-{_number(base.seq)}")
        if file is None:
            raise BrokenArchive(
                f"{tenant} has receipts that are to be dropped, and the archive that ends with receipt {base.seq}"
                f" is not in {self._directory}: name its directory with --archives"
            )
        await asyncio.to_thread(_require_same, file, base)
        first = int(file.name[len(tenant) + 1 :].partition("-")[0])
        return _done(tenant, file, first, base, await self._archiving.drop(tenant, tell))

    def _file(self, tenant: str, numbers: str) -> Path | None:
        """Of several, which only ledgers that were restored can have, the longest; it is verified in any case."""
        return max(self._directory.glob(f"{escape(tenant)}.{numbers}.jsonl"), default=None)

    async def _write(self, tenant: str, base: Base | None) -> Path | None:
        """None where too few receipts are old enough."""
        first = 1 if base is None else base.seq + 1
        last = await self._last(tenant, base, self._before)
        if last - first + 1 >= self._wanted.at_least:
            # Only here, because it needs the tenant's state.
            last = await self._last(tenant, base, await self._kept_before(tenant))
        if last - first + 1 < self._wanted.at_least:
            return None
        make(self._directory)
        file = self._directory / f"{tenant}.{_number(first)}-{_number(last)}.jsonl"
        with outlet(file) as to:
            to.file.truncate(0)
            async for line in archiving.archive_lines(self._store, tenant, base, last):
                to.file.write(line)
        return file

    async def _last(self, tenant: str, base: Base | None, before: Moment) -> int:
        through = self._wanted.through
        return await archiving.last_before(self._store, tenant, base, before=before, through=through)

    async def _kept_before(self, tenant: str) -> Moment:
        """From when on receipts stay. Raises HeldBack where that is earlier than what was asked for."""
        kept = plus_seconds(self._now, -await self._archiving.retention_seconds(tenant))
        if self._wanted.days is not None and kept < self._before:
            raise HeldBack(
                f"retention keeps the receipts from {kept} on, and those before {self._before} were asked for:"
                f" without --older-than-days it takes what is not kept any more"
            )
        return min(kept, self._before)


def _number(seq: int) -> str:
    return f"{seq:016}"


def _read(tenant: str, file: Path) -> Archived:
    archive = digest(file)
    with file.open("rb") as opened:
        return archiving.read_archive(tenant, lines_of(opened, lambda _: None), archive=archive)


def _require_same(file: Path, base: Base) -> None:
    if (found := digest(file)) != base.archive:
        raise BrokenArchive(
            f"{file} is not the file that was sealed: its SHA-256 is {found}, that one's is {base.archive}"
        )


def _done(tenant: str, file: Path, first: int, base: Base, dropped: int) -> Done:
    return Done(tenant, str(file), first, base.seq, base.snapshot.hash, base.archive, dropped)


async def archive(
    settings: "Settings", tenants: Sequence[str] | None, directory: Path, wanted: Wanted, output: Output
) -> ExitStatus:
    """Each result as it is known; a ledger that cannot be archived does not keep the others from it."""
    from tai_autonomics import wiring

    status, archived = ExitStatus.YES, 0
    async with wiring.house(settings) as house:
        archivist = Archivist(house, settings, directory, wanted)
        with progress("dropping", total=None, unit="receipts", shown=not output.quiet) as tell:
            for tenant in await heads_named(house.store, tenants):
                try:
                    done = await archivist.archive(tenant, tell)
                except (BrokenArchive, BrokenChain, HeldBack, NotCanonical, LedgerNewerThanCode) as error:
                    fail(f"{tenant}: {error}")
                    status = ExitStatus.WRONG
                    continue
                if done is not None:
                    archived += 1
                    output.show(done, _said_of(done))
    if not archived and status is ExitStatus.YES and not output.json:
        older = f"older than {wanted.days or ARCHIVE_DAYS} days and not to be kept any longer"
        output.show(None, f"nothing to archive: no ledger has {counted(wanted.at_least, 'receipt')} {older}")
    return status


def _said_of(done: Done) -> str:
    held = f"{done.tenant}: receipts {done.first_seq} to {done.through_seq} are in {done.file}"
    return f"{held}; {done.dropped:,} dropped" if done.dropped else held
