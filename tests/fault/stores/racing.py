"""
A process that races others for one ledger: sixteen writers behind one lane, for so many seconds.

A lane as the corridor has it: one append at a time, what came in meanwhile goes into the next; after a lost race it
applies what it missed and pauses; in the third in a row it holds the ledger's place. Says how many were stored.
"""

import asyncio
import random
import sys

from tests.contract.stores.builders import append, receipt, send

from tai_autonomics.application.ports import Store
from tai_autonomics.ledger.records import Append, Appended, Conflict, Outcome, Receipt
from tai_autonomics.stores.postgres import PostgresStore

WRITERS = 16
LOST_MAX = 3
PAUSE_SECONDS, PAUSE_SECONDS_MAX = 0.005, 0.2


class Lane:
    def __init__(self, store: Store, tenant: str, name: str, *, holds: bool) -> None:
        self._store, self._tenant, self._name, self._holds = store, tenant, name, holds
        self._chance = random.Random(name)
        self._head: Receipt | None = None
        self._sent = 0
        self.stored = 0
        self.lost = 0

    async def run(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        lost = 0
        while loop.time() < until:
            if self._holds and lost >= LOST_MAX:
                async with self._store.held(self._tenant):
                    await self._read_on()
                    stored = await self._try()
            else:
                stored = await self._try()
            if not stored:
                lost += 1
                self.lost += 1
                pause = min(PAUSE_SECONDS * 2.0**lost, PAUSE_SECONDS_MAX)
                await asyncio.sleep(self._chance.uniform(0, pause))
            else:
                lost = 0

    async def _try(self) -> bool:
        wanted = self._next()
        outcome: Outcome
        (outcome,) = await send(self._store, wanted)
        match outcome:
            case Appended():
                self._head = wanted.receipts[-1]
                self._sent += len(wanted.receipts)
                self.stored += len(wanted.receipts)
            case Conflict(missed):
                self._head = missed[-1] if missed else self._head
        return isinstance(outcome, Appended)

    def _next(self) -> Append:
        made: list[Receipt] = []
        for number in range(WRITERS):
            last = made[-1] if made else self._head
            made.append(receipt(self._tenant, last, command_id=f"{self._name}-{self._sent + number}"))
        return append(self._tenant, made, self._head)

    async def _read_on(self) -> None:
        while missed := await self._store.receipts(self._tenant, self._head.seq if self._head else 0, 500):
            self._head = missed[-1]


async def main(url: str, tenant: str, name: str, seconds: float, *, holds: bool) -> None:
    store = await PostgresStore.open(url, connections_max=4)
    # All begin at once, when the one who started them says so.
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    lane = Lane(store, tenant, name, holds=holds)
    await lane.run(seconds)
    await store.aclose()
    sys.stdout.write(f"{lane.stored} {lane.lost}\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4], float(sys.argv[4]), holds=sys.argv[5] == "holds"))
