"""What a store holds, read beside or after a service, as export lines."""

import asyncio
from pathlib import Path

from tai_autonomics.application.transfer import export, tenants
from tai_autonomics.ledger.records import Quarantined
from tai_autonomics.stores.sqlite import SQLiteStore


def exported(data_dir: Path) -> list[bytes]:
    """Every ledger's lines, in order."""

    async def read() -> list[bytes]:
        store = await SQLiteStore.open(str(data_dir / "tai.db"), read_only=True)
        try:
            return [line async for tenant in tenants(store) async for line in export(store, tenant)]
        finally:
            await store.aclose()

    return asyncio.run(read())


def quarantined(data_dir: Path) -> list[Quarantined]:
    """Every message that the quarantine keeps, in order of their ids."""

    async def read() -> list[Quarantined]:
        store = await SQLiteStore.open(str(data_dir / "tai.db"), read_only=True)
        try:
            return list(await store.quarantined("", 1_000))
        finally:
            await store.aclose()

    return asyncio.run(read())
