"""What a store holds, read beside or after a service, as export lines."""

import asyncio
from pathlib import Path

from tests.journey.stores import opened

from tai_autonomics.application.transfer import export, tenants
from tai_autonomics.ledger.records import Quarantined


def exported(data_dir: Path, environ: dict[str, str] | None = None) -> list[bytes]:
    """Every ledger's lines, in order; `environ` as in `opened`."""

    async def read() -> list[bytes]:
        store = await opened(data_dir, environ)
        try:
            return [line async for page in tenants(store) for tenant in page async for line in export(store, tenant)]
        finally:
            await store.aclose()

    return asyncio.run(read())


def quarantined(data_dir: Path) -> list[Quarantined]:
    """Every message that the quarantine keeps, in order of their ids."""

    async def read() -> list[Quarantined]:
        store = await opened(data_dir)
        try:
            return list(await store.quarantined("", 1_000))
        finally:
            await store.aclose()

    return asyncio.run(read())
