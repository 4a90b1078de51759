"""
P12: replaying ledgers beside verifying them, on one core, the same receipts.

    replay  store -> verified -> events (codec) -> fold (domain) -> state, compared with the live one: `receipts replay`
    fold    body -> events -> state alone, in memory
    verify  steps 1 to 7 of ledger/chain.py, in memory: what P8 measures
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Final

from benchmarks.fill import fill
from benchmarks.measure import Series, Size, interleave, ratio, record
from benchmarks.servers import SERVER_CORE, fresh_directory
from benchmarks.tenants import name_of
from tai_autonomics.application import transfer
from tai_autonomics.application.codec import events_of
from tai_autonomics.domain.decider import fold
from tai_autonomics.domain.tenant import INITIAL_STATE, evolve
from tai_autonomics.ledger.chain import Chain
from tai_autonomics.ledger.records import Receipt
from tai_autonomics.stores.sqlite import SQLiteStore

RECEIPTS: Final = 300_000
RECEIPTS_SHORT: Final = 20_000
TENANTS: Final = 100


def measure_replay(size: Size) -> None:
    count = RECEIPTS_SHORT if size.short else RECEIPTS
    with fresh_directory() as directory:
        fill(directory, receipts=count, tenants=TENANTS)
        ledgers = asyncio.run(_read(directory / "tai.db"))
        os.sched_setaffinity(0, {SERVER_CORE})
        rounds = interleave(
            size.rounds,
            {
                "replay": lambda: _per_second(count, lambda: asyncio.run(_replay(directory / "tai.db"))),
                "fold": lambda: _per_second(count, lambda: _fold(ledgers)),
                "verify": lambda: _per_second(count, lambda: _verify(ledgers)),
            },
        )
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
    replay, folded, verify = (Series(name, "receipts/s", tuple(each)) for name, each in rounds.items())
    rows = [replay, folded, verify, ratio("replay / verify", replay, verify), ratio("fold / verify", folded, verify)]
    record("P12", rows, notes={"receipts": count, "tenants": TENANTS}, short=size.short)


def _per_second(count: int, work: Callable[[], object]) -> float:
    started = perf_counter()
    work()
    return count / (perf_counter() - started)


async def _read(path: Path) -> list[tuple[Receipt, ...]]:
    store = await SQLiteStore.open(str(path))
    ledgers = [await store.receipts(name_of(rank), 0, RECEIPTS) for rank in range(TENANTS)]
    await store.aclose()
    return ledgers


async def _replay(path: Path) -> None:
    store = await SQLiteStore.open(str(path), read_only=True)
    for rank in range(TENANTS):
        replayed = await transfer.replay(store, name_of(rank))
        assert replayed is not None, "every tenant has a ledger"
        assert replayed.agrees, replayed.tenant
    await store.aclose()


def _fold(ledgers: list[tuple[Receipt, ...]]) -> None:
    for receipts in ledgers:
        state = INITIAL_STATE
        for receipt in receipts:
            state = fold(evolve, state, events_of(receipt))


def _verify(ledgers: list[tuple[Receipt, ...]]) -> None:
    for receipts in ledgers:
        chain = Chain(receipts[0].tenant)
        for receipt in receipts:
            chain.extend(receipt.body, hash=receipt.hash)
