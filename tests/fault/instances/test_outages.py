"""
Two instances under a mixed load whose store is stopped, slow, silent or cut off in the middle of commits.

Callers get their decision or a 503 and say the same again; the instances recover by themselves; and in the end every
answer is a receipt, every decision is the sequential model's, every chain verifies.
"""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.engines import firestore, postgresql
from tests.engines.postgresql import Cluster
from tests.engines.proxy import Direction, Proxy
from tests.journey.ledgers import exported
from tests.journey.mixed_load import check, commands, send
from tests.journey.service import Service
from tests.journey.standstill import repeated
from tests.sizes import size

pytestmark = [pytest.mark.anyio, pytest.mark.full, pytest.mark.timeout(3600)]

SENDERS = 24
COMMANDS_MAX = 200_000
ANSWERS_BETWEEN = 60
"""Of each instance, between two faults."""
RECOVERY_SECONDS_MAX = 30.0
REQUEST_SECONDS_MAX = 3
"""Shorter than some of the outages, so that callers do hear of them."""
SLOW_SECONDS = 0.1
REASONS = {"store_unavailable", "outcome_unknown", "conflict"}
"""Of a 503: nothing was decided, or nobody can say."""


class Load:
    """Each command is said until it is decided, after a 503 to the other instance. Run it with `running`."""

    def __init__(self, services: list[Service]) -> None:
        self.services = services
        self.sent: list[dict[str, Any]] = []
        self.answers: list[tuple[dict[str, Any], httpx.Response]] = []
        self.answered = Counter[int]()
        self.reasons = Counter[str]()
        self._mixed = iter(commands(COMMANDS_MAX))
        self._stopped = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The load, until the block ends and everything that was said is answered."""
        headers = {"Authorization": f"Bearer {self.services[0].admin_token}"}
        async with AsyncExitStack() as opened:
            clients = [
                await opened.enter_async_context(httpx.AsyncClient(base_url=each.url, headers=headers, timeout=30))
                for each in self.services
            ]
            async with asyncio.timeout(None) as bound, asyncio.TaskGroup() as senders:
                for _ in range(SENDERS):
                    senders.create_task(self._send(clients))
                try:
                    yield
                finally:
                    self._stopped = True
                    bound.reschedule(asyncio.get_running_loop().time() + RECOVERY_SECONDS_MAX)

    async def _send(self, clients: list[httpx.AsyncClient]) -> None:
        for command in self._mixed:
            self.sent.append(command)
            for number in itertools.count(random.randrange(len(clients))):
                answer = await send(clients[number % len(clients)], command)
                if answer.status_code != 503:
                    break
                self.reasons[answer.json()["reason"]] += 1
            self.answers.append((command, answer))
            self.answered[number % len(clients)] += 1
            if self._stopped:
                return

    async def goes_on(self) -> None:
        """Both instances decide again."""
        wanted = {number: self.answered[number] + ANSWERS_BETWEEN for number in range(len(self.services))}
        async with asyncio.timeout(RECOVERY_SECONDS_MAX):
            while any(self.answered[number] < count for number, count in wanted.items()):
                await asyncio.sleep(0.01)


async def struck(proxy: Proxy, load: Load) -> None:
    async with asyncio.timeout(RECOVERY_SECONDS_MAX):
        await proxy.struck.wait()
    proxy.heal()
    await load.goes_on()


async def cut_off(proxy: Proxy, load: Load) -> None:
    proxy.cut_all()
    await load.goes_on()


async def slow(proxy: Proxy, load: Load) -> None:
    proxy.delay_seconds = SLOW_SECONDS
    await load.goes_on()
    proxy.delay_seconds = 0.0


async def silent(proxy: Proxy, load: Load) -> None:
    """Until callers hear of it: what goes up arrives, and no answer comes down."""
    heard = load.reasons.total()
    proxy.arm("down", 0, "mute")
    async with asyncio.timeout(RECOVERY_SECONDS_MAX):
        while load.reasons.total() == heard:
            await asyncio.sleep(0.01)
    await struck(proxy, load)


def reset(direction: Direction, most: int, *, after: bytes = b"") -> Callable[[Proxy, Load], Any]:
    """Somewhere up to so many bytes from now on, or after the words of a commit."""

    async def fault(proxy: Proxy, load: Load) -> None:
        proxy.arm(direction, random.randrange(most), "reset", after=after)
        await struck(proxy, load)

    return fault


COMMIT_BYTES, REPLY_BYTES = 60, 12
"""In how many bytes a COMMIT is said and executed, and in how many it is confirmed."""
ON_POSTGRESQL = {
    "cut off": cut_off,
    "slow": slow,
    "silent": silent,
    "reset somewhere": reset("up", 30_000),
    "reset in a COMMIT": reset("up", COMMIT_BYTES, after=b"COMMIT"),
    "reset in the reply to a COMMIT": reset("down", REPLY_BYTES, after=b"COMMIT"),
}
ON_FIRESTORE = {
    "cut off": cut_off,
    "slow": slow,
    "silent": silent,
    "reset in what is said": reset("up", 30_000),
    "reset in what is answered": reset("down", 10_000),
}


async def served(
    services: list[Service], proxy: Proxy, faults: list[Callable[[Proxy, Load], Any]], direct: dict[str, str]
) -> None:
    """The faults, one after another under load, and then the whole truth, read beside the proxy."""
    for service in services:
        await asyncio.to_thread(service.start)
    try:
        load = Load(services)
        async with load.running():
            await load.goes_on()
            for fault in faults:
                await fault(proxy, load)
        for service in services:
            with service.client() as client:
                health = await asyncio.to_thread(repeated, partial(client.get, "/health"))
                assert health.status_code == 200, health.text
    finally:
        statuses = [await asyncio.to_thread(service.stop) for service in services]
    assert statuses == [0] * len(services)
    assert set(load.reasons) <= REASONS
    assert load.reasons.total(), "no caller heard of any fault"
    check(await asyncio.to_thread(exported, services[0].data_dir, direct), load.sent, load.answers)


def two(folder: Path, environ: dict[str, str]) -> list[Service]:
    environ = {**environ, "TAI_REQUEST_SECONDS_MAX": str(REQUEST_SECONDS_MAX)}
    return [Service(folder, environ=environ) for _ in range(2)]


def mixed_up(faults: dict[str, Callable[[Proxy, Load], Any]], more: list[Callable[[Proxy, Load], Any]]) -> list[Any]:
    chosen = [*faults.values(), *more] * size(short=1, full=10)
    random.shuffle(chosen)
    return chosen


@pytest.fixture(scope="module")
def own() -> Iterator[Cluster]:
    """A cluster that these tests stop and start; what it says is durable is."""
    with postgresql.running(durable=True) as started:
        yield started


async def test_two_instances_go_on_whatever_their_postgresql_does(own: Cluster, tmp_path: Path) -> None:
    def stopped(mode: Any) -> Callable[[Proxy, Load], Any]:
        async def fault(proxy: Proxy, load: Load) -> None:
            await asyncio.to_thread(own.stop, mode)
            await asyncio.to_thread(own.start)
            await load.goes_on()

        return fault

    database = own.database()
    async with Proxy(own.port) as proxy:
        services = two(tmp_path, {"STORE_URL": own.url(database, port=proxy.port)})
        faults = mixed_up(ON_POSTGRESQL, [stopped("fast"), stopped("immediate")])
        await served(services, proxy, faults, {"STORE_URL": own.url(database)})


async def test_two_instances_go_on_whatever_their_firestore_does(tmp_path: Path) -> None:
    emulator, store = firestore.emulator(), {"STORE_URL": f"firestore://{firestore.new_project()}"}
    async with Proxy(emulator.port) as proxy:
        services = two(tmp_path, {**store, "FIRESTORE_EMULATOR_HOST": proxy.address})
        direct = {**store, "FIRESTORE_EMULATOR_HOST": emulator.address}
        await served(services, proxy, mixed_up(ON_FIRESTORE, []), direct)
