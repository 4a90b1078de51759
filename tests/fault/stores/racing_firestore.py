"""A process of a race: writers that append the same commands as every other process, a line for each that is theirs."""

import asyncio
import sys

from tests.contract.stores.builders import append, receipt, send
from tests.engines.firestore import open_store

from tai_autonomics.ledger.records import Appended, Busy, Conflict, Duplicates, Receipt
from tai_autonomics.stores.firestore import FirestoreStore

WRITERS = 4


async def write(store: FirestoreStore, tenant: str, ids: list[str], padding: int) -> None:
    """`padding` makes this process's receipts its own."""
    head: Receipt | None = None
    for command_id in ids:
        while True:
            mine = receipt(tenant, head, command_id=command_id, padding=padding)
            match (await send(store, append(tenant, [mine], head)))[0]:
                case Appended():
                    head = mine
                    sys.stdout.write(f"{tenant} {command_id} {mine.hash}\n")
                    break
                case Duplicates():
                    break
                case Conflict(missed):
                    head = missed[-1]
                case Busy():
                    pass


async def main(address: str, project: str, place: int, tenants: list[str], commands: int) -> None:
    store = await open_store(project, emulator=address)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)
    ids = [f"c{number}" for number in range(commands)]
    shares = [ids[writer::WRITERS] for writer in range(WRITERS)]
    await asyncio.gather(*(write(store, tenant, share, place + 1) for tenant in tenants for share in shares))
    await store.aclose()


if __name__ == "__main__":
    _, address, project, place, tenants, commands = sys.argv
    asyncio.run(main(address, project, int(place), tenants.split(","), int(commands)))
